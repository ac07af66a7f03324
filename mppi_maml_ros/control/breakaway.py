"""Commands that do not move a standing axis, raised step by step to where it moves, and that remembered.

Friction holds an axis that stands until a command is large enough, and small commands are not obeyed at all.
What is wanted of a standing axis adds up; once it is worth a move, the axis is told no less than what broke
it loose before. If that moves nothing for longer than it takes the robot to answer, it is told more and more.
"""

from __future__ import annotations

import collections
import math

import numpy as np

from ..core.types import Array, Odometry, VelocityLimits

WINDOW = 0.2  # [s] over which motion is looked at
STILL = (0.02, 0.05)  # [m/s, rad/s] slower is no motion
ANSWERS = 0.2  # share of what is wanted; who makes that obeys, if slowly
WORTH = (0.02, 0.05)  # [m, rad] of way wanted that a move is made for
LONGEST = 4.0  # times as much, of one move
FORGETS = 1.0  # [s] in which what was wanted fades
PATIENCE = 1.0  # [s] no robot takes longer to answer
BEYOND = 0.25  # [s] more than its delay, of a robot that is known
RISE = (0.1, 0.6)  # [m/s^2, rad/s^2] at which commands are raised
MOST = (0.2, 1.2)  # [m/s, rad/s] no dead band is wider
REACHABLE = 0.8  # share of the largest command, where that is less
SINKS = 0.98  # of what broke an axis loose, the next time: friction changes


class _Axis:
    """One axis: what is wanted of it and not made, and the move that is made for that."""

    def __init__(self, axis: int) -> None:
        self.still, self.worth, self.rise = STILL[axis], WORTH[axis], RISE[axis]
        self.least, self.patience = 0.0, PATIENCE
        self.hold()

    def hold(self) -> None:
        self.owed = self.stood = 0.0
        self.sign = 0.0  # of a move under way
        self.told = self.left = 0.0  # command of the move, way left to make

    def raised(self, wanted: float, speed: float, dt: float, most: float) -> float:
        stands = abs(speed) < self.still and speed * math.copysign(1.0, wanted) < ANSWERS * abs(wanted)
        self.stood = self.stood + dt if stands else 0.0
        if self.sign:
            return self._move(wanted, speed, dt, most, stands)
        self.owed += dt * (wanted - speed - self.owed / FORGETS)
        if not stands:
            self.owed = 0.0
        elif abs(self.owed) >= self.worth and self.owed * wanted > 0.0 and self._sticks(abs(wanted)):
            self.sign = math.copysign(1.0, wanted)
            self.left = min(abs(self.owed), LONGEST * self.worth)
            self.told = max(self.least, abs(wanted))
            self.stood = 0.0 if self.least > abs(wanted) else self.stood
            return self._move(wanted, speed, 0.0, most, stands)
        return wanted

    def _sticks(self, wanted: float) -> bool:
        """A command so large is not known to move the axis, or has not."""
        return wanted < self.least or self.stood >= self.patience

    def _move(self, wanted: float, speed: float, dt: float, most: float, stands: bool) -> float:
        self.left -= dt * speed * self.sign
        if stands:
            if self.stood >= self.patience:
                self.told = min(self.told + dt * self.rise, most)
        elif speed * self.sign > 0.0:
            self.least = self.told
        if self.left <= 0.0 or wanted * self.sign <= 0.0:
            self.least *= SINKS
            self.hold()
            return wanted
        return self.sign * max(self.told, abs(wanted))


class Breakaway:
    """Raises commands (v, omega) that would not move the robot; not thread-safe.

    Args:
        limits: of the commands.
    """

    def __init__(self, limits: VelocityLimits) -> None:
        self._axes = (_Axis(0), _Axis(1))
        self.configure(limits)
        self.reset()

    @property
    def least(self) -> Array:
        """What last broke each axis loose, shape (2,) [m/s, rad/s]; 0: nothing was needed so far."""
        return np.array([axis.least for axis in self._axes])

    def configure(self, limits: VelocityLimits) -> None:
        """Other limits from now on."""
        self._most = np.minimum(MOST, REACHABLE * limits.high).tolist()
        for axis, most in zip(self._axes, self._most, strict=True):
            axis.least = min(axis.least, most)

    def learn(self, delay: tuple[float, float]) -> None:
        """How long each axis takes to answer [s]."""
        for axis, late in zip(self._axes, delay, strict=True):
            axis.patience = min(late + BEYOND, PATIENCE)

    def reset(self) -> None:
        """Forget what was measured and wanted; what breaks an axis loose stays known."""
        self._samples: collections.deque[Odometry] = collections.deque()
        self.hold()

    def hold(self) -> None:
        """The robot is not driven, or held by something else than its own friction."""
        for axis in self._axes:
            axis.hold()

    def add_odometry(self, sample: Odometry, continuous: bool = True) -> None:
        """A sample with a twist that is believed, in the order of stamps."""
        if not continuous:
            self._samples.clear()
        self._samples.append(sample)
        while sample.stamp - self._samples[0].stamp > WINDOW + 1e-6:
            self._samples.popleft()

    def raised(self, wanted: Array, dt: float) -> Array:
        """The command to give where ``wanted`` (2,) is chosen, ``dt`` [s] after the last; shape (2,)."""
        if not self._samples:
            return wanted
        dt, count = max(dt, 0.0), len(self._samples)
        command = wanted.copy()
        for i, axis in enumerate(self._axes):
            speed = sum(float(sample.twist[i]) for sample in self._samples) / count
            command[i] = axis.raised(float(wanted[i]), speed, dt, self._most[i])
        return command
