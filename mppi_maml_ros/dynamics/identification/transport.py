"""By how many whole steps the commands of each axis act later than any past command among the inputs tells.

For every delay d, the next velocity is regressed on the velocity, the commands of d ... d + D steps before
and a constant: what an adapter sees once the commands are delayed by d. The least d counts whose regression
is not surely worse than the best; an axis is taken for late only where the data speak for it.

Source: Ljung, System Identification (1999), 16.3 (delays by the loss of simple models).
"""

from __future__ import annotations

import numpy as np

from ...core.kernels.cache import njit
from ...core.types import Array
from ..features import MAX_TRANSPORT_DELAY
from ..transitions import Transitions
from . import cholesky

ODDS = 10.0  # log of how much likelier a delay must make the data
FEWEST = 12  # transitions that tell anything
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
    square = np.empty((2, most + 1))
    _losses(data.states, data.commands, data.history, data.next_states, delay_taps, square)
    v, omega = (_chosen(0.5 * len(data) * np.log(square[axis]), most, before[axis]) for axis in (0, 1))
    return v, omega


def _chosen(worse: Array, most: int, before: int) -> int:
    """The delay of an axis, for the log of how much less likely each makes the data, (most + 1,)."""
    worse -= worse.min()
    if before <= most and worse[before] < ODDS:
        return before
    least = int(np.flatnonzero(worse < ODDS)[0])
    return max(d for d in range(least, min(least + INSIDE, most) + 1) if worse[d] < ODDS) if least else 0


@njit(cache=True)
def _losses(
    states: Array, commands: Array, history: Array, next_states: Array, taps: int, square: Array
) -> None:
    """Mean square error of the regression for each delay of each axis, (2, D), at least SMALLEST."""
    count, delays, size = len(states), square.shape[1], taps + 3
    columns = np.empty((taps + delays + 3, count))  # x, 1, the commands from the newest on, x afterwards
    last = len(columns) - 1
    gram, matrix = np.empty((last + 1, last + 1)), np.empty((size, size))
    right, solved = np.empty(size), np.empty(size)
    for axis in range(2):
        for k in range(count):
            columns[0, k], columns[1, k], columns[2, k] = states[k, 3 + axis], 1.0, commands[k, axis]
            for back in range(taps + delays - 1):
                columns[3 + back, k] = history[k, back, axis]
            columns[last, k] = next_states[k, 3 + axis]
        cholesky.inner_products(columns, gram)
        for delay in range(delays):
            for p in range(size):
                i = p if p < 2 else p + delay
                right[p] = gram[i, last]
                for q in range(p + 1):
                    matrix[p, q] = gram[i, q if q < 2 else q + delay]
                matrix[p, p] += RIDGE * count
            explained = cholesky.solve(matrix, right, solved)[1]
            square[axis, delay] = max(max(gram[last, last] - explained, 0.0) / count, SMALLEST)
