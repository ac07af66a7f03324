"""What a robot reaches, by weights."""

import attrs
import numpy as np
import pytest

from mppi_maml_ros.core.types import VelocityLimits
from mppi_maml_ros.dynamics.first_order import typical
from mppi_maml_ros.dynamics.reach import LEAST, Reach
from mppi_maml_ros.dynamics.residual import ResidualWeights

LIMITS = VelocityLimits()
LARGEST = Reach(LIMITS.vx_max, -LIMITS.vx_min, LIMITS.wz_max)


@pytest.mark.parametrize("gain", [(1.0, 1.0), (0.64, 0.64), (0.3, 0.8), (1.2, 0.3)])
@pytest.mark.parametrize("lag", [(0.1, 0.2), (0.4, 0.1)])
@pytest.mark.parametrize("delay", [0.0, 0.15, 0.5])
def test_of_a_lag_with_a_gain_and_a_delay_each_is_found(gain, lag, delay):
    reach = Reach.of(ResidualWeights.first_order(lag, gain, delay), LIMITS)
    assert reach.learned
    np.testing.assert_allclose(
        [reach.forward, reach.backward, reach.turn],
        [gain[0] * LIMITS.vx_max, -gain[0] * LIMITS.vx_min, gain[1] * LIMITS.wz_max],
        rtol=0.01,
    )
    np.testing.assert_allclose(reach.lag, lag, rtol=0.1, atol=0.02)
    np.testing.assert_allclose(reach.delay, delay, atol=0.03)


@pytest.mark.parametrize(
    "weights",
    [None, "an oracle", ResidualWeights.prior(), typical(0.05)],
    ids=["none", "other", "prior", "typical"],
)
def test_where_nothing_was_learned_the_robot_reaches_its_limits(weights):
    assert Reach.of(weights, LIMITS) == LARGEST


def test_weights_that_run_away_say_nothing():
    weights = ResidualWeights.first_order((0.1, 0.1))
    linear = weights.linear.copy()
    linear[:2, :2] *= 900.0
    assert Reach.of(attrs.evolve(weights, linear=linear), LIMITS) == LARGEST


def test_a_model_in_which_nothing_moves_still_leaves_a_little():
    reach = Reach.of(ResidualWeights.first_order((0.1, 0.1), (0.0, 0.0)), LIMITS)
    assert reach.forward == LEAST * LIMITS.vx_max and reach.turn == LEAST * LIMITS.wz_max


def test_a_robot_that_never_reverses_reaches_nothing_backwards():
    assert Reach.of(ResidualWeights.first_order((0.1, 0.1)), VelocityLimits(vx_min=0.0)).backward == 0.0
