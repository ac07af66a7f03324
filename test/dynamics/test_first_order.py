"""A robot known beforehand, and the residual that it amounts to."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.dynamics.first_order import FirstOrderConfig, typical
from mppi_maml_ros.dynamics.residual import ResidualWeights
from mppi_maml_ros.weights.meta_model import PACKAGED, MetaModel


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


def test_the_typical_robot_is_that_of_the_packaged_meta_model():
    meta = MetaModel.load(PACKAGED)
    weights = typical(meta.model_dt)
    assert weights.delay_taps == 0 and not weights.error_model.any() and weights.displacement_blend == 1.0
    known = weights.linear[:, :4]
    np.testing.assert_allclose(known, meta.physics.typical[:, :4], atol=1e-6)
    assert np.count_nonzero(known) == np.count_nonzero(meta.physics.typical)
