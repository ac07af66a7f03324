"""What is commanded to learn of an axis: ramps for the dead band, steps for gain and lag, a random signal.

One axis at a time, so that a dead band of the wheels is one of the axis; then both, to be predicted. Every
level comes with both signs for as long, so that the robot stays about where it is.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import ArrayLike

from ..core.arrays import read_only
from ..core.types import VelocityLimits

RAMP = 3.5  # [s] from standstill to the largest command
STEP = 1.3  # [s] for which a level of the steps holds
STEPS = (
    np.array([1.0, -1.0, 0.4, -0.4, 1.0, -1.0, 0.0, 0.7, -0.7, 1.0, -1.0, 0.4, -0.4, 0.0]),
    np.array([1.0, -1.0, 0.0, 0.5, -0.5, 1.0, 0.0, -1.0, 0.0]),
)
"""Of v and omega, in the largest; v, which more noise comes with, is given more time."""
DURATIONS = np.array([0.18, 0.3, 0.45, 0.7])  # [s] for which a level of the random signal holds, about
ROUNDS = 5, 3  # of these durations with each sign
PAUSE = 0.7  # [s] at rest
USED = 0.95  # of the limits, for steps
BOTH, FORTH, TURN = 8.0, 1.8, 1.3  # [s] of both axes; for which it goes one way, and turns one way
GENTLE = 0.6  # of the limits, of both axes


@attrs.frozen(eq=False)
class Segment:
    """A stretch of the drive: commands between corners, straight from one to the next.

    Attributes:
        name: what to tell the user.
        times: of the corners from the segment's start, not falling; two at once are a jump [s], (C,).
        commands: (v [m/s], omega [rad/s]) there, (C, 2).
        held_out: to be predicted, not to be fitted.
    """

    name: str
    times: np.ndarray = attrs.field(converter=read_only)
    commands: np.ndarray = attrs.field(converter=read_only)
    held_out: bool = False

    @classmethod
    def levels(cls, name: str, commands: ArrayLike, durations: ArrayLike, held_out: bool = False) -> Segment:
        """Commands (L, 2), each held for its duration (L,) [s]."""
        ends = np.cumsum(durations)
        times = np.column_stack([np.concatenate([[0.0], ends[:-1]]), ends]).ravel()
        return cls(name, times, np.repeat(np.asarray(commands, dtype=float), 2, axis=0), held_out)

    @property
    def duration(self) -> float:
        """[s]."""
        return float(self.times[-1])

    def command(self, t: float) -> np.ndarray:
        """(v, omega) at ``t`` [s] since the start, (2,); after a jump at its very instant."""
        i = min(int(np.searchsorted(self.times, t, side="right")), len(self.times) - 1)
        before, after = self.times[i - 1], self.times[i]
        share = (t - before) / (after - before) if after > before else 1.0
        return self.commands[i - 1] + min(share, 1.0) * (self.commands[i] - self.commands[i - 1])


def program(limits: VelocityLimits, seed: int = 0) -> list[Segment]:
    """The whole drive, within the velocity limits; about 80 s, less where the robot cannot reverse."""
    rng = np.random.default_rng(seed)
    found = [Segment.levels("at rest", np.zeros((1, 2)), [PAUSE])]
    reverse = limits.vx_min < 0.0
    forwards = min(limits.vx_max, -limits.vx_min) if reverse else limits.vx_max
    for axis, (name, largest, both_ways) in enumerate(
        (("forwards", forwards, reverse), ("turning", limits.wz_max, True))
    ):
        unit = np.eye(2)[axis]
        for sign in (1.0, -1.0) if both_ways else (1.0,):
            top = sign * largest * unit
            corners = np.stack([np.zeros(2), top, np.zeros(2), np.zeros(2)])
            found.append(Segment(f"{name}: what moves it", [0.0, RAMP, RAMP, RAMP + PAUSE], corners))
        steps = STEPS[axis] if both_ways else np.abs(STEPS[axis])
        levels = USED * largest * steps[:, None] * unit
        found.append(Segment.levels(f"{name}: steps", levels, np.full(len(levels), STEP)))
        durations = np.tile(DURATIONS, ROUNDS[axis])
        durations = durations * rng.uniform(0.9, 1.1, len(durations))
        rng.shuffle(durations)
        pairs = np.tile([1.0, -1.0 if both_ways else 0.0], (len(durations), 1))
        flipped = rng.random(len(durations)) < 0.5
        pairs[flipped] = pairs[flipped, ::-1]
        levels = USED * largest * np.append(pairs.ravel(), 0.0)[:, None] * unit
        found.append(Segment.levels(f"{name}: at random", levels, np.append(np.repeat(durations, 2), PAUSE)))
    t = np.unique(np.concatenate([np.arange(0.0, BOTH, FORTH), np.arange(0.0, BOTH, TURN)]))
    there = np.where((t / FORTH + 1e-9).astype(int) % 2 == 0, 1.0, -1.0 if reverse else 1.0)
    left = np.where((t / TURN + 1e-9).astype(int) % 2 == 0, 1.0, -1.0)
    levels = GENTLE * np.column_stack([forwards * there, limits.wz_max * left])
    levels = np.concatenate([levels, np.zeros((1, 2))])
    durations = np.append(np.diff(np.append(t, BOTH)), PAUSE)
    return [*found, Segment.levels("both, to be predicted", levels, durations, held_out=True)]
