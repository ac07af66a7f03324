"""Limits on how fast a velocity changes: one away from standstill, one towards it.

A step of dt takes an axis from x to ``end``, but by no more than limit dt. Between the limits of speeding up
and slowing down it passes over a velocity of TURNING, so that no backend needs a branch for each sample.
"""

from __future__ import annotations

import numpy as np

from ..core.arrays import read_only
from ..core.kernels.cache import njit
from ..core.types import Array

FREE_ACCELERATION = 1000.0  # [m/s^2, rad/s^2] stands for no limit
TURNING = 0.02  # [m/s, rad/s]
_FREE_CHANGE = 1e30  # which single precision holds
UNLIMITED = read_only(np.full((2, 2), FREE_ACCELERATION))


@njit(cache=True, inline="always")
def bounded(x: float, end: float, up: float, down: float) -> float:
    """``end``, at most ``up`` from x away from standstill, and ``down`` towards it."""
    more = up - down
    upper = x + down + more * min(max(1.0 + x / TURNING, 0.0), 1.0)
    lower = x - down - more * min(max(1.0 - x / TURNING, 0.0), 1.0)
    return min(max(end, lower), upper)


def changes(acceleration: Array, dt: float) -> Array:
    """Largest changes over a step of dt [s], shape (2, 2); what is not limited has none that matters."""
    limits = np.asarray(acceleration, dtype=float)
    return np.where(limits < FREE_ACCELERATION, limits * dt, _FREE_CHANGE)


def bound(twist: Array, end: Array, limits: Array) -> Array:
    """:func:`bounded` of (v, omega), shapes (..., 2); ``limits`` of a step, shape (2, 2), up and down."""
    up, down = np.asarray(limits, dtype=float)
    more = up - down
    upper = twist + down + more * np.clip(1.0 + twist / TURNING, 0.0, 1.0)
    lower = twist - down - more * np.clip(1.0 - twist / TURNING, 0.0, 1.0)
    return np.clip(end, lower, upper)
