import math

import numpy as np
import pytest

from mppi_maml_ros.control.progress import GoalChecker, MotionChecker, ProgressChecker, motion
from mppi_maml_ros.core.errors import InvalidValueError

GOAL = (1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    "pose, remaining, reached",
    [
        ((1.09, 2.0, 3.0), 0.0, True),
        ((1.0, 1.91, 3.0), 0.0, True),
        ((1.11, 2.0, 3.0), 0.0, False),
        ((1.0, 2.0, 3.19), 0.0, True),
        ((1.0, 2.0, 3.21), 0.0, False),
        ((1.0, 2.0, 3.0 - 2 * math.pi), 0.0, True),
        ((1.0, 2.0, 3.0), 0.09, True),
        ((1.0, 2.0, 3.0), 0.11, False),
    ],
)
def test_a_goal_is_reached_within_both_tolerances_and_at_the_end_of_the_path(pose, remaining, reached):
    assert GoalChecker(0.1, 0.2).update(pose, GOAL, remaining) == reached


def test_a_position_once_reached_need_not_be_held_while_turning():
    checker = GoalChecker(0.1, 0.2)
    assert not checker.update((1.0, 2.0, 0.0), GOAL, 0.0) and checker.position_reached
    assert checker.update((1.2, 2.0, 3.0), GOAL, 0.0)
    assert checker.update((5.0, 2.0, 0.0), GOAL, 9.0), "a goal stays reached"
    checker.reset()
    assert not checker.position_reached and not checker.update((1.2, 2.0, 3.0), GOAL, 0.0)


@pytest.mark.fault(23)
def test_no_progress_is_noticed_when_the_time_is_over():
    checker = ProgressChecker(10.0, 0.1)
    assert not checker.update(5.0, None, 0.05)
    noticed = [checker.update(4.91, None, 0.5) for _ in range(21)]
    assert noticed == [False] * 20 + [True] and checker.idle == pytest.approx(10.5)


@pytest.mark.fault(23)
def test_coming_nearer_is_progress_and_swinging_is_not():
    checker = ProgressChecker(10.0, 0.1)
    checker.update(5.0, None, 0.05)
    checker.update(4.9, None, 5.0)
    assert checker.idle == 0.0
    for remaining in (5.0, 4.9, 5.0, 4.85):
        checker.update(remaining, None, 1.0)
    assert checker.idle == 4.0


@pytest.mark.fault(23)
def test_turning_at_the_goal_is_progress():
    checker = ProgressChecker(10.0, 0.1, 0.1)
    checker.update(0.0, -1.0, 0.05)
    checker.update(0.0, 0.9, 5.0)
    assert checker.idle == 0.0
    checker.update(0.0, 0.85, 5.0)
    assert checker.idle == 5.0


def test_a_detour_is_neither_progress_nor_a_setback():
    checker = ProgressChecker(10.0, 0.1)
    checker.update(5.0, None, 1.0)
    checker.update(4.95, None, 1.0)
    checker.shift(3.0)
    checker.update(7.95, None, 1.0)
    assert checker.idle == 2.0
    checker.update(7.9, None, 1.0)
    assert checker.idle == 0.0


def test_a_reset_gives_another_try():
    checker = ProgressChecker(1.0, 0.1)
    checker.update(5.0, 1.0, 0.5)
    assert checker.update(5.0, 1.0, 1.5)
    checker.reset()
    assert not checker.update(9.0, 2.0, 0.5) and checker.idle == 0.0


def test_time_never_runs_backwards():
    checker = ProgressChecker(1.0, 0.1)
    checker.update(5.0, None, 0.5)
    checker.update(5.0, None, 0.5)
    checker.update(5.0, None, -3.0)
    assert checker.idle == 0.5


@pytest.mark.parametrize(
    "checker, field",
    [(GoalChecker, "xy_goal_tolerance"), (GoalChecker, "yaw_goal_tolerance")]
    + [
        (ProgressChecker, name)
        for name in ("movement_time_allowance", "required_movement", "required_rotation")
    ],
)
@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_thresholds_out_of_range_are_refused_by_name(checker, field, bad):
    with pytest.raises(InvalidValueError, match=field):
        checker(**{field: bad})


@pytest.mark.parametrize("distance", [0.25, 0.2501])
def test_tolerances_are_a_quarter_of_a_metre_and_of_a_radian_and_include_their_ends(distance):
    within = distance == 0.25
    origin = (0.0, 0.0, 0.0)
    assert GoalChecker().update((distance, 0.0, 0.0), origin, 0.0) is within
    assert GoalChecker().update((0.0, 0.0, distance), origin, 0.0) is within
    assert GoalChecker().update(origin, origin, distance) is within


def test_a_position_that_has_to_be_held_while_turning():
    checker = GoalChecker(0.1, 0.2, stateful=False)
    assert not checker.update((1.0, 2.0, 0.0), GOAL, 0.0) and checker.position_reached
    assert not checker.update((1.2, 2.0, 3.0), GOAL, 0.0) and not checker.position_reached
    assert checker.update((1.0, 2.0, 3.0), GOAL, 0.0)


def test_a_goal_is_not_reached_before_it_is_looked_at_nor_after_a_reset():
    checker = GoalChecker()
    assert not checker.reached and not checker.position_reached
    assert checker.update(GOAL, GOAL, 0.0)
    checker.reset()
    assert not checker.reached


def test_ten_seconds_ten_centimetres_and_a_tenth_of_a_radian_are_allowed():
    for progress in ((4.9, None), (5.0, 0.9)):
        checker = ProgressChecker()
        checker.update(5.0, 1.0, 0.0)
        assert not checker.update(5.0, 1.0, 10.0) and checker.update(5.0, 1.0, 0.01)
        assert not checker.update(*progress, 1.0)
        assert checker.idle == 0.0


def test_motion_is_a_distance_and_an_angle():
    a, b = np.array([1.0, 2.0, 3.0]), np.array([4.0, -2.0, -3.0])
    assert motion(a, b) == pytest.approx([5.0, 2.0 * math.pi - 6.0])
    assert motion(b, a) == pytest.approx([5.0, 2.0 * math.pi - 6.0])


HERE = np.array([3.0, -1.0, 0.5])
WANTED = np.array([0.05, 0.0])  # a period, of 0.5 s


def stays(checker, pose, way, periods, dt=0.5):
    """What the checker says, a period each."""
    return [checker.update(np.array(pose), np.array(way), dt) for _ in range(periods)]


@pytest.mark.parametrize("way", [(0.05, 0.0), (0.0, 0.05)])
def test_who_stays_while_the_reference_goes_on_is_stuck_after_ten_seconds(way):
    assert stays(MotionChecker(), HERE, way, 22) == [False] * 20 + [True] * 2


@pytest.mark.parametrize("way", [(0.0, 0.0), (0.009, 0.0), (0.0, 0.009)])
def test_who_is_not_wanted_elsewhere_may_stay(way):
    assert not any(stays(MotionChecker(), HERE, way, 22))


def test_the_way_has_to_be_twice_a_movement():
    for least, stuck in ((0.125, False), (0.1249, True)):
        checker = MotionChecker(1.0, least, 9.0)
        assert stays(checker, HERE, (0.0625, 0.0), 4)[-1] is stuck


@pytest.mark.parametrize(
    ("moved", "movement"),
    [
        ((0.09, 0.0, 0.0), False),
        ((0.0, 0.11, 0.0), True),
        ((0.0, 0.0, 0.09), False),
        ((0.0, 0.0, -0.11), True),
    ],
)
def test_a_movement_begins_another_try(moved, movement):
    checker = MotionChecker(1.0)
    assert not any(stays(checker, HERE, WANTED * 4.0, 2))
    said = stays(checker, HERE + moved, WANTED * 4.0, 3)
    assert said == ([False, False, True] if movement else [True, True, True])


def test_a_movement_counts_from_the_place_of_the_last():
    checker = MotionChecker(1.0)
    for k in range(20):
        assert not checker.update(HERE + [0.06 * k, 0.0, 0.0], WANTED * 4.0, 0.5)


def test_a_movement_of_just_the_least_is_one():
    checker = MotionChecker(1.0, 0.125)
    stays(checker, np.zeros(3), (0.5, 0.0), 2)
    assert not any(stays(checker, (0.125, 0.0, 0.0), (0.5, 0.0), 2))


def test_only_time_that_passes_counts_and_a_reset_or_another_allowance_are_heeded():
    checker = MotionChecker(1.0)
    assert not any(stays(checker, HERE, WANTED * 9.0, 20, dt=-1.0))
    assert stays(checker, HERE, WANTED, 3) == [False, False, True]
    checker.reset()
    assert stays(checker, HERE, WANTED * 9.0, 3) == [False, False, True]
    checker.configure(5.0, 0.5)
    assert not checker.update(HERE, WANTED, 0.5)
    assert not any(stays(checker, HERE, WANTED, 5)) and checker.update(HERE, WANTED * 9.0, 3.0)
