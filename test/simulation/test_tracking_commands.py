import numpy as np
import pytest

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.core.types import VelocityLimits
from mppi_maml_ros.simulation.commands import tracking_commands

LIMITS = VelocityLimits(vx_max=1.0, vx_min=-0.35, wz_max=1.5)


def draw(batch=200, steps=300, seed=0, limits=LIMITS, dt=0.05):
    return tracking_commands(np.random.default_rng(seed), batch, steps, dt, limits)


def test_commands_obey_the_velocity_limits_and_use_them():
    commands = draw()
    assert commands.shape == (200, 300, 2)
    assert (commands >= LIMITS.low).all() and (commands <= LIMITS.high).all()
    assert commands[..., 0].max() > 0.95 * LIMITS.vx_max
    assert np.abs(commands[..., 1]).max() > 0.95 * LIMITS.wz_max


def test_commands_follow_from_the_generator():
    np.testing.assert_array_equal(draw(5, 50), draw(5, 50))
    assert not np.array_equal(draw(5, 50), draw(5, 50, seed=1))


def test_commands_are_correlated_in_time_and_not_constant():
    commands = draw()
    deviation = commands - commands.mean(axis=1, keepdims=True)
    assert (deviation.std(axis=1) > 1e-3).mean() > 0.95
    lag_one = (deviation[:, 1:] * deviation[:, :-1]).sum(axis=1) / (deviation**2).sum(axis=1)
    assert np.median(lag_one) > 0.8
    assert np.diff(commands, axis=1).any(axis=2).mean() > 0.8


def test_about_half_of_the_sequences_obey_the_acceleration_limits_from_rest():
    steps = np.diff(draw(), axis=1, prepend=0.0) / 0.05
    obey = (
        (steps[..., 0] <= LIMITS.ax_max + 1e-9)
        & (steps[..., 0] >= LIMITS.ax_min - 1e-9)
        & (np.abs(steps[..., 1]) <= LIMITS.az_max + 1e-9)
    ).all(axis=1)
    assert 0.35 < obey.mean() < 0.7


def test_robots_stop_turn_in_place_and_reverse_now_and_then():
    commands = draw()
    stopped = ~commands.any(axis=2)
    assert 0.005 < stopped.mean() < 0.2
    assert 0.005 < (commands[..., 0] < -0.05).mean() < 0.25
    assert (np.abs(commands[..., 0]) < 0.1).mean() < 0.4


def test_a_robot_that_cannot_reverse_is_not_asked_to():
    assert draw(limits=VelocityLimits(vx_min=0.0))[..., 0].min() == 0.0


def test_both_directions_of_turning_are_alike():
    turning = draw()[..., 1]
    assert abs(turning.mean()) < 0.1 * LIMITS.wz_max
    assert (turning > 0.1).mean() == pytest.approx((turning < -0.1).mean(), abs=0.1)


def test_empty_and_single_draws_have_the_right_shape():
    assert draw(0, 10).shape == (0, 10, 2)
    assert draw(3, 1).shape == (3, 1, 2)


@pytest.mark.parametrize("bad", [{"batch": -1}, {"steps": 0}, {"dt": 0.0}, {"dt": np.nan}])
def test_bad_arguments_are_refused(bad):
    with pytest.raises(InvalidValueError, match=next(iter(bad))):
        draw(**bad)
