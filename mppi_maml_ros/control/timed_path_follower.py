"""Following a path by its times, to its goal."""

from __future__ import annotations

import math

from ..core.angles import wrap
from ..core.types import Array
from ..references.timed_path import TimedPath
from ..safety.codes import Code, State
from .config import ControlConfig
from .figure_follower import TimedFollower
from .follower import Target
from .output import Halt
from .progress import GoalChecker, MotionChecker, ProgressChecker
from .timing import Retiming


class TimedPathFollower(TimedFollower):
    """As :class:`TimedFollower`, until the goal is reached after the path's last time.

    A path on the node's clock is joined where it is at the first step. From then on its clock is as that of
    a figure: it stands still while the robot is not driven, and with timing auto or progress it runs no
    faster than the robot can follow.

    Args:
        path: in the frame of the states.
        config: thresholds.
        motion: stops a robot that does not move; it counts on from another path to the same goal.
    """

    def __init__(self, path: TimedPath, config: ControlConfig, motion: MotionChecker) -> None:
        retiming = Retiming(config.timing, config.limits, config.lag_allowance)
        super().__init__(path, config.time_steps, config.model_dt, motion, retiming)
        self.path, self.motion = path, motion
        self._goal = GoalChecker(config.xy_goal_tolerance, config.yaw_goal_tolerance, config.stateful)
        self._progress = ProgressChecker(config.movement_time_allowance, config.required_movement)
        self._joined, self._config = False, config

    @property
    def reached(self) -> bool:
        """The goal was reached."""
        return self._goal.reached

    def configure(self, config: ControlConfig) -> None:
        """See :class:`.follower.Follower`; the path stays."""
        super().configure(config)
        self._config = config
        self._goal.configure(config.xy_goal_tolerance, config.yaw_goal_tolerance, config.stateful)
        self._progress.configure(config.movement_time_allowance, config.required_movement)

    def restart(self) -> None:
        """See :class:`.follower.Follower`; a path on the node's clock is joined anew."""
        super().restart()
        self._joined = False
        self._goal.reset()
        self._progress.reset()

    def target(self, now: float, state: Array, dt: float) -> Target:
        """See :class:`.follower.Follower`."""
        path = self.path
        if not self._joined:
            self._joined = True
            if path.schedule.start is not None:
                self._time = now - path.schedule.start
        goal = path.goal
        if self.reached:
            return Target(goal[None], goal, 0.0, Halt(State.GOAL_REACHED))
        target = super().target(now, state, dt)
        assert target.window is not None
        remaining = path.remaining(self._time)
        found = target.halt or self._far(target.window[0], state)
        if found is None and self._time >= path.duration:
            found = self._arrival(state, goal, dt)
        return Target(target.window, goal, remaining, found, target.rate, target.remark)

    def _far(self, wanted: Array, state: Array) -> Halt | None:
        distance, allowed = math.dist(wanted[:2], state[:2]), self._config.far_from_path
        if distance <= allowed:
            return None
        reason = f"the robot is {distance:.2f} m from where the path is now, allowed are {allowed:g} m"
        return Halt(State.STOPPED, Code.FAR_FROM_PATH, reason)

    def _arrival(self, state: Array, goal: Array, dt: float) -> Halt | None:
        """Once the path is over: the goal is reached, or not come nearer to, or None."""
        distance = math.dist(goal[:2], state[:2])
        if not self.path.headed:
            goal[2] = state[2]
        if self._goal.update(state[:3], goal, 0.0):
            return Halt(State.GOAL_REACHED)
        turn = abs(wrap(state[2] - goal[2])) if self._goal.position_reached else None
        if self._progress.update(distance, turn, dt):
            seconds = self._config.movement_time_allowance
            reason = f"no progress towards the goal for {seconds:g} s"
            return Halt(State.STOPPED, Code.FAILED_TO_MAKE_PROGRESS, reason)
        return None
