"""The evidence of the servo family and nothing else, at a fraction of what a fit costs.

Equal to what :func:`.servo.fit` finds, as all cells of its grid that count are looked at likewise.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...core.kernels.cache import njit
from ...core.types import Array
from .servo import MARGIN, MEAN, PRECISION, ServoFamily, constants, least, pick


def evidences(family: ServoFamily, grams: Array, counts: Array, noise: Array) -> Array:
    """``evidence`` of :func:`.servo.fit` alone, for many sets of data.

    Args:
        grams: as of :func:`.servo.fit`, of N sets, shape (2, N, B, B); counts: shape (N,).
        noise: variances to average over, for each axis, shape (G, 2).

    Returns:
        Shape (2, N, J).
    """
    out = np.empty((2, len(counts), len(family.delay)))
    for axis in (0, 1):
        levels = np.ascontiguousarray(noise[:, axis])
        _evidences(grams[axis].copy(), counts, levels, MEAN, PRECISION[axis], *family.grid, out[axis])
    return out


@njit(cache=True, error_model="numpy")
def _evidences(
    grams: Array,
    counts: Array,
    noise: Array,
    mean: Array,
    precision: Array,
    age: NDArray[np.int64],
    keep: Array,
    newer: Array,
    older: Array,
    out: Array,
) -> None:
    cells, taps = len(keep) * len(noise) * len(precision), (grams.shape[1] - 4) // 2
    picked, space = np.empty((9, 9)), np.empty((2 + len(noise) * len(precision), len(keep)))
    for n in range(len(grams)):
        level, _ = constants(counts[n], noise, mean, precision)
        for j in range(len(age)):
            pick(grams[n], age[j], taps, picked)
            best, total = _weigh(
                picked, keep, newer[j], older[j], noise, mean, precision, level, -np.inf, space
            )
            out[n, j] = best + math.log(total / cells)


@njit(cache=True, error_model="numpy")
def _weigh(
    picked: Array,
    keep: Array,
    newer: Array,
    older: Array,
    noise: Array,
    mean: Array,
    precision: Array,
    level: Array,
    floor: float,
    space: Array,
) -> tuple[float, float]:
    """The evidence of one delay as :func:`.servo.fit` finds it, without what else that finds.

    Args:
        level: constants of the noise levels in the log evidence, (G,).
        floor: as there.
        space: (2 + G S, T), scratch.

    Returns:
        The largest log evidence of a cell, or the floor, and the sum over the cells of their share in that.
    """
    levels, structures, squares, determinants = len(noise), len(precision), space[0], space[1]
    values, loosest = space[2:].ravel(), 0
    for s in range(1, structures):
        if precision[s].sum() < precision[loosest].sum():
            loosest = s
    # The square sum only grows with the noise, and with a tighter structure.
    least(picked, precision[loosest], mean, noise.min(), keep, newer, older, squares, determinants)
    caps = level - 0.5 * squares.min() / noise
    best, found, first = floor, 0, caps.argmax()
    for visit in range(levels * structures):
        g, s = (first + visit) % levels, (loosest + visit // levels) % structures
        if caps[g] < best - MARGIN:
            continue
        p, half = precision[s], 0.5 / noise[g]
        unit = 1.0 / (p[0] * p[1] * p[2] * p[3] * noise[g] ** 4)
        least(picked, p, mean, noise[g], keep, newer, older, squares, determinants)
        for i in range(len(keep)):
            value = level[g] - half * squares[i]
            if value < best - MARGIN:  # and less: the determinant, in units of the noise, is above 1
                continue
            value -= 0.5 * math.log(determinants[i] * unit)
            values[found] = value
            found += 1
            best = max(best, value)
    total = 0.0
    for value in values[:found]:
        if value > best - MARGIN:
            total += math.exp(value - best)
    return best, total


@njit(cache=True)
def log_evidence(
    gram: Array,
    count: float,
    noise: Array,
    mean: Array,
    precision: Array,
    age: NDArray[np.int64],
    keep: Array,
    newer: Array,
    older: Array,
    guess: int,
    floor: float,
) -> tuple[float, int]:
    """Log marginal likelihood of the data of one axis, everything averaged over the grid, and the best j.

    Args:
        gram: (weighted) sum over transitions of base base^T, shape (B, B).
        count: sum of the weights.
        noise: variances to average over, shape (G,).
        mean, precision: MEAN, and PRECISION of the axis.
        age, keep, newer, older: grid of the family.
        guess: index of a delay that may be the best; the better it is, the less is left to compute.
        floor: what is below it need not be told from minus infinity.
    """
    cells, taps = len(keep) * len(noise) * len(precision), (gram.shape[0] - 4) // 2
    picked, space = np.empty((9, 9)), np.empty((2 + len(noise) * len(precision), len(keep)))
    level, _ = constants(count, noise, mean, precision)
    best, total, likeliest = floor, 0.0, guess
    for visit in range(len(age)):
        j = guess if visit == 0 else visit - 1 if visit <= guess else visit
        pick(gram, age[j], taps, picked)
        before = best
        best, more = _weigh(picked, keep, newer[j], older[j], noise, mean, precision, level, before, space)
        if best > before:
            total *= math.exp(before - best)
            likeliest = j
        total += more
    return best + math.log(total / (cells * len(age))) if total > 0.0 else -np.inf, likeliest
