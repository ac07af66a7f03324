"""Limits on how fast a velocity changes, wherever weights are asked."""

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.dynamics import compiled, residual
from mppi_maml_ros.dynamics.acceleration import FREE_ACCELERATION, TURNING, bound, bounded
from mppi_maml_ros.dynamics.observer import errors_of, observe
from mppi_maml_ros.dynamics.residual import ResidualWeights
from mppi_maml_ros.dynamics.transitions import Transitions

DT = 0.05
speeds = st.floats(-3.0, 3.0)
limits = st.floats(0.01, 2.0)


def lag(acceleration, **more):
    weights = ResidualWeights.first_order((0.1, 0.1), model_dt=DT)
    return attrs.evolve(weights, acceleration=acceleration, **more)


@given(speeds, speeds, limits, limits)
@settings(deadline=None)
def test_no_step_is_longer_than_the_limit_and_none_within_is_touched(x, end, up, down):
    got = bounded(x, end, up, down)
    assert abs(got - x) <= max(up, down) + 1e-12
    if abs(end - x) <= min(up, down):
        assert got == pytest.approx(end, abs=1e-12)
    if abs(x) > TURNING:
        away = (end - x) * x > 0.0
        assert abs(got - x) == pytest.approx(min(abs(end - x), up if away else down), abs=1e-12)


@given(speeds, speeds, limits, limits)
@settings(deadline=None)
def test_arrays_are_bounded_like_numbers(x, end, up, down):
    got = bound(np.array([x, -x]), np.array([end, -end]), np.array([[up, up], [down, down]]))
    assert got == pytest.approx([bounded(x, end, up, down), -bounded(x, end, up, down)], abs=1e-12)


def test_from_standstill_the_limit_is_that_of_speeding_up():
    assert bounded(0.0, 1.0, 0.02, 0.5) == pytest.approx(0.02)
    assert bounded(0.0, -1.0, 0.02, 0.5) == pytest.approx(-0.02)


@pytest.mark.parametrize("value", [0.0, -1.0, FREE_ACCELERATION + 1.0])
def test_limits_out_of_range_are_refused_by_name(value):
    with pytest.raises(InvalidValueError, match="acceleration"):
        lag([[value, 1.0], [1.0, 1.0]])


def test_limits_alone_make_it_another_model_than_the_prior():
    prior = ResidualWeights.prior(2, DT)
    assert prior.is_prior and not prior.is_limited
    limited = attrs.evolve(prior, acceleration=[[0.5, 1.0], [0.5, 1.0]])
    assert not limited.is_prior and limited.is_limited


def test_a_limited_robot_speeds_up_by_its_limit_in_both_implementations():
    weights = lag([[0.5, 1.0], [0.8, 1.6]])
    start, commands = np.zeros((1, 5)), np.full((1, 8, 2), [2.0, -2.0])
    expected = residual.open_loop(weights, start, commands, np.zeros((1, 1, 2)))
    got = compiled.open_loop(weights, start, commands, np.zeros((1, 1, 2)))
    assert got == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(np.diff(got[0, :, 3]), 0.5 * DT, atol=1e-6)
    np.testing.assert_allclose(np.diff(got[0, :, 4]), -1.0 * DT, atol=1e-6)


@pytest.mark.parametrize("momentum", [(0.0, 0.0), (0.6, 0.3)])
def test_one_step_errors_of_a_limited_robot_know_its_limits(momentum):
    weights = lag([[0.5, 1.0], [0.8, 1.6]], momentum=momentum)
    rng = np.random.default_rng(0)
    commands = np.repeat(rng.uniform(-1.5, 1.5, (6, 2)), 10, axis=0)
    states = np.concatenate(
        [np.zeros((1, 5)), residual.open_loop(weights, np.zeros(7), commands, np.zeros((1, 2)))]
    )
    data = Transitions(
        np.arange(60) * DT,
        states[:-1],
        commands,
        np.zeros((60, 0, 2)),
        states[1:],
        np.zeros(60, dtype=int),
        DT,
    )
    assert np.abs(errors_of(weights, data)).max() < 1e-6
    free = attrs.evolve(weights, acceleration=np.full((2, 2), FREE_ACCELERATION))
    assert np.abs(errors_of(free, data)).max() > 0.1
    if any(momentum):
        assert np.abs(observe(weights, data)[0]).max() < 1e-6
