"""An axis with a speed loop of second order: lag and overshoot that no velocity alone tells of.

For x = v or omega, its command u that acts ``delay`` later, and s the soft sign of dynamics.features::

    x'' + 2 d w x' + w^2 x = w^2 (g u + b - f s(x))

Frequency w, damping d and delay are searched for; given them, the innovations of the Kalman filter for the
state (x, x') are linear in gain g, bias b and dry friction f, whose posterior is closed-form. The filter is
what keeps the noise of odometry from bending the fit, and tells the velocity's rate of change, which odometry
does not. In the coordinates of the residual (see dynamics.observer), with c the change of x over a step::

    x+ = (a1 + a2) x - a2 c + n0 u_n + n1 u_(n+1) + n2 u_(n+2) + ...,     c+ = x+ - x

Source: Ljung, System Identification (1999), 4.3 (innovation form), 7.2 and 10.2 (prediction-error methods);
Schwarz, Estimating the dimension of a model (Annals of Statistics 1978) for the evidence of what is searched.
"""

from __future__ import annotations

import math

import attrs
import numpy as np
from numpy.typing import NDArray

from ...core.kernels.cache import njit
from ...core.kernels.simd import LANES
from ...core.types import Array
from ..features import input_size
from .loops import SETTLED, gram_of, new_space, put, respond, rows_by_age
from .servo import MEAN, PRECISION, ServoFamily

FREQUENCIES = np.array([2.5, 3.75, 5.6, 8.5, 12.5])  # [rad/s] where the search begins
DAMPINGS = np.array([0.2, 0.4, 0.75, 1.2])
LATEST = 2.0  # [steps] delay, so that the taps suffice
PROCESS = np.array([0.02, 0.4])  # variance of a kick in a step, in that of the odometry's noise
REFINEMENTS = 4  # halvings of the search's steps
FEWEST = 16  # transitions
SEARCHED = 3  # parameters that the search settles


@attrs.frozen(eq=False)
class SecondOrderFit:
    """The likeliest loop of one axis.

    Attributes:
        evidence: approximate log marginal likelihood; -inf where there are too few data.
        row: of the residual's linear map, shape (P,).
        momentum: -a2, the coefficient of c.
        observer: gains of (x, c), shape (2,).
        noise: variance of the innovations of a long chain.
        frequency, damping, delay: what was found [rad/s, -, s].
    """

    evidence: float
    row: Array
    momentum: float
    observer: Array
    noise: float
    frequency: float
    damping: float
    delay: float


def fit(
    axis: int,
    base: Array,
    first: NDArray[np.bool_],
    noise: Array,
    delay_taps: int,
    model_dt: float,
    floor: float,
) -> SecondOrderFit:
    """Search for the likeliest loop of one axis.

    Args:
        axis: 0 for v, 1 for omega.
        base: of the servo family, (x, u taps, w taps, 1, s, y), shape (M, B).
        first: which transitions do not follow the one before, shape (M,).
        noise: variances of the innovations to choose from, shape (G,).
        delay_taps, model_dt: as in the residual.
        floor: log evidence below which the loop itself is not told; the search ends early far below.
    """
    size = input_size(delay_taps) + 4
    row, observer = np.zeros(size), np.ones(2)
    found = np.empty(8)
    evidence = -np.inf
    if len(base) >= FEWEST and delay_taps >= math.ceil(LATEST) + 1:
        evidence = _search(
            base, first, np.ascontiguousarray(noise), MEAN[:3], PRECISION[axis, -1, :3].copy(),
            delay_taps + 1, model_dt, FREQUENCIES, DAMPINGS, PROCESS, floor, found,
        )  # fmt: skip
    if not evidence > floor:
        lost = float(evidence) if np.isfinite(evidence) else -np.inf
        return SecondOrderFit(lost, row, 0.0, observer, float(noise.max()), math.nan, math.nan, math.nan)
    frequency, damping, delay, process, level, gain, bias, friction = found
    phi, newer, older, whole = _discrete(frequency, damping, delay, model_dt)
    a1, a2 = phi[0] + phi[3], phi[1] * phi[2] - phi[0] * phi[3]
    # (Phi - z I)^-1 of the input, as a numerator: the part of both states that comes a step later.
    taps = np.zeros(3)
    for k, force in enumerate((newer, older)):
        taps[k] += force[0]
        taps[k + 1] += phi[1] * force[1] - phi[3] * force[0]
    row[axis], row[2 + axis] = a1 + a2, -1.0
    row[2 + 2 * whole + axis : 2 + 2 * (whole + 3) : 2] += gain * taps
    row[input_size(delay_taps)] = (1.0 - a1 - a2) * bias
    row[input_size(delay_taps) + 2 + axis] = -(1.0 - a1 - a2) * friction
    gains, scale = _gains(phi, process, frequency)
    kx, rate = gains[-1]
    observer[:] = kx, (phi[0] * kx + phi[1] * rate - (a1 + a2) * kx) / -a2
    return SecondOrderFit(
        float(evidence), row, -a2, observer, float(level * scale[-1]), frequency, damping, delay * model_dt
    )


def warm_up(family: ServoFamily, inputs: Array, residuals: Array, first: NDArray[np.bool_]) -> None:
    """Compile what :func:`fit` needs, whatever it would find in these data; arguments as of physics.fit."""
    base, noise = family.base(inputs, residuals)[0], np.ones(2)
    fit(0, base, first, noise, family.delay_taps, family.model_dt, -np.inf)


@njit(cache=True)
def _exponential(w: float, d: float, t: float) -> tuple[float, float, float, float]:
    """exp(A t) of A = [[0, 1], [-w^2, -2 d w]], row by row."""
    a = d * w
    square = w * w * (1.0 - d * d)
    if square > 1e-9:
        r = math.sqrt(square)
        c, s = math.cos(r * t), math.sin(r * t) / r
    elif square < -1e-9:
        r = math.sqrt(-square)
        c, s = math.cosh(r * t), math.sinh(r * t) / r
    else:
        c, s = 1.0, t
    fade = math.exp(-a * t)
    return fade * (c + a * s), fade * s, -fade * w * w * s, fade * (c - a * s)


@njit(cache=True)
def _discrete(w: float, d: float, delay: float, dt: float):  # type: ignore[no-untyped-def]  # numba
    """Transition over a step, what the newer and the older command add, and whole steps of delay."""
    whole = int(math.floor(delay + 1e-9))
    late = (delay - whole) * dt
    phi = _exponential(w, d, dt)
    rest = _exponential(w, d, dt - late)
    newer = (1.0 - rest[0], -rest[2])
    return phi, newer, (1.0 - phi[0] - newer[0], -phi[2] - newer[1]), whole


@njit(cache=True)
def _gains(phi, process: float, w: float):  # type: ignore[no-untyped-def]  # numba
    """Kalman gains of (x, x') and variances of the innovations, in that of the noise, step by step."""
    gains, scale = np.empty((SETTLED, 2)), np.empty(SETTLED)
    a, b, c, d = phi
    p00, p01, p11 = 1.0, 0.0, 100.0 * w * w  # nothing is known of x' at first
    for k in range(SETTLED):
        q00 = a * a * p00 + 2.0 * a * b * p01 + b * b * p11 + process
        q01 = a * c * p00 + (a * d + b * c) * p01 + b * d * p11
        q11 = c * c * p00 + 2.0 * c * d * p01 + d * d * p11 + 0.25 * w * w * process
        s = q00 + 1.0
        k0, k1 = q00 / s, q01 / s
        gains[k, 0], gains[k, 1], scale[k] = k0, k1, s
        p00, p01, p11 = (1.0 - k0) * q00, (1.0 - k0) * q01, q11 - k1 * q01
    return gains, scale


@njit(cache=True)
def _grams(base, first, taps: int, phi, newer, older, whole: int, gains, scale, gram):  # type: ignore[no-untyped-def]  # numba
    """Innovations of the responses to gain, bias, friction (negative) and of x itself, whitened.

    Returns:
        Sum of the logarithms of the variances.
    """
    rows, width = base.shape
    state, out = np.zeros((4, 2)), np.empty(4)
    gram[:] = 0.0
    a, b, c, d = phi
    free0, free1 = newer[0] + older[0], newer[1] + older[1]
    log_det, age = 0.0, 0
    last = whole + 1 >= taps
    for m in range(rows):
        line = base[m]
        if first[m]:
            state[:] = 0.0
            state[3, 0] = line[0]
            age = 0
        near, far = line[1 + whole], 0.0 if last else line[2 + whole]
        after = line[width - 1] + line[1]
        k0, k1, inverse = gains[age, 0], gains[age, 1], 1.0 / math.sqrt(scale[age])
        for i in range(4):
            x, rate = state[i, 0], state[i, 1]
            p, q = a * x + b * rate, c * x + d * rate
            if i == 0:
                p += newer[0] * near + older[0] * far
                q += newer[1] * near + older[1] * far
            elif i == 1:
                p += free0
                q += free1
            elif i == 2:
                p -= free0 * line[width - 2]
                q -= free1 * line[width - 2]
            e = (after if i == 3 else 0.0) - p
            state[i, 0], state[i, 1] = p + k0 * e, q + k1 * e
            out[i] = inverse * (e if i == 3 else -e)
        log_det += math.log(scale[age])
        age = min(age + 1, SETTLED - 1)
        for i in range(4):
            for j in range(i + 1):
                gram[i, j] += out[i] * out[j]
    return log_det


@njit(cache=True)
def _likelihood(  # type: ignore[no-untyped-def]  # numba
    base, first, noise, mean, precision, taps: int, dt: float, w: float, d: float, delay: float,
    process: float, found,
):  # fmt: skip
    """Log evidence at one frequency, damping, delay and process noise; ``found`` gets the best level's."""
    phi, newer, older, whole = _discrete(w, d, delay, dt)
    gains, scale = _gains(phi, process, w)
    gram = np.empty((4, 4))
    log_det = _grams(base, first, taps, phi, newer, older, whole, gains, scale, gram)
    settled, best, least = scale[SETTLED - 1], -np.inf, noise.min()
    for variance in noise:
        level = max(variance / settled, least)
        value, gain, bias, friction = _at_level(gram, len(base), log_det, level, mean, precision)
        if value > best:
            best = value
            found[:] = w, d, delay, process, level, gain, bias, friction
    return best


@njit(cache=True, error_model="numpy")
def _at_level(gram, count: int, log_det: float, level: float, mean, precision):  # type: ignore[no-untyped-def]  # numba
    """Log evidence at one noise level, and posterior mean of gain, bias and friction."""
    i = 1.0 / level
    a00 = precision[0] + i * gram[0, 0]
    u01, u02, i00 = i * gram[1, 0], i * gram[2, 0], 1.0 / a00
    l10, l20 = u01 * i00, u02 * i00
    a11 = precision[1] + i * gram[1, 1] - l10 * u01
    u12, i11 = i * gram[2, 1] - l20 * u01, 1.0 / a11
    l21 = u12 * i11
    a22 = precision[2] + i * gram[2, 2] - l20 * u02 - l21 * u12
    b0 = precision[0] * mean[0] + i * gram[3, 0]
    b1 = precision[1] * mean[1] + i * gram[3, 1] - l10 * b0
    b2 = precision[2] * mean[2] + i * gram[3, 2] - l20 * b0 - l21 * b1
    friction = b2 / a22
    square = i * gram[3, 3] + precision[0] * mean[0] ** 2 + precision[1] * mean[1] ** 2
    square += precision[2] * mean[2] ** 2 - b0 * b0 * i00 - b1 * b1 * i11 - b2 * friction
    volume = math.log(a00 * a11 * a22 / (precision[0] * precision[1] * precision[2]))
    value = -0.5 * (count * math.log(2.0 * math.pi * level) + log_det + volume + square)
    bias = b1 * i11 - l21 * friction
    return value, b0 * i00 - l10 * bias - l20 * friction, bias, friction


@njit(cache=True)
def _at_best_level(gram, count: int, log_det: float, settled: float, noise, mean, precision, guess: int):  # type: ignore[no-untyped-def]  # numba
    """Log evidence, gain and which level; over rising levels the evidence has one maximum."""
    best, gain = -np.inf, 0.0
    level = guess
    for step in (0, 1, -1):
        g = guess + step
        while 0 <= g < len(noise):
            variance = max(noise[g] / settled, noise[0])
            value, reached, _, _ = _at_level(gram, count, log_det, variance, mean, precision)
            if not value > best:
                break
            best, gain, level = value, reached, g
            if step == 0:
                break
            g += step
        if level != guess:
            break
    return best, gain, level


@njit(cache=True)
def _try(base, first, ages, noise, mean, precision, dt: float, points, count: int, guess: int, space):  # type: ignore[no-untyped-def]  # numba
    """The likeliest of up to LANES points (frequency, damping, delay, process, about the gain).

    Args:
        points: (LANES, 5); the gain of the likeliest becomes what it was found to be.
        noise: rising; guess: which level may be the likeliest.

    Returns:
        Its log evidence, which point, and which level.
    """
    for lane in range(count):
        w, d, delay, process, gain = points[lane]
        phi, newer, older, whole = _discrete(w, d, delay, dt)
        put(space, lane, phi, newer, older, whole, process, w, gain)
    space[0][:, count:] = space[0][:, count - 1 : count]  # some loop for the lanes that are left
    respond(base, first, space)
    gram, best, which, best_level = np.empty((4, 4)), -np.inf, 0, guess
    for lane in range(count):
        log_det, settled = gram_of(space, lane, ages, gram)
        value, gain, level = _at_best_level(
            gram, len(base), log_det, settled, noise, mean, precision, best_level
        )
        if value > best:
            best, which, best_level = value, lane, level
            points[lane, 4] = gain
    return best, which, best_level


@njit(cache=True)
def _search(  # type: ignore[no-untyped-def]  # numba
    base, first, noise, mean, precision, taps: int, dt: float, frequencies, dampings, processes,
    floor: float, found,
):  # fmt: skip
    best, level, count, filled = -np.inf, len(noise) // 2, len(base), 0
    noise, ages, space, points = np.sort(noise), rows_by_age(first), new_space(), np.empty((LANES, 5))
    at, late = np.zeros(5), int(LATEST) + 1
    total = len(frequencies) * len(dampings) * late
    for k in range(total):
        points[filled, 0], points[filled, 1] = (
            frequencies[k // late // len(dampings)],
            dampings[k // late % len(dampings)],
        )
        points[filled, 2], points[filled, 3], points[filled, 4] = k % late, processes[0], mean[0]
        filled += 1
        if filled == LANES or k == total - 1:
            value, which, g = _try(
                base, first, ages, noise, mean, precision, dt, points, filled, level, space
            )
            if value > best:
                best, level = value, g
                at[:] = points[which]
            filled = 0
    if best < floor - 0.5 * count:
        return -np.inf
    for process in processes[1:]:
        points[0] = at
        points[0, 3] = process
        value, _, g = _try(base, first, ages, noise, mean, precision, dt, points, 1, level, space)
        if value > best:
            best, level = value, g
            at[:] = points[0]
    step_w, step_d, step_delay = 1.22, 1.35, 0.5
    for _ in range(REFINEMENTS):
        for _ in range(3):
            points[:6] = at
            for k in range(2):
                sign = 1.0 if k == 0 else -1.0
                points[k, 0] = min(max(at[0] * step_w**sign, 1.5), 16.0)
                points[2 + k, 1] = min(max(at[1] * step_d**sign, 0.08), 2.0)
                points[4 + k, 2] = min(max(at[2] + sign * step_delay, 0.0), LATEST)
            value, which, g = _try(base, first, ages, noise, mean, precision, dt, points, 6, level, space)
            if not value > best + 1e-3:
                break
            best, level = value, g
            at[:] = points[which]
        step_w, step_d, step_delay = math.sqrt(step_w), math.sqrt(step_d), 0.5 * step_delay
    best = _likelihood(base, first, noise, mean, precision, taps, dt, at[0], at[1], at[2], at[3], found)
    return best - 0.5 * SEARCHED * math.log(count)
