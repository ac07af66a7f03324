import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.simulation.disturbances import Payload
from mppi_maml_ros.simulation.wheels import advance
from mppi_maml_ros.simulation.world import DynamicWorld, WorldParameters

NOISY = (
    WorldParameters(command_delay=0.07)
    .with_process_noise([0.005, 0.005, 0.002, 0.01, 0.005])
    .with_odometry_noise([0.01, 0.01, 0.005, 0.02, 0.02], 0.08)
)


def drive(world, steps=40, dt=0.05):
    return np.array([world.step((0.5 + 0.01 * i, 0.3), dt) for i in range(steps)])


def test_same_seed_gives_the_same_run_and_another_seed_another():
    first, second, other = (DynamicWorld(NOISY, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(drive(first), drive(second))
    np.testing.assert_array_equal(first.state, second.state)
    assert not np.array_equal(drive(other), drive(DynamicWorld(NOISY, 3)))


def test_reset_repeats_the_run():
    world = DynamicWorld(NOISY, 3, start=(1.0, 2.0, 0.5))
    first = drive(world)
    observation = world.reset()
    assert world.time == 0.0 and len(world.pending_commands) == 0
    np.testing.assert_array_equal(world.state, [1.0, 2.0, 0.5, 0.0, 0.0])
    np.testing.assert_array_equal(observation, world.odometry())
    np.testing.assert_array_equal(drive(world), first)
    world.reset(start=(0.0, 0.0, 0.0), seed=9)
    np.testing.assert_array_equal(world.state, np.zeros(5))
    assert not np.array_equal(drive(world)[:, 3:], first[:, 3:])


def test_how_often_odometry_is_read_does_not_change_the_run():
    quiet, curious = DynamicWorld(NOISY, 3), DynamicWorld(NOISY, 3)
    for _ in range(20):
        quiet.step((0.5, 0.1), 0.05)
        curious.step((0.5, 0.1), 0.05)
        np.testing.assert_array_equal(curious.odometry(), curious.odometry())
    np.testing.assert_array_equal(quiet.odometry(), curious.odometry())


def test_arrays_handed_out_are_the_callers_own():
    world = DynamicWorld(NOISY)
    world.step((0.5, 0.1), 0.05)
    before = world.state, world.odometry()
    world.state[:] = 9.0
    world.odometry()[:] = 9.0
    np.testing.assert_array_equal(world.state, before[0])
    np.testing.assert_array_equal(world.odometry(), before[1])


@pytest.mark.parametrize("rate", [20, 25, 50, 100])
@pytest.mark.parametrize("delay", [0.0, 0.03, 0.05, 0.1, 0.125, 0.29])
def test_command_delay_is_exact_at_any_step_rate(rate, delay):
    p = WorldParameters(command_delay=delay, acceleration_limit=100.0)
    world = DynamicWorld(p)
    for _ in range(3 * rate // 5):
        world.step((0.5, 0.2), 1.0 / rate)
    exact = advance(0, 0, 0, 0, 0, 0.5, 0.2, 0.6 - delay, p.as_vector(), 1.0, 0.0, 0.0)
    np.testing.assert_allclose(world.state[3:], exact[3:], atol=1e-12)
    np.testing.assert_allclose(world.state, exact, atol=1e-4)


def test_each_command_acts_its_delay_after_it_was_given_whatever_the_steps():
    """Commands at odd moments, each acting from its own time plus 83 ms."""
    p = WorldParameters(command_delay=0.083, lag_v=0.3, lag_omega=0.2, acceleration_limit=100.0)
    given_at = [0.0, 0.013, 0.04, 0.1, 0.11, 0.19]
    commands = [(0.5, 0.0), (0.2, 0.4), (0.9, -0.4), (0.0, 0.0), (1.0, 1.0), (0.3, 0.3)]
    world = DynamicWorld(p)
    for command, now, then in zip(commands, given_at, [*given_at[1:], 0.35]):
        world.step(command, then - now)
    expected, now, acting = (0.0,) * 5, 0.0, (0.0, 0.0)
    for command, then in [*zip(commands, np.add(given_at, 0.083)), (None, 0.35)]:
        expected = advance(*expected, *acting, then - now, p.as_vector(), 1.0, 0.0, 0.0)
        now, acting = then, command
    np.testing.assert_allclose(world.state, expected, atol=1e-6)


def test_pending_commands_tell_what_has_not_acted_yet():
    world = DynamicWorld(WorldParameters(command_delay=0.12))
    world.step((0.5, 0.1), 0.05)
    world.step((0.6, 0.2), 0.05)
    np.testing.assert_allclose(world.pending_commands, [[0.02, 0.5, 0.1], [0.07, 0.6, 0.2]], atol=1e-12)
    np.testing.assert_array_equal(world.acting_command, [0.0, 0.0])
    world.step((0.6, 0.2), 0.05)
    np.testing.assert_allclose(world.pending_commands, [[0.02, 0.6, 0.2]], atol=1e-12)
    np.testing.assert_array_equal(world.acting_command, [0.5, 0.1])
    world.step((0.6, 0.2), 0.05)
    assert world.pending_commands.shape == (0, 3)


def test_a_command_does_not_overtake_an_older_one_when_the_delay_shrinks():
    world = DynamicWorld(WorldParameters(command_delay=0.2))
    world.step((0.5, 0.0), 0.05)
    world.set_parameters(WorldParameters(command_delay=0.0))
    world.step((0.0, 0.0), 0.05)
    np.testing.assert_allclose(world.pending_commands[:, 0], 0.1, atol=1e-12)
    for _ in range(3):
        world.step((0.0, 0.0), 0.05)
    np.testing.assert_array_equal(world.acting_command, [0.0, 0.0])


def test_parameters_can_change_while_the_world_runs():
    world = DynamicWorld(WorldParameters(lag_v=0.05))
    for _ in range(40):
        world.step((0.5, 0.0), 0.05)
    assert world.state[3] == pytest.approx(0.5, abs=1e-6)
    x, time = world.state[0], world.time
    world.set_parameters(WorldParameters(lag_v=0.05, motor_gain_left=0.6, motor_gain_right=0.6))
    assert world.state[0] == x and world.time == time
    for _ in range(40):
        world.step((0.5, 0.0), 0.05)
    assert world.state[3] == pytest.approx(0.3, abs=1e-6)
    assert world.current_parameters().motor_gain_left == 0.6


def test_delayed_odometry_is_the_state_of_that_moment():
    delayed = DynamicWorld(WorldParameters(odometry_delay=0.1))
    states = [delayed.state]
    for i in range(30):
        observed = delayed.step((0.8, 1.5), 0.05)
        states.append(delayed.state)
        np.testing.assert_allclose(observed, states[max(i - 1, 0)], atol=1e-12)


def test_odometry_delay_between_samples_is_interpolated_over_the_yaw_wrap():
    world = DynamicWorld(WorldParameters(odometry_delay=0.025), start=(0.0, 0.0, 3.1))
    previous = world.state
    wrapped = False
    for _ in range(40):
        observed = world.step((0.5, 1.0), 0.05)
        state = world.state
        middle = previous[2] + 0.5 * ((state[2] - previous[2] + np.pi) % (2 * np.pi) - np.pi)
        assert abs((observed[2] - middle + np.pi) % (2 * np.pi) - np.pi) < 1e-9
        np.testing.assert_allclose(observed[[0, 1, 3, 4]], 0.5 * (previous + state)[[0, 1, 3, 4]], atol=1e-9)
        wrapped |= state[2] < 0.0 < previous[2]
        previous = state
    assert wrapped


def test_noise_has_the_deviations_asked_for_at_any_rate():
    stds = np.array([0.02, 0.01, 0.03, 0.0, 0.0])
    p = WorldParameters().with_process_noise(stds).with_odometry_noise(2.0 * stds)
    for dt, scale in ((0.05, 1.0), (0.0125, 0.5)):
        world = DynamicWorld(p, seed=1)
        true = np.array([(world.step((0.0, 0.0), dt), world.state) for _ in range(4000)])
        steps = np.diff(true[:, 1], axis=0)
        errors = true[:, 0] - true[:, 1]
        for change in (steps, errors):
            change[:, 2] = (change[:, 2] + np.pi) % (2 * np.pi) - np.pi
        np.testing.assert_allclose(steps.std(axis=0), scale * stds, rtol=0.06, atol=1e-12)
        np.testing.assert_allclose(errors.std(axis=0), 2.0 * stds, rtol=0.06, atol=1e-12)


def test_yaw_stays_wrapped():
    world = DynamicWorld()
    yaws = []
    for _ in range(200):
        world.step((0.0, 1.9), 0.05)
        yaws.append(world.state[2])
    assert min(yaws) >= -np.pi and max(yaws) < np.pi and np.ptp(yaws) > 5.0


def test_battery_sags_with_time_down_to_its_floor():
    world = DynamicWorld(WorldParameters(battery_sag=0.1, lag_v=0.05))
    for _ in range(40):
        world.step((1.0, 0.0), 0.05)
    assert world.current_parameters().battery == pytest.approx(0.8)
    assert world.state[3] == pytest.approx(0.8, abs=0.02)
    for _ in range(20):
        world.step((1.0, 0.0), 1.0)
    assert world.current_parameters().battery == 0.2


def test_current_equations_predict_the_next_step():
    world = DynamicWorld(WorldParameters(coulomb=0.2, slip=0.2), disturbances=(Payload(0.5, 2.0, 1.5),))
    for _ in range(30):
        state, e = world.state, world.equations()
        world.step((0.7, 0.5), 0.05)
        predicted = advance(*state, 0.7, 0.5, 0.05, e.vector, 1.0, e.acceleration_v, e.acceleration_omega)
        np.testing.assert_allclose(world.state, predicted, atol=1e-12)
    assert world.current_parameters() == attrs.evolve(world.parameters, mass=2.0, inertia=1.5)


def test_a_placed_robot_stands_there_and_time_goes_on():
    world = DynamicWorld(WorldParameters(odometry_delay=0.1))
    drive(world, 10)
    world.place((3.0, -1.0, 4.0))
    np.testing.assert_allclose(world.state, [3.0, -1.0, 4.0 - 2 * np.pi, 0.0, 0.0])
    np.testing.assert_array_equal(world.odometry(), world.state)
    assert world.time == pytest.approx(0.5)


@pytest.mark.parametrize("command", [(np.nan, 0.0), (0.0, np.inf), (-np.inf, 0.0)])
def test_commands_that_are_not_finite_are_refused_and_change_nothing(command):
    world = DynamicWorld()
    with pytest.raises(InvalidValueError, match="command"):
        world.step(command, 0.05)
    assert world.time == 0.0


@pytest.mark.parametrize("dt", [0.0, -0.05, np.nan, np.inf, 1.5])
def test_bad_steps_are_refused(dt):
    with pytest.raises(InvalidValueError, match="dt"):
        DynamicWorld().step((0.0, 0.0), dt)


@pytest.mark.parametrize("start", [(0.0, 0.0), (0.0, np.nan, 0.0)])
def test_bad_starts_are_refused(start):
    with pytest.raises(InvalidValueError, match="start"):
        DynamicWorld(start=start)


def test_negative_seeds_are_refused():
    with pytest.raises(InvalidValueError, match="seed"):
        DynamicWorld(seed=-1)
    with pytest.raises(InvalidValueError, match="seed"):
        DynamicWorld().reset(seed=-1)


finite = st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None, max_examples=60)
@given(commands=st.lists(st.tuples(finite, finite, st.floats(0.001, 0.2)), min_size=1, max_size=20))
def test_finite_commands_give_finite_states(commands):
    world = DynamicWorld(attrs.evolve(NOISY, coulomb=0.3, dead_zone=0.05, slip=0.2))
    for v, omega, dt in commands:
        assert np.isfinite(world.step((v, omega), dt)).all()
        assert np.isfinite(world.state).all()
