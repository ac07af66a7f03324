"""Planar rigid motions of one pose, and angles in a row, compiled; see :mod:`..se2`."""

from __future__ import annotations

import math

from ..types import Array
from .cache import njit


@njit(cache=True)
def wrapped(angle: float) -> float:
    """An angle in [-pi, pi) [rad]."""
    return (angle + math.pi) % (2.0 * math.pi) - math.pi


@njit(cache=True)
def displacement(start: Array, end: Array) -> tuple[float, float, float]:
    """``displacement_twist`` times its dt: (forward [m], lateral to the left [m], turn [rad])."""
    turn = wrapped(end[2] - start[2])
    middle = start[2] + 0.5 * turn
    dx, dy = end[0] - start[0], end[1] - start[1]
    c, s = math.cos(middle), math.sin(middle)
    return c * dx + s * dy, c * dy - s * dx, turn


@njit(cache=True)
def moved(pose: Array, forward: float, lateral: float, turn: float) -> tuple[float, float, float]:
    """``integrate`` of a displacement: (x [m], y [m], yaw [rad])."""
    middle = pose[2] + 0.5 * turn
    c, s = math.cos(middle), math.sin(middle)
    return (
        pose[0] + (c * forward - s * lateral),
        pose[1] + (s * forward + c * lateral),
        wrapped(pose[2] + turn),
    )


@njit(cache=True)
def unwrap(angles: Array) -> None:
    """Let angles follow one another without a jump, in place, as ``numpy.unwrap`` does; shape (N,)."""
    for i in range(1, len(angles)):
        turn = angles[i] - angles[i - 1]
        step = wrapped(turn)
        angles[i] = angles[i - 1] + (math.pi if step == -math.pi and turn > 0.0 else step)
