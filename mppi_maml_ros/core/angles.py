"""Angles in radians, wrapped to [-pi, pi)."""

from typing import Any

import numpy as np

TWO_PI = 2.0 * np.pi


def wrap(angle: Any) -> Any:
    """Wrap an angle, or an array of them, to [-pi, pi) [rad]."""
    return (angle + np.pi) % TWO_PI - np.pi


def difference(a: Any, b: Any) -> Any:
    """Shortest signed rotation from ``b`` to ``a`` [rad]."""
    return wrap(a - b)


def yaw_from_quaternion(x: float, y: float, z: float, w: float) -> float:
    """Yaw of a quaternion of any length (REP-103: x forward, z up) [rad]; 0 of one that is all zero."""
    return float(np.arctan2(2.0 * (w * z + x * y), w * w + x * x - y * y - z * z))


def quaternion_from_yaw(yaw: float) -> tuple[float, float, float, float]:
    """Unit quaternion (x, y, z, w) of a rotation by ``yaw`` [rad] about z."""
    return 0.0, 0.0, float(np.sin(0.5 * yaw)), float(np.cos(0.5 * yaw))
