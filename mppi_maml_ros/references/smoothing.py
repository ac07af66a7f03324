"""Noise taken out of a path: what a robot was taught by hand, or a planner found on a grid.

A path is smoothed by penalised least squares on second differences (Whittaker 1923; Eilers, "A perfect
smoother", 2003), solved exactly by a sine transform. How much follows from its own noise, so that a path
without any is left alone.
"""

from __future__ import annotations

import math

import numpy as np

from ..core.types import Array

_MOST_POSES = 100_000  # more come from a machine, and are not waited for
_LEAST_NOISE = 2e-3  # m; standard deviation; less does not slow the robot
_CURVATURE_NOISE = 0.25  # 1/m; standard deviation that may be left
_BLOCK = 32  # poses whose noise is looked at together; in half of them there may be corners
_CORNER_COSINE = math.cos(math.radians(115.0))


def smoothed(poses: Array, tolerance: float) -> Array:
    """Poses without the noise that would make every step a curve.

    First and last pose stay, and so do cusps and corners sharper than 115 degrees.

    Args:
        poses: (x [m], y [m], yaw [rad]), shape (M, 3).
        tolerance: no pose is moved by more [m]; what looks like more noise is shape. 0: none is moved.

    Returns:
        Shape (M, 3); ``poses`` itself where there is nothing to do.
    """
    if not 8 <= len(poses) <= _MOST_POSES or tolerance == 0.0:
        return poses
    spacing = _spacing(poses[:, :2])
    noise = _noise(poses[:, :2])
    if not (_LEAST_NOISE < noise <= tolerance and 0.0 < spacing <= tolerance):
        return poses
    # Of white noise, this length leaves _CURVATURE_NOISE: the transfer 1 / (1 + (length w)^4), times w^2.
    length = (0.0884 * noise**2 * spacing / _CURVATURE_NOISE**2) ** 0.2
    penalty = (length / spacing) ** 4
    signal = np.column_stack([poses[:, :2], np.cos(poses[:, 2]), np.sin(poses[:, 2])])
    whole = _whittaker(signal, penalty)
    lag = math.ceil(2.0 * length / spacing)
    bounds = [0, *_sharp_corners(whole[:, :2], lag), len(poses) - 1]
    for first, last in zip(bounds, bounds[1:], strict=False) if len(bounds) > 2 else ():
        whole[first : last + 1] = _whittaker(signal[first : last + 1], penalty)
    move = whole[:, :2] - poses[:, :2]
    far = np.hypot(*move.T)
    move *= (tolerance / np.maximum(far, tolerance))[:, None]
    return np.column_stack([poses[:, :2] + move, np.arctan2(whole[:, 3], whole[:, 2])])


def _spacing(points: Array) -> float:
    """Typical distance between neighbours [m], by chords too long for noise to lengthen them."""
    lag = min(10, len(points) - 1)
    return float(np.median(np.hypot(*(points[lag:] - points[:-lag]).T))) / lag


def _noise(points: Array) -> float:
    """Standard deviation of white noise on each coordinate [m], where there is most of it.

    Fourth differences see little of curves, and their median nothing of corners.
    """
    seen = np.abs(np.diff(points, 4, axis=0))
    blocks = max(len(seen) // _BLOCK, 1)
    size = len(seen) // blocks
    medians = np.median(seen[: blocks * size].reshape(blocks, size, 2), axis=1)
    return float(np.hypot(*medians.T).max() / (0.6745 * math.sqrt(2.0 * 70.0)))


def _whittaker(values: Array, penalty: float) -> Array:
    """Minimises |z - y|^2 + penalty |second differences of z|^2 with both ends held, along axis 0."""
    share = np.linspace(0.0, 1.0, len(values))[:, None]
    line = values[0] + share * (values[-1] - values[0])
    rest = values - line
    turned = np.concatenate([rest, -rest[-2:0:-1]])
    frequency = 2.0 * np.pi * np.arange(len(turned) // 2 + 1) / len(turned)
    transfer = 1.0 / (1.0 + penalty * (2.0 - 2.0 * np.cos(frequency)) ** 2)
    found = np.fft.irfft(np.fft.rfft(turned, axis=0) * transfer[:, None], len(turned), axis=0)
    smooth: Array = line + found[: len(values)]
    return smooth


def _sharp_corners(points: Array, lag: int) -> list[int]:
    """Where the way turns by more than 115 degrees from ``lag`` poses before to as many after."""
    if len(points) <= 2 * lag:
        return []
    before, after = points[lag:-lag] - points[: -2 * lag], points[2 * lag :] - points[lag:-lag]
    lengths = np.hypot(*before.T) * np.hypot(*after.T)
    cosine = np.einsum("ij,ij->i", before, after) / np.maximum(lengths, 1e-12)
    sharp = np.flatnonzero(cosine < _CORNER_COSINE)
    runs = np.split(sharp, np.flatnonzero(np.diff(sharp) > 1) + 1) if len(sharp) else []
    return [int(run[np.argmin(cosine[run])]) + lag for run in runs]
