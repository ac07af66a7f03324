"""Each critic prefers what it is there to prefer, and says nothing where it has no say."""

import attrs
import numpy as np
import pytest

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.core.tunable import declarations
from mppi_maml_ros.core.types import VelocityLimits
from mppi_maml_ros.dynamics.features import feature_size, features, input_size
from mppi_maml_ros.dynamics.residual import ResidualWeights, deviation
from mppi_maml_ros.mppi import MPPIConfig, MPPIController
from mppi_maml_ros.mppi.costmap import Costmap
from mppi_maml_ros.mppi.critics import CRITICS, Rollouts, Scene, make_critics
from mppi_maml_ros.mppi.prediction import advance

STEPS, DT = 20, 0.05
TIME = DT * np.arange(1, STEPS + 1)


def rollouts(twists, scene=None, speed=0.5, state=(0.0, 0.0, 0.0, 0.0, 0.0)):
    """Constant twists as rollouts beside a reference straight ahead at ``speed``."""
    twists = np.array(twists, dtype=float)
    yaw = TIME[:, None] * twists[:, 1]
    x = np.cumsum(np.cos(yaw) * twists[:, 0] * DT, axis=0)
    y = np.cumsum(np.sin(yaw) * twists[:, 0] * DT, axis=0)
    v, omega = (np.repeat(twists[None, :, i], STEPS, axis=0) for i in (0, 1))
    return Rollouts(
        *(part.astype(np.float32) for part in (x, y, yaw, v, omega)),
        commands=np.stack([v, omega], axis=1).astype(np.float32),
        state=np.array(state),
        target=np.column_stack([speed * TIME, 0 * TIME, np.full(STEPS, 0.0 if speed >= 0 else 0.0)]),
        last_command=np.zeros(2),
        scene=scene or Scene(),
        model_dt=DT,
    )


AT_GOAL = Scene(goal=np.array([0.3, 0.0, 0.5]), remaining=0.3)


@pytest.mark.parametrize(
    ("name", "better", "worse", "scene"),
    [
        ("path_align", (0.5, 0.0), (0.5, 0.8), None),
        ("path_follow", (0.5, 0.0), (0.2, 0.0), None),
        ("path_angle", (0.2, 0.0), (0.5, 0.5), None),
        ("goal", (0.3, 0.0), (0.9, 0.0), AT_GOAL),
        ("goal_angle", (0.0, 0.5), (0.0, -0.5), AT_GOAL),
        ("prefer_forward", (0.3, 0.0), (-0.3, 0.0), None),
        ("twirling", (0.3, 0.0), (0.3, 0.5), None),
        ("effort", (0.1, 0.1), (0.5, 0.5), None),
        ("rate", (0.1, 0.0), (0.8, 0.0), None),
    ],
)
def test_critic_prefers(name, better, worse, scene):
    value = CRITICS[name]().value(rollouts([better, worse], scene))
    assert value.shape == (2,) and 0.0 <= value[0] < value[1]


def test_the_dead_band_is_avoided():
    critic = CRITICS["velocity_deadband"](vx=0.1, wz=0.2)
    value = critic.value(rollouts([(0.3, 0.3), (0.05, 0.3), (0.05, 0.1)]))
    assert value[0] == 0.0 < value[1] < value[2]


def test_a_dead_band_that_was_observed_need_not_be_told():
    commands = [(0.3, 0.3), (0.05, 0.3), (0.05, 0.1)]
    told = CRITICS["velocity_deadband"](vx=0.1, wz=0.2).value(rollouts(commands))
    seen = CRITICS["velocity_deadband"]().value(rollouts(commands, Scene(dead_band=(0.1, 0.2))))
    np.testing.assert_array_equal(seen, told)


@pytest.mark.parametrize("name", ["goal", "goal_angle"])
def test_goal_critics_are_silent_far_from_the_goal(name):
    far = Scene(goal=np.zeros(3), remaining=5.0)
    assert CRITICS[name]().value(rollouts([(0.5, 0.0)], far)) is None
    assert CRITICS[name]().value(rollouts([(0.5, 0.0)])) is None


def test_reverse_is_not_punished_where_the_path_asks_for_it():
    assert CRITICS["prefer_forward"]().value(rollouts([(-0.3, 0.0)], speed=-0.3)) is None


def wall(x):
    """A wall across the way, at x ... x + 0.1 m."""
    data = np.zeros((80, 80), dtype=np.int8)
    data[:, int((x + 2.0) / 0.05) : int((x + 2.0) / 0.05) + 2] = 100
    return Costmap(data, 0.05, (-2.0, -2.0))


def test_a_collision_costs_more_than_passing_close_and_that_more_than_keeping_away():
    critic = CRITICS["obstacles"](footprint_radius=0.2)
    scene = Scene(costmap=wall(0.6))
    value = critic.value(rollouts([(0.0, 0.0), (0.3, 0.0), (0.9, 0.0)], scene))
    assert 0.0 <= value[0] < value[1] < 1.0 and value[2] > 1000.0
    sooner = critic.value(rollouts([(0.5, 0.0), (0.9, 0.0)], scene))
    assert sooner[1] > sooner[0]


def test_obstacles_are_where_the_grid_says_whatever_the_robots_pose():
    critic = CRITICS["obstacles"](footprint_radius=0.2)
    facing, away = (
        critic.value(rollouts([(0.9, 0.0)], Scene(costmap=wall(0.6)), state=(0.0, 1.0, yaw, 0, 0)))[0]
        for yaw in (0.0, np.pi)
    )
    assert facing > 1000.0 and away < 1.0


def test_cost_power_acts_on_the_weighted_value():
    r, costs = rollouts([(0.3, 0.5)]), np.zeros(1, dtype=np.float32)
    CRITICS["twirling"](cost_weight=4.0, cost_power=2).add_to(costs, r)
    assert costs[0] == pytest.approx(4.0)


def test_every_critic_declares_weight_power_and_described_parameters():
    for kind in CRITICS.values():
        declared = declarations(kind)
        assert {"cost_weight", "cost_power"} <= set(declared)
        assert set(declared) == {field.name for field in attrs.fields(kind)}
        for declaration in declared.values():
            assert declaration.description
            assert declaration.kind is str or declaration.low <= declaration.default


def test_parameters_out_of_range_are_refused_by_name():
    for bad in (-1.0, np.nan):
        with pytest.raises(InvalidValueError, match="cost_weight"):
            make_critics(["goal"], {"goal.cost_weight": bad})


def test_the_controller_swerves_around_what_stands_in_its_way():
    data = np.zeros((80, 80), dtype=np.int8)
    data[43:46, 60:64] = 100  # a post at (1.0 ... 1.2, 0.15 ... 0.3)
    scene = Scene(costmap=Costmap(data, 0.05, (-2.0, -2.0)))
    critics = make_critics(["obstacles"], {"obstacles.footprint_radius": 0.2})
    controller = MPPIController(MPPIConfig(temperature=0.3), VelocityLimits(), 0, critics=critics)
    state, command, nearest = np.array([0.0, 0.02, 0.0, 0.5, 0.0]), np.array([0.5, 0.0]), np.inf
    for _ in range(90):
        ahead = state[0] + 0.5 * DT * np.arange(31)
        reference = np.column_stack([ahead, 0 * ahead, 0 * ahead])
        result = controller.compute_control(state, reference, command[None], command, None, DT, scene)
        command = result.command
        state = advance(np.array([*state[:3], *command]), command[None], DT, None, DT)
        nearest = min(nearest, float(scene.costmap.distance_at(state[0], state[1])))
    assert state[0] > 1.4 and nearest > 0.2


# -- where the model knows the robot ------------------------------------------------------------------

LIMITS = VelocityLimits(vx_max=1.0, vx_min=-0.3, wz_max=1.5)


class Witness(CRITICS["uncertainty"]):
    """Keeps what it is shown."""

    def value(self, r):
        object.__setattr__(self, "seen", r)
        return super().value(r)


def driven_at(speed, taps=2):
    """Weights of a robot that was only ever driven forward at about ``speed``."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(200, input_size(taps)))
    inputs[:, 0::2] = speed + 0.002 * rng.normal(size=inputs[:, 0::2].shape)
    phi = features(inputs)
    covariance = np.linalg.inv(np.eye(feature_size(taps)) + phi.T @ phi / 0.01**2)
    linear = np.zeros((3, feature_size(taps)))
    linear[0, [0, 2]] = 0.8, -0.8
    return attrs.evolve(ResidualWeights.prior(taps), linear=linear, covariance=covariance)


@pytest.mark.parametrize("late", [(0, 0), (1, 3), (8, 0)])
def test_the_uncertainty_of_a_rollout_is_that_of_its_inputs(late):
    weights, witness = attrs.evolve(driven_at(0.5), transport_delay=late), Witness()
    controller = MPPIController(MPPIConfig(batch_size=64, time_steps=6), LIMITS, 0, critics=(witness,))
    state, past = np.array([0.0, 0.0, 0.0, 0.4, 0.1]), np.array([[0.3, 0.1], [0.2, 0.0], [0.1, -0.1]])
    target = np.column_stack([0.025 * np.arange(7), np.zeros((7, 2))])
    controller.compute_control(state, target, past, past[0], weights)
    r = witness.seen
    before = [past[-1]] * 10 + [*past[::-1]]
    twist, commands = state[3:], np.array([*before, *r.commands[:, :, 5].astype(float)])
    for k in range(6):
        acting = [[commands[len(before) + k - tap - late[a], a] for a in (0, 1)] for tap in range(3)]
        inputs = np.concatenate([twist, *acting])
        assert r.uncertainty[k, 5] == pytest.approx(float(deviation(weights, inputs)), rel=1e-3)
        twist = np.array([r.v[k, 5], r.omega[k, 5]])


def test_the_robot_rather_drives_as_it_was_driven_before():
    def command(critics):
        controller = MPPIController(MPPIConfig(batch_size=512, time_steps=20), LIMITS, 0, critics=critics)
        target = np.column_stack([0.05 * np.arange(21), np.zeros((21, 2))])
        state = np.array([0.0, 0.0, 0.0, 0.5, 0.0])
        past = np.tile([0.5, 0.0], (8, 1))
        return controller.compute_control(state, target, past, past[0], driven_at(0.5)).sequence[:, 0].mean()

    plain, careful = command(()), command((CRITICS["uncertainty"](cost_weight=500.0),))
    assert abs(careful - 0.5) < abs(plain - 0.5) - 0.1


def test_weights_that_do_not_tell_are_not_judged():
    witness = Witness()
    controller = MPPIController(MPPIConfig(batch_size=64, time_steps=6), LIMITS, 0, critics=(witness,))
    for weights in (None, ResidualWeights.first_order((0.2, 0.2))):
        controller.compute_control(np.zeros(5), np.zeros((7, 3)), np.zeros((8, 2)), np.zeros(2), weights)
        assert witness.seen.uncertainty is None


@pytest.mark.parametrize("shape", [(3, 3), (1, 12)])
def test_a_covariance_of_another_shape_is_refused(shape):
    with pytest.raises(InvalidValueError, match="covariance"):
        attrs.evolve(ResidualWeights.prior(2), covariance=np.zeros(shape))
