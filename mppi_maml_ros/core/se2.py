"""Planar rigid motions. A pose is (x [m], y [m], yaw [rad]), alone or as rows of an array."""

import numpy as np
from numpy.typing import ArrayLike

from .angles import wrap
from .types import Array


def to_body(pose: ArrayLike, reference: ArrayLike) -> Array:
    """Express ``pose`` in the frame of ``reference``.

    Args:
        pose: shape (..., 3).
        reference: shape (..., 3), same frame as ``pose``.

    Returns:
        Shape (..., 3): x forward, y left of ``reference``, yaw difference in [-pi, pi).
    """
    pose, reference = np.asarray(pose, dtype=float), np.asarray(reference, dtype=float)
    dx = pose[..., 0] - reference[..., 0]
    dy = pose[..., 1] - reference[..., 1]
    c, s = np.cos(reference[..., 2]), np.sin(reference[..., 2])
    return np.stack([c * dx + s * dy, c * dy - s * dx, wrap(pose[..., 2] - reference[..., 2])], axis=-1)


def compose(reference: ArrayLike, pose: ArrayLike) -> Array:
    """Express ``pose``, given in the frame of ``reference``, in the frame of the latter; (..., 3)."""
    reference, pose = np.asarray(reference, dtype=float), np.asarray(pose, dtype=float)
    c, s = np.cos(reference[..., 2]), np.sin(reference[..., 2])
    return np.stack(
        [
            reference[..., 0] + c * pose[..., 0] - s * pose[..., 1],
            reference[..., 1] + s * pose[..., 0] + c * pose[..., 1],
            wrap(reference[..., 2] + pose[..., 2]),
        ],
        axis=-1,
    )


def displacement_twist(start: ArrayLike, end: ArrayLike, dt: ArrayLike) -> Array:
    """Mean body-frame twist that carries ``start`` to ``end`` within ``dt``.

    The translation is read in the frame of the mid-step heading, which is where
    :func:`integrate` applies it, so the two are exact inverses.

    Args:
        start, end: poses of shape (..., 3).
        dt: step [s], above 0.

    Returns:
        (forward [m/s], lateral to the left [m/s], yaw rate [rad/s]) of shape (..., 3).
    """
    start, end = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
    dyaw = wrap(end[..., 2] - start[..., 2])
    middle = start[..., 2] + 0.5 * dyaw
    dx, dy = end[..., 0] - start[..., 0], end[..., 1] - start[..., 1]
    c, s = np.cos(middle), np.sin(middle)
    moved = np.stack([c * dx + s * dy, c * dy - s * dx, dyaw], axis=-1)
    twist: Array = moved / np.asarray(dt)[..., None]
    return twist


def integrate(pose: ArrayLike, twist: ArrayLike, dt: float) -> Array:
    """Move ``pose`` by a body-frame twist held for ``dt`` (mid-step heading).

    Args:
        pose: shape (..., 3).
        twist: (forward, lateral, yaw rate) of shape (..., 3) [m/s, m/s, rad/s].
        dt: step [s].

    Returns:
        Poses of shape (..., 3).
    """
    pose, twist = np.asarray(pose, dtype=float), np.asarray(twist, dtype=float)
    dyaw = twist[..., 2] * dt
    middle = pose[..., 2] + 0.5 * dyaw
    c, s = np.cos(middle), np.sin(middle)
    return np.stack(
        [
            pose[..., 0] + (c * twist[..., 0] - s * twist[..., 1]) * dt,
            pose[..., 1] + (s * twist[..., 0] + c * twist[..., 1]) * dt,
            wrap(pose[..., 2] + dyaw),
        ],
        axis=-1,
    )
