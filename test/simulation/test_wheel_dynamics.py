from itertools import pairwise

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mppi_maml_ros.simulation.parameters import PARAMETER_BOUNDS, WorldParameters
from mppi_maml_ros.simulation.wheels import _dry_friction, advance, lateral_velocity

LINEAR = WorldParameters(acceleration_limit=100.0)


def move(parameters, state, command, dt, friction=1.0, push=(0.0, 0.0)):
    return np.array(advance(*state, *command, dt, parameters.as_vector(), friction, *push))


@pytest.mark.parametrize("dt", [0.05, 0.013, 0.4])
@pytest.mark.parametrize("asymmetric", [False, True])
def test_linear_robot_follows_the_closed_form_first_order_response(dt, asymmetric):
    gain_l, gain_r = (0.7, 0.9) if asymmetric else (0.8, 0.8)
    q = attrs.evolve(
        LINEAR,
        lag_v=0.25,
        lag_omega=0.12,
        mass=1.4,
        inertia=0.8,
        friction_v=0.6,
        friction_omega=0.9,
        motor_gain_left=gain_l,
        motor_gain_right=gain_r,
        track=0.5,
    )
    u_v, u_omega, v0, omega0 = 0.9, -0.7, 0.2, 0.4
    left, right = gain_l * (u_v - 0.25 * u_omega), gain_r * (u_v + 0.25 * u_omega)

    def response(target, start, lag, friction):
        rate = 1.0 / lag + friction
        final = target / lag / rate
        return final + (start - final) * np.exp(-rate * dt)

    _, _, _, v, omega = move(q, (0, 0, 0, v0, omega0), (u_v, u_omega), dt)
    assert v == pytest.approx(response(0.5 * (left + right), v0, 0.25 * 1.4, 0.6), abs=1e-12)
    assert omega == pytest.approx(response((right - left) / 0.5, omega0, 0.12 * 0.8, 0.9), abs=1e-12)


def test_pose_is_the_integral_of_the_velocities():
    q = attrs.evolve(LINEAR, lag_v=0.2, lag_omega=0.1, friction_v=0.5)
    state, command = np.array([1.0, -2.0, 3.0, 0.1, -0.2]), (1.2, 1.5)

    def rates(s):
        v, omega = s[3:]
        return np.array(
            [v * np.cos(s[2]), v * np.sin(s[2]), omega, (1.2 - v) / 0.2 - 0.5 * v, (1.5 - omega) / 0.1]
        )

    expected, h = state.copy(), 1e-3
    for _ in range(1000):
        k1 = rates(expected)
        k2 = rates(expected + 0.5 * h * k1)
        k3 = rates(expected + 0.5 * h * k2)
        k4 = rates(expected + h * k3)
        expected = expected + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    np.testing.assert_allclose(move(q, state, command, 1.0), expected, atol=2e-4)


def test_result_does_not_depend_on_how_time_is_cut():
    q = attrs.evolve(
        LINEAR, coulomb=0.4, dead_zone=0.05, slip=0.3, radius_asymmetry=0.05, acceleration_limit=3.0
    )
    state = np.zeros(5)
    whole = move(q, state, (0.8, 0.6), 0.05)
    for _ in range(5):
        state = move(q, state, (0.8, 0.6), 0.01)
    np.testing.assert_allclose(whole, state, atol=1e-12)


@pytest.mark.parametrize("factor", [0.5, 2.0, 3.0])
def test_mass_and_inertia_stretch_the_lags(factor):
    heavy = move(attrs.evolve(LINEAR, mass=factor, inertia=factor), np.zeros(5), (0.4, 0.3), 0.05)
    slow = move(
        attrs.evolve(LINEAR, lag_v=0.1 * factor, lag_omega=0.1 * factor), np.zeros(5), (0.4, 0.3), 0.05
    )
    np.testing.assert_allclose(heavy, slow, atol=1e-12)


def test_no_wheel_accelerates_beyond_the_traction_limit():
    q = attrs.evolve(LINEAR, lag_v=0.05, lag_omega=0.05, acceleration_limit=2.0)
    after = move(q, np.zeros(5), (1.0, 0.0), 0.1)
    assert after[3] == pytest.approx(0.2, abs=1e-9)
    spun = move(q, np.zeros(5), (0.0, 10.0), 0.1)
    assert spun[4] == pytest.approx(2.0 * 2.0 / 0.4 * 0.1, abs=1e-9)


def test_traction_limits_the_yaw_acceleration_through_the_inertia():
    q = attrs.evolve(LINEAR, lag_v=0.1, lag_omega=0.2, mass=1.2, inertia=1.5, acceleration_limit=2.0)
    spun = move(q, np.zeros(5), (0.0, 10.0), 0.1)
    assert spun[4] == pytest.approx(2.0 * 2.0 / 0.4 * (0.1 * 1.2) / (0.2 * 1.5) * 0.1, abs=1e-9)


def test_robot_at_rest_without_command_stays_at_rest():
    q = attrs.evolve(LINEAR, coulomb=0.5, dead_zone=0.1, friction_v=1.0, slip=0.4, radius_asymmetry=0.1)
    start = np.array([1.0, 2.0, 0.5, 0.0, 0.0])
    np.testing.assert_array_equal(move(q, start, (0.0, 0.0), 1.0), start)


def test_dry_friction_holds_the_robot_against_a_weak_push_and_not_against_a_strong_one():
    q = attrs.evolve(LINEAR, coulomb=0.5)
    np.testing.assert_array_equal(move(q, np.zeros(5), (0.0, 0.0), 1.0, push=(0.49, 0.0)), np.zeros(5))
    np.testing.assert_array_equal(move(q, np.zeros(5), (0.04, 0.0), 1.0), np.zeros(5))
    assert move(q, np.zeros(5), (0.0, 0.0), 1.0, push=(0.6, 0.0))[3] > 0.0
    assert move(q, np.zeros(5), (0.06, 0.0), 1.0)[3] > 0.0


def test_sliding_friction_costs_the_steady_speed_that_the_law_says():
    q = attrs.evolve(LINEAR, lag_v=0.2, coulomb=0.5, friction_v=1.0)
    after = move(q, np.zeros(5), (1.0, 0.0), 5.0)
    assert after[3] == pytest.approx((1.0 / 0.2 - 0.5) / (1.0 / 0.2 + 1.0), abs=1e-9)


speeds = st.floats(-2.0, 2.0)


@settings(deadline=None, max_examples=200)
@given(
    v=speeds,
    omega=speeds,
    coulomb=st.floats(0.01, 5.0),
    lag=st.floats(0.02, 1.0),
    inertia=st.floats(0.3, 4.0),
)
def test_dry_friction_never_reverses_motion(v, omega, coulomb, lag, inertia):
    """A coasting robot comes to rest, and no wheel rolls faster than before, let alone backwards.

    At equal rates of v and omega the wheels do not act on each other, so each wheel's speed falls
    to zero and stays; in general the kinetic energy falls.
    """
    q = attrs.evolve(
        LINEAR, coulomb=coulomb, lag_v=lag, lag_omega=min(max(lag / inertia, 0.02), 1.0), inertia=inertia
    )
    decoupled = q.lag_omega * inertia == pytest.approx(lag, rel=1e-12)
    ratio = q.lag_v / (q.lag_omega * inertia)
    state = np.array([0.0, 0.0, 0.0, v, omega])
    for _ in range(20):
        before, state = state, move(q, state, (0.0, 0.0), 0.02)
        energy_before = before[3] ** 2 + (0.2 * before[4]) ** 2 / ratio
        energy = state[3] ** 2 + (0.2 * state[4]) ** 2 / ratio
        assert energy <= energy_before * (1.0 + 1e-12)
        if decoupled:
            for side in (-0.2, 0.2):
                old, new = before[3] + side * before[4], state[3] + side * state[4]
                assert abs(new) <= abs(old) + 1e-12 and new * old >= -1e-12
    longest = (abs(v) + 0.2 * abs(omega)) / coulomb * max(1.0, 1.0 / ratio) * 2.0 + 0.1
    np.testing.assert_array_equal(move(q, state, (0.0, 0.0), longest)[3:], 0.0)


@settings(deadline=None, max_examples=300)
@given(
    left=speeds,
    right=speeds,
    own=st.floats(0.01, 1.0),
    share=st.floats(-0.95, 0.95),
    limit=st.floats(0.01, 2.0),
)
def test_each_wheel_either_stands_or_feels_the_whole_friction_against_its_motion(
    left, right, own, share, limit
):
    cross = share * own
    f_l, f_r = _dry_friction(left, right, own, cross, limit)
    for force, speed in ((f_l, left - own * f_l - cross * f_r), (f_r, right - own * f_r - cross * f_l)):
        assert abs(force) <= limit
        if abs(force) < limit * (1.0 - 1e-9):
            assert speed == pytest.approx(0.0, abs=1e-9)
        else:
            assert speed * force >= -1e-9


def test_turning_robot_with_one_wheel_held_by_friction_pivots_about_it():
    q = attrs.evolve(LINEAR, coulomb=0.5)
    # Left wheel commanded 0.03 m/s, below the 0.05 m/s that overcome friction; the right one 0.43.
    after = move(q, np.zeros(5), (0.23, 1.0), 1.0)
    assert after[3] - 0.2 * after[4] == pytest.approx(0.0, abs=1e-12)
    assert after[3] + 0.2 * after[4] == pytest.approx(0.43 - 0.05, abs=1e-3)


@pytest.mark.parametrize("command", [0.0, 0.05, -0.05, 0.08, -0.08])
def test_commands_within_the_dead_zone_do_nothing(command):
    q = attrs.evolve(LINEAR, dead_zone=0.08)
    np.testing.assert_array_equal(move(q, np.zeros(5), (command, 0.0), 1.0), np.zeros(5))


@pytest.mark.parametrize("command", [0.3, -0.3])
def test_the_dead_zone_is_lost_from_larger_commands(command):
    after = move(attrs.evolve(LINEAR, dead_zone=0.08), np.zeros(5), (command, 0.0), 5.0)
    assert after[3] == pytest.approx(np.sign(command) * 0.22, abs=1e-9)


def test_a_larger_right_wheel_turns_the_robot_left_in_proportion_to_its_speed():
    q = attrs.evolve(LINEAR, radius_asymmetry=0.04)
    for speed in (0.5, 1.0):
        after = move(q, np.zeros(5), (speed, 0.0), 3.0)
        assert after[3] == pytest.approx(speed, abs=1e-9)
        assert after[4] == pytest.approx(0.04 * speed / 0.4, abs=1e-9)
    assert move(attrs.evolve(q, radius_asymmetry=-0.04), np.zeros(5), (1.0, 0.0), 3.0)[4] < 0.0


def test_slip_is_outwards_smooth_and_grows_with_the_lateral_acceleration():
    assert lateral_velocity(1.0, 0.0, 0.3) == 0.0
    assert lateral_velocity(1.0, 0.5, 0.3) < 0.0 < lateral_velocity(1.0, -0.5, 0.3)
    assert lateral_velocity(1.0, 0.5, 0.3) == lateral_velocity(0.5, 1.0, 0.3)
    sizes = [-lateral_velocity(1.0, omega, 0.3) for omega in (0.2, 0.4, 0.8, 1.6)]
    assert all(2.0 * a < b < 4.0 * a for a, b in pairwise(sizes))


def test_slipping_robot_drifts_out_of_its_circle():
    slipping, gripping = (
        move(attrs.evolve(LINEAR, slip=slip), (0, 0, 0, 1.0, 1.0), (1.0, 1.0), 0.5) for slip in (0.4, 0.0)
    )
    assert slipping[1] < gripping[1]
    np.testing.assert_allclose(slipping[2:], gripping[2:])


def test_friction_factor_acts_on_viscous_and_dry_friction():
    q = attrs.evolve(LINEAR, friction_v=0.5, friction_omega=0.3, coulomb=0.2)
    double = attrs.evolve(LINEAR, friction_v=1.0, friction_omega=0.6, coulomb=0.4)
    state = (0.0, 0.0, 0.0, 0.3, 0.2)
    np.testing.assert_array_equal(
        move(q, state, (0.5, 0.3), 0.05, friction=2.0), move(double, state, (0.5, 0.3), 0.05)
    )


def test_external_acceleration_speeds_the_robot_up():
    # The motors hold against it: in steady state the offset is acceleration * lag.
    after = move(LINEAR, np.zeros(5), (0.0, 0.0), 3.0, push=(1.0, -2.0))
    np.testing.assert_allclose(after[3:], [0.1, -0.2], atol=1e-9)


def test_no_time_changes_nothing():
    state = (1.0, 2.0, 3.0, 0.4, 0.5)
    assert tuple(move(attrs.evolve(LINEAR, coulomb=1.0), state, (1.0, 1.0), 0.0)) == state


dynamic_fields = [n for n in PARAMETER_BOUNDS if "noise" not in n and n != "odometry_delay"]


@settings(deadline=None, max_examples=200)
@given(
    values=st.fixed_dictionaries({n: st.floats(*PARAMETER_BOUNDS[n]) for n in dynamic_fields}),
    command=st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2),
    dt=st.floats(1e-6, 0.5),
)
def test_any_robot_under_any_finite_command_stays_finite(values, command, dt):
    q = WorldParameters(**values)
    state = np.array([0.0, 0.0, 0.0, 0.5, -0.5])
    for _ in range(5):
        state = move(q, state, command, dt)
        assert np.isfinite(state).all()
