"""Whether the robot goes on as before whatever it is told.

A base whose link to the controller is gone, or that drops what it hears, holds its last command until a
watchdog of its own stops it. Meanwhile commands seem to do nothing, or the reverse of what they do. So a
robot that keeps its velocity although it has been told to give most of it up, for longer than any delay and
lag explain, is deaf: what it does tells nothing of how it drives.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..core.types import Odometry

DELAY = 1.2  # [s] every robot has begun to answer by then
BEFORE = 2.0  # [s] it may have been deaf for before it was told otherwise
LEAST = (0.15, 0.3)  # [m/s, rad/s] of a velocity that is looked at
LESS = 0.4  # of it: who is told so little, or the other way, is told to give it up
BAND = 0.15  # of it: who keeps within has not begun to
NOISE = (0.03, 0.08)  # [m/s, rad/s] the least of such a band
SMOOTHED = 0.1  # [s] over which a velocity is taken


class DeafCheck:
    """Compares velocities with commands; not thread-safe.

    Attributes:
        deaf: the robot does not answer.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything, as after a jump of the clock."""
        self.deaf = False
        self._newest = -math.inf
        self._twist: list[float] | None = None  # smoothed
        self._kept = [0.0, 0.0]  # velocity that each axis keeps, since a stamp [s]
        self._since = [math.inf, math.inf]
        self._command = (math.nan, math.nan)  # nothing is told yet
        self._commanded = -math.inf  # stamp of it [s]
        self._told_since = [math.inf, math.inf]  # told to give it up [s]

    @property
    def since(self) -> float:
        """Stamp from which on the robot may have been deaf [s]; infinite where it is not."""
        axes = (0, 1) if self.deaf else ()
        return min((max(self._told_since[k] - BEFORE, self._since[k]) for k in axes), default=math.inf)

    @property
    def told_for(self) -> float:
        """Time for which the robot has been told otherwise [s]; 0 where it answers."""
        return self._newest - min(self._told_since) if self.deaf else 0.0

    def add_command(self, stamp: float, command: Iterable[float]) -> None:
        """A command (v, omega) in force from ``stamp`` [s]; one that is not finite is ignored."""
        v, omega = command
        if math.isfinite(stamp) and math.isfinite(v) and math.isfinite(omega):
            self._command, self._commanded = (v, omega), stamp
            self._look_at_command(stamp)

    def _look_at_command(self, stamp: float) -> None:
        for axis, (told, kept) in enumerate(zip(self._command, self._kept, strict=True)):
            otherwise = abs(kept) >= LEAST[axis] and told * math.copysign(1.0, kept) < LESS * abs(kept)
            self._told_since[axis] = min(self._told_since[axis], stamp) if otherwise else math.inf

    def add_odometry(self, sample: Odometry, continuous: bool = True) -> None:
        """A sample with a twist that is believed, in the order of stamps.

        Args:
            sample: its velocity.
            continuous: the robot drove here from the one before.
        """
        now, twist = sample.stamp, sample.twist.tolist()
        if self._twist is None or not continuous:
            self._twist = twist
        share = 1.0 - math.exp(-max(now - self._newest, 0.0) / SMOOTHED)
        self._newest = now
        for axis in range(2):
            self._twist[axis] += share * (twist[axis] - self._twist[axis])
            band = max(BAND * abs(self._kept[axis]), NOISE[axis])
            if not continuous or abs(self._twist[axis] - self._kept[axis]) > band:
                self._kept[axis], self._since[axis] = self._twist[axis], now
                self._told_since[axis] = math.inf
        self._look_at_command(max(now, self._commanded))  # odometry comes late
        self.deaf = now - min(self._told_since) >= DELAY
