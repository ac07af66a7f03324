"""Random numbers that are a pure function of integers, for use inside compiled kernels.

The mixing function is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
"""

from __future__ import annotations

import math

import numpy as np

from ..core.kernels.cache import njit


@njit(cache=True)
def mix(value: int) -> np.uint64:
    """A well mixed uint64 from any integer."""
    z = np.uint64(value) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True)
def uniform(key: np.uint64, counter: int) -> float:
    """The ``counter``-th uniform number in (0, 1) of the stream ``key``, a uint64."""
    bits = mix(np.uint64(key) ^ mix(np.uint64(counter)))
    return (np.float64(bits >> np.uint64(11)) + 0.5) * (1.0 / 9007199254740992.0)


@njit(cache=True)
def normal(key: np.uint64, counter: int) -> float:
    """The ``counter``-th standard normal number of the stream ``key`` (Box-Muller)."""
    radius = math.sqrt(-2.0 * math.log(uniform(key, 2 * counter)))
    return radius * math.cos(2.0 * math.pi * uniform(key, 2 * counter + 1))
