"""One first-order equation an axis, x+ = a x + b u + c, as residual weights.

x is v [m/s] or omega [rad/s] and u its command. The classical identifiers, which know no command
history, all end here.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from ...core.types import Array
from ...dynamics.features import feature_size, input_size
from ...dynamics.residual import ResidualWeights, correction
from ...dynamics.soundness import OUTPUTS
from ...dynamics.transitions import Transitions
from ...weights.meta_model import MetaModel
from .base import Adaptation
from .physics import response

KINEMATIC = (0.0, 1.0, 0.0)  # x+ = u
NOMINAL_RATE = 5.0  # [1/s] of the nominal servo x' = rate (u - x)
LARGEST = 100.0  # bound of every coefficient, far outside any robot and inside what weights may be


def nominal(model_dt: float, rate: float = NOMINAL_RATE) -> tuple[float, float, float]:
    """Coefficients of x' = rate (u - x), exactly discretised."""
    keep = float(np.exp(-rate * model_dt))
    return keep, 1.0 - keep, 0.0


def as_weights(
    meta: MetaModel, name: str, coefficients: Array | Sequence[tuple[float, float, float]]
) -> ResidualWeights:
    """Residual weights of the adapter ``name`` with (a, b, c) of v and omega, shape (2, 3)."""
    taps = meta.delay_taps
    linear = np.zeros((OUTPUTS, feature_size(taps)))
    for axis, (keep, drive, bias) in enumerate(coefficients):
        linear[axis, axis] = keep
        linear[axis, 2 + axis] = drive - 1.0
        linear[axis, input_size(taps)] = bias
    return meta.weights(name, linear=linear)


def training_loss(meta: MetaModel, weights: ResidualWeights, inputs: Array, residuals: Array) -> float:
    """Mean square of the error in units of the typical noise, summed over outputs."""
    error = (correction(weights, inputs) - residuals) / np.sqrt(meta.noise)
    return float(np.mean(np.sum(error**2, axis=1)))


def adaptation(meta: MetaModel, start: ResidualWeights, coefficients: Array, data: Transitions) -> Adaptation:
    """What an adapter reports that found ``coefficients``; an axis that is not finite stays at ``start``.

    Args:
        start: the adapter's starting point.
        coefficients: (a, b, c) of v and omega, shape (2, 3).
        data: what they were found from.
    """
    found = as_weights(meta, start.adapter, np.clip(np.nan_to_num(coefficients), -LARGEST, LARGEST))
    usable = np.append(np.isfinite(coefficients).all(axis=1), True)
    weights = attrs.evolve(found, linear=np.where(usable[:, None], found.linear, start.linear))
    gain, time_constant = response(weights.linear, meta.model_dt)
    inputs, residuals = data.inputs, data.residuals
    return Adaptation(
        weights=weights,
        loss_before=training_loss(meta, start, inputs, residuals),
        loss_after=training_loss(meta, weights, inputs, residuals),
        gain=gain,
        time_constant=time_constant,
    )


def axis_rows(data: Transitions, axis: int) -> tuple[Array, Array, Array]:
    """(x, u, x+) of one axis over the transitions, each of shape (M,), contiguous."""
    pick = (data.states[:, 3 + axis], data.commands[:, axis], data.next_states[:, 3 + axis])
    x, u, after = (np.ascontiguousarray(column, dtype=float) for column in pick)
    return x, u, after


def gaps(data: Transitions) -> NDArray[np.int64]:
    """Steps that are missing before each transition, -1 where it follows the one before, shape (M,).

    The first transition is taken to begin after a gap of no length.
    """
    missing = np.zeros(len(data), dtype=np.int64)
    elapsed = np.diff(data.stamps) / data.model_dt
    follows = np.diff(data.segments) == 0
    missing[1:] = np.where(follows, -1, np.maximum(np.rint(elapsed) - 1, 0))
    return missing
