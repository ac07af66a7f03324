"""The last thing between any command and the robot: velocity and acceleration limits."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ..core.errors import InvalidValueError
from ..core.types import VelocityLimits


class VelocityLimiter:
    """Limits commands (v [m/s], omega [rad/s]) in size and in change from one to the next.

    Speeding up, forward or in reverse, is limited by ``ax_max``, slowing down by ``ax_min``,
    turning faster by ``az_max``, slower by ``az_min``. Starts at rest.

    Args:
        limits: what may be commanded.
        max_dt: a longer time since the last command allows no larger change than this one [s].
    """

    def __init__(self, limits: VelocityLimits, max_dt: float = 0.1) -> None:
        if not (0.0 < max_dt < math.inf):
            raise InvalidValueError(f"max_dt must be finite and above 0, got {max_dt}")
        self._limits = limits
        self._max_dt = max_dt
        self._v = self._omega = 0.0

    @property
    def last(self) -> np.ndarray:
        """The newest command given out, shape (2,)."""
        return np.array([self._v, self._omega])

    @property
    def at_rest(self) -> bool:
        """The newest command is an exact zero."""
        return self._v == 0.0 and self._omega == 0.0

    def configure(self, limits: VelocityLimits, max_dt: float) -> None:
        """Other limits from now on; the command in force stays and is brought within them."""
        self._limits, self._max_dt = limits, max_dt

    def limit(self, command: Iterable[float], dt: float) -> np.ndarray:
        """The command nearest to ``command`` that may follow the last one ``dt`` [s] later.

        Args:
            command: (v, omega); anything that is not two finite numbers asks for a stop.
            dt: time since the last command [s]; below 0 or NaN counts as 0.

        Returns:
            Shape (2,), finite and within the limits whatever came in.
        """
        try:
            v, omega = (float(value) for value in command)
        except (TypeError, ValueError, OverflowError):
            return self.stop(dt)
        if not (math.isfinite(v) and math.isfinite(omega)):
            return self.stop(dt)
        limits, dt = self._limits, self._bounded(dt)
        v = min(max(v, limits.vx_min), limits.vx_max)
        omega = min(max(omega, -limits.wz_max), limits.wz_max)
        self._v = _approach(self._v, v, limits.ax_max, -limits.ax_min, dt)
        self._omega = _approach(self._omega, omega, limits.az_max, -limits.az_min or limits.az_max, dt)
        return self.last

    def stop(self, dt: float) -> np.ndarray:
        """The next command on the way to an exact zero, ``dt`` [s] after the last; shape (2,)."""
        return self.limit((0.0, 0.0), dt)

    def reset(self) -> np.ndarray:
        """Zero at once, past the acceleration limits; shape (2,)."""
        self._v = self._omega = 0.0
        return self.last

    def _bounded(self, dt: float) -> float:
        return min(dt, self._max_dt) if dt > 0.0 else 0.0


def _approach(last: float, target: float, speed_up: float, slow_down: float, dt: float) -> float:
    """Go from ``last`` towards ``target`` within ``dt``; through zero it slows down, then speeds up."""
    sign = math.copysign(1.0, last) if last else math.copysign(1.0, target)
    speed, wanted = sign * last, sign * target
    if wanted >= speed:
        reached = min(wanted, speed + speed_up * dt)
    elif wanted >= 0.0:
        reached = max(wanted, speed - slow_down * dt)
    else:
        to_zero = speed / slow_down
        if to_zero > dt:
            reached = speed - slow_down * dt
        else:
            reached = max(wanted, -speed_up * (dt - to_zero))
    return sign * reached if reached else 0.0
