"""The posterior of the servo family: one linear map for every delay of its grid.

Evidences are those of :mod:`.evidence`; coefficients are found for the delays and cells that count.
"""

from __future__ import annotations

import math

import attrs
import numpy as np
from numpy.typing import NDArray

from ...core.kernels.cache import njit
from ...core.types import Array
from ..features import EXTRA_FEATURES, feature_size
from .evidence import evidences_of_axis
from .servo import MARGIN, MEAN, PRECISION, Grid, ServoFamily, constants, least, pick, solve

SPARE = 4.0  # beyond MARGIN, by which a delay that counts may be less likely: both axes share a delay


@attrs.frozen(eq=False)
class ServoFit:
    """Posterior for every delay of the grid; axes: axis a, delay j.

    Attributes:
        evidence: log marginal likelihood of the data, time constant and noise averaged, shape (2, J).
        linear: rows of the residual's linear map, shape (2, J, P); zeros where the delay is
            e^(MARGIN + SPARE) times less likely than another.
        noise: noise variance, shape (2, J); zeros there, too.
    """

    evidence: np.ndarray
    linear: np.ndarray
    noise: np.ndarray


def fit(family: ServoFamily, gram: np.ndarray, count: float, noise: np.ndarray) -> ServoFit:
    """Posterior from sufficient statistics.

    Args:
        gram: (weighted) sum over transitions of base base^T, shape (2, B, B).
        count: sum of the weights.
        noise: variances to average over, for each axis, shape (G, 2).
    """
    delays, size = len(family.delay), feature_size(family.delay_taps)
    found = ServoFit(np.empty((2, delays)), np.empty((2, delays, size)), np.empty((2, delays)))
    gram, noise = (np.array(a, dtype=float, order="C") for a in (gram, noise))
    fit_both(
        gram, float(count), noise, MEAN, PRECISION, family.grid,
        found.evidence, found.linear, found.noise,
    )  # fmt: skip
    return found


@njit(cache=True)
def fit_both(
    gram: Array,
    count: float,
    noise: Array,
    mean: Array,
    precision: Array,
    grid: Grid,
    evidence: Array,
    linear: Array,
    level: Array,
) -> None:
    """:func:`fit`; ``mean`` and ``precision`` are MEAN and PRECISION, the last three arrays are filled."""
    for axis in range(2):
        _fit_axis(
            axis, gram[axis], count, noise[:, axis].copy(), mean, precision[axis], *grid, evidence[axis],
            linear[axis], level[axis],
        )  # fmt: skip


@njit(cache=True)
def _fit_axis(
    axis: int,
    gram: Array,
    count: float,
    noise: Array,
    mean: Array,
    precision: Array,
    age: NDArray[np.int64],
    keep: Array,
    newer: Array,
    older: Array,
    filled: Array,
    evidence: Array,
    linear: Array,
    level: Array,
) -> None:
    inputs = linear.shape[1] - EXTRA_FEATURES
    cells, taps = len(keep) * len(noise) * len(precision), (gram.shape[0] - 4) // 2
    found, picked = np.empty((cells, 7)), np.empty((9, 9))
    bounds, constant = np.empty((len(precision) + 1, 2, len(keep))), constants(count, noise, mean, precision)
    evidences_of_axis(
        gram.reshape(1, *gram.shape), np.full(1, count), noise, mean, precision, age, keep, newer, older,
        filled, evidence.reshape(1, -1),
    )  # fmt: skip
    least_likely = evidence.max() - MARGIN - SPARE
    for j in range(len(age)):
        linear[j, :] = 0.0
        level[j] = 0.0
        if evidence[j] < least_likely:
            continue
        pick(gram, age[j], taps, picked)
        rows, best = _one_delay(
            picked, keep, newer[j], older[j], count, noise, mean, precision, constant, -np.inf, bounds, found
        )
        total = 0.0
        for row in range(rows):
            total += math.exp(found[row, 2] - best)
        for row in range(rows):
            share = math.exp(found[row, 2] - best) / total
            i = int(found[row, 0])
            gain, bias, friction, coupling = found[row, 3], found[row, 4], found[row, 5], found[row, 6]
            out = linear[j]
            out[axis] += share * keep[i]
            out[2 + axis] -= share
            for k in range(2):
                if age[j] + k < taps:
                    response = newer[j, i] if k == 0 else older[j, i]
                    out[2 + 2 * (age[j] + k) + axis] += share * gain * response
                    out[3 + 2 * (age[j] + k) - axis] += share * coupling * response
            out[inputs] += share * (1.0 - keep[i]) * bias
            out[inputs + 2 + axis] -= share * (1.0 - keep[i]) * friction
            level[j] += share * noise[int(found[row, 1]) % len(noise)]


@njit(cache=True, error_model="numpy")
def _one_delay(
    picked: Array,
    keep: Array,
    newer: Array,
    older: Array,
    count: float,
    noise: Array,
    mean: Array,
    precision: Array,
    constant: tuple[Array, Array],
    floor: float,
    bounds: Array,
    found: Array,
) -> tuple[int, float]:
    """Posterior of every time constant i, noise level and structure h of one delay that counts.

    Args:
        constant: of the noise levels and of the structures in the log evidence, shapes (G,) and (S,).
        floor: what lies MARGIN below it does not count, as what lies MARGIN below the best does not.
        bounds: (S + 1, 2, T), scratch.
        found: (T H, 7), filled with i, h, log evidence and the four coefficients.

    Returns:
        Rows of ``found``, and the largest log evidence.
    """
    levels, structures = len(noise), len(precision)
    sharpest, loosest, first = noise.min(), 0, 0
    for s in range(1, structures):
        if precision[s].sum() < precision[loosest].sum():
            loosest = s
    caps = bounds[structures, 0]
    least(
        picked, precision[loosest], mean, sharpest, keep, newer, older, bounds[loosest, 0], bounds[loosest, 1]
    )
    for i in range(len(keep)):
        square = bounds[loosest, 0, i]
        likeliest = max(square / max(count, 1.0), sharpest)  # noise, were it not for the grid
        caps[i] = -0.5 * (count * math.log(2.0 * math.pi * likeliest) + square / likeliest)
        if caps[i] > caps[first]:
            first = i
    if caps[first] < floor - MARGIN:
        return 0, floor
    for s in range(structures):
        if s != loosest:
            least(picked, precision[s], mean, sharpest, keep, newer, older, bounds[s, 0], bounds[s, 1])
    small = np.empty((5, 5))
    best, rows = floor, 0
    for visit in range(len(keep)):
        i = first if visit == 0 else visit - 1 if visit <= first else visit
        if caps[i] < best - MARGIN:
            continue
        ready = False
        for h in range(levels * structures):
            g, s = h % levels, (loosest + h // levels) % structures
            variance, p = noise[g], precision[s]
            # Square sum and determinant, that in units of the noise, only grow with the noise level.
            bound = constant[0][g] - 0.5 * bounds[s, 0, i] / variance
            if bound < best - MARGIN:
                continue
            volume = bounds[s, 1, i] / (p[0] * p[1] * p[2] * p[3] * variance**4)
            if volume > 1.0 and bound - 0.5 * math.log(volume) < best - MARGIN:
                continue
            if not ready:
                _regression(picked, keep[i], newer[i], older[i], small)
                ready = True
            explained, volume, c0, c1, c2, c3 = solve(small, p, mean, 1.0 / variance)
            twice = explained - small[4, 4] / variance - math.log(volume)
            value = 0.5 * twice + constant[0][g] + constant[1][s]
            row = found[rows]
            row[0], row[1], row[2] = i, s * levels + g, value
            row[3], row[4], row[5], row[6] = c0, c1, c2, c3
            rows += 1
            best = max(best, value)
    return rows, best


@njit(cache=True)
def _regression(p: Array, keep: float, newer: float, older: float, small: Array) -> None:
    """Gram matrix (5, 5) of (gain, bias, friction, coupling, target) of one grid cell."""
    free = 1.0 - keep
    # Inner products of the target y + u0 - keep x, of F(u) and of F(w) with everything picked.
    target = p[8] + p[1] - keep * p[0]
    own = newer * p[2] + older * p[3]
    other = newer * p[4] + older * p[5]
    small[0, 0] = newer * own[2] + older * own[3]
    small[0, 1] = free * own[6]
    small[0, 2] = -free * own[7]
    small[0, 3] = newer * own[4] + older * own[5]
    small[0, 4] = newer * target[2] + older * target[3]
    small[1, 1] = free * free * p[6, 6]
    small[1, 2] = -free * free * p[6, 7]
    small[1, 3] = free * other[6]
    small[1, 4] = free * target[6]
    small[2, 2] = free * free * p[7, 7]
    small[2, 3] = -free * other[7]
    small[2, 4] = -free * target[7]
    small[3, 3] = newer * other[4] + older * other[5]
    small[3, 4] = newer * target[4] + older * target[5]
    small[4, 4] = target[8] + target[1] - keep * target[0]
    for i in range(5):
        for j in range(i):
            small[i, j] = small[j, i]
