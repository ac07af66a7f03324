"""What was commanded and when; a ring of fixed size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .errors import InvalidValueError
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
        # Plain lists: scalar access in the tick is several times faster than in numpy arrays.
        self._times = [0.0] * self._capacity
        self._v = [0.0] * self._capacity
        self._omega = [0.0] * self._capacity
        self.reset()

    def reset(self) -> None:
        """Forget everything, as after a jump of the clock."""
        self._count = 0
        self._newest = -1
        self._v_before = self._omega_before = 0.0

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
            newest = self._times[self._newest]
            if t < newest - self._jump_back:
                self.reset()
            else:
                t = max(t, newest)
        slot = (self._newest + 1) % self._capacity
        if self._count == self._capacity:
            self._v_before, self._omega_before = self._v[slot], self._omega[slot]
        else:
            self._count += 1
        self._times[slot], self._v[slot], self._omega[slot] = t, v, omega
        self._newest = slot

    def mean_over(self, t0: float, t1: float) -> np.ndarray:
        """Mean command over [t0, t1] [s], shape (2,); for t0 == t1 the one that holds then.

        Raises:
            InvalidValueError: the times are not finite or not in order.
        """
        if not (math.isfinite(t0) and math.isfinite(t1) and t0 <= t1):
            raise InvalidValueError(f"times must be finite and in order, got [{t0}, {t1}]")
        v, omega, _ = self._mean(t0, t1, 0)
        return np.array([v, omega])

    def history(self, t: float, taps: int, dt: float) -> np.ndarray:
        """Mean commands of the ``taps`` steps of ``dt`` [s] before ``t``, newest first.

        Returns:
            Shape (taps, 2); row 0 is the mean over [t - dt, t], row 1 over [t - 2 dt, t - dt], ...

        Raises:
            InvalidValueError: ``t`` is not finite, ``dt`` not above 0, or ``taps`` below 0.
        """
        if not (math.isfinite(t) and 0.0 < dt < math.inf and taps >= 0):
            raise InvalidValueError(f"need a finite t, dt above 0 and taps from 0 on, got {t}, {dt}, {taps}")
        rows = np.zeros((taps, 2))
        back, end = 0, t
        for tap in range(taps):
            start = t - (tap + 1) * dt
            v, omega, back = self._mean(start, end, back)
            rows[tap] = v, omega
            end = start
        return rows

    def _mean(self, t0: float, t1: float, back: int) -> tuple[float, float, int]:
        """Mean over [t0, t1], and how far back from the newest the command at t0 is found.

        Args:
            back: how far to begin looking; every command less far back starts at t1 or later.
        """
        v_sum = omega_sum = 0.0
        end = t1
        while back < self._count:
            slot = (self._newest - back) % self._capacity
            start = self._times[slot]
            if start <= t0 + INSTANT:
                break
            if start < end - INSTANT:
                v_sum += self._v[slot] * (end - start)
                omega_sum += self._omega[slot] * (end - start)
                end = start
            back += 1
        if back < self._count:
            v, omega = self._v[slot], self._omega[slot]
        else:
            v, omega = self._v_before, self._omega_before
        if end == t1:
            return v, omega, back
        span = t1 - t0
        return (v_sum + v * (end - t0)) / span, (omega_sum + omega * (end - t0)) / span, back
