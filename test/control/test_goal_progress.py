import math

import pytest

from mppi_maml_ros.control.progress import GoalChecker, ProgressChecker
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
