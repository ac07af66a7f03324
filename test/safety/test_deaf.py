"""A base that goes on by its last command, or is only late."""

import math

import numpy as np
import pytest

from mppi_maml_ros.core.types import Odometry
from mppi_maml_ros.safety.deaf import BEFORE, DELAY, DeafCheck
from mppi_maml_ros.simulation.firmware_worlds import FIRMWARE_WORLDS, firmware_world

PERIOD = 0.05


class Robot:
    """Told at 20 Hz, heard as often; answers by ``velocity``."""

    def __init__(self):
        self.check, self.t, self.random = DeafCheck(), 0.0, np.random.default_rng(0)

    def drive(self, command, twist, seconds, continuous=True):
        """When it is found deaf first, from the beginning of this stretch on; None when never."""
        begun, found = self.t, None
        for _ in range(round(seconds / PERIOD)):
            self.check.add_command(self.t, command)
            self.t += PERIOD
            said = np.asarray(twist, dtype=float) + (0.01, 0.02) * self.random.standard_normal(2)
            self.check.add_odometry(Odometry(self.t, np.zeros(3), said), continuous)
            if self.check.deaf and found is None:
                found = self.t - begun
        return found


@pytest.mark.fault(88)
@pytest.mark.parametrize(
    ("before", "told"),
    [
        ((0.5, 0.0), (0.0, 0.0)),
        ((0.5, -0.5), (0.5, 0.4)),
        ((-0.3, 0.0), (0.3, 0.0)),
        ((0.0, 1.0), (0.0, 0.3)),
    ],
)
def test_who_keeps_a_velocity_that_it_is_told_to_give_up_is_deaf_once_no_lag_explains_it(before, told):
    robot = Robot()
    assert robot.drive(before, before, 3.0) is None
    assert robot.check.told_for == 0.0 and math.isinf(robot.check.since)
    found = robot.drive(told, before, 2.0)
    assert found == pytest.approx(DELAY, abs=2.0 * PERIOD)
    assert robot.check.told_for == pytest.approx(2.0, abs=2.0 * PERIOD)
    assert robot.check.since == pytest.approx(3.0 - BEFORE, abs=3.0 * PERIOD)
    robot.drive(told, told, 0.4)
    assert not robot.check.deaf


@pytest.mark.fault(88)
def test_who_has_just_got_its_velocity_was_not_deaf_before():
    robot = Robot()
    robot.drive((0.1, 0.0), (0.1, 0.0), 3.0)
    robot.drive((0.5, 0.0), (0.5, 0.0), 0.5)
    robot.drive((0.0, 0.0), (0.5, 0.0), 2.0)
    assert robot.check.deaf and robot.check.since >= 3.0


@pytest.mark.parametrize("twist", [(0.1, 0.2), (0.0, 0.0)])
def test_who_hardly_moves_is_not_looked_at(twist):
    robot = Robot()
    robot.drive(twist, twist, 2.0)
    assert robot.drive((-0.5, -1.0), twist, 3.0) is None


def test_who_was_told_nothing_is_not_deaf():
    check = DeafCheck()
    for k in range(60):
        check.add_odometry(Odometry(k * PERIOD, np.zeros(3), np.array([0.5, 0.5])))
        assert not check.deaf


@pytest.mark.fault(88)
@pytest.mark.parametrize("late", [0.0, 0.3])
def test_time_counts_from_the_command_though_odometry_comes_late(late):
    check, found = DeafCheck(), None
    for k in range(120):
        told = k * PERIOD
        check.add_command(told, (0.5, 0.0) if told < 2.0 else (0.0, 0.0))
        check.add_odometry(Odometry(told - late, np.zeros(3), np.array([0.5, 0.0])))
        if check.deaf and found is None:
            found = told - late - 2.0  # of the robot's time
    assert found == pytest.approx(DELAY, abs=1.5 * PERIOD)


def test_who_is_told_more_than_it_can_is_not_deaf():
    robot = Robot()
    assert robot.drive((0.9, 0.0), (0.4, 0.0), 5.0) is None
    assert robot.drive((0.2, 0.0), (0.4, 0.0), 5.0) is None


def test_a_jump_and_a_reset_forget():
    robot = Robot()
    robot.drive((0.5, 0.0), (0.5, 0.0), 2.0)
    robot.drive((0.0, 0.0), (0.5, 0.0), 2.0)
    assert robot.check.deaf
    robot.drive((0.0, 0.0), (0.5, 0.0), PERIOD, continuous=False)
    assert not robot.check.deaf
    robot.drive((0.0, 0.0), (0.5, 0.0), 2.0)
    assert robot.check.deaf
    robot.check.reset()
    assert not robot.check.deaf and math.isinf(robot.check.since)
    robot.check.add_command(math.nan, (0.0, 0.0))
    robot.check.add_command(robot.t, (math.nan, 0.0))
    assert robot.drive((0.5, 0.0), (0.5, 0.0), 3.0) is None


@pytest.mark.fault(88)
@pytest.mark.parametrize("family", FIRMWARE_WORLDS)
def test_no_base_that_obeys_is_deaf_however_slow(family):
    for seed in range(5):
        check, world = DeafCheck(), firmware_world(family, np.random.default_rng(seed), seed, 30.0)
        random = np.random.default_rng(seed)
        for k in range(600):
            if k % 40 == 0:
                command = random.uniform((-0.6, -1.2), (0.9, 1.2))
            check.add_command(k * PERIOD, command)
            measured = world.step(command, PERIOD)
            check.add_odometry(Odometry((k + 1) * PERIOD, measured[:3].copy(), measured[3:].copy()))
            assert not check.deaf, f"{family} {seed} after {k * PERIOD:.1f} s"


@pytest.mark.fault(88)
@pytest.mark.parametrize("noise", [(0.0, 0.0), (0.04, 0.1)])
def test_noise_is_no_answer(noise):
    check, random = DeafCheck(), np.random.default_rng(1)
    for k in range(120):
        check.add_command(k * PERIOD, (0.0, 0.0) if k >= 60 else (0.5, -0.6))
        said = np.array([0.5, -0.6]) + noise * random.standard_normal(2)
        check.add_odometry(Odometry((k + 1) * PERIOD, np.zeros(3), said))
    assert check.deaf


@pytest.mark.parametrize("command", [(math.nan, 0.0), (0.0, math.inf)])
def test_a_command_that_is_no_number_tells_nothing(command):
    robot = Robot()
    robot.drive((0.5, 0.0), (0.5, 0.0), 2.0)
    robot.drive((0.0, 0.0), (0.5, 0.0), 1.0)
    robot.check.add_command(robot.t, command)
    robot.check.add_command(math.nan, (0.5, 0.0))
    assert robot.drive((0.0, 0.0), (0.5, 0.0), 1.0) == pytest.approx(DELAY - 1.0, abs=2.0 * PERIOD)


def test_who_was_told_to_keep_it_meanwhile_has_to_be_told_anew():
    robot = Robot()
    robot.drive((0.5, 0.0), (0.5, 0.0), 2.0)
    robot.drive((0.0, 0.0), (0.5, 0.0), 1.0)
    robot.check.add_command(robot.t, (0.5, 0.0))
    assert robot.drive((0.0, 0.0), (0.5, 0.0), 2.0) == pytest.approx(DELAY, abs=2.0 * PERIOD)


def heard(check, start, twists, continuous=True):
    """Tell it what odometry says, a period apart; the stamp of the last."""
    for k, twist in enumerate(twists):
        check.add_odometry(Odometry(start + k * PERIOD, np.zeros(3), np.array(twist)), continuous)
    return start + (len(twists) - 1) * PERIOD


def steady(check, told, twist, start=-2.0, seconds=2.0):
    """A drive without noise, told all the time, that ends at 0 s."""
    for k in range(round(seconds / PERIOD)):
        check.add_command(start + k * PERIOD, told)
        heard(check, start + (k + 1) * PERIOD, [twist])


@pytest.mark.parametrize(
    ("twist", "looked_at"),
    [((0.16, 0.0), True), ((0.14, 0.0), False), ((0.0, 0.32), True), ((0.0, 0.28), False)],
)
def test_a_velocity_is_looked_at_from_15_cm_and_17_degrees_a_second_on(twist, looked_at):
    check = DeafCheck()
    steady(check, twist, twist)
    check.add_command(0.0, (0.0, 0.0))
    heard(check, PERIOD, [twist] * round(1.5 / PERIOD))
    assert check.deaf is looked_at


@pytest.mark.parametrize(
    ("kept", "answer", "enough"),
    [
        ((0.16, 0.0), (0.12, 0.0), True),
        ((0.16, 0.0), (0.14, 0.0), False),
        ((0.0, 0.32), (0.0, 0.23), True),
        ((0.0, 0.32), (0.0, 0.25), False),
        ((0.8, 0.0), (0.65, 0.0), True),
        ((0.8, 0.0), (0.7, 0.0), False),
    ],
)
def test_who_gives_up_more_than_noise_and_a_seventh_has_begun_to(kept, answer, enough):
    check = DeafCheck()
    steady(check, kept, kept)
    check.add_command(0.0, (0.0, 0.0))
    heard(check, PERIOD, [answer] * 25)
    assert check.deaf is not enough


@pytest.mark.parametrize(("dip", "enough"), [(0.3, True), (0.36, False)])
def test_a_velocity_is_taken_over_a_tenth_of_a_second(dip, enough):
    check = DeafCheck()
    steady(check, (0.5, 0.0), (0.5, 0.0))
    check.add_command(0.0, (0.0, 0.0))
    heard(check, PERIOD, [(0.5, 0.0)] * 10 + [(dip, 0.0)] + [(0.5, 0.0)] * 16)
    assert check.deaf is not enough


def test_who_speeds_up_against_a_command_given_once_is_told_from_then_on():
    check = DeafCheck()
    check.add_command(0.0, (0.1, 0.0))
    heard(check, PERIOD, [(0.5, 0.0)] * round(1.5 / PERIOD))
    assert check.deaf and check.since == pytest.approx(PERIOD)


def test_a_jump_counts_from_the_velocity_behind_it():
    check = DeafCheck()
    steady(check, (0.5, 0.0), (0.5, 0.0))
    check.add_command(0.0, (0.0, 0.0))
    jump = heard(check, PERIOD, [(0.2, 0.0)], continuous=False)
    last = heard(check, jump + PERIOD, [(0.2, 0.0)] * round(DELAY / PERIOD))
    assert last - jump == pytest.approx(DELAY)
    heard(check, last + 1e-3, [(0.2, 0.0)])
    assert check.deaf and check.since == pytest.approx(jump)


def test_it_is_found_at_once_when_the_time_is_over():
    check = DeafCheck()
    steady(check, (0.5, 0.0), (0.5, 0.0))
    check.add_command(0.0, (0.0, 0.0))
    check.add_odometry(Odometry(DELAY - 1e-6, np.zeros(3), np.array([0.5, 0.0])))
    assert not check.deaf
    check.add_odometry(Odometry(DELAY, np.zeros(3), np.array([0.5, 0.0])))
    assert check.deaf and check.told_for == DELAY


@pytest.mark.parametrize("twist", [(1.0, 0.0), (0.0, 1.0)])
def test_who_is_first_heard_at_speed_was_not_deaf_before(twist):
    check = DeafCheck()
    check.add_command(-1.0, (0.0, 0.0))
    heard(check, 0.0, [twist] * round(1.5 / PERIOD))
    assert check.deaf and check.since == 0.0 and check.told_for == pytest.approx(1.45)


def test_a_turn_goes_on_being_looked_at_when_a_command_is_no_number():
    for command in ((0.0, math.nan), (0.0, math.inf)):
        check = DeafCheck()
        steady(check, (0.0, 1.0), (0.0, 1.0))
        check.add_command(0.0, (0.0, 0.0))
        heard(check, PERIOD, [(0.0, 1.0)] * 16)
        check.add_command(0.8, command)
        heard(check, 0.85, [(0.0, 1.0)] * 10)
        assert check.deaf


@pytest.mark.parametrize(("told", "otherwise"), [(0.19, True), (0.21, False)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_less_than_two_fifths_is_told_to_give_up(told, otherwise, sign):
    check = DeafCheck()
    steady(check, (0.5 * sign, 0.0), (0.5 * sign, 0.0))
    check.add_command(0.0, (told * sign, 0.0))
    heard(check, PERIOD, [(0.5 * sign, 0.0)] * 30)
    assert check.deaf is otherwise
