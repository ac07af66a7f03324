"""How one axis of a robot answers: the model that is fitted, exactly, between arbitrary instants.

::

    tau x' = gain f(u(t - delay)) + cross u'(t - delay) + bias - x,     |x'| <= up or down
    f(u)   = sign(u) (|u| - lost) where |u| > dead, 0 elsewhere,        0 <= lost <= dead

with u' the command of the other axis, ``up`` the bound of x' away from zero and ``down`` towards it. A dead
band that swallows part of every command has lost = dead, one that only has to be overcome lost = 0.

Of velocities y measured with white noise, on a robot that white accelerations push, the best linear
prediction is the innovation form x <- x + k (y - x) after each sample (Ljung, System Identification (1999),
4.3); k = 0 is the output error.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..core.kernels.cache import njit
from ..core.types import Array

GAIN, TAU, DELAY, LOST, DEAD, CROSS, BIAS, UP, DOWN, KALMAN = range(10)
"""Places in the vector of parameters."""
PARAMETERS = 10
_PHASES = 8  # of one stretch under one target, at most


@njit(cache=True)
def effective(command: float, lost: float, dead: float) -> float:
    """What a dead band leaves of a command."""
    if abs(command) <= dead:
        return 0.0
    return math.copysign(max(abs(command) - lost, 0.0), command)


@njit(cache=True)
def advance(x: float, target: float, h: float, tau: float, up: float, down: float) -> tuple[float, float]:
    """The velocity after ``h`` [s] towards ``target``, and the way gone meanwhile."""
    way = 0.0
    for _ in range(_PHASES):
        if h <= 0.0:
            break
        pull = (target - x) / tau
        rising = x * pull >= 0.0
        limit = up if rising else down
        crossing = math.inf
        if abs(pull) <= limit * (1.0 + 1e-9):
            if x * target < 0.0:
                crossing = tau * math.log((x - target) / -target)
            step = min(h, crossing)
            decay = math.exp(-step / tau)
            after = target + (x - target) * decay
            way += target * step + (x - target) * tau * (1.0 - decay)
        else:
            slope = math.copysign(limit, pull)
            free = (abs(pull) - limit) * tau / limit
            if not rising:
                crossing = abs(x) / limit
            step = min(h, free, crossing)
            after = x + slope * step
            way += 0.5 * (x + after) * step
        x = 0.0 if step == crossing else after
        h -= step
    return x, way


@njit(cache=True)
def predict(
    p: Array,
    command_stamps: Array,
    own: Array,
    other: Array,
    stamps: Array,
    twists: Array,
    rates: Array,
    breaks: NDArray[np.bool_],
    by_pose: bool,
    out: Array,
) -> None:
    """One-step predictions of an axis over a record.

    Args:
        p: parameters, shape (PARAMETERS,).
        command_stamps: (M,) [s]; own, other: commands of this axis and of the other one, (M,).
        stamps: of samples (N,) [s]; twists, rates: as measured, and between samples by the pose, (N,).
        breaks: samples that do not follow the one before, (N,).
        by_pose: the twist is not to be believed.
        out: (N, 3), filled: velocity before the sample's correction, mean velocity since the sample before,
            velocity after the correction.
    """
    x = rates[1] if by_pose else twists[0]
    out[0, 0] = out[0, 1] = out[0, 2] = x
    tau, delay, k = p[TAU], p[DELAY], p[KALMAN]
    j = -1
    target = p[BIAS]
    for n in range(1, len(stamps)):
        now, end = stamps[n - 1], stamps[n]
        if breaks[n]:
            x = rates[n] if by_pose else twists[n]
            out[n, 0] = out[n, 1] = out[n, 2] = x
            continue
        way = 0.0
        while now < end:
            moved = False
            while j + 1 < len(command_stamps) and command_stamps[j + 1] + delay <= now + 1e-9:
                j += 1
                moved = True
            if moved:
                target = p[GAIN] * effective(own[j], p[LOST], p[DEAD]) + p[CROSS] * other[j] + p[BIAS]
            until = end
            if j + 1 < len(command_stamps):
                until = min(end, command_stamps[j + 1] + delay)
            x, ahead = advance(x, target, until - now, tau, p[UP], p[DOWN])
            way += ahead
            now = until
        mean = way / max(end - stamps[n - 1], 1e-9)
        out[n, 0], out[n, 1] = x, mean
        x += k * ((rates[n] - mean) if by_pose else (twists[n] - x))
        out[n, 2] = x
