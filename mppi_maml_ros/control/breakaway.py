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
from ..dynamics.reach import Reach

WINDOW = 0.3  # [s] over which motion is looked at
SMOOTH = 0.5  # [s] over which it is compared with what is wanted
STILL = (0.02, 0.05)  # [m/s, rad/s] slower is no motion
ANSWERS = 0.15  # share of what is wanted; who makes that obeys, if slowly
WORTH = (0.02, 0.05)  # [m, rad] of way wanted that a move is made for
LONGEST = 4.0  # times as much, of one move
FORGETS = 1.0  # [s] in which what was wanted fades
PATIENCE = 2.0  # [s] no robot takes longer to answer: .8 s late, and slow
LAGS, BEYOND = 2.0, 0.4  # one that is known: its delay, so many lags and [s]
RISE = (0.1, 0.6)  # [m/s^2, rad/s^2] at which commands are raised
MOST = (0.17, 1.1)  # [m/s, rad/s] no dead band is wider; whoever is told more and stands is blocked
REACHABLE = 0.8  # share of the largest command, where that is less
FADES = 300.0  # [s] in which what broke an axis loose is forgotten: friction changes


class _Axis:
    """One axis: what is wanted of it and not made, and the move that is made for that."""

    def __init__(self, axis: int) -> None:
        self.still, self.worth, self.rise, self.most = STILL[axis], WORTH[axis], RISE[axis], MOST[axis]
        self.least, self.patience = 0.0, PATIENCE
        self.hold()

    def hold(self) -> None:
        self.wish = self.pace = 0.0  # means of what is wanted and made
        self.owed = self.stood = 0.0
        self._end()

    def _end(self) -> None:
        self.sign = 0.0  # of a move under way
        self.told = self.left = 0.0  # command of the move, way left to make
        self.owed = self.stood = 0.0

    def raised(self, wanted: float, speed: float, dt: float) -> float:
        """The command for a ``wanted`` one at a ``speed``, ``dt`` [s] after the last."""
        if self.sign:
            return self._move(wanted, speed, dt)
        self.least *= 1.0 - min(dt / FADES, 1.0)
        share = min(dt / SMOOTH, 1.0)
        self.wish += share * (wanted - self.wish)
        self.pace += share * (speed - self.pace)
        if abs(self.pace) >= self.still:
            self.owed = self.stood = 0.0
            return wanted
        self.owed += dt * (wanted - speed - self.owed / FORGETS)
        worth = abs(self.owed) >= self.worth and self.owed * wanted > 0.0
        obeys = self.pace * math.copysign(1.0, wanted) >= ANSWERS * max(abs(wanted), abs(self.wish))
        self.stood = self.stood + dt if worth and not obeys else max(self.stood - dt, 0.0)
        # Either it is known that so small a command does nothing, or it has done nothing for long enough.
        unknown = abs(wanted) >= self.least
        if not worth or abs(wanted) > self.most or (unknown and self.stood < self.patience):
            return wanted
        self.sign, self.told = math.copysign(1.0, wanted), max(self.least, abs(wanted))
        self.left = min(abs(self.owed), LONGEST * self.worth)
        self.stood = self.patience if unknown else 0.0
        return self._move(wanted, speed, 0.0)

    def _move(self, wanted: float, speed: float, dt: float) -> float:
        self.left -= dt * speed * self.sign
        if speed * self.sign >= self.still:
            self.least, self.stood = self.told, 0.0
        else:
            self.stood += dt
            if self.stood >= self.patience:
                self.told = max(self.told, min(self.told + dt * self.rise, self.most))
        if self.left <= 0.0:
            self.least = self.told
        if self.left <= 0.0 or wanted * self.sign <= 0.0:
            self._end()
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
    def least(self) -> tuple[float, float]:
        """What last broke v and omega loose [m/s, rad/s]; 0: nothing was needed so far."""
        v, omega = self._axes
        return v.least, omega.least

    def configure(self, limits: VelocityLimits) -> None:
        """Other limits from now on."""
        for axis, most in zip(self._axes, np.minimum(MOST, REACHABLE * limits.high).tolist(), strict=True):
            axis.most, axis.least = most, min(axis.least, most)

    def learn(self, reach: Reach) -> None:
        """How long each axis takes to answer."""
        for axis, late, lag in zip(self._axes, reach.delay, reach.lag, strict=True):
            axis.patience = min(late + LAGS * lag + BEYOND, PATIENCE)

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
            command[i] = axis.raised(float(wanted[i]), speed, dt)
        return command
