import math

import attrs
import numpy as np
import pytest

from mppi_maml_ros.core.types import VelocityLimits
from mppi_maml_ros.dynamics.residual import ResidualWeights
from mppi_maml_ros.weights.admission import Refusal, SwapError, check_fit, check_model, check_tensor, expired

LIMITS, GOOD = VelocityLimits(), ResidualWeights.prior(delay_taps=2)


def test_weights_that_fit_are_admitted():
    check_model("residual")
    check_tensor("linear", GOOD.linear)
    check_fit(GOOD, 0.05, 2, LIMITS)


@pytest.mark.parametrize(
    ("weights", "reason", "message"),
    [
        (
            attrs.evolve(GOOD, model_dt=0.1),
            Refusal.WRONG_MODEL,
            "model_dt of the weights must be 0.05 s, got 0.1",
        ),
        (ResidualWeights.prior(delay_taps=3), Refusal.WRONG_MODEL, "delay_taps must be at most 2, got 3"),
        (attrs.evolve(GOOD, linear=np.full_like(GOOD.linear, 9.0)), Refusal.TOO_LARGE, "forward velocity"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_the_reason(weights, reason, message):
    with pytest.raises(SwapError, match=message) as caught:
        check_fit(weights, 0.05, 2, LIMITS)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [(math.nan, Refusal.NOT_FINITE), (-math.inf, Refusal.NOT_FINITE), (1e4, Refusal.TOO_LARGE)],
)
def test_numbers_that_no_weights_have_are_refused(value, reason):
    with pytest.raises(SwapError, match="linear") as caught:
        check_tensor("linear", np.array([[0.0, value]], dtype=np.float32))
    assert caught.value.reason is reason


def test_another_model_takes_no_weights():
    with pytest.raises(SwapError, match="kinematic") as caught:
        check_model("kinematic")
    assert caught.value.reason is Refusal.WRONG_MODEL


def test_weights_expire_after_their_time_or_never():
    assert expired(10.1, 5.0, 5.0) and not expired(10.0, 5.0, 5.0)
    assert not expired(1e9, 5.0, 0.0)
    assert not expired(1e9, None, 5.0)
