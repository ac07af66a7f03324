"""The lateral velocity in the physics layer: none, slip or a free linear map, by the evidence of the data."""

from __future__ import annotations

import math

import numpy as np

from ...core.kernels.cache import njit
from ...core.types import Array

LATERAL = 2  # place among the outputs
SLIP_DEVIATION = (0.1, 0.3)  # of the lateral velocity's share of omega [m] and of v omega [s]


@njit(cache=True)
def lateral_map(
    joint: Array,
    count: float,
    noise: Array,
    component: Array,
    free_evidence: Array,
    free_mean: Array,
    free_noise: Array,
    shares: tuple[float, float, float],
    row: Array,
) -> float:
    """Lateral output: none, slip in proportion to v omega and omega, or a free linear map.

    Args:
        joint: inner products of the features and the target, shape (P + 1, P + 1).
        count: sum of the weights.
        noise: variances to average over, shape (G,).
        component: probability of each free map; free_*: what _Free holds.
        shares: LATERAL_SHARES.
        row: shape (P,), filled with the coefficients.

    Returns:
        The noise variance.
    """
    size, levels = len(row), len(noise)
    omega, turn = 1, size - 3  # columns of omega and v omega
    power = joint[size, size]
    p0, p1 = 1.0 / SLIP_DEVIATION[0] ** 2, 1.0 / SLIP_DEVIATION[1] ** 2
    nothing, slip = np.empty(levels), np.empty(levels)
    found = np.empty((levels, 2))
    for g in range(levels):
        inverse = 1.0 / noise[g]
        nothing[g] = -0.5 * (count * math.log(2.0 * math.pi * noise[g]) + power * inverse)
        a, b = p0 + joint[omega, omega] * inverse, joint[omega, turn] * inverse
        c = p1 + joint[turn, turn] * inverse
        m0, m1 = joint[omega, size] * inverse, joint[turn, size] * inverse
        det = a * c - b * b
        found[g, 0], found[g, 1] = (c * m0 - b * m1) / det, (a * m1 - b * m0) / det
        slip[g] = nothing[g] + 0.5 * (math.log(p0 * p1 / det) + found[g, 0] * m0 + found[g, 1] * m1)
    full = np.log(component + 1e-300) + free_evidence[:, LATERAL]
    best = max(nothing.max(), slip.max(), full.max())
    # Each level is as likely as any other; a free map has averaged over them already.
    nothing = shares[0] * np.exp(nothing - best)
    slip = shares[1] * np.exp(slip - best)
    full = shares[2] * levels * np.exp(full - best)
    total, anything = nothing.sum() + slip.sum() + full.sum(), full.sum()
    row[:] = 0.0
    variance = 0.0
    for g in range(levels):
        row[omega] += slip[g] / total * found[g, 0]
        row[turn] += slip[g] / total * found[g, 1]
        variance += (nothing[g] + slip[g]) / total * noise[g]
    for k in range(len(component)):
        variance += anything / total * component[k] * free_noise[k, LATERAL]
        for p in range(size):
            row[p] += anything / total * component[k] * free_mean[k, LATERAL, p]
    return variance
