"""Compiled critics say what their definitions say, rollout by rollout, and decide as if all were asked."""

import attrs
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mppi_maml_ros.core.angles import wrap
from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.core.types import VelocityLimits
from mppi_maml_ros.dynamics.residual import ResidualWeights
from mppi_maml_ros.mppi import MPPIConfig, MPPIController
from mppi_maml_ros.mppi.costmap import Costmap
from mppi_maml_ros.mppi.critics import CRITICS, CompiledCritic, Critic, Judge, Scene, power, weight
from mppi_maml_ros.mppi.jury import Y
from mppi_maml_ros.mppi.rollouts.compiled import CompiledRollout

DT = 0.05
LIMITS = VelocityLimits(vx_max=1.0, vx_min=-0.5, wz_max=1.5)
COMPILED = sorted(name for name in CRITICS if issubclass(CRITICS[name], CompiledCritic))
BORDER = 2e-5  # of a cell; nearer to its edge, rounding decides which cell a pose is in


def cells(grid, r, disc=(0.0, 0.0)):
    """Fractions of cells, (rows, columns) of all poses, or of a disc of the footprint."""
    column0, row0, cos, sin = grid.locate(r.state[:3])
    c, s = np.cos(r.yaw.astype(float)), np.sin(r.yaw.astype(float))
    x, y = r.x + c * disc[0] - s * disc[1], r.y + s * disc[0] + c * disc[1]
    return row0 + (sin * x + cos * y) / grid.resolution, column0 + (cos * x - sin * y) / grid.resolution


def obstacles(c, r):
    grid = r.scene.costmap
    if grid is None or grid.empty:
        return None
    rows, columns = grid.field.shape
    clearance = np.full(r.x.shape, np.inf)
    for disc in c.outline.centres:
        row, column = (np.trunc(place) for place in cells(grid, r, disc))
        on = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        field = grid.field[row[on].astype(int), column[on].astype(int)]
        clearance[on] = np.minimum(clearance[on], field - np.float32(c.outline.radius))
    steps, samples = r.x.shape
    total = np.zeros(samples)
    for j in range(samples):
        for t in range(steps):
            if clearance[t, j] <= 0.0:
                total[j] += c.collision_cost * (steps - t) / steps + c.collision_cost
                break
            if clearance[t, j] < c.inflation_radius:
                total[j] += np.exp(-c.cost_scaling_factor * clearance[t, j]) / steps
    return total


def near_goal(c, r):
    return r.goal is not None and r.scene.remaining <= c.threshold_to_consider


def goal(c, r):
    return np.hypot(r.x - r.goal[0], r.y - r.goal[1]).mean(0) if near_goal(c, r) else None


def goal_angle(c, r):
    return np.abs(wrap(r.yaw - r.goal[2])).mean(0) if near_goal(c, r) else None


def path_align(c, r):
    path = np.concatenate([np.zeros((1, 3)), r.target])[::2, :2]
    path[0] = r.target[0, :2]
    every = c.trajectory_point_step
    poses = np.stack([r.x, r.y], axis=-1)[every - 1 :: every].astype(float)
    if not len(poses):
        return np.zeros(r.x.shape[1])
    nearest = np.full(poses.shape[:2], np.inf)
    for a, b in zip(path[:-1], path[1:]):
        share = np.clip((poses - a) @ (b - a) / max((b - a) @ (b - a), 1e-12), 0.0, 1.0)
        nearest = np.minimum(nearest, np.linalg.norm(poses - a - share[..., None] * (b - a), axis=-1))
    return nearest.mean(0)


def path_follow(c, r):
    return np.hypot(r.x[-1] - r.target[-1, 0], r.y[-1] - r.target[-1, 1])


def path_angle(c, r):
    return np.abs(wrap(r.yaw[-1] - r.target[-1, 2]))


def prefer_forward(c, r):
    step = np.diff(r.target[:, :2], axis=0)
    along = step[:, 0] * np.cos(r.target[:-1, 2]) + step[:, 1] * np.sin(r.target[:-1, 2])
    if r.scene.remaining < c.threshold_to_consider or along.min() < -1e-4:
        return None
    return np.maximum(-r.commands[:, 0], 0.0).mean(0)


def twirling(c, r):
    return None if r.scene.remaining <= 0.1 else np.abs(r.omega).mean(0)


def effort(c, r):
    return (r.commands**2).sum(1).mean(0)


def rate(c, r):
    changes = np.diff(
        r.commands, axis=0, prepend=np.broadcast_to(r.last_command[:, None], r.commands[:1].shape)
    )
    return (changes**2).sum(1).mean(0)


def velocity_deadband(c, r):
    depth = np.array([c.vx, c.wz])[:, None] - np.abs(r.commands)
    return np.maximum(depth, 0.0).sum(1).mean(0)


@attrs.frozen(eq=False)
class Definition(Critic):
    """A critic by its definition here, in plain numpy."""

    critic: CompiledCritic
    name: str
    seen: list = attrs.field(factory=list)

    cost_weight = property(lambda self: self.critic.cost_weight)
    cost_power = property(lambda self: self.critic.cost_power)

    def value(self, r):
        self.seen[:] = [r]
        return globals()[self.name](self.critic, r)


class Own:
    """A model with a rollout of its own: that of a lag."""

    weights = ResidualWeights.first_order((0.3, 0.2), gain=(0.8, 0.9), delay=0.05)

    def rollout(self, request, out):
        request = attrs.evolve(request, jury=None, tracking=None, out=out)
        CompiledRollout()(self.weights, request)


MODELS = {"kinematic": None, "residual": Own.weights, "own": Own()}


def numbers(low, high):
    return st.floats(low, high, allow_subnormal=False)


@st.composite
def judges(draw):
    """Critics of a random choice, with random weights and parameters."""
    names = draw(st.lists(st.sampled_from(COMPILED), min_size=1, unique=True))
    chosen = []
    for name in names:
        values = {"cost_weight": draw(numbers(0.0, 20.0)), "cost_power": draw(st.integers(1, 3))}
        if name == "obstacles":
            values |= {
                "footprint_radius": draw(numbers(0.0, 0.4)),
                "footprint": draw(st.sampled_from(["", "[[0.3, 0.1], [-0.2, 0.2], [-0.2, -0.1]]"])),
                "collision_cost": draw(numbers(0.0, 100.0)),
            }
            values |= {
                "inflation_radius": draw(numbers(0.0, 1.0)),
                "cost_scaling_factor": draw(numbers(0.5, 30)),
            }
        if name == "path_align":
            values["trajectory_point_step"] = draw(st.integers(1, 12))
        if name == "velocity_deadband":
            values |= {"vx": draw(numbers(0.0, 0.5)), "wz": draw(numbers(0.0, 0.5))}
        chosen.append((name, CRITICS[name](**values)))
    return chosen


@st.composite
def scenes(draw):
    """A random map, anywhere and turned, or none; a goal, or none."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    grid = None
    if draw(st.booleans()):
        shape = rng.integers(2, 60, 2)
        data = np.where(rng.random(shape) < draw(st.sampled_from([0.0, 0.01, 0.1])), 100, 0)
        resolution = rng.uniform(0.02, 0.2)
        origin = np.append(rng.uniform(-1.0, 0.2, 2) * shape[::-1] * resolution, rng.uniform(-4.0, 4.0))
        grid = Costmap(data, resolution, origin)
    goal = rng.normal(size=3) if draw(st.booleans()) else None
    return Scene(goal=goal, remaining=draw(st.sampled_from([0.05, 0.2, 0.4, 2.0, np.inf])), costmap=grid)


def way(seed, steps):
    """Poses that wander, now and then in reverse or without moving."""
    rng = np.random.default_rng(seed)
    speed = rng.choice([0.0, -0.3, 0.4, 0.8]) + 0.1 * rng.normal(size=steps)
    yaw = rng.uniform(-4, 4) + np.cumsum(rng.normal(0.0, 0.1, steps))
    step = DT * speed[:, None] * np.stack([np.cos(yaw), np.sin(yaw)], axis=1)
    places = rng.normal(0.0, 0.3, 2) + np.cumsum(step, axis=0)
    return np.column_stack([places, yaw])


def decided(config, critics, model, scene, seed):
    controller = MPPIController(config, LIMITS, 1, critics=tuple(critics))
    rng = np.random.default_rng(seed)
    state = np.array([*rng.normal(0.0, 0.2, 2), rng.uniform(-4, 4), 0.3, -0.1])
    past = rng.uniform(-0.5, 0.5, (8, 2))
    reference = way(seed, config.time_steps + 1)
    result = controller.compute_control(state, reference, past, past[0], model, DT, scene)
    return result, controller._costs.copy()


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    critics=judges(),
    scene=scenes(),
    model=st.sampled_from(sorted(MODELS)),
    steps=st.sampled_from([2, 5, 17, 32, 40]),
    temperature=st.sampled_from([0.01, 0.3, 3.0, 1e4]),
    tracking=st.sampled_from([0.0, 10.0]),
    mixed=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_fused_critics_decide_as_their_definitions_do(
    critics, scene, model, steps, temperature, tracking, mixed, seed
):
    config = MPPIConfig(
        batch_size=192, time_steps=steps, temperature=temperature, position_weight=tracking, noise_knots=0
    )
    plain = [Definition(critic, name) for name, critic in critics]
    fused = [p if mixed and i % 2 else critic for i, (p, (_, critic)) in enumerate(zip(plain, critics))]
    # The temperature decides what may be left out, so the costs are compared where nothing may.
    theirs, expected = decided(config, plain, MODELS[model], scene, seed)
    if scene.costmap is not None and plain[0].seen:
        for disc in (disc for _, critic in critics if critic.outline for disc in critic.outline.centres):
            fractions = np.concatenate(cells(scene.costmap, plain[0].seen[0], disc))
            assume(np.abs(fractions - np.rint(fractions)).min() > BORDER)
    _, all_of_them = decided(attrs.evolve(config, temperature=1e4), fused, MODELS[model], scene, seed)
    np.testing.assert_allclose(all_of_them, expected, rtol=2e-4, atol=1e-4)
    ours, some_of_them = decided(config, fused, MODELS[model], scene, seed)
    assert (some_of_them <= all_of_them * (1.0 + 1e-5) + 1e-5).all()
    assert ours.cost == pytest.approx(theirs.cost, rel=2e-4, abs=1e-4)
    if temperature >= max(0.3, 1e-5 * theirs.cost):  # below, rounding of the costs alone decides
        np.testing.assert_allclose(ours.sequence, theirs.sequence, atol=3e-3)


@Judge
def _to_the_left(poses, at, commands, first, target, table, numbers, out):
    for j in range(len(out)):
        out[j] = 0.0
        for t in range(poses.shape[1]):
            out[j] += numbers[0] * max(poses[Y, t, at + j], 0.0)


@attrs.frozen
class KeepRight(CompiledCritic):
    """A critic of somebody else's, in plain loops."""

    cost_weight: float = weight(3.0)
    cost_power: int = power()
    judge, reads = _to_the_left, (Y,)
    asked: list = attrs.field(factory=list)

    def prepare(self, situation, numbers):
        self.asked.append(situation.scene)
        numbers[0] = 1.0 / len(situation.target)
        return True


def driven(critics, temperature=1.0, rounds=1):
    config = MPPIConfig(batch_size=640, time_steps=20, temperature=temperature, iteration_count=rounds)
    controller = MPPIController(config, LIMITS, 1, critics=critics)
    reference = np.column_stack([0.02 * np.arange(21), np.zeros((21, 2))])
    past = np.tile([0.4, 0.0], (8, 1))
    result = controller.compute_control(np.zeros(5), reference, past, past[0], None, DT, Scene())
    return result, controller._costs.copy()


def test_somebody_elses_compiled_critic_is_asked_once_a_step_and_heard():
    critic = KeepRight(cost_weight=1000.0)
    result, _ = driven((critic,), rounds=3)
    assert len(critic.asked) == 1
    assert result.sequence[:, 1].mean() < driven(())[0].sequence[:, 1].mean() - 0.01


def test_rollouts_that_cannot_matter_are_not_judged_and_nothing_comes_of_it():
    critics = (KeepRight(), CRITICS["path_align"]())
    some, judged = driven(critics, temperature=0.1)
    _, everything = driven(critics, temperature=1e4)
    limit = everything.min() + 0.1 * np.log(1e6 * len(everything))
    spared = judged < 0.999 * everything
    assert spared.mean() > 0.3 and (everything[spared] > limit).all() and (judged[spared] > limit).all()
    np.testing.assert_allclose(judged[~spared], everything[~spared], rtol=1e-5)
    weights = np.exp((everything.min() - everything) / 0.1)
    assert some.effective_samples == pytest.approx(weights.sum() ** 2 / (weights**2).sum(), rel=1e-3)


def test_a_silent_critic_and_one_without_weight_cost_nothing():
    _, bare = driven(())
    for critic in (CRITICS["goal"](), KeepRight(cost_weight=0.0)):
        np.testing.assert_array_equal(driven((critic,))[1], bare)


@pytest.mark.parametrize(
    "table", [np.zeros((2, 2)), np.zeros(4, np.float32), np.zeros((4, 4), np.float32).T[:2]]
)
def test_a_table_that_kernels_cannot_read_is_refused_by_name(table):
    class Tabled(KeepRight):
        has_table = True

        def table(self, situation):
            return table

    with pytest.raises(InvalidValueError, match="table of Tabled"):
        driven((Tabled(),))
