"""What is commanded to learn of an axis: ramps for the dead band, steps for gain and lag, a random signal.

One axis at a time, so that a dead band of the wheels is one of the axis; then both, to be predicted. Every
level comes with both signs for as long, so that the robot stays about where it is.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np

from ..core.types import VelocityLimits

RAMP = 3.5  # [s] from standstill to the largest command
STEP = 1.3  # [s] for which a level of the steps holds
STEPS = (
    np.array([1.0, -1.0, 0.4, -0.4, 1.0, -1.0, 0.0, 0.7, -0.7, 1.0, -1.0, 0.4, -0.4, 0.0]),
    np.array([1.0, -1.0, 0.0, 0.5, -0.5, 1.0, 0.0, -1.0, 0.0]),
)
"""Of v and omega, in the largest; v, which more noise comes with, is given more time."""
DURATIONS = (0.18, 0.3, 0.45, 0.7)  # [s] for which a level of the random signal holds, about
ROUNDS = 5, 3  # of these durations with each sign
PAUSE = 0.7  # [s] at rest
USED = 0.95  # of the limits, for steps
BOTH = 8.0  # [s]


@attrs.frozen
class Segment:
    """A stretch of the drive.

    Attributes:
        name: what to tell the user.
        duration: [s].
        command: (v [m/s], omega [rad/s]) from the time since its start [s].
        held_out: to be predicted, not to be fitted.
    """

    name: str
    duration: float
    command: Callable[[float], tuple[float, float]]
    held_out: bool = False


def _levels(levels: np.ndarray, durations: np.ndarray) -> tuple[float, Callable[[float], float]]:
    ends = np.cumsum(durations)

    def at(t: float) -> float:
        return float(levels[min(int(np.searchsorted(ends, t, side="right")), len(levels) - 1)])

    return float(ends[-1]), at


def program(limits: VelocityLimits, seed: int = 0) -> list[Segment]:
    """The whole drive, within the velocity limits; about 75 s, less where the robot cannot reverse."""
    rng = np.random.default_rng(seed)
    found = [Segment("at rest", PAUSE, lambda t: (0.0, 0.0))]
    for axis, (name, most, reverse) in enumerate(
        (("forwards", limits.vx_max, -limits.vx_min), ("turning", limits.wz_max, limits.wz_max))
    ):
        largest = min(most, reverse) if reverse > 0.0 else most
        signs = (1.0, -1.0) if reverse > 0.0 else (1.0,)

        def alone(value: float, axis: int = axis) -> tuple[float, float]:
            return (value, 0.0) if axis == 0 else (0.0, value)

        for sign in signs:

            def ramp(t: float, top: float = sign * largest, alone: Callable = alone) -> tuple[float, float]:
                return alone(top * t / RAMP if t < RAMP else 0.0)

            found.append(Segment(f"{name}: how much moves it", RAMP + PAUSE, ramp))
        kept = STEPS[axis] if reverse > 0.0 else np.abs(STEPS[axis])
        length, at = _levels(USED * largest * kept, np.full(len(kept), STEP))
        found.append(Segment(f"{name}: steps", length, lambda t, at=at, alone=alone: alone(at(t))))
        durations = np.tile(DURATIONS, ROUNDS[axis])
        durations = durations * rng.uniform(0.9, 1.1, len(durations))
        rng.shuffle(durations)
        pairs = np.repeat(durations, 2)
        levels = USED * largest * np.tile([1.0, -1.0 if reverse > 0.0 else 0.0], len(durations))
        flips = np.repeat(rng.random(len(durations)) < 0.5, 2)
        if reverse > 0.0:
            levels = np.where(flips, -levels, levels)
        length, at = _levels(np.append(levels, 0.0), np.append(pairs, PAUSE))
        found.append(Segment(f"{name}: at random", length, lambda t, at=at, alone=alone: alone(at(t))))
    v = USED * 0.6 * min(limits.vx_max, -limits.vx_min if limits.vx_min < 0.0 else limits.vx_max)
    turns = 0.6 * USED * limits.wz_max

    def both(t: float) -> tuple[float, float]:
        if t > BOTH - PAUSE:
            return 0.0, 0.0
        forwards = int(t / 1.8) % 2 == 0 or limits.vx_min == 0.0
        return (v if forwards else -v), (turns if int(t / 1.3) % 2 == 0 else -turns)

    return [*found, Segment("both, to be predicted", BOTH, both, held_out=True)]
