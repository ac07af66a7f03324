"""Loops of second order by the vector: the likelihood of :mod:`.second_order` for LANES of them at once.

In single precision, which is plenty to find the likeliest; whoever wants its evidence asks there again.
"""

# numba finds the types of compiled functions, and says none of its own.
# mypy: disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

import math

import numpy as np

from ...core.kernels.cache import njit
from ...core.kernels.simd import LANES, load, splat, store

TAPS = 4  # newest commands that act, as no loop is later than two steps
_INPUT, _FREE = 4, 4 + 2 * TAPS
_PROCESS, _RATE, _GAIN, _ROWS = _FREE + 2, _FREE + 3, _FREE + 4, _FREE + 5
SETTLED = 32  # steps after the start of a chain from which on the gains are taken for constant


@njit(cache=True)
def rows_by_age(first):
    """How many rows there are of each age after the start of a chain, (SETTLED,)."""
    found, age = np.zeros(SETTLED), 0
    for k in range(len(first)):
        if first[k]:
            age = 0
        found[age] += 1.0
        age = min(age + 1, SETTLED - 1)
    return found


@njit(cache=True)
def new_space():
    """Scratch: the loops, gains (SETTLED, 3, LANES), variances (SETTLED, LANES), sums (10, LANES)."""
    return (
        np.zeros((_ROWS, LANES), dtype=np.float32),
        np.zeros((SETTLED, 3, LANES), dtype=np.float32),
        np.zeros((SETTLED, LANES), dtype=np.float32),
        np.zeros((10, LANES), dtype=np.float32),
    )


@njit(cache=True)
def put(space, lane, phi, newer, older, whole, process, frequency, gain):
    """A loop into a lane; the transition and the forces as ``second_order._discrete`` gives them.

    Args:
        gain: about that of the axis: the less it leaves, the less is lost to rounding.
    """
    loops = space[0]
    for i in range(4):
        loops[i, lane] = phi[i]
    for i in range(2):
        for tap in range(TAPS):
            force = newer[i] if tap == whole else older[i] if tap == whole + 1 else 0.0
            loops[_INPUT + TAPS * i + tap, lane] = force
        loops[_FREE + i, lane] = newer[i] + older[i]
    loops[_PROCESS, lane], loops[_RATE, lane], loops[_GAIN, lane] = process, frequency, gain


@njit(cache=True, error_model="numpy")
def _lane_gains(loops, gains, scales):
    a, b, c, d = load(loops, 0), load(loops, LANES), load(loops, 2 * LANES), load(loops, 3 * LANES)
    process, w = load(loops, _PROCESS * LANES), load(loops, _RATE * LANES)
    p00, p01, p11 = splat(1.0), splat(0.0), 100.0 * w * w  # nothing is known of x' at first
    kick = 0.25 * w * w * process
    for k in range(SETTLED):
        q00 = a * a * p00 + 2.0 * a * b * p01 + b * b * p11 + process
        q01 = a * c * p00 + (a * d + b * c) * p01 + b * d * p11
        q11 = c * c * p00 + 2.0 * c * d * p01 + d * d * p11 + kick
        s = q00 + 1.0
        inverse = 1.0 / s
        k0, k1 = q00 * inverse, q01 * inverse
        store(gains, 3 * k * LANES, k0)
        store(gains, (3 * k + 1) * LANES, k1)
        store(gains, (3 * k + 2) * LANES, inverse)
        store(scales, k * LANES, s)
        p00, p01, p11 = k0, k1, q11 - k1 * q01


@njit(cache=True, error_model="numpy")
def _sums(base, first, loops, gains, sums):
    a, b, c, d = load(loops, 0), load(loops, LANES), load(loops, 2 * LANES), load(loops, 3 * LANES)
    at = _INPUT * LANES
    f0, f1, f2, f3 = (
        load(loops, at),
        load(loops, at + LANES),
        load(loops, at + 2 * LANES),
        load(loops, at + 3 * LANES),
    )
    at = (_INPUT + TAPS) * LANES
    g0, g1, g2, g3 = (
        load(loops, at),
        load(loops, at + LANES),
        load(loops, at + 2 * LANES),
        load(loops, at + 3 * LANES),
    )
    gain, free, push = (
        load(loops, _GAIN * LANES),
        load(loops, _FREE * LANES),
        load(loops, (_FREE + 1) * LANES),
    )
    zero = splat(0.0)
    x0, x1, x2, x3, r0, r1, r2, r3 = zero, zero, zero, zero, zero, zero, zero, zero
    s00, s10, s11, s20, s21 = zero, zero, zero, zero, zero
    s22, s30, s31, s32, s33 = zero, zero, zero, zero, zero
    width, age = base.shape[1], 0
    for m in range(len(base)):
        line = base[m]
        if first[m]:
            x0, x1, x2, x3, r0, r1, r2, r3 = zero, zero, zero, splat(line[0]), zero, zero, zero, zero
            age = 0
        k0, k1 = load(gains, 3 * age * LANES), load(gains, (3 * age + 1) * LANES)
        inverse = load(gains, (3 * age + 2) * LANES)
        u, v, w, z, rub = line[1], line[2], line[3], line[4], line[width - 2]
        near, far = (f0 * u + f1 * v) + (f2 * w + f3 * z), (g0 * u + g1 * v) + (g2 * w + g3 * z)
        p0, q0 = a * x0 + b * r0 + near, c * x0 + d * r0 + far
        p1, q1 = a * x1 + b * r1 + free, c * x1 + d * r1 + push
        p2, q2 = a * x2 + b * r2 - free * rub, c * x2 + d * r2 - push * rub
        p3, q3 = a * x3 + b * r3 + gain * near, c * x3 + d * r3 + gain * far
        e3 = splat(line[width - 1] + u) - p3
        x0, r0 = p0 - k0 * p0, q0 - k1 * p0
        x1, r1 = p1 - k0 * p1, q1 - k1 * p1
        x2, r2 = p2 - k0 * p2, q2 - k1 * p2
        x3, r3 = p3 + k0 * e3, q3 + k1 * e3
        w0, w1, w2, w3 = inverse * p0, inverse * p1, inverse * p2, inverse * e3
        s00, s10, s11 = s00 + w0 * p0, s10 + w1 * p0, s11 + w1 * p1
        s20, s21, s22 = s20 + w2 * p0, s21 + w2 * p1, s22 + w2 * p2
        s30, s31, s32, s33 = s30 + w3 * p0, s31 + w3 * p1, s32 + w3 * p2, s33 + w3 * e3
        age = min(age + 1, SETTLED - 1)
    store(sums, 0, s00)
    store(sums, LANES, s10)
    store(sums, 2 * LANES, s11)
    store(sums, 3 * LANES, s20)
    store(sums, 4 * LANES, s21)
    store(sums, 5 * LANES, s22)
    store(sums, 6 * LANES, s30)
    store(sums, 7 * LANES, s31)
    store(sums, 8 * LANES, s32)
    store(sums, 9 * LANES, s33)


@njit(cache=True)
def respond(base, first, space):
    """Sums of products of the whitened innovations, and variances, of the loops in all lanes."""
    loops, gains, scales, sums = space
    _lane_gains(loops.ravel(), gains.ravel(), scales.ravel())
    _sums(base, first, loops.ravel(), gains.ravel(), sums.ravel())


@njit(cache=True)
def gram_of(space, lane, ages, gram):
    """Inner products of a lane into the lower triangle of ``gram``, (4, 4).

    Returns:
        The sum of the logarithms of the variances, and the variance once a chain is long.
    """
    scales, sums = space[2], space[3]
    at = 0
    for i in range(4):
        for j in range(i + 1):
            gram[i, j] = sums[at, lane]
            at += 1
    # Of x less its response to the gain so far, back to that of x.
    gain = float(space[0][_GAIN, lane])
    gram[3, 3] += gain * (2.0 * gram[3, 0] + gain * gram[0, 0])
    gram[3, 0] += gain * gram[0, 0]
    gram[3, 1] += gain * gram[1, 0]
    gram[3, 2] += gain * gram[2, 0]
    log_det, product = 0.0, 1.0
    for age in range(SETTLED):
        product *= scales[age, lane]
        if age == SETTLED - 1 or ages[age] != ages[age + 1]:
            log_det += ages[age] * math.log(product)
            product = 1.0
    return log_det, float(scales[SETTLED - 1, lane])
