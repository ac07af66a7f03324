"""Noise for the sampled command sequences: antithetic, white or smooth."""

from __future__ import annotations

from typing import Protocol

import attrs
import numpy as np

from ..core.kernels.cache import njit
from .config import MPPIConfig

WIDTH = 32  # samples of a group on the machine with the widest vectors; all take as many, and the same noise


def batch_width(batch_size: int) -> int:
    """Samples that are rolled out: ``batch_size`` rounded up to whole groups of any machine."""
    return -(-batch_size // WIDTH) * WIDTH


@attrs.frozen(eq=False)
class Noise:
    """Noise of unit variance for a batch of K samples, as knots and how each step reads them.

    The noise of axis a at step t is ``sum_i share[t, i] * knot(first[t] + i, a)`` with
    ``knot(r, a) = sign[r, a] * values[start[r, a] : start[r, a] + W]``; that of the first sample is zero.

    Attributes:
        values: flat, float32. W = K / 2: the second half of the samples takes the noise of the
            first with the other sign; W = K: it has its own.
        start: shape (R, 2), integers.
        sign: shape (R, 2), float32.
        first: shape (N,), integers.
        share: shape (N, I), float32, first + I <= R.
        mirrored: whether W = K / 2.
    """

    values: np.ndarray
    start: np.ndarray
    sign: np.ndarray
    first: np.ndarray
    share: np.ndarray
    mirrored: bool


class NoiseSource(Protocol):
    """What the controller draws its samples from."""

    def sample(self) -> Noise:
        """The next draw; its arrays may be reused by the next call."""


SEGMENTS = 64  # of the pool, at least; and at least twice as many as a step takes


class Sampler:
    """Independent normal numbers at knots over the horizon, linear between them, in antithetic pairs.

    The pairs remove the odd-order sampling error at no cost. Drawing normal numbers takes longer
    than all the rest of a step with the kinematic model, so they come from a pool that is drawn
    once: each step takes other segments of it, in another order, at another offset and with
    other signs. Within a step no number is used twice.
    """

    def __init__(self, config: MPPIConfig, seed: int):
        rng = np.random.default_rng(seed)
        self._half = batch_width(config.batch_size) // 2
        smooth = 0 < config.noise_knots < config.time_steps
        knots = config.noise_knots if smooth else config.time_steps
        segments = max(SEGMENTS, 4 * knots)
        pool = np.empty((segments + 1) * self._half, dtype=np.float32)
        rng.standard_normal(dtype=np.float32, out=pool)
        pool[-self._half :] = pool[: self._half]  # an offset may run over the end
        self._order = np.arange(segments)
        self._state = rng.integers(0, 2**64, size=1, dtype=np.uint64)
        start, sign = np.zeros((knots, 2), dtype=np.int64), np.ones((knots, 2), dtype=np.float32)
        self._noise = Noise(pool, start, sign, *interpolation(config.time_steps, knots), True)

    def sample(self) -> Noise:
        """See :class:`NoiseSource`."""
        _take_segments(self._state, self._order, self._half, self._noise.start, self._noise.sign)
        return self._noise


@njit(inline="always")
def _random_bits(state):  # type: ignore[no-untyped-def]  # numba
    # splitmix64 (Steele et al., OOPSLA 2014)
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True)
def _take_segments(state, order, length, start, sign):  # type: ignore[no-untyped-def]  # numba
    """Draw distinct segments without replacement, one offset for all of them, and signs."""
    count = len(order)
    offset = np.int64(_random_bits(state) % np.uint64(length))
    for r in range(len(start)):
        for axis in range(2):
            i = 2 * r + axis
            bits = _random_bits(state)
            sign[r, axis] = 1.0 if bits >> np.uint64(63) else -1.0
            j = i + np.int64((bits & np.uint64(0xFFFFFFFF)) % np.uint64(count - i))
            order[i], order[j] = order[j], order[i]
            start[r, axis] = order[i] * length + offset


def interpolation(steps: int, knots: int) -> tuple[np.ndarray, np.ndarray]:
    """Linear interpolation from knots to steps, scaled to unit variance at each step.

    Returns:
        ``first`` (steps,) and ``share`` (steps, 2), or (steps, 1) with a knot for each step.
    """
    if knots == steps:
        return np.arange(steps), np.ones((steps, 1), dtype=np.float32)
    position = np.linspace(0.0, knots - 1.0, steps)
    first = np.minimum(position.astype(np.int64), knots - 2)
    share = np.stack([1.0 - (position - first), position - first], axis=1)
    return first, (share / np.linalg.norm(share, axis=1, keepdims=True)).astype(np.float32)
