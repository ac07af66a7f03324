"""Getting nearer to a goal, and being there."""

from __future__ import annotations

import math

import numpy as np

from ..core.angles import wrap
from ..core.errors import InvalidValueError
from ..core.types import Array


class GoalChecker:
    """Says when the goal is reached.

    Args:
        xy_goal_tolerance: on the position, and on the rest of the path [m].
        yaw_goal_tolerance: on the heading [rad].
        stateful: a position once reached need not be held while turning to the heading.
    """

    def __init__(
        self, xy_goal_tolerance: float = 0.25, yaw_goal_tolerance: float = 0.25, stateful: bool = True
    ) -> None:
        self.configure(xy_goal_tolerance, yaw_goal_tolerance, stateful)
        self.reset()

    def configure(self, xy_goal_tolerance: float, yaw_goal_tolerance: float, stateful: bool) -> None:
        """Other tolerances; a goal that was reached stays reached."""
        for name, value in (
            ("xy_goal_tolerance", xy_goal_tolerance),
            ("yaw_goal_tolerance", yaw_goal_tolerance),
        ):
            if not (0.0 < value < math.inf):
                raise InvalidValueError(f"{name} must be finite and above 0, got {value}")
        self._xy, self._yaw, self._stateful = xy_goal_tolerance, yaw_goal_tolerance, stateful

    def reset(self) -> None:
        """Another goal."""
        self.position_reached = False
        self.reached = False

    def update(self, pose: Array, goal: Array, remaining: float) -> bool:
        """Take the robot's ``pose`` (3,) and the ``goal`` (3,), and the way left on the path [m].

        The way left keeps a path that ends where it starts from being done at once.

        Returns:
            The goal is, or was, reached.
        """
        if math.hypot(pose[0] - goal[0], pose[1] - goal[1]) <= self._xy and remaining <= self._xy:
            self.position_reached = True
        elif not self._stateful:
            self.position_reached = False
        if self.position_reached and abs(wrap(pose[2] - goal[2])) <= self._yaw:
            self.reached = True
        return self.reached


class ProgressChecker:
    """Says when the robot has not come nearer to its goal for too long.

    Only time spent trying counts: the caller leaves out the periods in which the robot was stopped.

    Args:
        movement_time_allowance: longest time without progress [s].
        required_movement: the way left must fall by this much to count [m].
        required_rotation: or, at the goal, the heading error [rad].
    """

    def __init__(
        self,
        movement_time_allowance: float = 10.0,
        required_movement: float = 0.1,
        required_rotation: float = 0.1,
    ) -> None:
        self.configure(movement_time_allowance, required_movement, required_rotation)
        self.reset()

    def configure(
        self, movement_time_allowance: float, required_movement: float, required_rotation: float = 0.1
    ) -> None:
        """Other thresholds; the time spent so far counts on."""
        for name, value in (
            ("movement_time_allowance", movement_time_allowance),
            ("required_movement", required_movement),
            ("required_rotation", required_rotation),
        ):
            if not (0.0 < value < math.inf):
                raise InvalidValueError(f"{name} must be finite and above 0, got {value}")
        self._allowance = movement_time_allowance
        self._movement, self._rotation = required_movement, required_rotation

    def reset(self) -> None:
        """Another goal, or another try."""
        self._least_remaining = self._least_error = np.inf
        self._idle = 0.0

    def shift(self, difference: float) -> None:
        """The same goal is now ``difference`` [m] farther along another path; no progress, no setback."""
        self._least_remaining += difference

    @property
    def idle(self) -> float:
        """Time spent trying since the last progress [s]."""
        return self._idle

    def update(self, remaining: float, heading_error: float | None, dt: float) -> bool:
        """One period of trying; once the time is over, only progress or a reset begin it anew.

        Args:
            remaining: way left to the goal [m].
            heading_error: to the goal once its position is reached [rad]; None before that.
            dt: length of the period [s]; below 0 counts as 0.

        Returns:
            No progress for longer than allowed.
        """
        self._idle += max(0.0, dt)
        if remaining <= self._least_remaining - self._movement:
            self._least_remaining = remaining
            self._idle = 0.0
        if heading_error is not None and abs(heading_error) <= self._least_error - self._rotation:
            self._least_error = abs(heading_error)
            self._idle = 0.0
        return self._idle > self._allowance


class MotionChecker:
    """Says when the robot has stayed where it is for too long while it was wanted elsewhere.

    For what is followed by time and has no goal to come nearer to. Only time spent trying counts.

    Args:
        movement_time_allowance: longest time of it [s].
        required_movement: away from the place [m], or
        required_rotation: from the heading [rad], is a movement.
    """

    def __init__(
        self,
        movement_time_allowance: float = 10.0,
        required_movement: float = 0.1,
        required_rotation: float = 0.1,
    ) -> None:
        self._allowance = movement_time_allowance
        self._least = np.array([required_movement, required_rotation])
        self.reset()

    def configure(self, movement_time_allowance: float, required_movement: float) -> None:
        """Other thresholds; the time spent so far counts on."""
        self._allowance, self._least[0] = movement_time_allowance, required_movement

    def reset(self) -> None:
        """Another try."""
        self._place: Array | None = None
        self._way, self._idle = np.zeros(2), 0.0

    def update(self, pose: Array, way: Array, dt: float) -> bool:
        """One period of trying.

        Args:
            pose: of the robot as measured, shape (3,); one that is predicted moves even if it is held.
            way: that what it follows would have gone meanwhile, shape (2,) [m, rad].
            dt: length of the period [s].

        Returns:
            For longer than allowed the robot has not moved, although what it follows has.
        """
        if self._place is None or (motion(self._place, pose) >= self._least).any():
            self._place, self._way, self._idle = pose.copy(), np.zeros(2), 0.0
        self._way = self._way + way
        self._idle += max(0.0, dt)
        return self._idle > self._allowance and bool((self._way > 2.0 * self._least).any())


def motion(a: Array, b: Array) -> Array:
    """From pose to pose: distance [m] and angle [rad], shape (2,)."""
    return np.array([math.hypot(b[0] - a[0], b[1] - a[1]), abs(wrap(b[2] - a[2]))])
