"""A figure's clock and where it lies."""

import numpy as np
import pytest

from mppi_maml_ros.control.figure_follower import FigureFollower, TimedFollower
from mppi_maml_ros.references.figures import straight

STEPS, DT = 4, 0.05
AWAY = np.array([3.0, 4.0, np.pi / 2, 0.0, 0.0])


@pytest.fixture
def follower():
    return FigureFollower(straight(speed=1.0), STEPS, DT)


def window(follower, now, state=AWAY):
    return follower.target(now, state, DT).window


def test_a_figure_begins_where_the_robot_is(follower):
    poses = window(follower, 10.0)
    np.testing.assert_allclose(poses[0], AWAY[:3], atol=1e-12)
    np.testing.assert_allclose(poses[:, 1], 4.0 + DT * np.arange(STEPS + 1), atol=1e-12)


def test_it_stays_there_when_the_robot_moves(follower):
    window(follower, 10.0)
    np.testing.assert_allclose(window(follower, 11.0, np.zeros(5))[0], [3.0, 5.0, np.pi / 2], atol=1e-12)


def test_a_given_origin_is_kept_to():
    follower = FigureFollower(straight(speed=1.0), STEPS, DT, (1.0, 2.0, 0.0))
    np.testing.assert_allclose(window(follower, 10.0)[0], [1.0, 2.0, 0.0], atol=1e-12)


RELOCATED = np.array([-5.0, 1.0, 0.0]), np.array([2.0, 1.0, np.pi / 2])  # before and after


@pytest.mark.fault(6)
def test_it_goes_with_odometry_that_jumps(follower):
    """One metre along y from (3, 4), 8 m ahead of the robot and 3 to its left: so it stays."""
    window(follower, 10.0)
    follower.relocate(*RELOCATED)
    after = window(follower, 11.0)[0]
    np.testing.assert_allclose(after, [2.0 - 4.0, 1.0 + 8.0, -np.pi], atol=1e-9)
    follower.relocate(*RELOCATED[::-1])
    np.testing.assert_allclose(window(follower, 11.0)[0], [3.0, 5.0, np.pi / 2], atol=1e-9)


@pytest.mark.fault(6)
def test_one_with_a_given_origin_and_one_that_has_none_yet_do_not(follower):
    follower.relocate(*RELOCATED)
    np.testing.assert_allclose(window(follower, 10.0)[0], AWAY[:3], atol=1e-12)
    placed = FigureFollower(straight(speed=1.0), STEPS, DT, (1.0, 2.0, 0.0))
    window(placed, 10.0)
    placed.relocate(*RELOCATED)
    np.testing.assert_allclose(window(placed, 10.0)[0], [1.0, 2.0, 0.0], atol=1e-12)


def test_the_clock_stands_still_while_the_robot_is_not_driven(follower):
    window(follower, 10.0)
    before = window(follower, 12.0)
    follower.hold()
    np.testing.assert_allclose(window(follower, 60.0), before, atol=1e-9)


def test_the_clock_never_runs_backwards(follower):
    window(follower, 10.0)
    before = window(follower, 12.0)
    np.testing.assert_allclose(window(follower, 11.98), before, atol=1e-9)


def test_a_restart_places_the_figure_anew(follower):
    window(follower, 10.0)
    window(follower, 15.0)
    follower.restart()
    np.testing.assert_allclose(window(follower, 16.0, np.zeros(5))[0], np.zeros(3), atol=1e-12)


def test_nothing_is_waited_for_and_there_is_no_goal(follower):
    target = follower.target(0.0, AWAY, DT)
    assert follower.waiting() is None
    assert target.goal is None and target.remaining == np.inf and target.halt is None


def test_a_reference_that_lies_still_is_not_moved_to_the_robot():
    follower = TimedFollower(straight(speed=1.0), STEPS, DT)
    np.testing.assert_allclose(window(follower, 10.0)[0], np.zeros(3), atol=1e-12)
