"""The box that the robot stays in, and the way back to its middle."""

from __future__ import annotations

import math

import attrs
import numpy as np

from ..core.angles import difference, wrap
from ..core.errors import InvalidValueError
from ..core.types import Array, VelocityLimits

SMALLEST = 0.8  # [m]
REACTION = 1.5  # [s] in which a robot with lag and delay stops from any speed
TURNS_BACK = 0.35  # share of the wanted speed below which it is no use to go on
CENTRED = 0.25  # share of the way from the middle to the nearest edge within which it is back
ALIGNED = 0.5  # [rad] within which it drives while it turns
STILL = 0.05  # [m/s, rad/s] slower than that it does not move
PATIENCE = 1.0  # [s] without motion after which the command grows
GROWTH = 1.4


@attrs.frozen
class Box:
    """A rectangle in the frame of odometry; what stays in it is the origin of the robot's frame.

    Attributes:
        origin: pose (x, y, yaw) of its middle; its length lies along the yaw [m, m, rad].
        length, width: [m].
    """

    origin: tuple[float, float, float]
    length: float
    width: float

    def __attrs_post_init__(self) -> None:
        for name, value in (("length", self.length), ("width", self.width)):
            if not (SMALLEST <= value < math.inf):
                raise InvalidValueError(f"{name} of the box must be at least {SMALLEST:g} m, got {value:g}")

    @property
    def reach(self) -> float:
        """From the middle to the nearest edge [m]."""
        return 0.5 * min(self.length, self.width)

    def local(self, pose: Array) -> tuple[float, float, float]:
        """A pose (x, y, yaw) seen from the middle."""
        x, y, yaw = self.origin
        dx, dy, c, s = pose[0] - x, pose[1] - y, math.cos(yaw), math.sin(yaw)
        return c * dx + s * dy, c * dy - s * dx, float(difference(pose[2], yaw))

    def holds(self, pose: Array) -> bool:
        """Whether the robot is inside."""
        x, y, _ = self.local(pose)
        return abs(x) <= 0.5 * self.length and abs(y) <= 0.5 * self.width

    def ahead(self, pose: Array, sign: float) -> float:
        """Way to the edge forwards (sign 1) or in reverse (-1) [m]; 0 outside."""
        x, y, yaw = self.local(pose)
        way = math.inf
        for place, half, along in (
            (x, 0.5 * self.length, sign * math.cos(yaw)),
            (y, 0.5 * self.width, sign * math.sin(yaw)),
        ):
            if abs(along) > 1e-6:
                way = min(way, ((half if along > 0.0 else -half) - place) / along)
        return max(way, 0.0) if self.holds(pose) else 0.0


def slowed(box: Box, pose: Array, command: Array) -> Array:
    """The command, slower near an edge: so that the robot can stop within ``REACTION`` before it.

    Args:
        box, pose: where the robot is.
        command: (v, omega).
    """
    v = float(command[0])
    if v == 0.0:
        return command
    ahead = box.ahead(pose, math.copysign(1.0, v))
    return np.array([math.copysign(min(abs(v), ahead / REACTION), v), command[1]])


class Return:
    """Drives back to the middle, forwards or in reverse, whatever needs less of a turn.

    Args:
        box: whose middle.
        limits: of the velocity; half of them is used.
    """

    def __init__(self, box: Box, limits: VelocityLimits) -> None:
        self._box, self._limits = box, limits
        self._boost, self._still_since = 1.0, math.nan

    def command(self, now: float, pose: Array, twist: Array) -> Array | None:
        """(v, omega), or None once the robot is back; pose and twist as measured, ``now`` [s]."""
        x, y, yaw = self._box.local(pose)
        distance = math.hypot(x, y)
        if distance < CENTRED * self._box.reach:
            return None
        bearing = float(wrap(math.atan2(-y, -x) - yaw))
        sign = 1.0
        if self._limits.vx_min < 0.0 and abs(bearing) > 0.5 * math.pi:
            bearing, sign = float(wrap(bearing + math.pi)), -1.0
        fastest = self._limits.vx_max if sign > 0.0 else -self._limits.vx_min
        omega = math.copysign(
            min(abs(bearing) * self._boost, 0.5 * self._limits.wz_max * self._boost), bearing
        )
        v = sign * min(0.8 * distance, 0.5 * fastest) * self._boost if abs(bearing) < ALIGNED else 0.0
        self._look(now, twist)
        return np.clip([v, omega], self._limits.low, self._limits.high)

    def _look(self, now: float, twist: Array) -> None:
        """A robot that stands within its dead band is told more."""
        if np.abs(twist).max() > STILL:
            self._still_since = math.nan
        elif math.isnan(self._still_since):
            self._still_since = now
        elif now - self._still_since > PATIENCE:
            self._boost, self._still_since = min(self._boost * GROWTH, 10.0), now
