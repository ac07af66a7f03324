"""A robot known beforehand, and the residual that it amounts to."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.dynamics.first_order import FirstOrderConfig
from mppi_maml_ros.dynamics.residual import ResidualWeights


def test_each_velocity_has_its_own_lag_and_gain():
    known = FirstOrderConfig(
        time_constant_v=0.3, time_constant_omega=0.2, gain_v=0.8, gain_omega=1.2, delay=0.07
    )
    expected = ResidualWeights.first_order((0.3, 0.2), (0.8, 1.2), 0.07, 0.04)
    made = known.weights(0.04)
    assert np.array_equal(made.linear, expected.linear)
    assert (made.delay_taps, made.model_dt) == (2, 0.04)


@pytest.mark.parametrize(
    ("field", "bad"), [("time_constant_v", 0.0), ("gain_omega", math.nan), ("delay", -0.1), ("delay", 2.0)]
)
def test_a_robot_out_of_range_is_refused_by_name(field, bad):
    with pytest.raises(InvalidValueError, match=field):
        FirstOrderConfig(**{field: bad})
