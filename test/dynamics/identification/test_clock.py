"""A base that answers before it is told."""

import numpy as np
import pytest

from mppi_maml_ros.core.types import Odometry, VelocityLimits
from mppi_maml_ros.dynamics.buffer import BufferConfig, TransitionBuffer
from mppi_maml_ros.dynamics.identification.clock import ClockOffset, earliness
from mppi_maml_ros.simulation.commands import tracking_commands
from mppi_maml_ros.simulation.world import DynamicWorld, WorldParameters
from mppi_maml_ros.simulation.worlds import make_world

ROBOT = WorldParameters(
    lag_v=0.3, lag_omega=0.25, motor_gain_left=0.8, motor_gain_right=0.8, command_delay=0.06
)


def transitions(offset, world=None, seconds=10.0, seed=0):
    """Of a robot whose stamps are off by ``offset`` [s], told what a controller tells."""
    world = world or DynamicWorld(ROBOT.with_odometry_noise((0.002, 0.002, 0.002, 0.01, 0.01)), seed=seed)
    random = np.random.default_rng(seed)
    commands = tracking_commands(random, 1, round(20 * seconds), 0.05, VelocityLimits())[0]
    buffer = TransitionBuffer(BufferConfig())
    buffer.add_command(-1.0, (0.0, 0.0))
    for k, command in enumerate(commands):
        buffer.add_command(0.05 * k, command)
    newest = -np.inf
    for command in commands:
        row = world.step(command, 0.05)
        stamp = world.time - world.odometry_age + offset
        if stamp > newest + 1e-9:
            newest = stamp
            buffer.add_odometry(Odometry(stamp, row[:3], row[3:]))
    return buffer.latest()


@pytest.mark.fault(60)
@pytest.mark.parametrize("seed", range(5))
def test_a_clock_that_is_behind_is_found_and_by_how_much_at_least(seed):
    clock = ClockOffset()
    lead = clock.update(transitions(-0.2, seed=seed))
    assert 0.1 <= lead <= 0.2  # the delay of .06 s hides as much


@pytest.mark.parametrize("offset", [0.0, 0.1, 0.25])
@pytest.mark.parametrize("seed", range(5))
def test_a_delay_is_no_offset(offset, seed):
    assert ClockOffset().update(transitions(offset, seed=seed)) == 0.0


@pytest.mark.parametrize(
    "name", ["late", "weak", "second_order", "stiction", "skid_steer", "coarse", "echo", "wind_gust",
             "radius_asymmetry", "battery_sag", "everything", "odometry_noise", "dead_zone", "lateral_slip"]
)  # fmt: skip
def test_no_other_robot_is_taken_for_a_clock_that_is_behind(name):
    for seed in range(3):
        world = make_world(name, seed, noise_scale=1.0, duration=10.0)
        assert ClockOffset().update(transitions(0.0, world, seed=seed)) == 0.0


def test_what_was_found_stays_until_it_is_refuted():
    clock = ClockOffset()
    assert clock.update(transitions(-0.2)) > 0.0
    assert clock.update(transitions(-0.2, seconds=0.5)) > 0.0  # too little to say
    assert earliness(transitions(0.0)).refuted
    assert clock.update(transitions(0.0)) == 0.0
