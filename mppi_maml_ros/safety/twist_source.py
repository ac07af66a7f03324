"""The twist to go by: that of odometry, or the rate at which its pose moves.

The rate is that of two displacements, each over ``OVER`` or a message, whichever is longer, carried on to
the newest pose: it is not late while the robot speeds up or slows down evenly. Where the poses are noisy they
are taken over longer, up to ``LONGEST``, until the noise of the rate is ``NOISE``.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Iterable

import attrs
import numpy as np

from ..core import se2
from ..core.angles import wrap
from ..core.types import Array, Odometry
from .odometry_consistency import OdometryConsistency

SOURCES = ("odom", "pose", "auto")
OVER, LONGEST = 0.2, 0.5  # [s]
NOISE = np.array([0.04, 0.08])  # [m/s, rad/s] standard deviation of the rate
GAIN = math.sqrt(1.5**2 + 2.0**2 + 0.5**2)  # of the noise of a pose, in a rate over 1 s
ENOUGH = 25  # messages that tell of the noise
MEDIAN = 0.6745  # of |e| of a normal e of deviation 1


class TwistSource:
    """Takes odometry that passed the checks and gives it the twist to go by.

    Args:
        source: odom takes the twist as it is, pose always the pose's rate, auto the pose's rate on the axes
            where the twist contradicts it.
    """

    def __init__(self, source: str = "auto") -> None:
        self.source = source
        self.consistency = OdometryConsistency()
        self._samples: collections.deque[Odometry] = collections.deque()
        self._jitter: collections.deque[Array] = collections.deque(maxlen=ENOUGH)
        self._over = OVER

    def reset(self) -> None:
        """Forget samples and commands, as after a jump of the clock; what was found stays."""
        self.consistency.reset()
        self._samples.clear()
        self._jitter.clear()
        self._over = OVER

    @property
    def trusted(self) -> bool:
        """What :meth:`take` gives may be learned from."""
        return self.source != "odom" or not self.consistency.findings

    @property
    def suspected(self) -> bool:
        """What :meth:`take` gives may turn out to be wrong."""
        return self.source != "pose" and self.consistency.suspected

    @property
    def believed(self) -> bool:
        """The message's own twist is gone by, and nothing speaks against it."""
        return self.source != "pose" and not self.consistency.findings

    @property
    def replaced(self) -> bool:
        """The pose's rate is gone by in place of a twist that contradicts it."""
        return self.source == "auto" and bool(self.consistency.findings)

    @property
    def remark(self) -> str:
        """What contradicts, and what is done about it; empty when nothing does."""
        found = "; ".join(str(finding) for finding in self.consistency.findings)
        if not found:
            return ""
        return f"{found}: {'not learned from' if self.source == 'odom' else 'taken from the pose instead'}"

    def add_command(self, stamp: float, command: Iterable[float]) -> None:
        """A command (v, omega) in force from ``stamp`` [s]."""
        self.consistency.add_command(stamp, command)

    def take(self, sample: Odometry, continuous: bool = True) -> Odometry:
        """The sample with the twist to go by.

        Args:
            sample: in the order of stamps.
            continuous: the robot drove here from the sample before.
        """
        self.consistency.add_odometry(sample, continuous)
        samples = self._samples
        if not continuous:
            samples.clear()
        samples.append(sample)
        axes = [self._by_pose(axis) for axis in range(2)]
        while len(samples) > 3 and sample.stamp - samples[1].stamp >= 2.0 * LONGEST - 1e-6:
            samples.popleft()
        if not any(axes):
            return sample
        if len(samples) >= 3:
            self._look_at_noise(samples[-3], samples[-2], samples[-1])
        twist = sample.twist.copy()
        twist[axes] = self._rate(sample)[axes]
        return attrs.evolve(sample, twist=twist)

    def _rate(self, newest: Odometry) -> Array:
        """(v, omega) of the pose now, shape (2,); 0 before there are two."""
        middle = self._before(newest, self._over)
        if not newest.stamp > middle.stamp:
            return np.zeros(2)
        rate = _mean_rate(middle, newest)
        oldest = self._before(middle, newest.stamp - middle.stamp)
        if middle.stamp > oldest.stamp:
            span = newest.stamp - middle.stamp
            rate += (rate - _mean_rate(oldest, middle)) * span / (newest.stamp - oldest.stamp)
        return rate

    def _before(self, sample: Odometry, age: float) -> Odometry:
        """The newest sample that is so much older, or the oldest there is."""
        latest = sample.stamp - age + 1e-6
        return next((s for s in reversed(self._samples) if s.stamp <= latest), self._samples[0])

    def _look_at_noise(self, before: Odometry, middle: Odometry, after: Odometry) -> None:
        """What the middle pose is off the way between the others, and what a rate is to be taken over."""
        share = (middle.stamp - before.stamp) / (after.stamp - before.stamp)
        gain = math.sqrt(1.0 + share**2 + (1.0 - share) ** 2)
        way = after.pose - before.pose
        off = middle.pose - before.pose - share * np.array([way[0], way[1], wrap(way[2])])
        self._jitter.append(np.array([off[0], off[1], wrap(off[2])]) / gain)
        if len(self._jitter) >= ENOUGH:
            x, y, yaw = np.median(np.abs(self._jitter), axis=0) / MEDIAN
            needed = GAIN * np.array([max(x, y), yaw]) / NOISE
            self._over = min(max(OVER, float(needed.max())), LONGEST)

    def _by_pose(self, axis: int) -> bool:
        if self.source == "auto":
            return self.consistency.contradicted(axis)
        return self.source == "pose"


def _mean_rate(start: Odometry, end: Odometry) -> Array:
    """(v, omega) that carries one pose to the other, shape (2,)."""
    rate: Array = se2.displacement_twist(start.pose, end.pose, end.stamp - start.stamp)[[0, 2]]
    return rate
