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

import attrs
import numpy as np
from numba import njit

from .features import SOFT_SIGN_OMEGA, SOFT_SIGN_V, feature_size, input_size, soft_sign

MEAN = np.array([0.95, 0.0, 0.0, 0.0])  # of gain [-], bias, friction [m/s, rad/s] and coupling
DEVIATION = np.array(  # (axis, structure, coefficient): a lag and nothing else, and all of it
    [
        [[0.2, 0.005, 0.005, 0.005], [0.2, 0.05, 0.1, 0.05]],
        [[0.2, 0.005, 0.005, 0.005], [0.2, 0.05, 0.1, 0.15]],
    ]
)
TIME_CONSTANTS = np.geomspace(0.01, 1.0, 21)  # [s]
DELAYS_A_STEP = 2  # grid points of the delay within one step


@attrs.frozen(eq=False)
class ServoFamily:
    """The grid and everything that depends on it alone.

    Attributes:
        delay_taps, model_dt: as in the residual.
        time_constant: grid of tau [s], shape (T,).
        delay: grid of delays [s], shape (J,).
        response: shares of the command that is n = floor(delay / model_dt) steps old, and of the one a
            step older, in the change of x over a step, shape (T, J, 2).
    """

    delay_taps: int
    model_dt: float
    time_constant: np.ndarray
    delay: np.ndarray
    response: np.ndarray

    @classmethod
    def make(cls, delay_taps: int, model_dt: float) -> ServoFamily:
        """The grid for ``delay_taps`` past commands: delays from 0 to delay_taps * model_dt."""
        tau = TIME_CONSTANTS
        delay = np.arange(DELAYS_A_STEP * delay_taps + 1) * (model_dt / DELAYS_A_STEP)
        late = delay - np.floor(delay / model_dt + 1e-9) * model_dt
        keep = np.exp(-model_dt / tau)[:, None]
        newer = 1.0 - np.exp(-(model_dt - late) / tau[:, None])
        return cls(delay_taps, model_dt, tau, delay, np.stack([newer, 1.0 - keep - newer], axis=-1))

    def only(self, which) -> ServoFamily:
        """The family with some of the delays alone; ``which`` indexes the grid."""
        response = np.ascontiguousarray(self.response[:, which])
        return attrs.evolve(self, delay=self.delay[which], response=response)

    def base(self, inputs: np.ndarray, residuals: np.ndarray) -> np.ndarray:
        """What the regressions of both axes are made of, (x, u taps, w taps, 1, s, y), shape (2, M, B)."""
        taps = self.delay_taps + 1
        out = np.empty((2, len(inputs), 2 * taps + 4))
        commands = (inputs[:, 2::2], inputs[:, 3::2])
        for axis, scale in enumerate((SOFT_SIGN_V, SOFT_SIGN_OMEGA)):
            x = inputs[:, axis]
            out[axis, :, 0] = x
            out[axis, :, 1 : 1 + taps] = commands[axis]
            out[axis, :, 1 + taps : 1 + 2 * taps] = commands[1 - axis]
            out[axis, :, -3] = 1.0
            out[axis, :, -2] = soft_sign(x / scale)
            out[axis, :, -1] = residuals[:, axis]
        return out


@attrs.frozen(eq=False)
class ServoFit:
    """Posterior for every delay of the grid; axes: axis a, delay j.

    Attributes:
        evidence: log marginal likelihood of the data, time constant and noise averaged, shape (2, J).
        linear: rows of the residual's linear map, shape (2, J, P).
        noise: noise variance, shape (2, J).
    """

    evidence: np.ndarray
    linear: np.ndarray
    noise: np.ndarray


def fit(family: ServoFamily, gram: np.ndarray, count: float, noise: np.ndarray) -> ServoFit:
    """Posterior from sufficient statistics.

    Args:
        gram: (weighted) sum over transitions of base base^T, shape (2, B, B).
        count: sum of the weights.
        noise: variances to average over, for each axis, shape (G, 2).
    """
    delays, size = len(family.delay), feature_size(family.delay_taps)
    evidence, linear = np.empty((2, delays)), np.zeros((2, delays, size))
    level = np.empty((2, delays))
    for axis in (0, 1):
        _fit_axis(
            axis, gram[axis], float(count), np.ascontiguousarray(noise[:, axis]),
            MEAN, 1.0 / DEVIATION[axis] ** 2,
            family.time_constant, family.delay, family.response, family.model_dt,
            input_size(family.delay_taps), evidence[axis], linear[axis], level[axis],
        )  # fmt: skip
    return ServoFit(evidence, linear, level)


@njit(cache=True)
def _pick(gram, newest, taps, picked):
    """Gram matrix (9, 9) of x, u0, the two acting u, the two acting w, 1, s and y for one delay."""
    size = gram.shape[0]
    places = np.array(
        [0, 1, 1 + newest, 2 + newest, 1 + taps + newest, 2 + taps + newest, size - 3, size - 2, size - 1]
    )
    last = newest + 1 >= taps  # the older one does not act
    for i in range(9):
        for j in range(9):
            absent = last and (i == 3 or i == 5 or j == 3 or j == 5)
            picked[i, j] = 0.0 if absent else gram[places[i], places[j]]


@njit(cache=True)
def _regression(p, keep, newer, older, small):
    """Gram matrix (5, 5) of (gain, bias, friction, coupling, target) of one grid cell."""
    free = 1.0 - keep
    # Inner products of the target y + u0 - keep x, of F(u) and of F(w) with everything picked.
    target = p[8] + p[1] - keep * p[0]
    own = newer * p[2] + older * p[3]
    other = newer * p[4] + older * p[5]
    small[0, 0] = newer * own[2] + older * own[3]
    small[0, 1] = free * own[6]
    small[0, 2] = -free * own[7]
    small[0, 3] = newer * own[4] + older * own[5]
    small[0, 4] = newer * target[2] + older * target[3]
    small[1, 1] = free * free * p[6, 6]
    small[1, 2] = -free * free * p[6, 7]
    small[1, 3] = free * other[6]
    small[1, 4] = free * target[6]
    small[2, 2] = free * free * p[7, 7]
    small[2, 3] = -free * other[7]
    small[2, 4] = -free * target[7]
    small[3, 3] = newer * other[4] + older * other[5]
    small[3, 4] = newer * target[4] + older * target[5]
    small[4, 4] = target[8] + target[1] - keep * target[0]
    for i in range(5):
        for j in range(i):
            small[i, j] = small[j, i]


@njit(cache=True, inline="always")
def _solve(s, p, mean, inverse):
    """Posterior mean of the four coefficients and twice the log evidence, constants of the prior left out.

    L D L^T of the posterior precision, written out: this is the inner loop of everything.
    """
    a00 = p[0] + inverse * s[0, 0]
    l10, l20, l30 = inverse * s[0, 1] / a00, inverse * s[0, 2] / a00, inverse * s[0, 3] / a00
    a11 = p[1] + inverse * s[1, 1] - l10 * l10 * a00
    l21 = (inverse * s[1, 2] - l20 * l10 * a00) / a11
    l31 = (inverse * s[1, 3] - l30 * l10 * a00) / a11
    a22 = p[2] + inverse * s[2, 2] - l20 * l20 * a00 - l21 * l21 * a11
    l32 = (inverse * s[2, 3] - l30 * l20 * a00 - l31 * l21 * a11) / a22
    a33 = p[3] + inverse * s[3, 3] - l30 * l30 * a00 - l31 * l31 * a11 - l32 * l32 * a22
    b0 = p[0] * mean[0] + inverse * s[0, 4]
    b1 = p[1] * mean[1] + inverse * s[1, 4] - l10 * b0
    b2 = p[2] * mean[2] + inverse * s[2, 4] - l20 * b0 - l21 * b1
    b3 = p[3] * mean[3] + inverse * s[3, 4] - l30 * b0 - l31 * b1 - l32 * b2
    twice = b0 * b0 / a00 + b1 * b1 / a11 + b2 * b2 / a22 + b3 * b3 / a33 - inverse * s[4, 4]
    twice -= math.log(a00 * a11 * a22 * a33)
    c3 = b3 / a33
    c2 = b2 / a22 - l32 * c3
    c1 = b1 / a11 - l21 * c2 - l31 * c3
    c0 = b0 / a00 - l10 * c1 - l20 * c2 - l30 * c3
    return twice, c0, c1, c2, c3


@njit(cache=True)
def _fit_axis(
    axis, gram, count, noise, mean, precision, time_constant, delay, response, dt, inputs,
    evidence, linear, level,
):  # fmt: skip
    cells, levels, structures = len(time_constant), len(noise), len(precision)
    taps = (inputs - 2) // 2
    small, picked = np.empty((5, 5)), np.empty((9, 9))
    constant = np.empty(levels * structures)
    for h in range(levels * structures):
        p = precision[h // levels]
        constant[h] = -0.5 * count * math.log(2.0 * math.pi * noise[h % levels])
        constant[h] += 0.5 * (np.log(p).sum() - (p * mean * mean).sum())
    values = np.empty((cells, levels * structures))
    found = np.empty((cells, levels * structures, 4))
    for j in range(len(delay)):
        newest = int(math.floor(delay[j] / dt + 1e-9))
        _pick(gram, newest, taps, picked)
        for i in range(cells):
            keep = math.exp(-dt / time_constant[i])
            _regression(picked, keep, response[i, j, 0], response[i, j, 1], small)
            for h in range(levels * structures):
                variance = noise[h % levels]
                twice, c0, c1, c2, c3 = _solve(small, precision[h // levels], mean, 1.0 / variance)
                values[i, h] = 0.5 * twice + constant[h]
                found[i, h, 0], found[i, h, 1], found[i, h, 2], found[i, h, 3] = c0, c1, c2, c3
        best = values.max()
        total = 0.0
        for i in range(cells):
            for h in range(levels * structures):
                total += math.exp(values[i, h] - best)
        evidence[j] = best + math.log(total / (cells * levels * structures))
        linear[j, :] = 0.0
        level[j] = 0.0
        for i in range(cells):
            keep = math.exp(-dt / time_constant[i])
            for h in range(levels * structures):
                share = math.exp(values[i, h] - best) / total
                if share < 1e-9:
                    continue
                gain, bias, friction, coupling = found[i, h]
                row = linear[j]
                row[axis] += share * keep
                row[2 + axis] -= share
                for k in range(2):
                    if newest + k < taps:
                        row[2 + 2 * (newest + k) + axis] += share * gain * response[i, j, k]
                        row[3 + 2 * (newest + k) - axis] += share * coupling * response[i, j, k]
                row[inputs] += share * (1.0 - keep) * bias
                row[inputs + 2 + axis] -= share * (1.0 - keep) * friction
                level[j] += share * noise[h % levels]
