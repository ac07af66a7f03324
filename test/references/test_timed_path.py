"""Stamps of poses: times to be there, or nothing."""

import math

import numpy as np
import pytest

from mppi_maml_ros.core.errors import InvalidPathError
from mppi_maml_ros.references.timed_path import Schedule, TimedPath, schedule_of

NOW = 1.7e9
LINE = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 1.0], [1.0, 0.0, 1.0]])
TIMES = np.array([0.0, 2.0, 4.0, 7.0])


@pytest.mark.parametrize(
    "stamps",
    [
        [],
        [NOW + 9.0],
        [0.0, 0.0, 0.0],
        [NOW, NOW, NOW],
        [NOW + 5.0, NOW + 5.0, NOW + 5.0],
        [NOW - 60.0, NOW - 50.0, NOW - 40.0],  # a drive that was recorded
        [NOW - 60.0, NOW - 70.0, NOW - 50.0],
        [NOW, NOW + 1e-4, NOW + 2e-4],  # stamped while it was made, by a clock that is a little ahead
        [NOW - 1.0, NOW - 1.0, NOW + 0.2],  # put together of two plans
        [0.0, NOW, NOW],
    ],
)
def test_stamps_that_are_equal_or_of_the_past_say_nothing(stamps):
    assert schedule_of(stamps, NOW) is None


def test_stamps_of_the_future_are_times_on_the_clock_and_those_from_zero_are_from_the_start_on():
    joined = schedule_of([NOW - 1.0, NOW + 1.0, NOW + 4.0], NOW)
    assert joined.start == NOW - 1.0
    np.testing.assert_allclose(joined.times, [0.0, 2.0, 5.0])
    later = schedule_of(TIMES, NOW)
    assert later.start is None
    np.testing.assert_allclose(later.times, TIMES)
    assert schedule_of([3.0, 5.0, 9.0], 2.0).start == 3.0, "a simulated clock begins at zero"


@pytest.mark.parametrize(
    ("stamps", "named"),
    [
        ([0.0, 1.0, 1.0, 2.0], "pose 2 of 4 is stamped 0 s after"),
        ([0.0, 1.0, 3.0, 2.0], "pose 3 of 4 is stamped -1 s after"),
        ([NOW, NOW + 2.0, NOW + 1.0, NOW + 5.0], "pose 2 of 4 is stamped -1 s after"),
        ([0.0, NOW + 2.0, NOW + 3.0], "pose 0 of 3 has no stamp"),
        ([NOW + 1.0, 0.0, NOW + 3.0], "pose 1 of 3 has no stamp"),
        ([0.0, 1.0, 0.0, 2.0], "pose 2 of 4 has no stamp"),
    ],
)
def test_times_that_do_not_increase_or_are_missing_are_refused_and_the_pose_is_named(stamps, named):
    with pytest.raises(InvalidPathError, match=named):
        schedule_of(stamps, NOW)


def test_the_robot_is_wanted_where_the_times_say_and_stands_before_and_after():
    path = TimedPath(LINE, Schedule(TIMES, None))
    np.testing.assert_allclose(path.window(-1.0, 4, 1.0)[:, 0], [0.0, 0.0, 0.5, 1.0, 1.0])
    np.testing.assert_allclose(path.window(2.0, 3, 1.0)[:, 2], [0.0, 0.5, 1.0, 1.0])
    np.testing.assert_allclose(path.window(99.0, 1, 1.0), [LINE[-1]] * 2)
    assert [path.remaining(t) for t in (-1.0, 1.0, 2.0, 99.0)] == pytest.approx([1.0, 0.5, 0.0, 0.0])
    assert path.duration == 7.0


def test_yaws_are_continuous_and_reverse_stays_reverse():
    yaws = [3.0, 3.1, -3.1, -3.0]
    poses = np.array([[-math.cos(3.14) * k, 0.0, yaw] for k, yaw in enumerate(yaws)])
    window = TimedPath(poses, Schedule(TIMES, None)).window(0.0, 70, 0.1)
    assert np.abs(np.diff(window[:, 2])).max() < 0.05, "driven backwards, and no jump at half a turn"
    assert window[0, 2] == 3.0


@pytest.mark.parametrize("headed", [True, False])
def test_yaws_that_mean_nothing_give_way_to_the_direction_of_travel(headed):
    yaws = [0.0, 0.0, 0.0, 0.0] if headed else [1.0, 2.0, 3.0, 1.0]
    poses = np.column_stack([[0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 2.0], yaws])  # to the left, with a rest
    path = TimedPath(poses, Schedule(TIMES, None), headed)
    np.testing.assert_allclose(path.window(0.0, 14, 0.5)[:, 2], math.pi / 2)
    np.testing.assert_allclose(path.goal, [0.0, 2.0, math.pi / 2])


@pytest.mark.parametrize(
    ("poses", "named"), [(LINE[:2], "2 poses have 4 times"), (LINE * np.nan, "NaN"), (LINE[:0], "empty")]
)
def test_bad_poses_are_refused(poses, named):
    with pytest.raises(InvalidPathError, match=named):
        TimedPath(poses, Schedule(TIMES, None))


def test_times_of_a_trajectory_are_times_whatever_they_are():
    assert schedule_of([NOW, NOW + 0.4], NOW) is None
    soon = schedule_of([NOW, NOW + 0.4], NOW, timed=True)
    assert soon.start == NOW and soon.times.tolist() == pytest.approx([0.0, 0.4])
    assert schedule_of([0.0], NOW, timed=True).start is None
    assert schedule_of([], NOW, timed=True) is None
    assert schedule_of([NOW - 9.0, NOW - 2.0], NOW, timed=True).over_for(NOW) == pytest.approx(2.0)
    assert schedule_of([0.0, 2.0], NOW, timed=True).over_for(NOW) < 0.0 > soon.over_for(NOW)
    with pytest.raises(InvalidPathError, match="pose 1 of 2 is stamped 0 s after the one before"):
        schedule_of([NOW, NOW], NOW, timed=True)
