"""One-step errors that tell of the next ones: a push that persists, and noise in the odometry.

What a model of v or omega gets wrong over successive steps is seldom white. Wind, a slope or a floor
that has just changed push for seconds. Noise in the measured velocity enters twice, once as an error
and once, reversed, as the start of the next prediction. Both together have the innovation form

    error = p + m + r,    p+ = pole p + push_gain r,    m+ = noise_gain r,    r white.

A regression on whitened data (of r) is bent neither by what persists nor by noise, and p corrects the
predictions of the steps ahead, for as long as its pole says.

Source: Ljung, System Identification (1999), 4.2 (ARMAX) and 7; Anderson and Moore, Optimal Filtering
(1979), 9; Pannocchia and Rawlings, Disturbance models for offset-free MPC (AIChE J. 2003) for the push.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...core.arrays import read_only
from ...core.kernels.cache import njit
from ...core.types import Array

SETTLED = 48  # steps after the start of a chain from which on the gains are taken for constant


@attrs.frozen(eq=False)
class ErrorModels:
    """A grid of models of the errors; axes: model c, step k after the start of a chain.

    Attributes:
        pole: of the push, shape (C,).
        push_gain, noise_gain: shape (C, SETTLED).
        scale: deviation of r over that of the white noise, shape (C, SETTLED).
        share: prior probability, shape (C,).
    """

    pole: np.ndarray = attrs.field(converter=read_only)
    push_gain: np.ndarray = attrs.field(converter=read_only)
    noise_gain: np.ndarray = attrs.field(converter=read_only)
    scale: np.ndarray = attrs.field(converter=read_only)
    share: np.ndarray = attrs.field(converter=read_only)

    @property
    def grid(self) -> tuple[Array, Array, Array, Array, Array]:
        """What the kernels take of it: (pole, push_gain, noise_gain, scale, share)."""
        return self.pole, self.push_gain, self.noise_gain, self.scale, self.share

    @classmethod
    def make(
        cls, pushes: Iterable[tuple[float, float, float]], thetas: Iterable[tuple[float, float]]
    ) -> ErrorModels:
        """Every combination of a push and a noise; the first of both is none.

        Args:
            pushes: (pole, variance over that of the white noise, prior probability).
            thetas: (theta of the moving average n+ - theta n, prior probability).
        """
        rows = [
            (pole, *_filter(pole, variance, theta), a * b)
            for (pole, variance, a), (theta, b) in itertools.product(pushes, thetas)
        ]
        return cls(*(np.array(column) for column in zip(*rows, strict=True)))

    def settled(self, models: NDArray[np.int64]) -> np.ndarray:
        """(pole, push_gain, noise_gain) of models, shape (A,), once a chain is long; shape (3, A)."""
        return np.stack([self.pole[models], self.push_gain[models, -1], self.noise_gain[models, -1]])


def _filter(pole: float, variance: float, theta: float) -> tuple[Array, Array, Array]:
    """Kalman gains of the states p (an AR(1) push) and n (the noise of the last sample)."""
    push, noise, scale = np.empty((3, SETTLED))
    pp, pn, nn = variance, 0.0, 1.0
    for k in range(SETTLED):
        total = pp - 2.0 * theta * pn + theta**2 * nn + 1.0
        push[k], noise[k], scale[k] = pole * (pp - theta * pn) / total, -theta / total, np.sqrt(total)
        pp = pole**2 * pp + variance * (1.0 - pole**2) - push[k] ** 2 * total
        pn, nn = -push[k], 1.0 - 1.0 / total
    return push, noise, scale


PUSHES = (
    (0.0, 0.0, 0.58),
    *((pole, variance, 0.07) for pole in (0.9, 0.96) for variance in (0.5, 4.0, 32.0)),
)
THETAS = ((0.0, 0.4), (0.5, 0.3), (0.85, 0.3))
MODELS = ErrorModels.make(PUSHES, THETAS)  # model len(THETAS) * i + j has push i and theta j
TYPICAL = np.repeat([[0.95], [0.3], [0.0]], 2, axis=1)
"""Of theta*, shape (3, 2): what the typical robot gets wrong of this one, it gets wrong again."""


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def whiten(
    columns: Array,
    first: NDArray[np.bool_],
    pole: float,
    push_gain: Array,
    noise_gain: Array,
    scale: Array,
    out: Array,
) -> float:
    """Innovations of every column, in units of the white noise.

    Args:
        columns: (M, K), oldest row first; first: rows that do not follow the one before, (M,) bool.
        pole, push_gain, noise_gain, scale: a model; arrays of the first steps of a chain.
        out: (M, K), filled.

    Returns:
        Sum of the logarithms of the deviations.
    """
    p, m = np.zeros(columns.shape[1]), np.zeros(columns.shape[1])
    log_det, product, age, last, settled = 0.0, 1.0, 0, len(scale) - 1, 0
    for k in range(len(columns)):
        if first[k]:
            p[:] = 0.0
            m[:] = 0.0
            log_det, product, age = log_det + math.log(product), 1.0, 0
        a, b, inverse = push_gain[age], noise_gain[age], 1.0 / scale[age]
        if age < last:
            product *= scale[age]
            age += 1
        else:
            settled += 1
        row, white = columns[k], out[k]
        for i in range(len(p)):
            r = row[i] - p[i] - m[i]
            white[i] = r * inverse
            p[i] = pole * p[i] + a * r
            m[i] = b * r
    return log_det + math.log(product) + settled * math.log(scale[last])


@njit(cache=True)
def _pushes(
    errors: Array, first: NDArray[np.bool_], pole: Array, push_gain: Array, noise_gain: Array, start: Array
) -> Array:
    out = np.zeros((len(errors) + 1, errors.shape[1]))
    for axis in range(errors.shape[1]):
        p, m = start[0, axis], start[1, axis]
        for k in range(len(errors)):
            if first[k]:
                p = m = 0.0
            out[k, axis] = p
            r = errors[k, axis] - p - m
            p = pole[axis] * p + push_gain[axis] * r
            m = noise_gain[axis] * r
        out[len(errors), axis] = start[0, axis] = p
        start[1, axis] = m
    return out


def pushes(
    errors: ArrayLike, first: NDArray[np.bool_], error_model: ArrayLike, state: Array | None = None
) -> np.ndarray:
    """p before each row and after the last, shape (M + 1, 2).

    Args:
        errors: of the model over successive steps, oldest first, shape (M, 2).
        first: rows that do not follow the one before, shape (M,) bool.
        error_model: settled (pole, push_gain, noise_gain) of (v, omega), shape (3, 2).
        state: (p, m) before the first row, unless that is the first of a chain; becomes those after the
            last one; shape (2, 2); None for zeros.
    """
    errors, model = (np.ascontiguousarray(a, dtype=float) for a in (errors, error_model))
    state = np.zeros((2, 2)) if state is None else state
    return _pushes(errors, np.ascontiguousarray(first), model[0], model[1], model[2], state)
