"""What nav2's action ``follow_path`` is told of the loop: results, feedback, speed limits. Knows no ROS."""

from __future__ import annotations

import enum
import math

import attrs

from ..core.errors import InvalidValueError
from ..core.types import VelocityLimits
from ..safety.codes import Code, State
from .output import ControlOutput

FOR_EVER = -1.0  # nav2's failure_tolerance without an end


class Ending(enum.Enum):
    """How a goal ends."""

    SUCCEEDED = enum.auto()
    CANCELED = enum.auto()
    ABORTED = enum.auto()


class Error(enum.IntEnum):
    """``error_code`` of nav2_msgs/FollowPath."""

    NONE = 0
    UNKNOWN = 100
    INVALID_CONTROLLER = 101
    TF_ERROR = 102
    INVALID_PATH = 103
    PATIENCE_EXCEEDED = 104
    FAILED_TO_MAKE_PROGRESS = 105
    NO_VALID_CONTROL = 106
    CONTROLLER_TIMED_OUT = 107


@attrs.frozen
class Outcome:
    """The end of a goal, and why."""

    ending: Ending
    error: Error = Error.NONE
    reason: str = ""


ERRORS = {
    # Where the robot is, is not known.
    **dict.fromkeys(
        (
            *(Code.ODOMETRY_TIMEOUT, Code.ODOMETRY_INVALID, Code.ODOMETRY_STALE, Code.ODOMETRY_FUTURE),
            *(Code.ODOMETRY_TELEPORT, Code.ODOMETRY_FRAME, Code.ODOMETRY_HANGING, Code.ODOMETRY_TWIST),
            *(Code.MULTIPLE_ODOMETRY_PUBLISHERS, Code.CLOCK_JUMP, Code.CLOCK_PAUSED),
        ),
        Error.TF_ERROR,
    ),
    Code.INVALID_PATH: Error.INVALID_PATH,
    Code.FAR_FROM_PATH: Error.INVALID_PATH,
    Code.FAILED_TO_MAKE_PROGRESS: Error.FAILED_TO_MAKE_PROGRESS,
    Code.NO_VALID_CONTROL: Error.NO_VALID_CONTROL,
    Code.CONTROL_OVERRUN: Error.CONTROLLER_TIMED_OUT,
    Code.CONTROL_EXCEPTION: Error.UNKNOWN,
}
"""Of what stops the robot; what is not here, as an emergency stop or a shutdown, ends no goal by itself."""

_WAITING = {State.WAITING_FOR_ODOMETRY: Error.TF_ERROR, State.WAITING_FOR_PLAN: Error.UNKNOWN}
_FINAL = (Code.INVALID_PATH, Code.FAR_FROM_PATH, Code.FAILED_TO_MAKE_PROGRESS)  # waiting does not help


class GoalWatch:
    """Says when a goal is over.

    Args:
        steady_now: when it was accepted, on the steady clock [s].
        failure_tolerance: what may pass is waited for so long [s]; ``FOR_EVER``: without an end.
    """

    def __init__(self, steady_now: float, failure_tolerance: float) -> None:
        self._well, self._tolerance = steady_now, failure_tolerance

    def update(self, output: ControlOutput, steady_now: float) -> Outcome | None:
        """The outcome after a tick; None while the goal is followed."""
        if output.state is State.GOAL_REACHED:
            return Outcome(Ending.SUCCEEDED)
        error = _WAITING.get(output.state) or ERRORS.get(output.code)
        if output.state is State.RUNNING or error is None:
            self._well = steady_now
            return None
        reason = output.reason or output.state.name
        if output.code in _FINAL:
            return Outcome(Ending.ABORTED, error, reason)
        failing = steady_now - self._well
        if self._tolerance == FOR_EVER or failing < self._tolerance:
            return None
        if error is Error.NO_VALID_CONTROL and self._tolerance > 0.0:
            error, reason = Error.PATIENCE_EXCEEDED, f"for {failing:.1f} s: {reason}"
        return Outcome(Ending.ABORTED, error, reason)


@attrs.frozen
class Feedback:
    """What is told while a goal is followed; ``nav2_msgs`` of each distribution takes of it what it knows.

    Attributes:
        speed: commanded, not negative [m/s].
        remaining_path_length: way left [m].
        distance_to_goal: the same, as in nav2 up to Kilted.
        position_tracking_error: distance from the path, left positive [m].
        heading_tracking_error: the robot's heading is to the right of the path's by this [rad].
    """

    speed: float
    remaining_path_length: float
    distance_to_goal: float
    position_tracking_error: float
    heading_tracking_error: float

    @classmethod
    def of(cls, output: ControlOutput) -> Feedback:
        """After a tick."""
        lateral, heading = 0.0, 0.0
        if output.reference is not None and output.predicted_pose is not None:
            x, y = output.predicted_pose[:2] - output.reference[:2]
            yaw = float(output.reference[2])
            lateral, heading = math.cos(yaw) * y - math.sin(yaw) * x, output.heading_error
        return cls(
            speed=abs(float(output.command[0])),
            remaining_path_length=output.remaining,
            distance_to_goal=output.remaining,
            position_tracking_error=lateral,
            heading_tracking_error=heading,
        )


def speed_share(percentage: bool, speed_limit: float, vx_max: float) -> float:
    """Share of the robot's limits that nav2_msgs/SpeedLimit leaves, in (0, 1].

    Args:
        percentage: ``speed_limit`` is in per cent of ``vx_max``, else in m/s; 0 is no limit.
        vx_max: of the robot [m/s].

    Raises:
        InvalidValueError: a limit that is not finite or below 0.
    """
    if not (0.0 <= speed_limit < math.inf):
        raise InvalidValueError(f"speed_limit must be finite and at least 0, got {speed_limit}")
    share = speed_limit / 100.0 if percentage else speed_limit / vx_max
    return min(share, 1.0) or 1.0


def slowed(limits: VelocityLimits, share: float) -> VelocityLimits:
    """The limits with all velocities scaled, as nav2's controllers do it; accelerations stay."""
    least = 1e-3  # of what can be declared
    return attrs.evolve(
        limits,
        vx_max=max(share * limits.vx_max, min(least, limits.vx_max)),
        vx_min=share * limits.vx_min,
        wz_max=max(share * limits.wz_max, min(least, limits.wz_max)),
    )
