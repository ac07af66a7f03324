"""The few records that travel between packages. Arrays inside are never written to."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .angles import quaternion_from_yaw
from .tunable import tunable

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]
Layers = tuple[tuple[Float32, Float32], ...]  # (W, b) pairs of a network, W (out, in), input side first

# Indices into a state vector (x, y, yaw, v, omega) and a command vector (v, omega).
X, Y, YAW, V, OMEGA = range(5)


@attrs.frozen
class Odometry:
    """One odometry sample.

    Attributes:
        stamp: time of validity on the node's clock [s].
        pose: (x, y, yaw) of the base in the odometry frame [m, m, rad].
        twist: (v forward, omega left positive) in the base frame [m/s, rad/s].
    """

    stamp: float
    pose: Array
    twist: Array

    @property
    def state(self) -> Array:
        """(x, y, yaw, v, omega), shape (5,)."""
        return np.concatenate([self.pose, self.twist])


@attrs.frozen
class OdometryMessage:
    """An odometry message as it arrived, before any check; fields may hold anything.

    Attributes:
        frame_id, child_frame_id: of the pose and of the twist.
        stamp: time of validity on the node's clock, 0 for unknown [s].
        position: (x, y, z) [m].
        orientation: quaternion (x, y, z, w).
        linear, angular: twist in the base frame, three components each [m/s, rad/s].
    """

    frame_id: str
    child_frame_id: str
    stamp: float
    position: Sequence[float]
    orientation: Sequence[float]
    linear: Sequence[float]
    angular: Sequence[float]

    @classmethod
    def planar(
        cls, stamp: float, state: ArrayLike, odom_frame: str = "odom", base_frame: str = "base_link"
    ) -> OdometryMessage:
        """What a robot on the ground says at ``stamp`` [s] of its state (x, y, yaw, v, omega), shape (5,)."""
        x, y, yaw, v, omega = np.asarray(state, dtype=float).tolist()
        orientation = quaternion_from_yaw(yaw)
        return cls(odom_frame, base_frame, stamp, (x, y, 0.0), orientation, (v, 0.0, 0.0), (0.0, 0.0, omega))


@attrs.frozen
class VelocityLimits:
    """What may be commanded (nav2's names).

    Attributes:
        vx_max, vx_min: forward velocity [m/s]; vx_min <= 0 <= vx_max, below 0 allows reversing.
        wz_max: yaw rate, either way [rad/s].
        ax_max: forward acceleration [m/s^2], above 0.
        ax_min: braking deceleration, as a negative acceleration [m/s^2].
        az_max: yaw acceleration, either way [rad/s^2]. The default stops a turn at wz_max as soon
            as a drive at vx_max, so that a stop takes a third of a second at most.
        az_min: yaw deceleration, either way, as a negative acceleration [rad/s^2]; 0: that of az_max.

    Raises:
        InvalidValueError: a bound is not finite or out of its range.
    """

    vx_max: float = tunable(1.0, 1e-3, 20.0, "Largest forward velocity", "m/s")
    vx_min: float = tunable(
        -0.35, -20.0, 0.0, "Smallest forward velocity; below 0 allows driving in reverse", "m/s"
    )
    wz_max: float = tunable(1.9, 1e-3, 20.0, "Largest yaw rate, either way", "rad/s")
    ax_max: float = tunable(3.0, 1e-2, 100.0, "Largest acceleration, forward or in reverse", "m/s^2")
    ax_min: float = tunable(-3.0, -100.0, -1e-2, "Largest deceleration, as a negative acceleration", "m/s^2")
    az_max: float = tunable(6.0, 1e-2, 100.0, "Largest yaw acceleration, either way", "rad/s^2")
    az_min: float = tunable(
        0.0, -100.0, 0.0, "Largest yaw deceleration, as a negative acceleration; 0: as az_max", "rad/s^2"
    )

    @property
    def acceleration(self) -> Array:
        """By how much a speed (v, omega) may rise in a second, shape (2,)."""
        return np.array([self.ax_max, self.az_max])

    @property
    def deceleration(self) -> Array:
        """By how much it may fall, shape (2,), above 0."""
        return np.array([-self.ax_min, -self.az_min or self.az_max])

    @property
    def low(self) -> Array:
        """Smallest command (v, omega), shape (2,)."""
        return np.array([self.vx_min, -self.wz_max])

    @property
    def high(self) -> Array:
        """Largest command (v, omega), shape (2,)."""
        return np.array([self.vx_max, self.wz_max])
