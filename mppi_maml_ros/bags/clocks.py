"""One clock for odometry and commands.

Odometry carries stamps, of the base or of a simulation; Twist carries none and is known by when it was
recorded. Where the two clocks differ, times of recording are put on the clock of odometry: by /clock, or by
the odometry itself, of which each message was stamped on the one and recorded on the other.
"""

from __future__ import annotations

import attrs
import numpy as np

from ..core.errors import InvalidValueError
from ..core.types import Array

PARTS = 5  # of a run, in each of which the clocks must agree for being one
WINDOW, SIMULATED = 5.0, 0.3  # [s] of recording from which the message that was least delayed is taken
STEADY = 0.01  # share that the pace of a clock is wrong by at most; that of a simulation changes quickly
PACES = (0.01, 100.0)  # of simulated time over recorded time


@attrs.frozen(eq=False)
class Clock:
    """From the axis of recorded time to that of odometry's stamps.

    Attributes:
        apart: of the axes' origins, where both are of one clock [s].
        recorded, stamped: the same moments on both axes, increasing, shape (K,) [s]; empty for one clock.
        remark: what differs and what was done about it; empty for one clock.
    """

    apart: float = 0.0
    recorded: Array = attrs.field(factory=lambda: np.empty(0))
    stamped: Array = attrs.field(factory=lambda: np.empty(0))
    remark: str = ""

    @property
    def is_one(self) -> bool:
        """Stamps and times of recording are of one clock."""
        return not len(self.recorded)

    def at(self, recorded: Array) -> Array:
        """Recorded times [s] on the axis of stamps, shape (N,) each; time goes on beyond the ends."""
        if self.is_one:
            return recorded - self.apart
        out = np.interp(recorded, self.recorded, self.stamped)
        pace = _pace(self.recorded, self.stamped)
        before, after = recorded < self.recorded[0], recorded > self.recorded[-1]
        out[before] = self.stamped[0] + pace * (recorded[before] - self.recorded[0])
        out[after] = self.stamped[-1] + pace * (recorded[after] - self.recorded[-1])
        return out


def agree(recorded: Array, stamps: Array, ahead: float, behind: float) -> bool:
    """Whether stamps and times of recording, on one axis, are of one clock, shape (M,) each [s].

    Args:
        ahead, behind: of the time of recording that a stamp may be on one clock [s].
    """
    ages = [np.median(part) for part in np.array_split(recorded - stamps, PARTS) if len(part)]
    return all(-ahead <= age <= behind for age in ages)


def match(
    recorded: Array, stamps: Array, apart: float, ticks: tuple[Array, Array], ahead: float, behind: float
) -> Clock:
    """The clock of odometry, where it is another than that of the recorder.

    Args:
        recorded, stamps: of odometry on their two axes, in the order of recording, shape (M,) [s].
        apart: origin of the stamps' axis on that of the recorded times [s].
        ticks: recorded times and contents of /clock on these axes, shape (K,) each [s]; empty without.
        ahead, behind: as in :func:`agree`.

    Raises:
        InvalidValueError: the times of recording say nothing.
    """
    told = len(ticks[0]) > 1 and agree(Clock(0.0, *ticks).at(recorded), stamps, ahead, behind)
    pairs = ticks if told else _least_delayed(recorded, stamps)
    pairs = pairs[0], np.maximum.accumulate(pairs[1])
    pace = _pace(*pairs)
    if not PACES[0] <= pace <= PACES[1]:
        raise InvalidValueError(
            f"odometry was stamped over {np.ptp(stamps):.1f} s and recorded within {np.ptp(recorded):.1f} s: "
            "commands without a stamp cannot be told their time; record TwistStamped, or record anew"
        )
    offset = float(np.median(stamps - recorded) + apart)
    where = f"{abs(offset):.2f} s {'ahead of' if offset > 0.0 else 'behind'} the recorder's clock"
    if abs(offset) > 1e8:
        where = "on a simulated clock"
    speed = f", at {pace:.2f} of its pace" if abs(pace - 1.0) > STEADY else ""
    how = "/clock" if told else "the times of recording of both"
    return Clock(apart, *pairs, f"odometry is stamped {where}{speed}: commands were matched to it by {how}")


def continued(recorded: Array, stamps: Array, back: float) -> tuple[Array, int]:
    """Stamps that go on where a clock jumped back by more than ``back`` [s], and how often it did.

    The time that passed between the two is that of the recorder, and a second more: a gap.
    """
    steps = np.diff(stamps)
    jumps = steps < -back
    passed = np.maximum(np.diff(recorded), 0.0) + 1.0
    return stamps + np.concatenate([[0.0], np.cumsum(np.where(jumps, passed - steps, 0.0))]), int(jumps.sum())


def _least_delayed(recorded: Array, stamps: Array) -> tuple[Array, Array]:
    """One pair of each window: messages that waited on their way say less about the clocks."""
    steady = abs(_pace(recorded, stamps) - 1.0) <= STEADY
    windows = np.floor((recorded - recorded[0]) / (WINDOW if steady else SIMULATED)).astype(np.int64)
    firsts = np.flatnonzero(np.diff(windows, prepend=-1))
    ages = recorded - stamps
    chosen = [a + int(np.argmin(ages[a:b])) for a, b in zip(firsts, [*firsts[1:], len(ages)], strict=True)]
    return recorded[chosen], stamps[chosen]


def _pace(recorded: Array, stamped: Array) -> float:
    span = recorded[-1] - recorded[0]
    return float((stamped[-1] - stamped[0]) / span) if span > 0.0 else 0.0
