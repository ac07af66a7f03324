"""The evidence of the servo family and nothing else, at a fraction of what a fit costs.

All cells of the grid that count are looked at, by the vector.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...core.kernels.cache import njit
from ...core.types import Array
from ..compiled import WIDE
from .servo import MARGIN, MEAN, PRECISION, ServoFamily, constants, least, pick

LOWEST, SQUARINGS = -60.0, 7  # of an exponential: exp(x) = exp(x / 2^n)^(2^n), that by its series
SHARES = tuple(1.0 / k for k in range(7, 0, -1))  # of one term of the series in the one before


def evidences(family: ServoFamily, grams: Array, counts: Array, noise: Array) -> Array:
    """Log marginal likelihoods of many sets of data, time constant and noise averaged.

    Args:
        grams: as of :func:`.servo_fit.fit`, of N sets, shape (2, N, B, B); counts: shape (N,).
        noise: variances to average over, for each axis, shape (G, 2).

    Returns:
        Shape (2, N, J).
    """
    out = np.empty((2, len(counts), len(family.delay)))
    for axis in (0, 1):
        levels = np.ascontiguousarray(noise[:, axis])
        evidences_of_axis(grams[axis].copy(), counts, levels, MEAN, PRECISION[axis], *family.grid, out[axis])
    return out


@njit(cache=True, error_model="numpy")
def evidences_of_axis(
    grams: Array,
    counts: Array,
    noise: Array,
    mean: Array,
    precision: Array,
    age: NDArray[np.int64],
    keep: Array,
    newer: Array,
    older: Array,
    filled: Array,
    out: Array,
) -> None:
    """:func:`evidences` of one axis, for ``grams`` (N, B, B) into ``out`` (N, J)."""
    cells, taps = len(keep) * len(noise) * len(precision), (grams.shape[1] - 4) // 2
    picked, space = np.empty((9, 9)), _space(len(keep), noise, precision)
    for n in range(len(grams)):
        level, _ = constants(counts[n], noise, mean, precision)
        for j in range(len(age)):
            pick(grams[n], age[j], taps, picked)
            high, total = _weigh(
                picked, filled[0, j], filled[1, j], filled[2, j], len(keep), noise, mean, precision, level,
                -np.inf, -np.inf, 0.0, space,
            )  # fmt: skip
            out[n, j] = high + math.log(total / cells)


@njit(inline="always", error_model="numpy", fastmath={"contract"})
def _exponential(x: float) -> float:
    """exp(x) for x <= 0 within 1e-8 of itself down to -30, and below within 1e-13 of 1.

    Without a branch: the compiler does a vector of them at once.
    """
    x = max(x, LOWEST) * (1.0 / (1 << SQUARINGS))
    value = 1.0
    for k in range(len(SHARES)):
        value = 1.0 + x * SHARES[k] * value
    for _ in range(SQUARINGS):
        value *= value
    return value


@njit(cache=True)
def _space(constants: int, noise: Array, precision: Array) -> Array:
    """What :func:`_weigh` needs: scratch, and 1 / det of the prior's precision in the noise, (3 + S, ...)."""
    space = np.empty((3 + len(precision), max((constants + WIDE - 1) // WIDE * WIDE, len(noise))))
    for s in range(len(precision)):
        for g in range(len(noise)):
            scaled = precision[s] * noise[g]
            space[3 + s, g] = 1.0 / (scaled[0] * scaled[1] * scaled[2] * scaled[3])
    return space


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _weigh(
    picked: Array,
    keep: Array,
    newer: Array,
    older: Array,
    count: int,
    noise: Array,
    mean: Array,
    precision: Array,
    level: Array,
    floor: float,
    high: float,
    total: float,
    space: Array,
) -> tuple[float, float]:
    """Add the evidence of one delay, as :func:`.servo_fit.fit` finds it, to that of others.

    Args:
        keep, newer, older: of the filled grid, of which ``count`` time constants are looked at.
        level: constants of the noise levels in the log evidence, (G,).
        floor: log evidence of a cell; what lies MARGIN below it, or below all so far, does not count.
        high, total: of the others; the sum over their cells is total e^high.
        space: of :func:`_space`.

    Returns:
        ``high`` and ``total`` with this delay.
    """
    levels, structures, filled = len(noise), len(precision), len(keep)
    squares, determinants, caps, loosest = space[0, :filled], space[1, :filled], space[2], 0
    units, sharpest = space[3:], noise[0]
    for s in range(1, structures):
        loosest = s if units[s, 0] > units[loosest, 0] else loosest
    for variance in noise:
        sharpest = min(sharpest, variance)
    # The square sum only grows with the noise, and with a tighter structure.
    least(picked, precision[loosest], mean, sharpest, keep, newer, older, squares, determinants)
    smallest, first = squares[0], 0
    for i in range(1, count):
        smallest = squares[i] if squares[i] < smallest else smallest
    for g in range(levels):
        caps[g] = level[g] - 0.5 * smallest / noise[g]
        first = g if caps[g] > caps[first] else first
    if caps[first] > high:
        total *= math.exp(high - caps[first]) if total > 0.0 else 0.0
        high = caps[first]
    bar = max(floor, high + math.log(total)) - MARGIN
    for visit in range(levels * structures):
        g, s = (first + visit) % levels, (loosest + visit // levels) % structures
        if caps[g] < bar:
            continue
        p, half, constant = precision[s], 0.5 / noise[g], level[g] - high
        unit = units[s, g]
        least(picked, p, mean, noise[g], keep, newer, older, squares, determinants)
        for i in range(count):
            value = constant - half * squares[i]
            share = _exponential(value) / math.sqrt(determinants[i] * unit)
            total += share if value >= bar - high else 0.0  # the root is of more than 1
        bar = max(floor, high + math.log(total)) - MARGIN
    return high, total


@njit(cache=True, error_model="numpy")
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
    filled: Array,
    guess: int,
    floor: float,
) -> tuple[float, int]:
    """Log marginal likelihood of the data of one axis, everything averaged over the grid, and the best j.

    Args:
        gram: (weighted) sum over transitions of base base^T, shape (B, B).
        count: sum of the weights.
        noise: variances to average over, shape (G,).
        mean, precision: MEAN, and PRECISION of the axis.
        age, keep, newer, older, filled: grid of the family.
        guess: index of a delay that may be the best; the better it is, the less is left to compute.
        floor: what is below it need not be told from minus infinity.
    """
    cells, taps = len(keep) * len(noise) * len(precision), (gram.shape[0] - 4) // 2
    picked, space = np.empty((9, 9)), _space(len(keep), noise, precision)
    level, _ = constants(count, noise, mean, precision)
    high, total, most, likeliest = -np.inf, 0.0, -np.inf, guess
    for visit in range(len(age)):
        j = guess if visit == 0 else visit - 1 if visit <= guess else visit
        pick(gram, age[j], taps, picked)
        before, others = high, total
        high, total = _weigh(
            picked, filled[0, j], filled[1, j], filled[2, j], len(keep), noise, mean, precision, level, floor,
            high, total, space,
        )  # fmt: skip
        own = total - (others * math.exp(before - high) if others > 0.0 else 0.0)
        if own > 0.0 and high + math.log(own) > most:
            most, likeliest = high + math.log(own), j
    return high + math.log(total / (cells * len(age))) if total > 0.0 else -np.inf, likeliest
