"""The servo family: each axis a first-order lag behind a delayed command, with few coefficients.

For x = v or omega, its own command u, the other axis' command w and a step dt::

    x+ = k x + g F(u) + c F(w) + (1 - k) (b - f s(x)),    k = exp(-dt / tau)

F is the exact response of the lag to commands that are held over steps and act ``delay`` later, s the
soft sign of dynamics.features. Time constant and delay are taken from a grid; given both, the model is
linear in (gain g, bias b, dry friction f, coupling c), whose Gaussian posterior and marginal
likelihood are closed-form for every noise level of a small grid. Averaging over the grid gives one
linear map again. Four coefficients are settled by a handful of transitions, where a free linear map
of all features needs dozens.

Source: Bishop, Pattern Recognition and Machine Learning, 3.3 to 3.5 (linear regression and evidence).
"""

from __future__ import annotations

import math
from typing import TypeAlias

import attrs
import numpy as np
from numpy.typing import NDArray

from ...core.kernels.cache import njit
from ...core.types import Array
from ..compiled import WIDE
from ..features import extras

MEAN = np.array([0.95, 0.0, 0.0, 0.0])  # of gain [-], bias, friction [m/s, rad/s] and coupling
DEVIATION = np.array(  # (axis, structure, coefficient): a lag and nothing else, and all of it
    [
        [[0.2, 0.005, 0.005, 0.005], [0.2, 0.05, 0.1, 0.05]],
        [[0.2, 0.005, 0.005, 0.005], [0.2, 0.05, 0.1, 0.15]],
    ]
)
PRECISION = 1.0 / DEVIATION**2
TIME_CONSTANTS = np.geomspace(0.01, 1.0, 21)  # [s]
DELAYS_A_STEP = 2  # grid points of the delay within one step
MARGIN = 18.0  # what is e^18 times less probable than the likeliest is left out


Grid: TypeAlias = tuple[NDArray[np.int64], Array, Array, Array, Array]


@attrs.frozen(eq=False)
class ServoFamily:
    """The grid and everything that depends on it alone.

    Attributes:
        delay_taps, model_dt: as in the residual.
        time_constant: grid of tau [s], shape (T,).
        delay: grid of delays [s], shape (J,).
        age: n = floor(delay / model_dt), shape (J,).
        keep: k of each time constant, shape (T,).
        newer, older: shares of the command that is n steps old, and of the one a step older, in the change
            of x over a step, shape (J, T).
        filled: keep, newer and older with as many time constants as fill whole vectors, (3, J, T or more).
    """

    delay_taps: int
    model_dt: float
    time_constant: np.ndarray
    delay: np.ndarray
    age: np.ndarray
    keep: np.ndarray
    newer: np.ndarray
    older: np.ndarray
    filled: np.ndarray = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        rows = np.stack([np.broadcast_to(self.keep, self.newer.shape), self.newer, self.older])
        more = -len(self.keep) % WIDE
        object.__setattr__(self, "filled", np.pad(rows, ((0, 0), (0, 0), (0, more)), mode="edge"))

    @classmethod
    def make(cls, delay_taps: int, model_dt: float) -> ServoFamily:
        """The grid for ``delay_taps`` past commands: delays from 0 to delay_taps * model_dt."""
        tau = TIME_CONSTANTS
        delay = np.arange(DELAYS_A_STEP * delay_taps + 1) * (model_dt / DELAYS_A_STEP)
        age = np.floor(delay / model_dt + 1e-9).astype(np.int64)
        late = (delay - age * model_dt)[:, None]
        keep = np.exp(-model_dt / tau)
        newer = 1.0 - np.exp(-(model_dt - late) / tau)
        return cls(delay_taps, model_dt, tau, delay, age, keep, newer, 1.0 - keep - newer)

    @property
    def grid(self) -> Grid:
        """What the kernels take of it: (age, keep, newer, older, filled)."""
        return self.age, self.keep, self.newer, self.older, self.filled

    def only(self, which: slice | NDArray[np.int64]) -> ServoFamily:
        """The family with some of the delays alone; ``which`` indexes the grid."""
        parts = {name: getattr(self, name)[which] for name in ("delay", "age", "newer", "older")}
        return attrs.evolve(self, **parts)

    def base(self, inputs: np.ndarray, residuals: np.ndarray) -> np.ndarray:
        """What the regressions of both axes are made of, (x, u taps, w taps, 1, s, y), shape (2, M, B)."""
        out = np.empty((2, len(inputs), 2 * self.delay_taps + 6))
        _base(np.array(inputs, dtype=float, order="C"), np.array(residuals, dtype=float, order="C"), out)
        return out


@njit(cache=True, error_model="numpy")
def _base(inputs: Array, residuals: Array, out: Array) -> None:
    taps = (out.shape[2] - 4) // 2
    for axis in range(2):
        for m in range(len(inputs)):
            line, z = out[axis, m], inputs[m]
            _, _, rub_v, rub_omega = extras(z[0], z[1])
            line[0] = z[axis]
            for k in range(taps):
                line[1 + k], line[1 + taps + k] = z[2 + 2 * k + axis], z[3 + 2 * k - axis]
            line[2 * taps + 1], line[2 * taps + 2] = 1.0, rub_v if axis == 0 else rub_omega
            line[2 * taps + 3] = residuals[m, axis]


@njit(cache=True)
def pick(gram: Array, newest: int, taps: int, picked: Array) -> None:
    """Gram matrix (9, 9) of x, u0, the two acting u, the two acting w, 1, s and y for one delay."""
    size = gram.shape[0]
    own, other = 1 + newest, 1 + taps + newest
    places = (0, 1, own, own + 1, other, other + 1, size - 3, size - 2, size - 1)
    last = newest + 1 >= taps  # the older one does not act
    for i in range(9):
        for j in range(9):
            absent = last and (i == 3 or i == 5 or j == 3 or j == 5)
            picked[i, j] = 0.0 if absent else gram[places[i], places[j]]


@njit(inline="always", error_model="numpy")
def solve(s: Array, p: Array, mean: Array, inverse: float) -> tuple[float, float, float, float, float, float]:
    """Regression on four coefficients with independent Gaussian priors.

    L D L^T of the posterior precision, written out: this is the inner loop of everything.

    Args:
        s: inner products of the four regressors and the target, of which the lower triangle is read, (5, 5).
        p, mean: precision and mean of the prior, shape (4,).
        inverse: of the variance of the noise.

    Returns:
        What the posterior explains of the (precision-weighted) square of the target and of the mean, the
        determinant of its precision, and its mean.
    """
    a00 = p[0] + inverse * s[0, 0]
    u01, u02, u03 = inverse * s[1, 0], inverse * s[2, 0], inverse * s[3, 0]
    i00 = 1.0 / a00
    l10, l20, l30 = u01 * i00, u02 * i00, u03 * i00
    a11 = p[1] + inverse * s[1, 1] - l10 * u01
    u12, u13 = inverse * s[2, 1] - l20 * u01, inverse * s[3, 1] - l30 * u01
    i11 = 1.0 / a11
    l21, l31 = u12 * i11, u13 * i11
    a22 = p[2] + inverse * s[2, 2] - l20 * u02 - l21 * u12
    u23 = inverse * s[3, 2] - l30 * u02 - l31 * u12
    i22 = 1.0 / a22
    l32 = u23 * i22
    a33 = p[3] + inverse * s[3, 3] - l30 * u03 - l31 * u13 - l32 * u23
    b0 = p[0] * mean[0] + inverse * s[4, 0]
    b1 = p[1] * mean[1] + inverse * s[4, 1] - l10 * b0
    b2 = p[2] * mean[2] + inverse * s[4, 2] - l20 * b0 - l21 * b1
    b3 = p[3] * mean[3] + inverse * s[4, 3] - l30 * b0 - l31 * b1 - l32 * b2
    c3 = b3 / a33
    explained = b0 * b0 * i00 + b1 * b1 * i11 + b2 * b2 * i22 + b3 * c3
    c2 = b2 * i22 - l32 * c3
    c1 = b1 * i11 - l21 * c2 - l31 * c3
    c0 = b0 * i00 - l10 * c1 - l20 * c2 - l30 * c3
    return explained, a00 * a11 * a22 * a33, c0, c1, c2, c3


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def least(
    p: Array,
    precision: Array,
    mean: Array,
    variance: float,
    keep: Array,
    newer: Array,
    older: Array,
    squares: Array,
    determinant: Array,
) -> None:
    """Least penalised square sum of every time constant for one delay, and det of the precision, (T,).

    The regression of servo_fit and its solution as in solve, written out so that the compiler does
    several time constants at once.
    """
    p0, p1, p2, p3 = (
        variance * precision[0], variance * precision[1], variance * precision[2], variance * precision[3],
    )  # fmt: skip
    m0, m1, m2, m3 = p0 * mean[0], p1 * mean[1], p2 * mean[2], p3 * mean[3]
    prior = m0 * mean[0] + m1 * mean[1] + m2 * mean[2] + m3 * mean[3]
    q01, q02, q03, q04, q05 = p[0, 1], p[0, 2], p[0, 3], p[0, 4], p[0, 5]
    q06, q07, q08, q00 = p[0, 6], p[0, 7], p[0, 8], p[0, 0]
    t2, t3, t4, t5 = p[8, 2] + p[1, 2], p[8, 3] + p[1, 3], p[8, 4] + p[1, 4], p[8, 5] + p[1, 5]
    t6, t7 = p[8, 6] + p[1, 6], p[8, 7] + p[1, 7]
    power, cross = p[8, 8] + 2.0 * p[1, 8] + p[1, 1], q08 + q01
    q22, q23, q33, q24, q25, q34, q35 = p[2, 2], p[2, 3], p[3, 3], p[2, 4], p[2, 5], p[3, 4], p[3, 5]
    q26, q36, q27, q37, q46, q56 = p[2, 6], p[3, 6], p[2, 7], p[3, 7], p[4, 6], p[5, 6]
    q47, q57, q44, q45, q55 = p[4, 7], p[5, 7], p[4, 4], p[4, 5], p[5, 5]
    q66, q67, q77 = p[6, 6], p[6, 7], p[7, 7]
    for i in range(len(keep)):
        k, a, b = keep[i], newer[i], older[i]
        free = 1.0 - k
        # Rows of the factor, and beside each what is left of the diagonal; one division a row.
        a00 = p0 + a * a * q22 + 2.0 * a * b * q23 + b * b * q33
        u01, u02 = free * (a * q26 + b * q36), -free * (a * q27 + b * q37)
        u03 = a * (a * q24 + b * q34) + b * (a * q25 + b * q35)
        i00 = 1.0 / a00
        l10, l20, l30 = u01 * i00, u02 * i00, u03 * i00
        a11 = p1 + free * free * q66 - l10 * u01
        u12 = -free * free * q67 - l20 * u01
        u13 = free * (a * q46 + b * q56) - l30 * u01
        i11 = 1.0 / a11
        l21, l31 = u12 * i11, u13 * i11
        a22 = p2 + free * free * q77 - l20 * u02 - l21 * u12
        u23 = -free * (a * q47 + b * q57) - l30 * u02 - l31 * u12
        i22 = 1.0 / a22
        l32 = u23 * i22
        a33 = p3 + a * a * q44 + 2.0 * a * b * q45 + b * b * q55 - l30 * u03 - l31 * u13 - l32 * u23
        b0 = m0 + a * (t2 - k * q02) + b * (t3 - k * q03)
        b1 = m1 + free * (t6 - k * q06) - l10 * b0
        b2 = m2 - free * (t7 - k * q07) - l20 * b0 - l21 * b1
        b3 = m3 + a * (t4 - k * q04) + b * (t5 - k * q05) - l30 * b0 - l31 * b1 - l32 * b2
        explained = b0 * b0 * i00 + b1 * b1 * i11 + b2 * b2 * i22 + b3 * b3 / a33
        squares[i] = prior + power - 2.0 * k * cross + k * k * q00 - explained
        determinant[i] = a00 * a11 * a22 * a33


@njit(cache=True)
def constants(count: float, noise: Array, mean: Array, precision: Array) -> tuple[Array, Array]:
    """Of each noise level (G,) and of each structure (S,), what the log evidence has in every cell."""
    level, structure = np.empty(len(noise)), np.empty(len(precision))
    for g in range(len(noise)):
        level[g] = -0.5 * count * math.log(2.0 * math.pi * noise[g])
    for s in range(len(precision)):
        p = precision[s]
        structure[s] = 0.5 * (np.log(p).sum() - (p * mean * mean).sum())
    return level, structure
