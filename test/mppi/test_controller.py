import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mppi_maml_ros.core import se2
from mppi_maml_ros.core.errors import InvalidValueError, NoValidControlError
from mppi_maml_ros.core.types import VelocityLimits
from mppi_maml_ros.dynamics.identification.error_models import TYPICAL
from mppi_maml_ros.dynamics.kinematic import DifferentialDriveKinematic
from mppi_maml_ros.dynamics.residual import ResidualWeights, open_loop, step
from mppi_maml_ros.mppi import MPPIConfig, MPPIController, kernels
from mppi_maml_ros.mppi.costmap import Costmap
from mppi_maml_ros.mppi.critics import Scene, make_critics
from mppi_maml_ros.mppi.rollouts.any_model import ModelRollout
from mppi_maml_ros.mppi.sampling import Noise, Sampler, batch_width, interpolation

LIMITS = VelocityLimits(vx_max=1.0, vx_min=-0.3, wz_max=1.5, ax_max=3.0, ax_min=-3.0, az_max=5.0)
CONFIG = MPPIConfig(batch_size=256, time_steps=20)
HISTORY = np.zeros((8, 2))


def straight(speed, steps=20, dt=0.05):
    return np.column_stack([speed * dt * np.arange(steps + 1), np.zeros((steps + 1, 2))])


def drive(weights, controller, seconds, speed=0.5, plant=None):
    plant = plant or ResidualWeights.prior()
    state, history, commands = np.zeros(5), HISTORY.copy(), []
    for k in range(int(seconds / 0.05)):
        reference = straight(speed)
        reference[:, 0] += speed * 0.05 * k
        command = controller.compute_control(state, reference, history, history[0], weights).command
        state = step(plant, state, command, history)
        history = np.concatenate([command[None], history[:-1]])
        commands.append(command)
    return state, np.array(commands)


def test_tracks_a_straight_line_with_the_true_model():
    state, _ = drive(None, MPPIController(CONFIG, LIMITS, 0), 5.0)
    assert state[0] == pytest.approx(2.5, abs=0.05)
    assert abs(state[1]) < 0.03


def test_a_true_residual_beats_the_kinematic_prior_on_a_weak_and_slow_robot():
    plant = ResidualWeights.first_order((0.4, 0.4), gain=(0.7, 0.7), delay=0.05)
    with_prior, _ = drive(None, MPPIController(CONFIG, LIMITS, 0), 5.0, plant=plant)
    with_model, _ = drive(plant, MPPIController(CONFIG, LIMITS, 0), 5.0, plant=plant)
    assert abs(with_model[0] - 2.5) < 0.5 * abs(with_prior[0] - 2.5)


def noisy_drive(weights, plant, seed, speed=0.5):
    """Distances to where the robot should be, driven by what noisy odometry says."""
    config, limits = MPPIConfig(batch_size=512, time_steps=30, noise_knots=8), VelocityLimits(vx_max=2.0)
    controller, rng = MPPIController(config, limits, seed), np.random.default_rng(seed)
    state, history, off = np.zeros(5), HISTORY.copy(), []
    for k in range(160):
        reference = straight(speed, 30)
        reference[:, 0] += speed * 0.05 * k
        seen = state + rng.normal(size=5) * [0.003, 0.003, 0.003, 0.015, 0.015]
        command = controller.compute_control(seen, reference, history, history[0], weights).command
        state = step(plant, state, command, history)
        history = np.concatenate([command[None], history[:-1]])
        off.append(np.hypot(state[0] - speed * 0.05 * (k + 1), state[1]))
    return np.array(off)


def test_a_robot_with_limits_catches_up_and_is_driven_steadily():
    free = ResidualWeights.first_order((0.1, 0.1))
    limited = attrs.evolve(free, acceleration=[[0.3, 0.6], [0.3, 0.6]])
    unaware, aware = noisy_drive(free, limited, 0), noisy_drive(limited, limited, 0)
    assert np.sqrt(np.mean(aware[-60:] ** 2)) < 0.015
    assert np.sqrt(np.mean(unaware[-60:] ** 2)) > 0.05


def test_a_weak_robot_does_not_trail_for_the_effort_that_it_needs():
    """Effort that is counted from the reference's own velocity asks a weak robot for less than it needs."""
    plant = ResidualWeights.first_order((0.1, 0.1), gain=(0.4, 0.4))
    behind = {}
    for per_speed in (1.0, 2.5):
        controller = MPPIController(attrs.evolve(CONFIG, vx_weight=1.0), LIMITS, 0)
        controller.command_per_speed = np.full(2, per_speed)
        behind[per_speed] = 0.3 * 8.0 - drive(plant, controller, 8.0, speed=0.3, plant=plant)[0][0]
    assert abs(behind[2.5]) < 0.03 and behind[1.0] > 0.07


def test_what_effort_is_counted_from_stays_within_the_limits():
    controller = MPPIController(CONFIG, LIMITS, 0)
    controller.command_per_speed = np.full(2, 5.0)
    controller.compute_control(np.zeros(5), straight(0.5), HISTORY, np.zeros(2), None)
    assert controller._feedforward.max() == np.float32(LIMITS.vx_max)


def test_the_same_seed_gives_the_same_commands_and_another_seed_others():
    runs = [drive(None, MPPIController(CONFIG, LIMITS, seed), 0.5)[1] for seed in (1, 1, 2)]
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_what_the_chosen_sequence_costs_is_told_by_what_says_so():
    critics = make_critics(["effort", "obstacles", "twirling"], {"twirling.cost_power": 2})
    steady = attrs.evolve(CONFIG, vx_std=1e-4, wz_std=1e-4, vx_weight=0.5, wz_rate_weight=3.0)
    controller = MPPIController(steady, LIMITS, 0, critics=critics)
    assert controller.terms() == ()
    data = np.zeros((80, 80), dtype=np.int8)
    data[44] = 100  # to the left
    scene = Scene(costmap=Costmap(data, 0.05, (-2.0, -2.0)))
    state, aside = np.array([0.0, 0.0, 0.3, 0.2, 0.1]), straight(0.5) + [0.0, 0.1, 0.0]
    weights = ResidualWeights.first_order((0.4, 0.4), gain=(0.7, 0.7), delay=0.05)
    result = controller.compute_control(state, aside, HISTORY, np.array([0.2, 0.1]), weights, None, scene)
    terms = controller.terms()
    assert len(terms) == 5 and min(terms) > 0.0
    assert sum(terms) == pytest.approx(result.cost, rel=1e-2)  # no rollout is far from the chosen one
    controller.critics = ()
    assert controller.terms() == pytest.approx(terms[:2], rel=1e-5)


def test_the_first_element_of_the_sequence_is_what_is_returned_before_any_shift():
    controller = MPPIController(CONFIG, LIMITS, 0)
    result = controller.compute_control(np.zeros(5), straight(0.5), HISTORY, np.zeros(2), None)
    assert np.array_equal(result.command, result.sequence[0])
    assert result.command[0] <= LIMITS.ax_max * CONFIG.model_dt + 1e-6


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=5, max_size=5),
    st.floats(-5, 5),
    st.tuples(st.floats(-2, 2), st.floats(-3, 3)),
)
@settings(max_examples=40, deadline=None)
def test_every_command_is_finite_and_within_the_limits(state, speed, last):
    controller = MPPIController(attrs.evolve(CONFIG, batch_size=32), LIMITS, 0)
    command = controller.compute_control(
        np.array(state), straight(speed), HISTORY, np.array(last), None
    ).command
    assert np.isfinite(command).all()
    assert (command >= LIMITS.low - 1e-6).all() and (command <= LIMITS.high + 1e-6).all()


def test_commands_respect_the_acceleration_limits():
    _, commands = drive(None, MPPIController(CONFIG, LIMITS, 0), 2.0, speed=0.9)
    change = np.diff(np.vstack([np.zeros(2), commands]), axis=0) / 0.05
    assert np.abs(change[:, 0]).max() <= 3.0 + 1e-4
    assert np.abs(change[:, 1]).max() <= 5.0 + 1e-4


@pytest.mark.parametrize("name", ["state", "reference", "last_command", "history"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_arguments_that_are_not_finite_are_refused_by_name(name, value):
    arguments = {
        "state": np.zeros(5),
        "reference": straight(0.5),
        "history": HISTORY.copy(),
        "last_command": np.zeros(2),
    }
    arguments[name].flat[0] = value
    with pytest.raises(InvalidValueError, match=name):
        MPPIController(CONFIG, LIMITS, 0).compute_control(**arguments, weights=None)


def test_weights_for_another_step_are_refused():
    with pytest.raises(InvalidValueError, match="model_dt"):
        MPPIController(CONFIG, LIMITS, 0).compute_control(
            np.zeros(5), straight(0.5), HISTORY, np.zeros(2), ResidualWeights.prior(model_dt=0.1)
        )


class _Broken:
    def rollout(self, request, out):
        out.x[:] = np.nan


def test_costs_that_are_all_nan_are_an_error_and_a_reset_recovers():
    controller = MPPIController(CONFIG, LIMITS, 0)
    with pytest.raises(NoValidControlError):
        controller.compute_control(np.zeros(5), straight(0.5), HISTORY, np.zeros(2), _Broken())
    controller.reset()
    result = controller.compute_control(np.zeros(5), straight(0.5), HISTORY, np.zeros(2), None)
    assert np.isfinite(result.command).all()


def test_a_swap_between_two_steps_keeps_the_warm_start():
    weights = ResidualWeights.first_order((0.2, 0.2))
    controller, other = MPPIController(CONFIG, LIMITS, 0), MPPIController(CONFIG, LIMITS, 0)
    for c in (controller, other):
        c.compute_control(np.zeros(5), straight(0.5), HISTORY, np.zeros(2), None)
    a = controller.compute_control(np.zeros(5), straight(0.5), HISTORY, np.zeros(2), weights)
    b = other.compute_control(np.zeros(5), straight(0.5), HISTORY, np.zeros(2), None)
    assert not np.array_equal(a.command, b.command)
    assert np.abs(a.command - b.command).max() < 0.3


def test_a_push_is_part_of_the_chosen_trajectory_and_fades():
    weights = attrs.evolve(
        ResidualWeights.first_order((0.3, 0.3)), error_model=[[0.9, 0.8], [0.3, 0.3], [0, 0]]
    )
    controller, push = MPPIController(CONFIG, LIMITS, 0), np.array([0.04, 0.1])
    controller.compute_control(np.zeros(5), straight(0.5), HISTORY, np.zeros(2), weights, push=push)
    fading = push * np.array([0.9, 0.8]) ** np.arange(20)[:, None]
    sequence = controller._sequence.astype(float)
    expected = open_loop(weights, np.zeros(5), sequence, HISTORY, fading)
    assert controller.optimal_trajectory(np.zeros(5), HISTORY, weights) == pytest.approx(expected[:, :3])


def test_the_chosen_trajectory_of_a_model_with_a_rollout_of_its_own_is_that_rollout():
    model, start = ModelRollout(DifferentialDriveKinematic()), np.array([1.0, -2.0, 0.7, 0.0, 0.0])
    reference = se2.compose(start[:3], straight(0.5))
    controller = MPPIController(CONFIG, LIMITS, 0)
    controller.compute_control(start, reference, HISTORY, np.zeros(2), model)
    found = controller.optimal_trajectory(start, HISTORY, model)
    expected = open_loop(ResidualWeights.prior(), start, controller._sequence.astype(float), HISTORY)
    assert found.shape == (20, 3)
    np.testing.assert_allclose(found, expected[:, :3], atol=1e-5)


def test_a_push_that_is_known_is_countered():
    weights = attrs.evolve(ResidualWeights.first_order((0.2, 0.2)), error_model=TYPICAL)
    wind, errors = np.array([-0.04, 0.03]), []
    for push in (None, wind):
        controller = MPPIController(CONFIG, LIMITS, 0)
        state, history = np.zeros(5), HISTORY.copy()
        for k in range(80):
            reference = straight(0.5)
            reference[:, 0] += 0.025 * k
            command = controller.compute_control(
                state, reference, history, history[0], weights, push=push
            ).command
            state = step(weights, state, command, history, push=wind)
            history = np.concatenate([command[None], history[:-1]])
        errors.append(np.hypot(state[0] - 2.0, state[1]))
    assert errors[1] < 0.5 * errors[0]


def test_candidates_are_rollouts_in_the_frame_of_the_state():
    controller = MPPIController(CONFIG, LIMITS, 0)
    state = np.array([3.0, -2.0, 1.0, 0.0, 0.0])
    controller.compute_control(state, np.tile(state[:3], (21, 1)), HISTORY, np.zeros(2), None)
    poses, costs = controller.candidates(state, 10)
    assert poses.shape == (10, 20, 3) and costs.shape == (10,)
    assert np.abs(poses[:, 0, :2] - state[:2]).max() < 0.1


def perturbed(nominal, noise, samples, last=(0.0, 0.0), limits=None, scale=(1.0, 1.0), costs=None):
    """The kernel's commands (N, 2, K) and costs for wide limits, or those given."""
    low, high, quicker, slower = (
        np.array(a, dtype=np.float32) for a in (limits or [[-1e6] * 2, [1e6] * 2, [1e6] * 2, [1e6] * 2])
    )
    about, effort, rate = costs or (np.zeros_like(nominal), np.zeros(2), np.zeros(2))
    out = np.zeros((len(nominal), 2, samples), dtype=np.float32)
    total = np.zeros(samples, dtype=np.float32)
    scale, last, about, effort, rate = (
        np.asarray(a, dtype=np.float32) for a in (scale, last, about, effort, rate)
    )
    kernels.perturb_within_limits(
        nominal, noise.values, noise.start, noise.sign, noise.first, noise.share, noise.mirrored, scale,
        last, low, high, quicker, slower, about, effort, rate, out, total,
    )  # fmt: skip
    return out, total


@pytest.mark.parametrize("knots", [0, 2, 8])
def test_noise_is_antithetic_of_the_right_size_and_keeps_the_nominal(knots):
    config = MPPIConfig(batch_size=4001, time_steps=20, noise_knots=knots)
    nominal = np.full((20, 2), 0.25, dtype=np.float32)
    samples = batch_width(4001)
    commands, _ = perturbed(nominal, Sampler(config, 0).sample(), samples, scale=(0.4, 0.8))
    noise = commands - 0.25
    assert 4001 <= samples < 4001 + 64
    assert noise[:, :, 1 : samples // 2] == pytest.approx(-noise[:, :, samples // 2 + 1 :], abs=1e-6)
    # Once only: the nominal is often the best, and twice its weight makes the controller sluggish.
    assert np.flatnonzero(~noise.any(axis=(0, 1))).tolist() == [0]
    assert noise.std(axis=2) == pytest.approx(np.tile([0.4, 0.8], (20, 1)), rel=0.1)


@pytest.mark.parametrize("knots", [0, 8])
def test_noise_from_the_pool_is_as_good_as_fresh_within_a_step_and_from_step_to_step(knots):
    sampler = Sampler(MPPIConfig(batch_size=2048, time_steps=24, noise_knots=knots), 1)
    steps, width = 60, batch_width(2048) // 2
    drawn = np.empty((steps, *sampler.sample().start.shape, width))
    for k in range(steps):
        noise = sampler.sample()
        places = [slice(s, s + width) for s in noise.start.ravel()]
        assert len(set(noise.start.ravel())) == noise.start.size  # distinct and equally far: no overlap
        assert np.diff(np.sort(noise.start.ravel())).min() >= width
        drawn[k] = np.reshape([noise.values[p] for p in places], drawn[k].shape) * noise.sign[..., None]
    flat = drawn.reshape(steps, -1)
    assert abs(flat.mean()) < 0.01 and flat.std() == pytest.approx(1.0, abs=0.01)
    assert np.mean(flat**4) == pytest.approx(3.0, abs=0.1)
    # The same place of two steps, and two knots of one step, say nothing of each other.
    between = np.corrcoef(drawn[:, 0, 0])
    assert np.abs(between[np.triu_indices(steps, 1)]).max() < 0.25
    within = np.corrcoef(drawn[0].reshape(-1, width))
    assert np.abs(within[np.triu_indices(len(within), 1)]).max() < 0.2


@pytest.mark.parametrize("mirrored", [True, False])
@pytest.mark.parametrize("knots", [6, 3])
def test_limits_and_command_costs_are_those_of_a_plain_computation(mirrored, knots):
    rng = np.random.default_rng(3)
    steps, samples = 6, 64
    nominal, about = rng.normal(size=(2, steps, 2)).astype(np.float32)
    drawn = rng.normal(size=(knots, 2, samples // 2 if mirrored else samples)).astype(np.float32)
    sign = np.where(np.arange(2 * knots) % 3, 1.0, -1.0).reshape(knots, 2).astype(np.float32)
    start = np.arange(2 * knots).reshape(knots, 2) * drawn.shape[2]
    noise = Noise(drawn.ravel().copy(), start, sign, *interpolation(steps, knots), mirrored)
    drawn *= sign[:, :, None]
    low, high, quicker, slower = (np.array(a) for a in ([-0.9, -1.0], [1.0, 1.1], [0.5, 0.6], [0.4, 1.3]))
    effort, rate, last = np.array([0.3, 0.7]), np.array([0.2, 0.4]), np.array([0.3, -0.2])
    commands, costs = perturbed(
        nominal, noise, samples, last, [low, high, quicker, slower], (0.5, 2.0), (about, effort, rate)
    )
    full = np.stack(
        [(s[:, None, None] * drawn[i : i + len(s)]).sum(0) for i, s in zip(noise.first, noise.share)]
    )
    full = np.concatenate([full, -full], axis=2) if mirrored else full
    full[:, :, 0] = 0.0
    before, expected = np.tile(last[:, None], samples), np.zeros(samples)
    for t in range(steps):
        wanted = nominal[t][:, None] + np.array([[0.5], [2.0]]) * full[t]
        gain, loss = quicker[:, None], slower[:, None]
        down, up = np.where(before > 0.0, loss, gain), np.where(before < 0.0, loss, gain)
        u = np.clip(wanted, before - down, before + up)
        u = np.clip(u, low[:, None], high[:, None])
        assert commands[t] == pytest.approx(u, abs=1e-5)
        expected += effort @ (u - about[t][:, None]) ** 2 + rate @ (u - before) ** 2
        before = u
    assert costs == pytest.approx(expected, rel=1e-5)


def test_weights_follow_the_softmax_and_skip_costs_that_are_not_finite():
    costs = np.array([3.0, np.nan, 1.0, np.inf, 1.5, 80.0], dtype=np.float32)
    out = np.ones(6, dtype=np.float32)
    assert kernels.softmax_weights(costs, 0.5, out) == 1.0
    expected = np.exp(-2.0 * (np.array([3.0, np.inf, 1.0, np.inf, 1.5, 80.0]) - 1.0))
    assert out == pytest.approx(expected / expected.sum(), rel=1e-5)
    assert kernels.softmax_weights(np.full(4, np.nan, np.float32), 1.0, out[:4]) == np.inf
    assert not out[:4].any()


def test_a_model_that_diverges_to_infinity_is_no_valid_control():
    explosive = ResidualWeights.first_order((0.4, 0.4))
    linear = explosive.linear.copy()
    linear[:, 0] = 1e3
    controller = MPPIController(CONFIG, LIMITS, 0)
    with pytest.raises(NoValidControlError):
        controller.compute_control(
            np.array([0, 0, 0, 1.0, 0]),
            straight(0.5),
            HISTORY,
            np.zeros(2),
            attrs.evolve(explosive, linear=linear),
        )


@given(st.floats(-3, 3), st.floats(-20, 20), st.floats(-50, 50), st.floats(-50, 50))
@settings(max_examples=30, deadline=None)
def test_the_reference_in_the_robots_frame_is_that_of_plain_geometry(turn, yaw, x, y):
    steps, dt = 12, 0.05
    state = np.array([x, y, yaw, 0.0, 0.0])
    t = np.arange(steps + 1)
    reference = np.stack([x + 0.03 * t, y - 0.02 * t, yaw + turn + 0.1 * t], axis=1)
    target, feedforward = np.zeros((steps, 3), np.float32), np.zeros((steps, 2), np.float32)
    wide = np.array([1e3, 1e3], np.float32)
    assert kernels.prepare(state, reference, dt, -wide, wide, target, feedforward)
    local = se2.to_body(reference, state[:3])
    assert target[:, :2] == pytest.approx(local[1:, :2], abs=1e-5)
    assert np.angle(np.exp(1j * (target[:, 2] - local[1:, 2]))) == pytest.approx(np.zeros(steps), abs=1e-5)
    assert np.abs(np.diff(target[:, 2])).max() < 0.2
    twist = se2.displacement_twist(local[:-1], local[1:], dt)
    assert feedforward == pytest.approx(twist[:, [0, 2]], abs=1e-3)


@pytest.mark.parametrize("steps", [0.0, 0.25, 1.0, 2.5, 5.0, 9.0])
def test_the_warm_start_moves_on_by_fractions_of_a_step_and_repeats_its_end(steps):
    sequence = np.stack([np.arange(5.0), -np.arange(5.0)], axis=1).astype(np.float32)
    kernels.shift(sequence, steps)
    expected = np.minimum(np.arange(5) + steps, 4.0) if steps < 5 else np.zeros(5)
    assert sequence == pytest.approx(np.stack([expected, -expected], axis=1))


@pytest.mark.parametrize(
    "field, value",
    [
        ("batch_size", 1),
        ("time_steps", 1),
        ("temperature", 0.0),
        ("vx_std", np.nan),
        ("noise_knots", 1),
        ("model_dt", 9),
    ],
)
def test_tunables_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(InvalidValueError, match=field):
        MPPIConfig(**{field: value})


def test_a_step_allocates_next_to_nothing():
    import tracemalloc

    controller = MPPIController(MPPIConfig(batch_size=1000, time_steps=56), LIMITS, 0)
    reference = straight(0.5, 56)
    controller.compute_control(np.zeros(5), reference, HISTORY, np.zeros(2), None)
    tracemalloc.start()
    controller.compute_control(np.zeros(5), reference, HISTORY, np.zeros(2), None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # One array of the batch is 1000 * 56 * 2 * 4 bytes = 448 kB.
    assert peak < 100_000
