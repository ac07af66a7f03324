"""A push that persists: what the model does not explain now and will not explain a moment later.

On each axis the one-step error of the model is taken for p + noise, where p decays slowly: wind, a slope, a
load, a floor that has just changed. In innovation form, the stationary Kalman filter of

    p+ = decay p + w,    error = p + noise

is  ``p+ = decay (p + gain (error - p))``; gain and decay are all that it needs.

Source: Pannocchia and Rawlings, Disturbance models for offset-free model-predictive control (AIChE J. 2003);
Anderson and Moore, Optimal Filtering (1979), 9 for the innovation form.
"""

from __future__ import annotations

import numpy as np
from numba import njit

AXES = 2
GAINS = np.array([0.0, 0.1, 0.2, 0.35, 0.5, 0.7])
DECAYS = np.array([0.8, 0.9, 0.95, 0.98])
NONE_SHARE = 0.5  # prior probability that nothing pushes
FLOOR = (2e-3, 3e-3)  # smallest deviation of an error taken for real (v [m/s], omega [rad/s])
PSEUDO = 4.0  # errors of that size that are taken to have been seen


@njit(cache=True)
def track(errors, first, gain, decay, start):
    """Push predicted for the step after the last error.

    Args:
        errors: one-step errors of the model, oldest first, shape (M, 2).
        first: whether a row does not follow the one before, shape (M,) bool.
        gain, decay: per axis, shape (2,).
        start: push predicted for the first row, shape (2,).

    Returns:
        Shape (2,).
    """
    out = np.empty(2)
    for axis in range(2):
        p = start[axis]
        for k in range(len(errors)):
            if first[k]:
                p = 0.0
            p = decay[axis] * (p + gain[axis] * (errors[k, axis] - p))
        out[axis] = p
    return out


@njit(cache=True)
def _squares(errors, first, gains, decays, out):
    for axis in range(2):
        for i in range(len(gains)):
            for j in range(len(decays)):
                p = 0.0
                total = 0.0
                for k in range(len(errors)):
                    if first[k]:
                        p = 0.0
                    e = errors[k, axis] - p
                    total += e * e
                    p = decays[j] * (p + gains[i] * e)
                out[axis, i, j] = total


def estimate(errors: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gain and decay of each axis from the one-step errors of a model, oldest first.

    Averaged over a grid by the evidence of the errors, their deviation integrated out.

    Returns:
        (gain, decay), each of shape (2,); gain 0 where nothing persists.
    """
    squares = np.empty((AXES, len(GAINS), len(DECAYS)))
    _squares(np.ascontiguousarray(errors[:, :AXES], dtype=float), first, GAINS, DECAYS, squares)
    floor = np.square(FLOOR)[:, None, None]
    evidence = -0.5 * (len(errors) + PSEUDO) * np.log(squares + PSEUDO * floor)
    share = np.full((len(GAINS), len(DECAYS)), (1.0 - NONE_SHARE) / ((len(GAINS) - 1) * len(DECAYS)))
    share[0] = NONE_SHARE / len(DECAYS)
    evidence += np.log(share)
    weight = np.exp(evidence - evidence.max(axis=(1, 2), keepdims=True))
    weight /= weight.sum(axis=(1, 2), keepdims=True)
    by_gain = weight * GAINS[:, None]
    gain = by_gain.sum(axis=(1, 2))
    decay = (by_gain * DECAYS).sum(axis=(1, 2)) / np.maximum(gain, 1e-12)
    return gain, np.where(gain > 1e-12, decay, DECAYS[-1])
