"""By how many whole steps the commands of each axis act later than any past command among the inputs tells.

For every delay d, the next velocity is regressed on the velocity, the commands of d ... d + D steps before
and a constant: what an adapter sees once the commands are delayed by d. The least d counts whose regression
is not surely worse than the best; an axis is taken for late only where the data speak for it.

Source: Ljung, System Identification (1999), 16.3 (delays by the loss of simple models).
"""

from __future__ import annotations

import numpy as np

from ...core.types import Array
from ..features import MAX_TRANSPORT_DELAY
from ..transitions import Transitions

ODDS = 10.0  # log of how much likelier a delay must make the data
FEWEST = 20  # transitions that tell anything
RIDGE = 1e-6  # [m^2/s^2, rad^2/s^2] a transition
SMALLEST = 1e-5  # [m^2/s^2, rad^2/s^2] variance of an error that no odometry is better than
INSIDE = 2  # steps by which the commands are delayed less than the axis is: delays jitter


def transport_delay(data: Transitions, delay_taps: int, before: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    """Whole steps of (v, omega).

    Args:
        data: oldest first, with a history of ``delay_taps + MAX_TRANSPORT_DELAY`` commands, or fewer.
        delay_taps: D.
        before: what is known; stays where the data do not tell.
    """
    most = min(MAX_TRANSPORT_DELAY, data.history.shape[1] - delay_taps)
    if most <= 0 or len(data) < FEWEST:
        return before
    course = np.concatenate([data.commands[:, None], data.history], axis=1)
    v, omega = (
        _axis(data.states[:, 3 + a], course[..., a], data.next_states[:, 3 + a], delay_taps, most, before[a])
        for a in (0, 1)
    )
    return v, omega


def _axis(x: Array, course: Array, after: Array, taps: int, most: int, before: int) -> int:
    count, size = len(x), taps + 3
    columns = np.column_stack([x, np.ones(count), course[:, : taps + most + 1], after])
    gram = columns.T @ columns
    moment, power = gram[:, -1], gram[-1, -1]
    windows = np.arange(most + 1)[:, None] + 2 + np.arange(taps + 1)
    used = np.concatenate([np.broadcast_to([0, 1], (most + 1, 2)), windows], axis=1)
    matrices = gram[used[:, :, None], used[:, None, :]] + RIDGE * count * np.eye(size)
    solved = np.linalg.solve(matrices, moment[used][..., None])[..., 0]
    square = np.maximum(power - (solved * moment[used]).sum(axis=1), 0.0) / count
    worse = 0.5 * count * np.log(np.maximum(square, SMALLEST))
    worse -= worse.min()
    if worse[min(before, most)] < ODDS and before <= most:
        return before
    least = int(np.flatnonzero(worse < ODDS)[0])
    return max(d for d in range(least, min(least + INSIDE, most) + 1) if worse[d] < ODDS) if least else 0
