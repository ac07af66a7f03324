"""What was commanded and when; a ring of fixed size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .errors import InvalidValueError
from .kernels.cache import njit
from .types import Array

INSTANT = 1e-9  # [s] times nearer to each other are one; what ROS resolves


class CommandHistory:
    """The newest commands (v [m/s], omega [rad/s]); each holds until the next one.

    Before the first command the robot was told nothing, which counts as zero. Times are on the
    node's clock.

    Args:
        capacity: commands kept; older ones count as held since ever.
        jump_back: a command older than the newest by more is taken for a jump of the clock and
            empties the history; less is taken for jitter [s].
    """

    def __init__(self, capacity: int = 512, jump_back: float = 0.05) -> None:
        if not (capacity >= 2):
            raise InvalidValueError(f"capacity must be at least 2, got {capacity}")
        if not (0.0 < jump_back < math.inf):
            raise InvalidValueError(f"jump_back must be finite and above 0, got {jump_back}")
        self._capacity, self._jump_back = int(capacity), jump_back
        self._ring = np.zeros((self._capacity, 3))  # (t, v, omega)
        self.reset()

    def reset(self) -> None:
        """Forget everything, as after a jump of the clock."""
        self._count = 0
        self._newest = -1
        self._newest_time = -math.inf
        self._before = (0.0, 0.0)  # command before the oldest one kept

    def __len__(self) -> int:
        return self._count

    def record(self, t: float, command: Sequence[float] | Array) -> None:
        """``command`` (v, omega) holds from ``t`` [s] on.

        Raises:
            InvalidValueError: a value is not finite.
        """
        t, v, omega = float(t), float(command[0]), float(command[1])
        if not (math.isfinite(t) and math.isfinite(v) and math.isfinite(omega)):
            raise InvalidValueError(f"time and command must be finite, got {t}, ({v}, {omega})")
        if self._count:
            if t < self._newest_time - self._jump_back:
                self.reset()
            else:
                t = max(t, self._newest_time)
        slot, ring = (self._newest + 1) % self._capacity, self._ring
        if self._count == self._capacity:
            self._before = ring.item(slot, 1), ring.item(slot, 2)
        else:
            self._count += 1
        ring[slot, 0], ring[slot, 1], ring[slot, 2] = t, v, omega
        self._newest, self._newest_time = slot, t

    def mean_over(self, t0: float, t1: float) -> np.ndarray:
        """Mean command over [t0, t1] [s], shape (2,); for t0 == t1 the one that holds then.

        Raises:
            InvalidValueError: the times are not finite or not in order.
        """
        if not (math.isfinite(t0) and math.isfinite(t1) and t0 <= t1):
            raise InvalidValueError(f"times must be finite and in order, got [{t0}, {t1}]")
        v, omega, _ = _mean(self._ring, self._newest, self._count, self._before, float(t0), float(t1), 0)
        return np.array((v, omega))

    def history(self, t: float, taps: int, dt: float) -> np.ndarray:
        """Mean commands of the ``taps`` steps of ``dt`` [s] before ``t``, newest first.

        Returns:
            Shape (taps, 2); row 0 is the mean over [t - dt, t], row 1 over [t - 2 dt, t - dt], ...

        Raises:
            InvalidValueError: ``t`` is not finite, ``dt`` not above 0, or ``taps`` below 0.
        """
        if not (math.isfinite(t) and 0.0 < dt < math.inf and taps >= 0):
            raise InvalidValueError(f"need a finite t, dt above 0 and taps from 0 on, got {t}, {dt}, {taps}")
        rows = np.empty((taps, 2))
        _means(self._ring, self._newest, self._count, self._before, float(t), float(dt), rows)
        return rows


@njit(cache=True)
def _means(
    ring: Array, newest: int, count: int, before: tuple[float, float], t: float, dt: float, rows: Array
) -> None:
    back, end = 0, t
    for tap in range(len(rows)):
        start = t - (tap + 1) * dt
        rows[tap, 0], rows[tap, 1], back = _mean(ring, newest, count, before, start, end, back)
        end = start


@njit(cache=True)
def _mean(
    ring: Array, newest: int, count: int, before: tuple[float, float], t0: float, t1: float, back: int
) -> tuple[float, float, int]:
    """Mean over [t0, t1], and how far back from the newest the command at t0 is found.

    Args:
        before: the command before the oldest one in the ring.
        back: how far to begin looking; every command less far back starts at t1 or later.
    """
    v_sum = omega_sum = 0.0
    slot, end = 0, t1
    while back < count:
        slot = (newest - back) % len(ring)
        start = ring[slot, 0]
        if start <= t0 + INSTANT:
            break
        if start < end - INSTANT:
            v_sum += ring[slot, 1] * (end - start)
            omega_sum += ring[slot, 2] * (end - start)
            end = start
        back += 1
    v, omega = before
    if back < count:
        v, omega = ring[slot, 1], ring[slot, 2]
    if end == t1:
        return v, omega, back
    span = t1 - t0
    return (v_sum + v * (end - t0)) / span, (omega_sum + omega * (end - t0)) / span, back
