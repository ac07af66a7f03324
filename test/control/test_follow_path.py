"""What nav2's ``follow_path`` is told of the loop."""

import math

import attrs
import numpy as np
import pytest

from mppi_maml_ros.control.follow_path import (
    ERRORS,
    FOR_EVER,
    Ending,
    Error,
    Feedback,
    GoalWatch,
    Outcome,
    slowed,
    speed_share,
)
from mppi_maml_ros.control.output import ControlOutput
from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.core.types import VelocityLimits
from mppi_maml_ros.safety.codes import Code, State

# nav2_msgs/action/FollowPath of Jazzy, and of Kilted and Lyrical, which keep these.
NAV2 = {
    "NONE": 0,
    "UNKNOWN": 100,
    "INVALID_CONTROLLER": 101,
    "TF_ERROR": 102,
    "INVALID_PATH": 103,
    "PATIENCE_EXCEEDED": 104,
    "FAILED_TO_MAKE_PROGRESS": 105,
    "NO_VALID_CONTROL": 106,
    "CONTROLLER_TIMED_OUT": 107,
}
REMARKS = (Code.NONE, Code.ROBOT_BLOCKED, Code.REFERENCE_SLOWED)
WAITED_FOR = (Code.EMERGENCY_STOP, Code.SHUTDOWN)  # a stop that somebody else ends
FINAL = (Code.INVALID_PATH, Code.FAR_FROM_PATH, Code.FAILED_TO_MAKE_PROGRESS)


def output(state, code=Code.NONE, **values):
    return ControlOutput(command=np.zeros(2), state=state, code=code, reason="why", **values)


def test_names_and_numbers_of_errors_are_those_of_nav2():
    assert {error.name: int(error) for error in Error} == NAV2


def test_each_code_of_the_loop_has_an_error_or_is_one_that_no_goal_ends_by():
    assert set(ERRORS) == set(Code) - {*REMARKS, *WAITED_FOR}


@pytest.mark.parametrize("code", ERRORS)
def test_a_goal_fails_at_once_by_what_waiting_does_not_help_and_else_after_the_tolerance(code):
    watch = GoalWatch(10.0, 0.5)
    stopped = output(State.STOPPED, code)
    first, later = watch.update(stopped, 10.1), watch.update(stopped, 10.6)
    assert first == (Outcome(Ending.ABORTED, ERRORS[code], "why") if code in FINAL else None)
    assert later.ending is Ending.ABORTED and "why" in later.reason
    expected = Error.PATIENCE_EXCEEDED if code is Code.NO_VALID_CONTROL else ERRORS[code]
    assert later.error is expected


@pytest.mark.parametrize("code", ERRORS)
def test_without_tolerance_the_first_failure_counts_and_has_its_own_error(code):
    assert GoalWatch(0.0, 0.0).update(output(State.STOPPING, code), 0.0).error is ERRORS[code]


def test_a_period_that_runs_begins_the_tolerance_anew():
    watch, failing = GoalWatch(0.0, 0.5), output(State.STOPPED, Code.NO_VALID_CONTROL)
    assert watch.update(failing, 0.4) is None
    assert watch.update(output(State.RUNNING, Code.ROBOT_BLOCKED), 0.45) is None
    assert watch.update(failing, 0.9) is None
    assert watch.update(failing, 0.96).error is Error.PATIENCE_EXCEEDED


@pytest.mark.parametrize("code", WAITED_FOR)
def test_a_stop_that_somebody_else_ends_is_waited_for(code):
    watch = GoalWatch(0.0, 0.1)
    assert all(watch.update(output(State.STOPPED, code), t) is None for t in (0.0, 1.0, 100.0))


def test_with_a_tolerance_for_ever_only_final_failures_end_a_goal():
    watch = GoalWatch(0.0, FOR_EVER)
    assert watch.update(output(State.STOPPED, Code.NO_VALID_CONTROL), 1e6) is None
    assert watch.update(output(State.STOPPED, Code.FAR_FROM_PATH), 1e6).error is Error.INVALID_PATH


def test_odometry_that_never_came_is_a_pose_that_is_not_known():
    watch = GoalWatch(0.0, 0.3)
    assert watch.update(output(State.WAITING_FOR_ODOMETRY), 0.4).error is Error.TF_ERROR


def test_a_goal_whose_path_got_lost_does_not_wait_for_ever():
    assert GoalWatch(0.0, 0.3).update(output(State.WAITING_FOR_PLAN), 0.4).error is Error.UNKNOWN


def test_a_goal_that_is_reached_succeeds_without_an_error():
    assert GoalWatch(0.0, 0.3).update(output(State.GOAL_REACHED), 0.1) == Outcome(Ending.SUCCEEDED)


@pytest.mark.parametrize("yaw", [0.0, 2.0, -1.0])
def test_feedback_has_speed_way_left_and_errors_with_nav2s_signs(yaw):
    left = np.array([-math.sin(yaw), math.cos(yaw)])
    told = Feedback.of(
        ControlOutput(
            command=np.array([-0.3, 0.1]),
            state=State.RUNNING,
            reference=np.array([1.0, 2.0, yaw]),
            predicted_pose=np.array([*(np.array([1.0, 2.0]) + 0.2 * left), yaw - 0.1]),
            heading_error=0.1,
            remaining=3.0,
        )
    )
    assert attrs.asdict(told) == pytest.approx(
        {
            "speed": 0.3,
            "remaining_path_length": 3.0,
            "distance_to_goal": 3.0,
            "position_tracking_error": 0.2,
            "heading_tracking_error": 0.1,
        }
    )


@pytest.mark.parametrize(
    ("percentage", "limit", "share"),
    [
        (True, 50.0, 0.5),
        (True, 0.0, 1.0),
        (True, 150.0, 1.0),
        (False, 0.2, 0.25),
        (False, 0.0, 1.0),
        (False, 3.0, 1.0),
    ],
)
def test_a_speed_limit_is_in_per_cent_or_metres_a_second_and_zero_is_none(percentage, limit, share):
    assert speed_share(percentage, limit, vx_max=0.8) == pytest.approx(share)


@pytest.mark.parametrize("limit", [math.nan, math.inf, -1.0])
def test_a_speed_limit_that_is_none_is_refused(limit):
    with pytest.raises(InvalidValueError, match="speed_limit must be finite and at least 0"):
        speed_share(True, limit, 0.8)


def test_all_velocities_are_scaled_and_accelerations_stay():
    limits = VelocityLimits(vx_max=0.8, vx_min=-0.4, wz_max=2.0)
    assert slowed(limits, 0.25) == attrs.evolve(limits, vx_max=0.2, vx_min=-0.1, wz_max=0.5)
    assert slowed(limits, 1.0) == limits
    assert slowed(limits, 1e-9).vx_max == 1e-3  # the least that a robot may be limited to
