import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mppi_maml_ros.core.types import Odometry, VelocityLimits
from mppi_maml_ros.dynamics.buffer import BufferConfig, TransitionBuffer
from mppi_maml_ros.dynamics.residual import ResidualWeights
from mppi_maml_ros.dynamics.transitions import kinematic_residuals

TAU = 0.3


def feed(buffer, odometry_rate, command_rate=20.0, seconds=4.0, start=100.0, jitter=0.0):
    """A first-order robot integrated finely; commands and odometry at their own rates."""
    rng = np.random.default_rng(0)
    fine, x, yaw, v, omega, command = 0.001, 0.0, 0.0, 0.0, 0.0, np.zeros(2)
    y = 0.0
    next_odometry, next_command = start, start
    for k in range(int(seconds / fine)):
        t = start + k * fine
        if t >= next_command - 1e-9:
            command = np.array([0.5 + 0.3 * np.sin(2.0 * t), 0.8 * np.cos(1.1 * t)])
            buffer.add_command(t, command)
            next_command += 1.0 / command_rate
        if t >= next_odometry - 1e-9:
            buffer.add_odometry(Odometry(t, np.array([x, y, yaw]), np.array([v, omega])))
            next_odometry += 1.0 / odometry_rate + jitter * rng.uniform(-1.0, 1.0)
        v += fine / TAU * (command[0] - v)
        omega += fine / TAU * (command[1] - omega)
        yaw = (yaw + fine * omega + np.pi) % (2 * np.pi) - np.pi
        x, y = x + fine * v * np.cos(yaw), y + fine * v * np.sin(yaw)


@pytest.mark.parametrize("rate", [20.0, 25.0, 30.0, 50.0, 62.5, 100.0])
def test_transitions_are_the_robots_own_at_every_odometry_rate(rate):
    buffer = TransitionBuffer(BufferConfig(delay_taps=2))
    feed(buffer, rate)
    data = buffer.latest()
    assert 60 <= len(data) <= 80
    keep = np.exp(-0.05 / TAU)
    expected = keep * data.states[:, 3:5] + (1.0 - keep) * data.commands
    # Linear interpolation between samples costs accuracy at the rates that do not divide 20 Hz.
    assert np.abs(data.next_states[:, 3:5] - expected).max() < 0.03
    assert np.sqrt(np.mean((data.next_states[:, 3:5] - expected) ** 2)) < 0.012


def test_history_holds_the_commands_before_newest_first():
    buffer = TransitionBuffer(BufferConfig(delay_taps=3))
    feed(buffer, 20.0)
    data = buffer.latest()
    same = data.segments[1:] == data.segments[:-1]
    assert np.abs(data.history[1:, 0] - data.commands[:-1])[same].max() < 1e-6
    assert np.abs(data.history[1:, 1:] - data.history[:-1, :-1])[same].max() < 1e-6


def test_the_buffer_is_bounded_and_keeps_the_newest():
    buffer = TransitionBuffer(BufferConfig(size=30))
    feed(buffer, 50.0)
    data = buffer.latest()
    assert len(data) == 30
    assert data.stamps[-1] > 103.8
    assert buffer.total > 60


def odometry(stamp, x=0.0, yaw=0.0, v=0.5, omega=0.0):
    return Odometry(stamp, np.array([x, 0.0, yaw]), np.array([v, omega]))


def moving(buffer, count=10, start=0.0, command=(0.5, 0.1), v=0.5):
    for k in range(count):
        buffer.add_command(start + 0.05 * k, command)
        buffer.add_odometry(odometry(start + 0.05 * k, x=0.05 * v * k, v=v))


@pytest.mark.fault(4)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("field", ["pose", "twist", "stamp"])
def test_samples_that_are_not_finite_never_enter(field, value):
    buffer = TransitionBuffer(BufferConfig(delay_taps=1))
    moving(buffer, 5)
    before = len(buffer)
    bad = odometry(0.25)
    if field == "stamp":
        bad = Odometry(value, bad.pose, bad.twist)
    else:
        getattr(bad, field)[0] = value
    assert buffer.add_odometry(bad) == 0
    buffer.add_command(0.25, (value, 0.0))
    moving(buffer, 5, start=0.25)
    data = buffer.latest()
    assert len(buffer) >= before
    assert np.isfinite(data.inputs).all() and np.isfinite(data.residuals).all()
    assert buffer.excluded["odometry not finite"] == 1 and buffer.excluded["command not finite"] == 1


@pytest.mark.fault(9)
@pytest.mark.fault(8)
@pytest.mark.parametrize("stamp", [0.2, 0.1])
def test_stamps_that_do_not_advance_are_left_out(stamp):
    buffer = TransitionBuffer(BufferConfig(delay_taps=1))
    moving(buffer, 5)
    total = buffer.total
    assert buffer.add_odometry(odometry(stamp, x=9.0)) == 0
    assert buffer.total == total and buffer.excluded["stamp not newer"] == 1


@pytest.mark.fault(14)
def test_nothing_is_learned_across_a_gap():
    buffer = TransitionBuffer(BufferConfig(delay_taps=1))
    moving(buffer, 6)
    segment = buffer.latest().segments[-1]
    moving(buffer, 6, start=5.0)
    data = buffer.latest()
    assert buffer.excluded["gap in odometry"] == 1
    assert data.segments[-1] != segment
    assert np.abs(np.diff(data.states[:, 0])).max() < 0.3
    assert np.abs(data.next_states[:, 0] - data.states[:, 0]).max() < 0.1


@pytest.mark.fault(6)
@pytest.mark.fault(39)
def test_a_teleport_breaks_the_chain():
    buffer = TransitionBuffer(BufferConfig(delay_taps=1))
    moving(buffer, 6)
    buffer.add_odometry(odometry(0.30, x=40.0))
    data = buffer.latest()
    assert buffer.excluded["teleport"] == 1
    assert np.abs(data.next_states[:, 0] - data.states[:, 0]).max() < 0.1


@pytest.mark.fault(7)
def test_the_yaw_wrap_leaves_no_bump_in_the_residual():
    states = np.array([[0.0, 0.0, np.pi - 0.01, 0.3, 0.4]])
    after = np.array([[-0.015, 0.0, -np.pi + 0.01, 0.3, 0.4]])
    residual = kinematic_residuals(states, np.array([[0.3, 0.4]]), after, 0.05)
    assert np.abs(residual).max() < 1e-6


@pytest.mark.fault(38)
def test_a_robot_that_stands_still_teaches_nothing():
    buffer = TransitionBuffer(BufferConfig(delay_taps=1))
    moving(buffer, 20, command=(0.0, 0.0), v=0.0)
    assert len(buffer) == 0 and buffer.excluded["still"] > 10


@pytest.mark.fault(39)
@pytest.mark.parametrize("command", [(1.0, 0.0), (-0.3, 0.0), (0.5, 1.5), (0.5, -1.5)])
def test_saturated_commands_are_left_out(command):
    limits = VelocityLimits(vx_max=1.0, vx_min=-0.3, wz_max=1.5)
    buffer = TransitionBuffer(BufferConfig(delay_taps=1, limits=limits))
    moving(buffer, 10, command=command)
    assert len(buffer) == 0 and buffer.excluded["saturated"] > 5


def test_transitions_without_a_known_or_fresh_command_are_left_out():
    buffer = TransitionBuffer(BufferConfig(delay_taps=1))
    for k in range(5):
        buffer.add_odometry(odometry(0.05 * k, x=0.025 * k))
    assert len(buffer) == 0 and buffer.excluded["no command known"] == 4
    moving(buffer, 5, start=0.25)
    for k in range(30):
        buffer.add_odometry(odometry(0.5 + 0.05 * k, x=0.1 + 0.025 * k))
    assert buffer.excluded["command too old"] > 5


@pytest.mark.fault(78)
def test_what_happened_under_commands_in_doubt_is_left_out_and_nothing_else():
    buffer = TransitionBuffer(BufferConfig(delay_taps=2))
    moving(buffer, 20)
    before = len(buffer)
    newest = buffer.latest().stamps[-1]
    buffer.doubt_commands(newest + 0.3)
    moving(buffer, 30, start=newest + 0.1)
    fresh = buffer.latest().stamps[before:]
    assert buffer.excluded["command in doubt"] >= 5 and len(fresh) > 10
    assert fresh.min() >= newest + 0.3 + 2 * 0.05 - 1e-9
    buffer.reset()
    buffer.excluded.clear()
    moving(buffer, 20)
    assert len(buffer) > 10 and not buffer.excluded["command in doubt"], "a clock that jumped back"


@pytest.mark.fault(13)
def test_a_reset_forgets_commands_and_transitions():
    buffer = TransitionBuffer(BufferConfig(delay_taps=1))
    moving(buffer, 10, start=50.0)
    buffer.reset()
    assert len(buffer) == 0
    moving(buffer, 10, start=1.0)
    assert len(buffer) > 5


@given(st.lists(st.tuples(st.floats(-1, 5), st.floats(-1e6, 1e6), st.floats(-10, 10)), max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_sequence_of_samples_leaves_finite_bounded_transitions(samples):
    buffer = TransitionBuffer(BufferConfig(delay_taps=2, size=10))
    t = 0.0
    for step, x, u in samples:
        t += step * 0.05
        buffer.add_command(t, (u, -u))
        buffer.add_odometry(odometry(t, x=x, v=u))
    data = buffer.latest()
    assert len(data) <= 10
    assert np.isfinite(data.residuals).all() and np.isfinite(data.inputs).all()


def test_residuals_are_zero_for_the_prior_itself():
    from mppi_maml_ros.dynamics.residual import step

    rng = np.random.default_rng(0)
    states, commands = rng.normal(size=(20, 5)), rng.normal(size=(20, 2))
    after = step(ResidualWeights.prior(), states, commands, np.zeros((20, 0, 2)))
    assert np.abs(kinematic_residuals(states, commands, after, 0.05)).max() < 1e-9


def test_the_newest_transitions_are_those_of_the_data_whatever_went_before():
    small, large = (TransitionBuffer(BufferConfig(delay_taps=2, size=size)) for size in (10, 1000))
    rng, handed_out = np.random.default_rng(0), []
    for k in range(200):
        command, twist = rng.uniform(-1.0, 1.0, 2), rng.uniform(-1.0, 1.0, 2)
        for buffer in (small, large):
            buffer.add_command(0.05 * k, command)
            buffer.add_odometry(Odometry(0.05 * k, 0.01 * k * np.ones(3), twist))
        assert len(small) == min(len(large), 10)
        if len(small):
            handed_out.append((small.latest(), large.latest(10)))
    assert len(handed_out) > 100
    for ours, theirs in handed_out:  # nothing that came later has changed them
        for name in ("stamps", "states", "commands", "history", "next_states", "segments", "inputs"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_what_is_handed_out_is_a_view_and_cannot_be_written_to():
    buffer = TransitionBuffer(BufferConfig(delay_taps=0))
    for k in range(5):
        buffer.add_command(0.05 * k, (0.5, 0.0))
        buffer.add_odometry(Odometry(0.05 * k, np.array([0.02 * k, 0.0, 0.0]), np.array([0.4, 0.0])))
    data = buffer.latest(2)
    assert np.shares_memory(data.states, buffer.latest().states)
    for name in ("stamps", "states", "commands", "history", "next_states", "segments", "inputs", "residuals"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(data, name)[0] = 0.0
    assert data.residuals is data.residuals
