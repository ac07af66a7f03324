"""Whether the robot moves at all when it is told to.

An emergency stop, a hand or a wall holds a robot while commands go on. What it does then tells nothing of
how it drives. A robot is suspected as soon as it covers next to nothing of what is commanded, well above
what any dead band swallows, and is blocked when that goes on for longer than any delay.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Iterable

import numpy as np

from ..core.angles import wrap
from ..core.command_history import CommandHistory
from ..core.types import Odometry, VelocityLimits

WINDOW = 0.3  # [s] over which motion is looked at
BLOCKED_AFTER = 1.0  # [s] of standing still; delays are below
BRAKING = 1.0  # [s] before, in which a stop of its own may have braked the robot
LEAST = np.array([0.18, 1.0])  # [m/s, rad/s] commands above dead bands of .13 m/s and .85 rad/s
REACHABLE = 0.8  # share of the largest command, where that is less
COVERED = 0.15  # share of a commanded way below which it is next to nothing


class BlockedCheck:
    """Compares poses with commands.

    Args:
        limits: of the commands; None: not known.

    Attributes:
        suspected: the robot covers next to nothing of what is commanded.
        blocked: and has done so for ``BLOCKED_AFTER``.
        since: stamp from which on what it did may be no answer to its commands [s]; infinite unless suspected
    """

    def __init__(self, limits: VelocityLimits | None = None) -> None:
        self.configure(limits)
        self._commands = CommandHistory()
        self.reset()

    def configure(self, limits: VelocityLimits | None) -> None:
        """Other limits from now on."""
        self._least = LEAST
        if limits is not None:
            self._least = np.minimum(LEAST, REACHABLE * limits.high)

    def reset(self) -> None:
        """Forget everything, as after a jump of the clock."""
        self._commands.reset()
        self._samples: collections.deque[Odometry] = collections.deque()
        self._release()

    def _release(self) -> None:
        self.suspected = self.blocked = False
        self._still_since = math.inf

    @property
    def since(self) -> float:
        """See the class."""
        return self._still_since - BRAKING

    @property
    def still_for(self) -> float:
        """Time that the robot has stood still for against its commands [s]."""
        return self._samples[-1].stamp - self._still_since if self.suspected else 0.0

    def add_command(self, stamp: float, command: Iterable[float]) -> None:
        """A command (v, omega) in force from ``stamp`` [s]; one that is not finite is ignored."""
        v, omega = command
        if math.isfinite(stamp) and math.isfinite(v) and math.isfinite(omega):
            self._commands.record(stamp, (v, omega))

    def add_odometry(self, sample: Odometry, continuous: bool = True) -> None:
        """A sample, in the order of stamps; ``continuous``: the robot drove here from the one before."""
        samples = self._samples
        if not continuous:
            samples.clear()
            self._release()
        samples.append(sample)
        while len(samples) > 2 and sample.stamp - samples[1].stamp >= WINDOW - 1e-6:
            samples.popleft()
        first = samples[0]
        span = sample.stamp - first.stamp
        if span < WINDOW - 1e-6:
            return
        told = np.abs(self._commands.mean_over(first.stamp, sample.stamp))
        moved = math.hypot(sample.pose[0] - first.pose[0], sample.pose[1] - first.pose[1])
        turned = abs(wrap(sample.pose[2] - first.pose[2]))
        least = COVERED * span * np.maximum(told, self._least)
        if not (told >= self._least).any() or moved > least[0] or turned > least[1]:
            self._release()
            return
        if not self.suspected:
            self.suspected, self._still_since = True, first.stamp
        self.blocked = sample.stamp - self._still_since >= BLOCKED_AFTER
