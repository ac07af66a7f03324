"""Poses of a path as they come, made into a polyline over arc length."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..core.errors import InvalidPathError

_MAX_COORDINATE = 1e7  # m; beyond it arithmetic on differences loses centimetres
_MIN_STEP = 1e-6  # m; shortest step between poses, so that arc lengths always increase
_THINNINGS = 3
_MIN_LENGTH = 1e-3  # m; anything shorter is a point


def validated(poses: ArrayLike) -> np.ndarray:
    """A copy of poses (x [m], y [m], yaw [rad]) of shape (M, 3).

    Raises:
        InvalidPathError: no pose, a pose that is not finite or absurdly far, or another shape.
    """
    try:
        poses = np.array(poses, dtype=float)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidPathError(f"path holds something that is not a number: {error}") from None
    if poses.size == 0:
        raise InvalidPathError("path is empty")
    if poses.ndim != 2 or poses.shape[1] != 3:
        raise InvalidPathError(f"path must have the shape (M, 3), got {poses.shape}")
    finite = np.isfinite(poses)
    if not finite.all():
        bad = int(np.flatnonzero(~finite.all(axis=1))[0])
        raise InvalidPathError(f"path holds a NaN or an infinity at pose {bad} of {len(poses)}")
    if not max(np.abs(poses[:, 0]).max(), np.abs(poses[:, 1]).max()) <= _MAX_COORDINATE:
        raise InvalidPathError(f"path leaves the range of {_MAX_COORDINATE:g} m")
    return poses


def thinned(poses: np.ndarray, resolution: float) -> tuple[np.ndarray, np.ndarray]:
    """Poses about ``resolution`` apart, the first and the last kept, and their arc lengths [m].

    One pose and the length 0 when there is only one place.
    """
    if max(np.ptp(poses[:, 0]), np.ptp(poses[:, 1])) < _MIN_LENGTH:
        return poses[-1:], np.zeros(1)
    # Thinning shortens a path that trembles, so what is left may be thinned again.
    for _ in range(_THINNINGS):
        arc = _arc_lengths(_steps(poses))
        # The small share keeps poses at just this spacing from falling into one bin.
        bins = (arc * (1.0 / resolution) + 1e-3).astype(np.int64)
        keep = np.empty(len(poses), dtype=bool)
        keep[0] = True
        np.not_equal(bins[1:], bins[:-1], out=keep[1:])
        if not keep[-1]:
            newest = len(keep) - 1 - int(np.argmax(keep[::-1]))
            keep[newest] = newest == 0
            keep[-1] = True
        if keep.all():
            break
        poses = poses[keep]
    steps = _steps(poses)
    arc = _arc_lengths(np.maximum(steps, _MIN_STEP, out=steps))
    if not arc[-1] <= _MAX_COORDINATE:
        raise InvalidPathError(f"path is longer than {_MAX_COORDINATE:g} m")
    return poses, arc


def _steps(poses: np.ndarray) -> np.ndarray:
    dx, dy = np.diff(poses[:, 0]), np.diff(poses[:, 1])
    dx *= dx
    dy *= dy
    dx += dy
    return np.sqrt(dx, out=dx)


def _arc_lengths(steps: np.ndarray) -> np.ndarray:
    arc = np.zeros(len(steps) + 1)
    np.cumsum(steps, out=arc[1:])
    return arc
