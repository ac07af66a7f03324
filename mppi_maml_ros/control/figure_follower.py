"""Following what says for each time where the robot should be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ..core.types import Array
from ..safety.codes import Code, State
from .config import ControlConfig
from .follower import Target
from .output import Halt
from .progress import MotionChecker


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

    Its clock stands still while the robot is not driven, so that the robot goes on where it left the
    reference instead of chasing it.

    Args:
        reference: in the frame of odometry.
        time_steps, model_dt: length and step [s] of the window.
        motion: stops a robot that does not move; None stops none.
    """

    def __init__(
        self, reference: Timed, time_steps: int, model_dt: float, motion: MotionChecker | None = None
    ) -> None:
        self._reference: Timed | None = reference
        self._motion = motion
        self._seen: Array | None = None
        self._time_steps, self._model_dt = time_steps, model_dt
        self._time = self._began = 0.0
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
        if self._held:
            self._began, self._held = now - self._time, False
        self._time = max(self._time, now - self._began)
        window = np.asarray(reference.window(self._time, self._time_steps, self._model_dt))
        seen = state[:3] if self._seen is None else self._seen
        if self._motion is not None and self._motion.update(seen, window[0], dt):
            reason = "the robot does not move, although what it follows does"
            return Target(window, halt=Halt(State.STOPPED, Code.FAILED_TO_MAKE_PROGRESS, reason))
        return Target(window)

    def hold(self) -> None:
        """See :class:`.follower.Follower`."""
        self._held = True

    def retreat(self, duration: float) -> None:
        """See :class:`.follower.Follower`; to the time before."""
        self._time, self._held = max(self._time - duration, 0.0), True

    def relocate(self) -> None:
        """See :class:`.follower.Follower`; the clock goes on."""

    def restart(self) -> None:
        """See :class:`.follower.Follower`."""
        self._time, self._held = 0.0, True
        if self._motion is not None:
            self._motion.reset()

    def configure(self, config: ControlConfig) -> None:
        """See :class:`.follower.Follower`; horizon and origin are those of the beginning."""
        if self._motion is not None:
            self._motion.configure(config.movement_time_allowance, config.required_movement)


class FigureFollower(TimedFollower):
    """A figure that begins where the robot is when control starts, or at a pose that was given.

    Args:
        figure: in a frame of its own.
        time_steps, model_dt: length and step [s] of the window.
        origin: pose (x, y, yaw) where the figure begins [m, m, rad]; empty: the robot's.
        motion: see :class:`TimedFollower`.
    """

    def __init__(
        self,
        figure: Figure,
        time_steps: int,
        model_dt: float,
        origin: Sequence[float] = (),
        motion: MotionChecker | None = None,
    ) -> None:
        super().__init__(figure, time_steps, model_dt, motion)
        self._figure, self._origin = figure, origin
        figure.window(0.0, time_steps, model_dt)  # compiled before the first control step waits for it
        self._reference = None

    def _place(self, state: Array) -> Timed:
        if self._reference is None:
            origin = np.array(self._origin, dtype=float) if self._origin else state[:3].copy()
            self._reference = self._figure.anchored(origin)
        return self._reference

    def restart(self) -> None:
        """See :class:`.follower.Follower`; the figure is placed anew."""
        super().restart()
        self._reference = None
