"""The velocity and its change over the last step, as an observer tells them from odometry.

An axis of residual weights with momentum m goes on as it did, x+ = ... + keep x + m c with c the change of x
over the step before. Odometry tells x with noise and c with more, so that both are estimated::

    predicted x+ from (x, c),  c+ = x+ - x;    e = measured x+ - predicted;    x+ += k0 e,  c+ += k1 e

(k0, k1) = (1, 1) takes what was measured.

Source: Anderson and Moore, Optimal Filtering (1979), 5 (the innovation form of the Kalman filter).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.kernels.cache import njit
from ..core.types import Array
from .acceleration import UNLIMITED, bound, bounded, changes
from .compiled import missed
from .residual import ResidualWeights
from .transitions import Transitions


@njit(cache=True)
def _observe(
    errors: Array,
    measured: Array,
    first: NDArray[np.bool_],
    keep: Array,
    momentum: Array,
    gains: Array,
    limits: Array,
    state: Array,
    out: Array,
    estimates: Array,
) -> None:
    for m in range(len(errors)):
        for a in range(2):
            if first[m]:
                state[0, a], state[1, a] = measured[m, a], 0.0
            x, change = state[0, a], state[1, a]
            estimates[m, a], estimates[m, 2 + a] = x, change
            # What the estimates add to a prediction that took odometry at its word.
            more = keep[a] * (x - measured[m, a]) + momentum[a] * change
            after = measured[m + 1, a]
            e = after - bounded(x, after - errors[m, a] + more, limits[0, a], limits[1, a])
            out[m, a] = e
            state[0, a] = after - (1.0 - gains[0, a]) * e
            state[1, a] = after - e - x + gains[1, a] * e


def innovations(
    errors: Array,
    measured: Array,
    first: NDArray[np.bool_],
    keep: Array,
    momentum: Array,
    gains: Array,
    limits: Array = UNLIMITED,
    state: Array | None = None,
) -> tuple[Array, Array]:
    """Follow the odometry of successive transitions.

    Args:
        errors: measured x+ less what the linear map says of it by the measured x, shape (M, 2).
        measured: x at the start of each transition; shape (M, 2), or (M + 1, 2) with that after the last.
        first: rows that do not follow the one before, shape (M,) bool.
        keep: coefficient of x in the linear map, shape (2,) or longer; momentum: shape (2,).
        gains: of (x, c), shape (2, 2); an axis without momentum is taken as measured.
        limits: of a change over a step, away from standstill and towards it, of (v, omega), shape (2, 2).
        state: (x, c) before the first row, unless that is the first of a chain; becomes what follows the last
            one; shape (2, 2); None for unknown.

    Returns:
        Innovations e, shape (M, 2); (v, omega, change of v, change of omega) at the start of each transition,
        shape (M, 4).
    """
    moves = np.asarray(momentum) != 0.0
    if len(measured) == len(errors):
        measured = np.concatenate([measured, measured[-1:]])
    out, estimates = np.empty((len(errors), 2)), np.empty((len(errors), 4))
    _observe(
        np.ascontiguousarray(errors, dtype=float), np.ascontiguousarray(measured, dtype=float), first,
        np.where(moves, np.asarray(keep)[:2], 0.0), np.array(momentum, dtype=float),
        np.where(moves, gains, 1.0), np.array(limits, dtype=float),
        np.zeros((2, 2)) if state is None else state, out, estimates,
    )  # fmt: skip
    return out, estimates


def observe(
    weights: ResidualWeights,
    data: Transitions,
    first: NDArray[np.bool_] | None = None,
    state: Array | None = None,
) -> tuple[Array, Array]:
    """:func:`innovations` of weights over transitions."""
    measured = np.concatenate([data.states[:, 3:5], data.next_states[-1:, 3:5]])
    return innovations(
        missed(weights, data)[:, :2], measured, data.first if first is None else first,
        np.diag(weights.linear), weights.momentum, weights.observer,
        changes(weights.acceleration, weights.model_dt), state,
    )  # fmt: skip


def errors_of(weights: ResidualWeights, data: Transitions) -> Array:
    """One-step errors of (v, omega) over successive transitions, shape (M, 2)."""
    if weights.has_momentum:
        return observe(weights, data)[0]
    errors = np.ascontiguousarray(missed(weights, data)[:, :2])
    if weights.is_limited:
        twist, after = data.states[:, 3:5], data.next_states[:, 3:5]
        errors = after - bound(twist, after - errors, changes(weights.acceleration, weights.model_dt))
    return errors
