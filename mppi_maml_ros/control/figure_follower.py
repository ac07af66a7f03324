"""Following what says for each time where the robot should be."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ..core.se2 import compose, to_body
from ..core.types import Array
from ..dynamics.reach import Reach
from ..safety.codes import Code, State
from .config import ControlConfig
from .follower import Target
from .output import Halt
from .progress import MotionChecker, motion
from .timing import Retiming

_REMEMBERED = 600  # steps of which it is known where the reference was


class Timed(Protocol):
    """A reference over time that lies where it lies; see ``references.figures``."""

    def window(self, t: float, steps: int, dt: float) -> Array:
        """Poses at t, t + dt, ..., t + steps * dt, shape (steps + 1, 3)."""


class Figure(Timed, Protocol):
    """A reference over time that can be moved; see ``references.figures``."""

    def anchored(self, origin: Array) -> Timed:
        """The same, beginning at the pose ``origin``, shape (3,)."""


class TimedFollower:
    """A reference that lies still, from its time 0 on at the first step.

    Its clock may be slowed to what the robot can follow, see :mod:`.timing`. It stands still while the robot
    is not driven, so that the robot goes on where it left the reference instead of chasing it.

    Args:
        reference: in the frame of odometry.
        time_steps, model_dt: length and step [s] of the window.
        motion: stops a robot that does not move; None stops none.
        retiming: slows the clock to what the robot can follow; None: it runs by itself.
    """

    def __init__(
        self,
        reference: Timed,
        time_steps: int,
        model_dt: float,
        motion: MotionChecker | None = None,
        retiming: Retiming | None = None,
    ) -> None:
        self._reference: Timed | None = reference
        self._motion, self._retiming = motion, retiming
        if retiming is not None:
            retiming.warm_up()
        self._seen: Array | None = None
        self._time_steps, self._model_dt = time_steps, model_dt
        self._time = self._began = self._now = 0.0
        self._past: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)  # now, and the time then
        self._held = True

    def _place(self, state: Array) -> Timed:
        """Where the reference lies from now on."""
        assert self._reference is not None
        return self._reference

    def waiting(self) -> Halt | None:
        """See :class:`.follower.Follower`; never."""
        return None

    def see(self, pose: Array) -> None:
        """See :class:`.follower.Follower`."""
        self._seen = pose

    def target(self, now: float, state: Array, dt: float) -> Target:
        """See :class:`.follower.Follower`."""
        reference = self._place(state)
        elapsed = 0.0 if self._held else max(now - self._now, 0.0)
        if self._held:
            self._began, self._held, self._now = now - self._time, False, now
        elif self._retiming is not None:
            self._began += (1.0 - self._retiming.rate) * elapsed
        self._now = max(self._now, now)
        self._time = max(self._time, now - self._began)
        self._past.append((now, self._time))
        window = np.asarray(reference.window(self._time, self._time_steps, self._model_dt))
        if self._motion is not None and self._stuck(self._motion, window, state, dt):
            reason = "the robot does not move, although what it follows does"
            return Target(window, halt=Halt(State.STOPPED, Code.FAILED_TO_MAKE_PROGRESS, reason))
        if self._retiming is None:
            return Target(window)
        window = self._retiming.window(window, self._model_dt, state, elapsed)
        return Target(window, rate=self._retiming.rate, remark=self._retiming.remark)

    def _stuck(self, checker: MotionChecker, window: Array, state: Array, dt: float) -> bool:
        """Whether the robot stays where it is; a reference that waits for it goes on at its own rate here."""
        way = motion(window[0], window[1]) * (max(dt, 0.0) / self._model_dt)
        return checker.update(state[:3] if self._seen is None else self._seen, way, dt)

    def hold(self) -> None:
        """See :class:`.follower.Follower`."""
        self._held = True
        if self._retiming is not None:
            self._retiming.restart()

    def learn(self, reach: Reach) -> None:
        """See :class:`.follower.Follower`."""
        if self._retiming is not None:
            self._retiming.reach = reach

    def retreat(self, duration: float) -> None:
        """See :class:`.follower.Follower`; to the time before."""
        then = self._past[-1][0] - duration if self._past else 0.0
        while len(self._past) > 1 and self._past[-1][0] > then + 1e-9:
            self._past.pop()
        self._time = self._past[-1][1] if self._past else 0.0
        self.hold()

    def relocate(self, before: Array, after: Array) -> None:
        """See :class:`.follower.Follower`; the clock goes on."""

    def restart(self) -> None:
        """See :class:`.follower.Follower`."""
        self._time = 0.0
        self._past.clear()
        self.hold()
        if self._motion is not None:
            self._motion.reset()

    def configure(self, config: ControlConfig) -> None:
        """See :class:`.follower.Follower`; horizon and origin are those of the beginning."""
        if self._motion is not None:
            self._motion.configure(config.movement_time_allowance, config.required_movement)
        if self._retiming is not None:
            self._retiming.configure(config.timing, config.limits, config.lag_allowance)


class FigureFollower(TimedFollower):
    """A figure that begins where the robot is when control starts, or at a pose that was given.

    One that begins where the robot is goes with odometry that jumps: the robot has not moved, and would dash
    to where the figure was by what odometry said before.

    Args:
        figure: in a frame of its own.
        time_steps, model_dt: length and step [s] of the window.
        origin: pose (x, y, yaw) where the figure begins [m, m, rad]; empty: the robot's.
        motion, retiming: see :class:`TimedFollower`.
    """

    def __init__(
        self,
        figure: Figure,
        time_steps: int,
        model_dt: float,
        origin: Sequence[float] = (),
        motion: MotionChecker | None = None,
        retiming: Retiming | None = None,
    ) -> None:
        super().__init__(figure, time_steps, model_dt, motion, retiming)
        self._figure, self._origin = figure, origin
        self._placed = np.zeros(3)  # where the figure begins now
        figure.window(0.0, time_steps, model_dt)  # compiled before the first control step waits for it
        self._reference = None

    def _place(self, state: Array) -> Timed:
        if self._reference is None:
            self._placed = np.array(self._origin, dtype=float) if self._origin else state[:3].copy()
            self._reference = self._figure.anchored(self._placed)
        return self._reference

    def relocate(self, before: Array, after: Array) -> None:
        """See :class:`.follower.Follower`."""
        if self._reference is not None and not self._origin:
            self._placed = compose(after, to_body(self._placed, before))
            self._reference = self._figure.anchored(self._placed)

    def restart(self) -> None:
        """See :class:`.follower.Follower`; the figure is placed anew."""
        super().restart()
        self._reference = None
