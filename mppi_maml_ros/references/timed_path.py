"""A path whose poses say when the robot is wanted there.

What stamps mean is told by themselves: nothing where all are equal, or none is later than now, as those of a
path that was recorded, or stamped while it was made. Else they are times, on the clock of the node, or from
the start on where the first is zero.
"""

from __future__ import annotations

import math

import attrs
import numpy as np
from numpy.typing import ArrayLike

from ..core.angles import wrap
from ..core.errors import InvalidPathError
from ..core.types import Array
from .polyline import validated

LATER = 1.0  # [s] after now, from which on a stamp is no moment at which a path was made
LONGEST = 86_400.0  # [s] of times from the start on; beyond, stamps are of a clock
_MIN_STEP = 1e-3  # [s] between two poses
_ALONG_COSINE = 0.5  # poses within 60 degrees of the direction of travel, or of its opposite, agree
_DISAGREEING_SHARE = 0.1  # of the length; with more the yaws of the poses mean nothing


@attrs.frozen(eq=False)
class Schedule:
    """When poses are wanted.

    Attributes:
        times: of the poses, from the first on [s], (M,).
        start: of the first, on the clock of the node [s]; None: when the robot starts.
    """

    times: Array
    start: float | None

    def over_for(self, now: float) -> float:
        """Time since the last of them [s]; below 0 where it is to come, or is not known yet."""
        return -math.inf if self.start is None else now - self.start - float(self.times[-1])


def schedule_of(stamps: ArrayLike, now: float, timed: bool = False) -> Schedule | None:
    """What the stamps of a path's poses say; None where they say nothing of when to be there.

    Args:
        stamps: [s], (M,).
        now: on the clock of the node [s].
        timed: they are times whatever they are, as those of a trajectory.

    Raises:
        InvalidPathError: times that do not increase from pose to pose, or are missing; names the pose.
    """
    stamps = np.asarray(stamps, dtype=float)
    if not len(stamps) or not timed and (stamps == stamps[0]).all():
        return None
    latest = stamps.max()
    relative = stamps[0] == 0.0 and latest <= LONGEST
    if not relative and not timed and latest <= now + LATER:
        return None
    missing = np.flatnonzero(stamps[1:] == 0.0) + 1 if relative else np.flatnonzero(stamps == 0.0)
    if len(missing):
        raise InvalidPathError(f"pose {missing[0]} of {len(stamps)} has no stamp, although others have")
    steps = np.diff(stamps)
    late = np.flatnonzero(steps < _MIN_STEP)
    if len(late):
        k = int(late[0])
        raise InvalidPathError(
            f"pose {k + 1} of {len(stamps)} is stamped {steps[k]:.6g} s after the one before, "
            f"where times must increase by at least {_MIN_STEP:g} s"
        )
    return Schedule(stamps - stamps[0], None if relative else float(stamps[0]))


class TimedPath:
    """Poses at times, linear in between; before the first and after the last the robot stands there.

    Args:
        poses: (M, 3), (x [m], y [m], yaw [rad]). Where the yaws contradict the direction of travel, as where
            ``headed`` says that they mean nothing, the robot is headed that way instead.
        schedule: of them.
        headed: the yaws mean something.

    Attributes:
        poses, schedule: as given.
        duration: from the first pose to the last [s].
        goal: the last pose, (3,).
        headed: a heading is wanted at the goal.

    Raises:
        InvalidPathError: see :func:`.polyline.validated`; or not as many poses as times.
    """

    def __init__(self, poses: ArrayLike, schedule: Schedule, headed: bool = True) -> None:
        self.poses, self.schedule, self.headed = validated(poses), schedule, headed
        if len(self.poses) != len(schedule.times):
            raise InvalidPathError(f"{len(self.poses)} poses have {len(schedule.times)} times")
        steps = np.diff(self.poses[:, :2], axis=0)
        lengths = np.hypot(steps[:, 0], steps[:, 1])
        self._x, self._y, self._times = self.poses[:, 0].copy(), self.poses[:, 1].copy(), schedule.times
        self._way = np.concatenate([[0.0], np.cumsum(lengths)])
        self._yaw = np.unwrap(_headings(self.poses[:, 2], steps, lengths, headed))
        self.duration = float(self._times[-1])
        self.goal = np.array([*self.poses[-1, :2], wrap(self._yaw[-1])])

    def window(self, t: float, steps: int, dt: float) -> Array:
        """Poses at t, t + dt, ..., t + steps * dt from the first on, (steps + 1, 3); yaws are continuous."""
        times = t + dt * np.arange(steps + 1)
        return np.column_stack([np.interp(times, self._times, of) for of in (self._x, self._y, self._yaw)])

    def remaining(self, t: float) -> float:
        """Way left at ``t`` [m]."""
        return float(self._way[-1] - np.interp(t, self._times, self._way))

    def same(self, other: TimedPath) -> bool:
        """Whether another says the same."""
        mine, theirs = self.schedule, other.schedule
        return (
            mine.start == theirs.start
            and np.array_equal(mine.times, theirs.times)
            and np.array_equal(self.poses, other.poses)
        )


def _headings(yaws: Array, steps: Array, lengths: Array, headed: bool) -> Array:
    """Yaws of the poses, or, where these mean nothing, the direction of travel on from each, (M,)."""
    moving = np.flatnonzero(lengths > 1e-6)
    if not len(moving):
        return yaws
    direction = np.arctan2(steps[:, 1], steps[:, 0])
    agree = np.abs(np.cos(yaws[:-1] - direction)) >= _ALONG_COSINE
    if headed and lengths[~agree].sum() <= _DISAGREEING_SHARE * math.fsum(lengths):
        return yaws
    # Of the step on which the robot is, or that it waits for; at the end, of the last.
    nearest = moving[np.minimum(np.searchsorted(moving, np.arange(len(yaws))), len(moving) - 1)]
    return direction[nearest]
