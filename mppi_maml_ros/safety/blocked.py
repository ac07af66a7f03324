"""Whether the robot moves at all when it is told to.

An emergency stop, a hand or a wall holds a robot while commands go on. What it does then tells nothing of
how it drives. A robot is suspected as soon as it covers next to nothing of what is commanded, well above
what any dead band swallows, and is blocked when it has been told so for longer than any delay.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Iterable

import numpy as np

from ..core import se2
from ..core.command_history import CommandHistory
from ..core.kernels.se2 import displacement
from ..core.types import Array, Odometry, VelocityLimits

WINDOW = 0.3  # [s] over which motion is looked at
DELAY = 1.0  # [s] no robot takes longer to answer
BRAKING = 1.0  # [s] before it stands still, in which something else than its commands may have braked it
LEAST = np.array([0.18, 1.15])  # [m/s, rad/s] commands well above dead bands of .13 m/s and .85 rad/s
STILL_TOLD = 0.7  # of it: a command that falls no lower goes on
AWAY = np.array([0.025, 0.06])  # [m, rad] from where it came to rest
SETTLED = 0.8  # [s] after which it has
STANDING = 0.01  # of it: less is told to stand
REACHABLE = 0.8  # share of the largest command, where that is less
COVERED = 0.15  # share of a commanded way below which it is next to nothing


class BlockedCheck:
    """Compares poses with commands.

    Args:
        limits: of the commands; None: not known.

    Attributes:
        suspected: the robot covers next to nothing of what is commanded.
        blocked: and has been told to for longer than any delay.
        since: stamp from which on it may not have answered its commands [s]; infinite unless suspected.
    """

    def __init__(self, limits: VelocityLimits | None = None) -> None:
        self.configure(limits)
        self._commands = CommandHistory()
        displacement(np.zeros(3), np.zeros(3))  # compiled before the robot drives
        self.reset()

    def configure(self, limits: VelocityLimits | None) -> None:
        """Other limits from now on."""
        least = LEAST if limits is None else np.minimum(LEAST, REACHABLE * limits.high)
        self._least: list[float] = least.tolist()

    def reset(self) -> None:
        """Forget everything, as after a jump of the clock."""
        self._commands.reset()
        self._stuck_at: Array = np.zeros(3)
        self._told = [0.0, 0.0]  # sign of the command on each axis; 0: below LEAST
        self._told_since = [math.inf, math.inf]
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
            for axis, value in enumerate((v, omega)):
                lowest = self._least[axis] * (STILL_TOLD if value * self._told[axis] > 0.0 else 1.0)
                sign = math.copysign(1.0, value) if abs(value) >= lowest else 0.0
                if sign != self._told[axis]:
                    self._told[axis], self._told_since[axis] = sign, stamp if sign else math.inf

    def add_odometry(self, sample: Odometry, continuous: bool = True) -> None:
        """A sample with a twist that is believed, in the order of stamps.

        Args:
            sample: pose and twist must both say that the robot stands still.
            continuous: the robot drove here from the one before.
        """
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
        told = np.abs(self._commands.mean_over(first.stamp, sample.stamp)).tolist()
        if self.blocked and self.still_for >= SETTLED:
            # Who is blocked stays so, whatever noise there is, until it gets away or is told to stand.
            moves = bool((np.abs(se2.to_body(sample.pose, self._stuck_at)[[0, 2]]) > AWAY).any())
        else:
            self._stuck_at = sample.pose
            forward, _, turn = displacement(first.pose, sample.pose)  # pushed sideways is not driven
            v, omega = sample.twist.tolist()
            moves = False
            for axis, (way, fast) in enumerate(((abs(forward), abs(v)), (abs(turn), abs(omega)))):
                slow = COVERED * max(told[axis], self._least[axis])
                moves = moves or way > slow * span or fast > 2.0 * slow
        share = STANDING if self.blocked else 1.0
        told_to = told[0] >= share * self._least[0] or told[1] >= share * self._least[1]
        if moves or not told_to:
            self._release()
            return
        if not self.suspected:
            self.suspected, self._still_since = True, first.stamp
        self.blocked = self.blocked or sample.stamp - min(self._told_since) >= DELAY + WINDOW
