"""What commands are held to while somebody changes the limits."""

from __future__ import annotations

import attrs

from ..core.types import VelocityLimits

LIMITS = tuple(field.name for field in attrs.fields(VelocityLimits))
BRAKED_WITHIN = 1.0  # [s] from a tighter limit to a command that keeps it
MAX_DT = 0.1  # [s] of acceleration that one period allows at most: two periods at 20 Hz


class LimitsInForce:
    """The newest limits, and for BRAKED_WITHIN those before.

    A robot that is faster than a new limit may only slow down at the rate that its limits allow, and a
    command may have been under way when the change was told.

    Args:
        limits: of the controller at the start, by the names of LIMITS.
    """

    def __init__(self, limits: dict[str, float]) -> None:
        self._newest = dict(limits)
        self._before: list[tuple[float, dict[str, float]]] = []

    def change(self, name: str, value: float, now: float) -> None:
        """The controller has accepted ``value`` for a limit at steady time ``now`` [s]."""
        self._before.append((now + BRAKED_WITHIN, dict(self._newest)))
        self._newest[name] = value

    def complaint(
        self, command: tuple[float, float], last: tuple[float, float] | None, now: float
    ) -> str | None:
        """What is wrong with a command (v [m/s], omega [rad/s]) after ``last``; None when nothing is."""
        self._before = [(until, limits) for until, limits in self._before if until > now]
        allowed = [self._newest, *(limits for _, limits in self._before)]
        most = {name: max(limits[name] for limits in allowed) for name in LIMITS}
        least = {name: min(limits[name] for limits in allowed) for name in LIMITS}
        v, omega = command
        if not (least["vx_min"] <= v <= most["vx_max"] and abs(omega) <= most["wz_max"]):
            return f"command ({v}, {omega}) is beyond the limits"
        if last is None or not (v or omega):  # a node that ends may command zero at once
            return None
        step_v, step_omega = (
            max(most[f"{axis}_max"], -least[f"{axis}_min"]) * MAX_DT + 1e-9 for axis in ("ax", "az")
        )
        if abs(v - last[0]) > step_v or abs(omega - last[1]) > step_omega:
            return f"command ({v}, {omega}) after {last} is beyond the acceleration"
        return None
