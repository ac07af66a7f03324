"""Held against its commands, or only slow to start."""

import math

import numpy as np
import pytest

from mppi_maml_ros.core import se2
from mppi_maml_ros.core.types import Odometry, VelocityLimits
from mppi_maml_ros.safety.blocked import BRAKING, BlockedCheck
from mppi_maml_ros.simulation.firmware_worlds import firmware_world


class Robot:
    """Obeys at once unless it is held; told ``command`` at 20 Hz, heard at ``rate``."""

    def __init__(self, rate=50.0, limits=None, noise=0.002):
        self.check, self.period, self.noise = BlockedCheck(limits), 1.0 / rate, noise
        self.t, self.pose, self.random = 0.0, np.zeros(3), np.random.default_rng(0)

    def drive(self, command, seconds, held=False, pushed=0.0):
        """Returns when it was first blocked, from the beginning of this stretch on; None when never."""
        twist, blocked, begun = np.zeros(2) if held else np.array(command), None, self.t
        for _ in range(round(seconds / self.period)):
            self.check.add_command(self.t, command)
            self.t += self.period
            self.pose = se2.integrate(self.pose, np.array([twist[0], pushed, twist[1]]), self.period)
            measured = self.pose + self.noise * self.random.standard_normal(3)
            said = twist + 5.0 * self.noise * self.random.standard_normal(2)
            self.check.add_odometry(Odometry(self.t, measured, said))
            if self.check.blocked and blocked is None:
                blocked = self.t - begun
        return blocked


@pytest.mark.fault(61)
@pytest.mark.parametrize("rate", [10.0, 20.0, 50.0])
@pytest.mark.parametrize("command", [(0.4, 0.0), (0.2, 0.3), (0.0, 1.5), (-0.3, 0.0)])
def test_a_robot_that_stops_against_its_commands_is_blocked_within_half_a_second(rate, command):
    robot = Robot(rate)
    assert robot.drive(command, 3.0) is None
    assert robot.drive(command, 2.0, held=True) <= 0.5
    assert robot.check.since == pytest.approx(3.0 - BRAKING, abs=0.15)
    robot.drive(command, 0.4)
    assert not robot.check.suspected
    assert math.isinf(robot.check.since)


@pytest.mark.fault(61)
def test_a_robot_that_never_starts_is_blocked_once_no_delay_explains_it():
    robot = Robot()
    assert 1.2 <= robot.drive((0.4, 0.0), 2.0, held=True) <= 1.4
    assert robot.check.still_for == pytest.approx(2.0, abs=0.05)


def test_a_robot_that_is_told_little_is_not_blocked():
    robot = Robot()
    assert robot.drive((0.12, 0.8), 5.0, held=True) is None
    assert robot.drive((0.0, 0.0), 5.0, held=True) is None
    assert not robot.check.suspected


@pytest.mark.fault(61)
def test_who_is_blocked_stays_so_under_small_commands_and_until_told_to_stand():
    robot = Robot()
    robot.drive((0.4, 0.0), 2.0)
    robot.drive((0.4, 0.0), 1.0, held=True)
    robot.drive((0.02, 0.0), 2.0, held=True)
    assert robot.check.blocked
    robot.drive((0.0, 0.0), 1.0, held=True)
    assert not robot.check.blocked and not robot.check.suspected


def test_where_the_limits_are_low_less_is_enough():
    robot = Robot(limits=VelocityLimits(vx_max=0.15, vx_min=-0.15), noise=0.001)
    robot.drive((0.14, 0.0), 2.0)
    assert robot.drive((0.14, 0.0), 2.0, held=True) is not None


@pytest.mark.fault(62)
def test_whoever_is_pushed_sideways_does_not_drive():
    robot = Robot()
    robot.drive((0.4, 0.0), 3.0)
    assert robot.drive((0.4, 0.0), 1.0, held=True, pushed=0.3) <= 0.5


def test_a_twist_that_says_motion_keeps_a_robot_from_being_blocked():
    """Pose and twist must both stand still; a pose alone hangs."""
    check = BlockedCheck()
    for k in range(150):
        check.add_command(0.02 * k, (0.4, 0.0))
        check.add_odometry(Odometry(0.02 * k, np.zeros(3), np.array([0.4, 0.0])))
    assert not check.suspected


@pytest.mark.parametrize("family", ["stiction", "late", "weak", "heavy", "skid_steer", "caster", "ramped"])
@pytest.mark.parametrize("seed", range(4))
def test_no_base_that_drives_is_taken_for_blocked(family, seed):
    """Dead bands of .13 m/s and .85 rad/s, delays to .8 s, gains of .3, motors of .3 m/s^2."""
    world = firmware_world(family, np.random.default_rng(seed), seed, 30.0)
    check = BlockedCheck()
    for k in range(600):
        t = 0.05 * k
        command = (0.35 + 0.15 * math.sin(0.5 * t), 0.6 * math.sin(0.8 * t)) if t % 8.0 < 5.0 else (0.0, 0.0)
        check.add_command(t, command)
        row = world.step(command, 0.05)
        check.add_odometry(Odometry(world.time, row[:3], row[3:]))
        assert not check.blocked
