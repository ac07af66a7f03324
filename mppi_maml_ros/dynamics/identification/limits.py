"""How fast an axis can speed up and slow down: limits of a firmware's ramps, or of what motors can give.

For x = v or omega under commands that act late, a lag whose change over a step dt is limited::

    x+ = x + bounded(want - x),    want = k x + g F(u) + c F(w) + (1 - k) (b - f s(x)),    k = exp(-dt / tau)

in the symbols of the servo family, with one limit away from standstill and one towards it. Time constant,
delay and limits are searched for by the innovations of the Kalman filter for x. Given them and which steps
are bounded, those are linear in (g, b, f, c), which has a closed form; steps and coefficients are settled in
turn. Limits count where the data speak for them against the same lag without any, and against a speed loop
of second order.

What adapters learn from has the limits taken out (:attr:`Limits.unlimited`): where a step was bounded, its
end is replaced by what the lag wanted, plus the innovation that was measured. That is the E step of
expectation maximisation for censored data, done anew for each attempt.

Source: Ljung, System Identification (1999), 7.2 (innovations); Schwarz (Annals of Statistics 1978); Tobin,
Estimation of relationships for limited dependent variables (Econometrica 1958).
"""

from __future__ import annotations

import math

import attrs
import numpy as np
from numpy.typing import NDArray

from ...core.kernels.cache import njit
from ...core.types import Array
from ..acceleration import FREE_ACCELERATION, bounded
from ..transitions import Transitions
from . import second_order
from .servo import MEAN, PRECISION, ServoFamily, solve

ODDS = 12.0  # log of how much likelier limits must make the data
BETTER = 3.0  # log of how much likelier others must make them than those that are known
CONTRADICTED = 0.5  # log of how much less likely the known ones make them than none
SEARCHED = 2  # limits of an axis
LEAST = (0.04, 0.1)  # [m/s^2, rad/s^2] a robot that can do less cannot drive
FEWEST = 8  # transitions
LONGEST = 5  # steps in a row that must be bounded surely: odometry of a low rate is a ramp between samples
SURE = 3.0  # deviations of the noise
SPAN = 4  # steps over which the largest change is looked for
SHARES = np.array([1.0, 0.75, 0.55, 0.4])  # of the largest change, where the search for limits begins
RATIOS = np.array([1.0, 0.45, 2.2])  # of both limits, there
LAGS = np.array([0.1, 0.05, 0.2, 0.4])  # [s] the first is the typical robot's
PROCESS = np.array([0.02, 0.4])  # variance of a kick in a step, in that of the odometry's noise
SETTLED = 32
ROUNDS = 3  # of settling which steps are bounded
REFINEMENTS = 3
FOUND = 11  # numbers in what a search found: tau, delay, process, up, down, level, 4 coefficients, longest


@attrs.frozen(eq=False)
class Limits:
    """What was found.

    Attributes:
        acceleration: away from standstill and towards it, of (v, omega), shape (2, 2) [m/s^2, rad/s^2];
            FREE_ACCELERATION where there is no limit.
        unlimited: the transitions as they would have been without.
    """

    acceleration: Array
    unlimited: Transitions


def find(data: Transitions, family: ServoFamily, noise: Array, before: Array) -> Limits:
    """Search for the limits of both axes.

    Args:
        data: as :meth:`Transitions.delayed` gives them, oldest first.
        family: for its taps and step.
        noise: variances of the innovations to choose from, shape (G, 3).
        before: limits that are known, as ``acceleration``; they stay where the data do not tell.
    """
    if len(data) < FEWEST:
        return Limits(before, data)
    base, first = family.base(data.inputs, data.residuals), data.first
    acceleration, ends = before.copy(), data.next_states
    dt, free = family.model_dt, FREE_ACCELERATION * family.model_dt
    for axis in (0, 1):
        levels = np.ascontiguousarray(noise[:, axis])
        found = np.empty(FOUND)
        known = before[:, axis] * dt
        evidence = _search(
            base[axis], first, levels, MEAN, PRECISION[axis, -1], family.delay_taps + 1, dt,
            LEAST[axis] * dt, known, free, found,
        )  # fmt: skip
        found[3:5] = np.minimum(found[3:5], free)
        if np.isfinite(evidence) and _swings(axis, base[axis], first, levels, family, evidence):
            found[3:5] = known
        if (found[3:5] >= free).all():
            acceleration[:, axis] = FREE_ACCELERATION
            continue
        acceleration[:, axis] = np.minimum(found[3:5] / dt, FREE_ACCELERATION)
        ends = ends.copy() if ends is data.next_states else ends
        _take_out(base[axis], first, family.delay_taps + 1, dt, found, ends[:, 3 + axis])
    if ends is data.next_states:
        return Limits(acceleration, data)
    return Limits(acceleration, attrs.evolve(data, next_states=ends))


def _swings(
    axis: int, base: Array, first: NDArray[np.bool_], levels: Array, family: ServoFamily, evidence: float
) -> bool:
    """Whether a speed loop of second order is likelier than limits."""
    loop = second_order.fit(axis, base, first, levels, family.delay_taps, family.model_dt, evidence)
    return loop.evidence > evidence


@njit(cache=True)
def _kalman(keep: float, process: float, gains: Array, scale: Array) -> None:
    """Gain of x and variance of the innovation, in that of the noise, step by step."""
    p = 1.0
    for n in range(SETTLED):
        q = keep * keep * p + process
        gains[n], scale[n] = q / (q + 1.0), q + 1.0
        p = q / (q + 1.0)


@njit(cache=True)
def _follow(  # type: ignore[no-untyped-def]  # numba
    base, first, taps: int, dt: float, tau: float, delay: float, process: float, up: float, down: float,
    coefficients, sure: float, gram, ends,
):  # fmt: skip
    """Innovations of the responses to the coefficients and of x itself, whitened, into ``gram`` (5, 5).

    Args:
        coefficients: by which steps are told to be bounded, shape (4,).
        sure: how much more than it got a step must have wanted to count among the bounded ones in a row.
        ends: shape (M,) or (0,); filled with what the lag wanted, plus the innovation, where it was bounded.

    Returns:
        Sum of the logarithms of the variances, most bounded steps in a row, and a digest of which.
    """
    rows, width = base.shape
    gains, scale = np.empty(SETTLED), np.empty(SETTLED)
    keep = math.exp(-dt / tau)
    _kalman(keep, process, gains, scale)
    whole = int(math.floor(delay + 1e-9))
    newer = 1.0 - math.exp(-(dt - (delay - whole) * dt) / tau)
    older, free = 1.0 - keep - newer, 1.0 - keep
    last = whole + 1 >= taps
    state, out, force = np.zeros(5), np.empty(5), np.zeros(5)
    gram[:] = 0.0
    log_det, age, run, longest, digest = 0.0, 0, 0, 0, 0.0
    for m in range(rows):
        line = base[m]
        if first[m]:
            state[:] = 0.0
            state[4] = line[0]
            age = run = 0
        own, other = 1 + whole, 1 + taps + whole
        force[0] = newer * line[own] + (0.0 if last else older * line[own + 1])
        force[1], force[2] = free, -free * line[width - 2]
        force[3] = newer * line[other] + (0.0 if last else older * line[other + 1])
        x, want = state[4], keep * state[4]
        for i in range(4):
            x += coefficients[i] * state[i]
            want += coefficients[i] * (keep * state[i] + force[i])
        held = bounded(x, want, up, down)
        is_bounded = held != want
        after = line[width - 1] + line[1]
        inverse = 1.0 / math.sqrt(scale[age])
        gain = gains[age]
        error = after
        for i in range(5):
            # A bounded step goes on as x does, whatever was commanded.
            ahead = state[i] if is_bounded else keep * state[i] + force[i]
            if i == 4 and is_bounded:
                ahead += held - x
            e = (after if i == 4 else 0.0) - ahead
            state[i] = ahead + gain * e
            out[i] = inverse * (e if i == 4 else -e)
            error -= (1.0 if i == 4 else coefficients[i]) * ahead
        if is_bounded:
            run = run + 1 if abs(want - held) > sure else 0
            longest = max(longest, run)
            digest += math.sqrt(m + 1.0)
            if len(ends):
                ends[m] = want + error
        else:
            run = 0
        log_det += math.log(scale[age])
        age = min(age + 1, SETTLED - 1)
        for i in range(5):
            for j in range(i + 1):
                gram[i, j] += out[i] * out[j]
    return log_det, longest, digest


@njit(cache=True)
def _likelihood(  # type: ignore[no-untyped-def]  # numba
    base, first, noise, mean, precision, taps: int, dt: float, tau: float, delay: float, process: float,
    up: float, down: float, start, rounds: int, gram, found,
):  # fmt: skip
    """Log evidence at one lag, delay and limits; ``found`` gets the best level's coefficients."""
    coefficients, none = start.copy(), np.empty(0)
    least, count, before, best = noise.min(), len(base), -1.0, -np.inf
    settled = 1.0 + process  # about the variance of an innovation of a long chain
    c, level_found = np.empty(4), noise.max()
    for _ in range(rounds):
        log_det, longest, digest = _follow(
            base,
            first,
            taps,
            dt,
            tau,
            delay,
            process,
            up,
            down,
            coefficients,
            SURE * math.sqrt(level_found),
            gram,
            none,
        )
        found[10] = longest
        if digest == before:
            break
        before, best = digest, -np.inf
        for g in range(len(noise)):
            level = max(noise[g] / settled, least)
            explained, volume, c0, c1, c2, c3 = solve(gram, precision, mean, 1.0 / level)
            square = gram[4, 4] / level - explained
            volume = math.log(volume)
            for k in range(4):
                square += precision[k] * mean[k] * mean[k]
                volume -= math.log(precision[k])
            value = -0.5 * (count * math.log(2.0 * math.pi * level) + log_det + volume + square)
            if value > best:
                best, level_found = value, level
                c[0], c[1], c[2], c[3] = c0, c1, c2, c3
                found[0], found[1], found[2], found[3], found[4] = tau, delay, process, up, down
                found[5] = level
                found[6:10] = c
        coefficients[:] = c
    return best


@njit(cache=True)
def _climb(  # type: ignore[no-untyped-def]  # numba
    base, first, noise, mean, precision, taps: int, dt: float, least: float, free: float, best: float, found,
):  # fmt: skip
    """Coordinate search from ``found`` over lag, delay and, where they are less than ``free``, limits."""
    gram, trial, start = np.empty((5, 5)), np.empty(FOUND), np.empty(4)
    limited = found[3] < free
    step, step_delay = 1.5, 0.5
    for _ in range(REFINEMENTS):
        for k in range(8 if limited else 4):
            sign = 1.0 if k % 2 == 0 else -1.0
            tau, delay, up, down = found[0], found[1], found[3], found[4]
            if k < 2:
                tau = min(max(tau * step**sign, 0.015), 1.0)
            elif k < 4:
                delay = min(max(delay + sign * step_delay, 0.0), taps - 1.0)
            elif k < 6:
                up = max(up * (1.0 + 0.5 * (step - 1.0)) ** sign, least)
            else:
                down = max(down * (1.0 + 0.5 * (step - 1.0)) ** sign, least)
            start[:] = found[6:10]
            value = _likelihood(
                base, first, noise, mean, precision, taps, dt, tau, delay, found[2], up, down, start, ROUNDS,
                gram, trial,
            )  # fmt: skip
            if value > best + 1e-3:
                best = value
                found[:] = trial
        step, step_delay = math.sqrt(step), 0.5 * step_delay
    return best


@njit(cache=True)
def _steady(base):  # type: ignore[no-untyped-def]  # numba
    """Gain and bias by a regression of x on the command a step before, and the deviation of noise at most."""
    count, u, x, square, product, noise = len(base), 0.0, 0.0, 0.0, 0.0, 0.0
    for line in base:
        u += line[2]
        x += line[0]
        square += line[2] * line[2]
        product += line[2] * line[0]
        noise += (line[-1] + line[1] - line[0]) ** 2
    spread = square - u * u / count
    gain = (product - u * x / count) / spread if spread > 1e-3 * count else MEAN[0]
    return gain, (x - gain * u) / count, math.sqrt(0.5 * noise / count)


@njit(cache=True)
def _driven(base, first, dt: float, gain: float, bias: float, noise: float) -> bool:  # type: ignore[no-untyped-def]
    """Whether a typical lag would surely have gone on in one direction for as many steps as count."""
    keep, run = math.exp(-dt / LAGS[0]), 0
    for m in range(len(base)):
        change = (1.0 - keep) * (gain * base[m, 2] + bias - base[m, 0])
        side = 1 if change > SURE * noise else -1 if change < -SURE * noise else 0
        run = 0 if side == 0 else side if first[m] or run * side < 0 else run + side
        if abs(run) >= LONGEST:
            return True
    return False


@njit(cache=True)
def _fastest(base, first) -> float:  # type: ignore[no-untyped-def]  # numba
    """Largest change of a step: the mean of a few, as that of one is mostly noise."""
    fastest = 0.0
    for m in range(len(base) - SPAN):
        chained = True
        for k in range(1, SPAN + 1):
            chained = chained and not first[m + k]
        if chained:
            fastest = max(fastest, abs(base[m + SPAN, 0] - base[m, 0]) / SPAN)
    return fastest


@njit(cache=True)
def _search(  # type: ignore[no-untyped-def]  # numba
    base, first, noise, mean, precision, taps: int, dt: float, least: float, known, free: float, found,
) -> float:  # fmt: skip
    """Fill ``found``; the evidence for limits that are new, -inf where there are none."""
    found[3:5] = free
    if known[0] >= free and not _driven(base, first, dt, *_steady(base)):
        return -np.inf  # quiet data tell of no limits, and this is what a robot mostly gives
    gram, trial, other = np.empty((5, 5)), np.empty(FOUND), np.empty(FOUND)
    plain, count = -np.inf, len(base)
    for tau in LAGS:
        for delay in (0.0, 1.0, 2.0):
            value = _likelihood(
                base, first, noise, mean, precision, taps, dt, tau, min(delay, taps - 1.0), PROCESS[1],
                free, free, mean, 1, gram, trial,
            )  # fmt: skip
            if value > plain:
                plain = value
                found[:] = trial
    value = _likelihood(
        base, first, noise, mean, precision, taps, dt, found[0], found[1], PROCESS[0], free, free, mean, 1,
        gram, trial,
    )  # fmt: skip
    if value > plain:
        plain = value
        found[:] = trial
    plain = _climb(base, first, noise, mean, precision, taps, dt, least, free, plain, found)
    if not _driven(base, first, dt, found[6], found[7], math.sqrt(found[5])):
        found[3:5] = known
        return -np.inf
    fastest = _fastest(base, first)
    process = found[2]
    limited = -np.inf
    for share in SHARES:
        limit = max(share * fastest, least)
        for ratio in RATIOS:
            value = _likelihood(
                base, first, noise, mean, precision, taps, dt, LAGS[0], found[1], process,
                max(limit * min(ratio, 1.0), least), max(limit * min(1.0 / ratio, 1.0), least), mean, ROUNDS,
                gram, trial,
            )  # fmt: skip
            if value > limited:
                limited = value
                other[:] = trial
    penalty = 0.5 * SEARCHED * math.log(count)
    if limited > plain - 2.0 * ODDS:
        limited = _climb(base, first, noise, mean, precision, taps, dt, least, free, limited, other)
    limited -= penalty
    if known[0] < free:
        stays = _likelihood(
            base, first, noise, mean, precision, taps, dt, found[0], found[1], process, known[0], known[1],
            found[6:10].copy(), ROUNDS, gram, trial,
        )  # fmt: skip
        if stays > plain - CONTRADICTED and stays > limited - BETTER:
            found[:] = trial
            return -np.inf
    if limited > plain + ODDS and other[10] >= LONGEST:
        found[:] = other
        return limited
    return -np.inf


@njit(cache=True)
def _take_out(base, first, taps: int, dt: float, found, ends) -> None:  # type: ignore[no-untyped-def]
    gram, wanted = np.empty((5, 5)), np.full(len(base), np.nan)
    _follow(
        base, first, taps, dt, found[0], found[1], found[2], found[3], found[4], found[6:10].copy(), 0.0,
        gram, wanted,
    )  # fmt: skip
    for m in range(len(base)):
        if not math.isnan(wanted[m]):
            ends[m] = wanted[m]
