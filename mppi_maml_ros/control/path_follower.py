"""Following a path to its goal."""

from __future__ import annotations

import math

import attrs
import numpy as np
from numpy.typing import ArrayLike

from ..core import se2
from ..core.angles import wrap
from ..core.errors import InvalidPathError, InvalidValueError
from ..core.types import Array
from ..dynamics.reach import Reach
from ..references.path import PathReference
from ..references.timed_path import TimedPath, schedule_of
from ..safety.codes import Code, State
from .config import ControlConfig
from .follower import Target
from .output import Halt
from .progress import GoalChecker, MotionChecker, ProgressChecker
from .timed_path_follower import TimedPathFollower
from .timing import TOLD, Retiming, differ, within_reach

# Beside a corner a robot may rest for ever: what is wanted next lies behind it, and what comes then can wait.
_REST, _LEAD_RATE, _LONGEST_LEAD = 1.5, 0.1, 0.3  # [s, m/s, m] after which it is led on, how fast and how far
_FAR_HYSTERESIS = 0.9  # of far_from_path; nearer than that the robot is back


class PathFollower:
    """The newest path, the frame it is in, and how far the robot has come on it.

    One whose poses have times is followed by :class:`.timed_path_follower.TimedPathFollower`.
    """

    def __init__(self, config: ControlConfig) -> None:
        Retiming.warm_up()
        self._config, self._profile = config, config.path_profile()
        self._reach: Reach | None = None
        self._timed = self._profile  # by what the robot reaches
        self._goal = GoalChecker(config.xy_goal_tolerance, config.yaw_goal_tolerance, config.stateful)
        self._progress = ProgressChecker(config.movement_time_allowance, config.required_movement)
        self._path: PathReference | None = None
        self._timetable: TimedPathFollower | None = None  # in place of a path without times
        self._fault: str | None = None
        self._frame = config.odom_frame
        self._origins: dict[str, Array] = {config.odom_frame: np.zeros(3)}  # of frames, in that of odometry
        self._replaced: PathReference | None = None  # as far as the progress on it has been counted
        self._tried: tuple[str, Array] | None = None  # frame and goal for which progress is counted
        self._far = False

    def configure(self, config: ControlConfig) -> None:
        """See :class:`.follower.Follower`; path and progress stay."""
        profile = config.path_profile()
        before, self._config = self._timed, config
        self._goal.configure(config.xy_goal_tolerance, config.yaw_goal_tolerance, config.stateful)
        self._progress.configure(config.movement_time_allowance, config.required_movement)
        self._profile, self._timed = profile, within_reach(profile, self._reach, config.timing)
        if self._timed != before and self._path is not None:
            path = PathReference(self._path.poses, self._timed, self._path.headed)
            if self._path.started:
                path.resume(self._path.progress)
            self._path = path
        if self._timetable is not None:
            self._timetable.configure(config)

    def learn(self, reach: Reach) -> None:
        """See :class:`.follower.Follower`."""
        self._reach = reach
        if self._timetable is not None:
            self._timetable.learn(reach)
        timed = within_reach(self._profile, reach, self._config.timing)
        if differ(timed, self._timed):
            self._timed = timed
            if self._path is not None:
                self._path.retime(timed)

    def set_origin(self, frame_id: str, origin: ArrayLike) -> None:
        """Where the frame of paths lies in that of odometry now; a path keeps its progress meanwhile.

        Args:
            frame_id: frame in which paths may come from now on, besides that of odometry.
            origin: its pose (x, y, yaw) in the frame of odometry [m, m, rad].

        Raises:
            InvalidValueError: an origin that is not three finite numbers.
        """
        pose = np.array(origin, dtype=float)
        if pose.shape != (3,) or not np.isfinite(pose).all():
            raise InvalidValueError(f"the origin of frame {frame_id!r} must be three finite numbers")
        self._origins[frame_id] = pose

    def handle_path(
        self,
        frame_id: str,
        poses: ArrayLike,
        headed: bool = True,
        stamps: ArrayLike = (),
        timed: bool = False,
        now: float = 0.0,
    ) -> str:
        """Take a path in place of the one before; the robot stops if it cannot be followed.

        Args:
            frame_id: frame of the poses: that of odometry, or one that :meth:`set_origin` told of.
            poses: (x [m], y [m], yaw [rad]), shape (M, 3).
            headed: the yaws mean something; else any heading will do at the goal.
            stamps, timed: of the poses [s], shape (M,); see :func:`.timed_path.schedule_of`.
            now: on the node's clock [s].

        Returns:
            Why it was rejected; empty when it was not.
        """
        before = self._path
        try:
            if frame_id not in self._origins:
                raise InvalidPathError(f"path is in frame {frame_id!r}, expected {self._config.odom_frame!r}")
            schedule = schedule_of(stamps, now, timed)
            if schedule is None:
                self._path = path = PathReference(poses, self._timed, headed)
                self._timetable, goal = None, path.goal
            else:
                wanted = TimedPath(poses, schedule, headed)
                over = schedule.over_for(now) if timed else -math.inf
                if self._repeats(frame_id, wanted, over > 0.0):
                    return ""
                if over > 0.0:
                    raise InvalidPathError(f"the last of its times was {over:.6g} s ago")
                goal = wanted.goal
        except InvalidPathError as error:
            self._replaced = self._replaced or before
            self._path, self._timetable, self._fault = None, None, str(error)
            return self._fault
        self._frame, self._fault, self._far = frame_id, None, False
        goal = goal * [1.0, 1.0, float(headed)]
        self._replaced = self._replaced or before
        tried = self._is_tried(frame_id, goal)
        if not tried:
            # To the same goal, a planner that replans must not hide a stuck robot, nor set it off again.
            self._tried, self._replaced = (frame_id, goal), None
            self._progress.reset()
        self._goal.reset()
        if schedule is not None:
            self._path = self._replaced = None
            self._timetable = self._by_times(wanted, tried)
        return ""

    def _by_times(self, path: TimedPath, tried: bool) -> TimedPathFollower:
        config, before = self._config, self._timetable
        if tried and before is not None:
            motion = before.motion
        else:
            motion = MotionChecker(config.movement_time_allowance, config.required_movement)
        made = TimedPathFollower(path, config, motion)
        if self._reach is not None:
            made.learn(self._reach)
        return made

    def _repeats(self, frame_id: str, path: TimedPath, over: bool) -> bool:
        """Whether it is the one that is followed: told again, it does not begin anew.

        One whose goal is reached does, where its times are not ``over``.
        """
        known = self._timetable
        if known is None or frame_id != self._frame or known.reached and not over:
            return False
        return known.path.same(path)

    def drop_path(self) -> None:
        """Forget the path; the next one is another try, also to the same goal."""
        self._path = self._timetable = self._fault = self._replaced = self._tried = None

    def _is_tried(self, frame_id: str, goal: Array) -> bool:
        if self._tried is None or self._tried[0] != frame_id:
            return False
        x, y, yaw = goal - self._tried[1]
        config = self._config
        return math.hypot(x, y) <= config.xy_goal_tolerance and abs(wrap(yaw)) <= config.yaw_goal_tolerance

    def hold(self) -> None:
        """See :class:`.follower.Follower`; a path without times has no clock."""
        if self._timetable is not None:
            self._timetable.hold()

    def retreat(self, duration: float) -> None:
        """See :class:`.follower.Follower`; a path without times waits where the robot is."""
        if self._timetable is not None:
            self._timetable.retreat(duration)

    def relocate(self, before: Array, after: Array) -> None:
        """See :class:`.follower.Follower`: the robot is looked for anywhere on the path."""
        self._look_anywhere()

    def _look_anywhere(self) -> None:
        if self._path is not None:
            self._path.restart()

    def restart(self) -> None:
        """See :class:`.follower.Follower`."""
        self._look_anywhere()
        if self._timetable is not None:
            self._timetable.restart()
        self._replaced = None
        self._goal.reset()
        self._progress.reset()
        self._far = False

    def waiting(self) -> Halt | None:
        """See :class:`.follower.Follower`."""
        if self._fault is not None:
            return Halt(State.STOPPED, Code.INVALID_PATH, self._fault)
        if self._path is None and self._timetable is None:
            return Halt(State.WAITING_FOR_PLAN)
        return None

    def see(self, pose: Array) -> None:
        """See :class:`.follower.Follower`; progress is told by the predicted pose."""

    def target(self, now: float, state: Array, dt: float) -> Target:
        """See :class:`.follower.Follower`."""
        origin = self._origins[self._frame]
        if not origin.any():
            return self._target(now, state, dt)
        target = self._target(now, np.concatenate([se2.to_body(state[:3], origin), state[3:]]), dt)
        window, goal = (
            None if poses is None else se2.compose(origin, poses) for poses in (target.window, target.goal)
        )
        return attrs.evolve(target, window=window, goal=goal)

    def _target(self, now: float, state: Array, dt: float) -> Target:
        """In the frame of the path."""
        if self._timetable is not None:
            return self._timetable.target(now, state, dt)
        path = self._path
        if path is None:
            return Target(None, halt=Halt(State.WAITING_FOR_PLAN))
        window, halt = self._window(path, state, dt)
        rate = self._timed.desired_speed / self._profile.desired_speed
        return Target(window, path.goal, path.remaining, halt, rate, self._remark())

    def _remark(self) -> str:
        timed, wanted = self._timed.desired_speed, self._profile.desired_speed
        if self._reach is None or timed > TOLD * wanted:
            return ""
        share, reached = 100.0 * timed / wanted, self._reach.forward
        return f"path driven at {share:.0f} % of desired_speed: the robot reaches at most {reached:.2f} m/s"

    def _window(self, path: PathReference, state: Array, dt: float) -> tuple[Array | None, Halt | None]:
        """In the frame of the path."""
        config = self._config
        if self._goal.reached:
            return path.goal[None], Halt(State.GOAL_REACHED)
        distance = path.distance(state)
        self._far = distance > config.far_from_path * (_FAR_HYSTERESIS if self._far else 1.0)
        if self._far:
            reason = f"the robot is {distance:.2f} m from the path, allowed are {config.far_from_path:g} m"
            return None, Halt(State.STOPPED, Code.FAR_FROM_PATH, reason)
        lead = min(max(_LEAD_RATE * (self._progress.idle - _REST), 0.0), _LONGEST_LEAD)
        window = path.window(state, config.time_steps, config.model_dt, lead)
        if self._replaced is not None:
            self._replaced.window(state, 1, config.model_dt)
            self._progress.shift(path.remaining - self._replaced.remaining)
            self._replaced = None
        goal = path.goal
        if not path.headed:
            goal[2] = state[2]
            if not path.length:
                window[:, 2] = state[2]
        if self._goal.update(state[:3], goal, path.remaining):
            return path.goal[None], Halt(State.GOAL_REACHED)
        at_goal = abs(wrap(state[2] - goal[2])) if self._goal.position_reached else None
        if self._progress.update(path.remaining, at_goal, dt):
            reason = f"no progress along the path for {config.movement_time_allowance:g} s"
            return window, Halt(State.STOPPED, Code.FAILED_TO_MAKE_PROGRESS, reason)
        return window, None
