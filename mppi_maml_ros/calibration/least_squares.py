"""Nonlinear least squares within bounds: Levenberg and Marquardt's, for a handful of parameters.

Source: Nocedal and Wright, Numerical Optimization (2006), 10.3; bounds by an active set.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np

from ..core.types import Array

_STEP = 1e-5  # of a parameter's scale, for derivatives
_LEAST, _MOST = 1e-9, 1e9  # damping


@attrs.frozen(eq=False)
class Fit:
    """Where the search ended.

    Attributes:
        values: parameters (P,).
        residuals: there, (N,); jacobian: of them, (N, P), zero for what stands at a bound.
    """

    values: Array
    residuals: Array
    jacobian: Array

    @property
    def square(self) -> float:
        """Sum of squares."""
        return float(self.residuals @ self.residuals)


def minimise(
    residuals: Callable[[Array], Array],
    start: Array,
    low: Array,
    high: Array,
    scale: Array,
    iterations: int = 30,
) -> Fit:
    """Least squares from ``start``, all arrays of parameters (P,).

    Args:
        residuals: of parameters, (N,), its own array each time.
        start: where to begin; low, high: bounds; scale: what counts as a considerable change.
        iterations: at most.
    """
    values = np.clip(start, low, high)
    r = residuals(values)
    damping = 1e-2
    jacobian = np.zeros((len(r), len(values)))
    for _ in range(iterations):
        jacobian = _jacobian(residuals, values, r, high, scale)
        gradient = jacobian.T @ r
        held = ((values <= low) & (gradient > 0.0)) | ((values >= high) & (gradient < 0.0))
        jacobian[:, held] = 0.0
        gradient[held] = 0.0
        gram = jacobian.T @ jacobian
        diagonal = np.maximum(np.diag(gram), 1e-12)
        before = float(r @ r)
        while damping < _MOST:
            step = np.linalg.solve(gram + damping * np.diag(diagonal), -gradient)
            tried = np.clip(values + step * scale, low, high)
            found = residuals(tried)
            if float(found @ found) < before:
                break
            damping *= 4.0
        else:
            break
        change = np.abs(tried - values) / scale
        values, r, damping = tried, found, max(0.2 * damping, _LEAST)
        if change.max() < 1e-6 or before - float(r @ r) < 1e-6 * before:
            break
    return Fit(values, r, jacobian)


def _jacobian(
    residuals: Callable[[Array], Array], values: Array, r: Array, high: Array, scale: Array
) -> Array:
    """Per unit of scale; forwards, at the upper bound backwards."""
    out = np.empty((len(r), len(values)))
    for i in range(len(values)):
        step = _STEP * (1.0 if values[i] + _STEP * scale[i] <= high[i] else -1.0)
        moved = values.copy()
        moved[i] += step * scale[i]
        out[:, i] = (residuals(moved) - r) / step
    return out
