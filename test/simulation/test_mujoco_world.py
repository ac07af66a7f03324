import math

import attrs
import numpy as np
import pytest

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.simulation.disturbances import Payload, Sinusoidal
from mppi_maml_ros.simulation.world import DynamicWorld, WorldParameters

pytest.importorskip("mujoco", reason="the extra mujoco is not installed")

from mppi_maml_ros.simulation.mujoco_world import MOTOR_LIMIT, MuJoCoWorld

BASE = WorldParameters(lag_v=0.2, lag_omega=0.15)
NOISY = (
    attrs.evolve(BASE, command_delay=0.07)
    .with_process_noise([0.005, 0.005, 0.002, 0.01, 0.005])
    .with_odometry_noise([0.01, 0.01, 0.005, 0.02, 0.02], 0.08)
)


def drive(world, command=(0.5, 0.0), steps=40, dt=0.05):
    """True states after each step, (steps, 5)."""
    states = []
    for _ in range(steps):
        world.step(command, dt)
        states.append(world.state)
    return np.array(states)


def test_straight_ahead_the_bodies_do_what_the_equations_say():
    for changes in ({}, {"mass": 2.0}, {"friction_v": 1.0}, {"coulomb": 0.4}, {"command_delay": 0.12}):
        parameters = attrs.evolve(BASE, **changes)
        np.testing.assert_allclose(
            drive(MuJoCoWorld(parameters))[:, 3], drive(DynamicWorld(parameters))[:, 3], atol=0.01
        )


def test_motor_gain_and_battery_scale_the_speed_that_is_reached():
    p = attrs.evolve(BASE, motor_gain_left=0.7, motor_gain_right=0.7, battery=0.9)
    assert drive(MuJoCoWorld(p))[-1, 3] == pytest.approx(0.5 * 0.63, rel=0.02)


def test_turning_differs_from_the_equations_as_the_weight_lies_behind_the_axle():
    driving = drive(MuJoCoWorld(BASE), (0.8, 1.0))[-1, 4]
    in_place = drive(MuJoCoWorld(BASE), (0.0, 1.0))[-1, 4]
    assert in_place == pytest.approx(1.0, abs=0.1)
    assert driving > in_place + 0.05


def test_slip_goes_outwards_by_the_time_that_is_asked_for():
    for slip in (0.05, 0.2):
        world = MuJoCoWorld(attrs.evolve(BASE, slip=slip))
        v, omega = drive(world, (0.5, 1.0))[-1, 3:]
        assert -world.lateral_velocity / (v * omega) == pytest.approx(slip, rel=0.15)


def test_the_wheels_spin_where_the_floor_has_no_grip():
    slippery = attrs.evolve(BASE, lag_v=0.05, patch_grip=0.02, patch_coverage=1.0)
    rough = attrs.evolve(slippery, patch_grip=1.0)
    assert drive(MuJoCoWorld(rough), (1.0, 0.0), 10)[-1, 3] > 0.9
    reached = drive(MuJoCoWorld(slippery), (1.0, 0.0), 10)[-1, 3]
    assert 0.0 < reached < 0.02 * 10.0 * 0.5 * 1.2  # what is left of traction, for half a second


def test_motors_have_a_limit():
    p = attrs.evolve(BASE, lag_v=0.02, acceleration_limit=50.0)
    speed = drive(MuJoCoWorld(p), (2.0, 0.0), 4, 0.05)[:, 3]
    assert np.diff(speed, prepend=0.0).max() < MOTOR_LIMIT * 0.05 * 1.1


def test_uphill_is_slower_than_downhill_in_both_worlds():
    for world in (MuJoCoWorld, DynamicWorld):
        uphill, downhill = (
            drive(world(attrs.evolve(BASE, slope=0.1, slope_direction=direction)))[-1, 3]
            for direction in (0.0, math.pi)
        )
        # a velocity loop of stiffness 1 / lag gives way by g sin(slope) lag
        assert uphill == pytest.approx(0.5 - 9.81 * math.sin(0.1) * 0.2, abs=0.02)
        assert downhill == pytest.approx(0.5 + 9.81 * math.sin(0.1) * 0.2, abs=0.02)


def test_wheels_that_differ_draw_the_robot_to_the_side_of_the_smaller():
    assert drive(MuJoCoWorld(attrs.evolve(BASE, radius_asymmetry=0.04)), steps=80)[-1, 2] > 0.05
    assert drive(MuJoCoWorld(attrs.evolve(BASE, radius_asymmetry=-0.04)), steps=80)[-1, 2] < -0.05


def test_a_load_that_is_picked_up_makes_the_robot_slower_from_then_on():
    plain, loaded = MuJoCoWorld(BASE), MuJoCoWorld(BASE, disturbances=(Payload(1.0, 2.5, 2.0),))
    first, second = drive(plain, steps=20), drive(loaded, steps=20)
    np.testing.assert_allclose(first, second, atol=1e-9)
    slower, faster = drive(loaded, (0.0, 0.0), 4)[-1, 3], drive(plain, (0.0, 0.0), 4)[-1, 3]
    assert slower > 1.3 * faster  # it rolls on


def test_external_pushes_push():
    pushed = MuJoCoWorld(BASE, disturbances=(Sinusoidal(1.0, 3),))
    assert np.abs(drive(pushed, (0.0, 0.0))[:, 3:]).max() > 0.05


def test_same_seed_gives_the_same_run_and_reset_repeats_it():
    first, second = MuJoCoWorld(NOISY, 3), MuJoCoWorld(NOISY, 3)
    run = drive(first, (0.5, 0.3))
    np.testing.assert_array_equal(run, drive(second, (0.5, 0.3)))
    first.reset()
    np.testing.assert_array_equal(run, drive(first, (0.5, 0.3)))
    assert not np.array_equal(run, drive(MuJoCoWorld(NOISY, 4), (0.5, 0.3)))


def test_it_starts_and_is_placed_at_rest_where_it_is_told():
    world = MuJoCoWorld(BASE, start=(2.0, -1.0, 2.5))
    np.testing.assert_array_equal(world.state, [2.0, -1.0, 2.5, 0.0, 0.0])
    still = drive(world, (0.0, 0.0), 10)
    np.testing.assert_allclose(still - world.state, 0.0, atol=2e-3)
    drive(world, (0.5, 0.5))
    world.place((0.0, 0.0, -3.0))
    np.testing.assert_array_equal(world.state, [0.0, 0.0, -3.0, 0.0, 0.0])
    np.testing.assert_allclose(drive(world, (0.0, 0.0), 10)[:, :3], [[0.0, 0.0, -3.0]] * 10, atol=2e-3)


def test_the_robot_stands_on_its_wheels():
    world = MuJoCoWorld(attrs.evolve(BASE, mass=3.0, inertia=3.0))
    for command in ((1.5, 0.0), (-1.0, 2.0), (0.0, 0.0)):
        drive(world, command, 10)
        assert max(map(abs, world.tilt)) < 0.05


def test_there_is_no_oracle_of_it():
    with pytest.raises(InvalidValueError, match="closed form"):
        MuJoCoWorld(BASE).equations()


def test_a_track_that_the_model_does_not_have_is_refused():
    with pytest.raises(InvalidValueError, match="track"):
        MuJoCoWorld(WorldParameters(track=0.5))
