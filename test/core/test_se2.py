import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mppi_maml_ros.core import angles, se2
from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.core.types import VelocityLimits

coordinate = st.floats(-1e3, 1e3)
pose = st.tuples(coordinate, coordinate, st.floats(-np.pi, np.pi)).map(np.array)


@given(st.floats(-1e4, 1e4))
def test_wrapped_angle_is_the_same_rotation_within_half_a_turn(angle):
    wrapped = angles.wrap(angle)
    assert -np.pi <= wrapped < np.pi
    assert np.cos(wrapped) == pytest.approx(np.cos(angle), abs=1e-6)
    assert np.sin(wrapped) == pytest.approx(np.sin(angle), abs=1e-6)


@given(pose, pose)
def test_compose_undoes_to_body(a, b):
    back = se2.compose(b, se2.to_body(a, b))
    assert back[:2] == pytest.approx(a[:2], abs=1e-6)
    assert angles.difference(back[2], a[2]) == pytest.approx(0.0, abs=1e-9)


@given(
    pose, st.tuples(st.floats(-3, 3), st.floats(-1, 1), st.floats(-5, 5)).map(np.array), st.floats(0.01, 0.2)
)
def test_displacement_twist_undoes_integrate(start, twist, dt):
    end = se2.integrate(start, twist, dt)
    assert se2.displacement_twist(start, end, dt) == pytest.approx(twist, abs=1e-5)


@given(st.floats(-np.pi, np.pi))
def test_yaw_survives_the_quaternion(yaw):
    assert angles.difference(
        angles.yaw_from_quaternion(*angles.quaternion_from_yaw(yaw)), yaw
    ) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    "field, value",
    [("vx_max", 0.0), ("vx_max", np.nan), ("vx_min", 0.1), ("ax_min", 0.0), ("wz_max", np.inf)],
)
def test_limits_that_make_no_sense_are_refused_by_name(field, value):
    with pytest.raises(InvalidValueError, match=field):
        VelocityLimits(**{field: value})
