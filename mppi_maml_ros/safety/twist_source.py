"""The twist to go by: that of odometry, or the rate at which its pose moves.

The rate is the displacement over the newest ``OVER`` or two messages, whichever is longer, so that it is
half of that late: 50 ms at 20 Hz and above. It is the mean velocity over a step or two, no extrapolation.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable

import attrs

from ..core import se2
from ..core.types import Odometry
from .odometry_consistency import OdometryConsistency

SOURCES = ("odom", "pose", "auto")
OVER = 0.1  # [s]


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

    def reset(self) -> None:
        """Forget samples and commands, as after a jump of the clock; what was found stays."""
        self.consistency.reset()
        self._samples.clear()

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
        while len(samples) > 3 and sample.stamp - samples[1].stamp >= OVER - 1e-6:
            samples.popleft()
        axes = [self._by_pose(axis) for axis in range(2)]
        if not any(axes):
            return sample
        twist = sample.twist.copy()
        first = samples[0]
        if sample.stamp > first.stamp:
            rate = se2.displacement_twist(first.pose, sample.pose, sample.stamp - first.stamp)[[0, 2]]
            twist[axes] = rate[axes]
        else:
            twist[axes] = 0.0
        return attrs.evolve(sample, twist=twist)

    def _by_pose(self, axis: int) -> bool:
        if self.source == "auto":
            return self.consistency.contradicted(axis)
        return self.source == "pose"
