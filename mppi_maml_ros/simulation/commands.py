"""Command sequences as MPPI tracking produces them: smooth, correlated, slightly jittery.

Identification and meta-learning see a robot through the commands that its controller gives it,
so training data drawn from white noise teaches the wrong thing. A sequence here follows one
pattern, then from a random moment another:

* an arc: steady speed and yaw rate, swaying slowly;
* a figure of eight, and a sine: feed-forward of the figure at a random size and pace;
* ramps: random levels joined by straight lines;
* steps: random levels held, the robot stopping now and then.

On top come feedback (a slow first-order process, as tracking errors are worked off) and jitter
(a fast one, what is left of the sampling noise). Half of the sequences obey the acceleration
limits, as behind a limiter; all obey the velocity limits.
"""

from __future__ import annotations

import numpy as np

from ..core.errors import InvalidValueError
from ..core.kernels.cache import njit
from ..core.types import Array, VelocityLimits


def tracking_commands(
    rng: np.random.Generator, batch: int, steps: int, dt: float, limits: VelocityLimits
) -> np.ndarray:
    """Draw command sequences.

    Args:
        rng: source of all draws.
        batch: number of sequences B, at least 0.
        steps: length T, at least 1.
        dt: time between commands [s], above 0.
        limits: of the robot; reversing occurs only if vx_min < 0.

    Returns:
        (v, omega) commands of shape (B, T, 2) [m/s, rad/s].

    Raises:
        InvalidValueError: an argument out of range.
    """
    if batch < 0 or steps < 1:
        raise InvalidValueError(f"batch must be at least 0 and steps at least 1, got {batch}, {steps}")
    if not (0.0 < dt < np.inf):
        raise InvalidValueError(f"dt must be finite and above 0, got {dt}")
    time = np.arange(steps) * dt
    first = _patterns(rng, batch, time, limits)
    second = _patterns(rng, batch, time, limits)
    # A quarter of the sequences keeps its first pattern to the end.
    switch = rng.uniform(0.15, 1.2, (batch, 1)) * steps * dt
    commands = np.where((time < switch)[..., None], first, second)

    stopped = ~commands.any(axis=-1, keepdims=True)
    scale = np.array([limits.vx_max, limits.wz_max])
    feedback = scale * rng.uniform(0.0, 0.12, (batch, 1, 2))
    jitter = scale * rng.uniform(0.0, 0.06, (batch, 1, 2))
    commands += feedback * _correlated(rng, batch, steps, dt, (0.3, 2.0))
    commands += jitter * _correlated(rng, batch, steps, dt, (0.02, 0.15))
    # A robot that is stopped is commanded exactly zero.
    commands = np.where(stopped, 0.0, np.clip(commands, limits.low, limits.high))

    limited = rng.random(batch) < 0.5
    down = dt * np.array([limits.ax_min, -limits.az_max])
    up = dt * np.array([limits.ax_max, limits.az_max])
    slow = commands[limited]
    _limit_rates(slow, down, up)
    commands[limited] = slow
    return commands


@njit(cache=True)
def _limit_rates(commands: Array, down: Array, up: Array) -> None:
    """Bound the change between steps to [down, up] in place, starting at zero; (B, T, 2)."""
    for b in range(commands.shape[0]):
        for axis in range(2):
            previous = 0.0
            for t in range(commands.shape[1]):
                previous += min(max(commands[b, t, axis] - previous, down[axis]), up[axis])
                commands[b, t, axis] = previous


@njit(cache=True)
def _low_pass(noise: Array, keep: Array, fresh: Array) -> None:
    """First-order recursion in place; noise (B, T, 2), keep and fresh (B, 2)."""
    for b in range(noise.shape[0]):
        for t in range(1, noise.shape[1]):
            for axis in range(2):
                noise[b, t, axis] = keep[b, axis] * noise[b, t - 1, axis] + fresh[b, axis] * noise[b, t, axis]


def _patterns(rng: np.random.Generator, batch: int, time: np.ndarray, limits: VelocityLimits) -> np.ndarray:
    """One pattern a sequence, shape (B, T, 2)."""
    makers = (_arcs, _eights, _sines, _ramps, _steps)
    kind = rng.choice(len(makers), batch, p=(0.3, 0.15, 0.15, 0.2, 0.2))
    patterns = np.empty((batch, len(time), 2))
    for i, make in enumerate(makers):
        chosen = kind == i
        patterns[chosen] = make(rng, int(chosen.sum()), time, limits)
    return patterns


def _speeds(rng: np.random.Generator, shape: tuple[int, ...], limits: VelocityLimits) -> np.ndarray:
    """Cruising speeds, mostly forward."""
    forward = rng.uniform(0.1, 1.0, shape) * limits.vx_max
    return np.where(rng.random(shape) < 0.1, rng.uniform(0.0, 1.0, shape) * limits.vx_min, forward)


def _arcs(rng: np.random.Generator, count: int, time: np.ndarray, limits: VelocityLimits) -> np.ndarray:
    speed = _speeds(rng, (count, 1), limits)
    turning = rng.normal(0.0, 0.35, (count, 1)) * limits.wz_max
    v = speed * (1.0 + rng.uniform(0.0, 0.2, (count, 1)) * _sway(rng, count, time))
    omega = turning + rng.uniform(0.0, 0.15, (count, 1)) * limits.wz_max * _sway(rng, count, time)
    return np.stack([v, omega], axis=-1)


def _sway(rng: np.random.Generator, count: int, time: np.ndarray) -> np.ndarray:
    """A slow sine of random period and phase, shape (count, T)."""
    period, phase = rng.uniform(4.0, 15.0, (count, 1)), rng.uniform(0.0, 2.0 * np.pi, (count, 1))
    return np.sin(2.0 * np.pi * time / period + phase)


def _eights(rng: np.random.Generator, count: int, time: np.ndarray, limits: VelocityLimits) -> np.ndarray:
    """Lemniscate of size a at phase rate f: v = a f / sqrt(1 + sin^2), omega = 3 f cos / (1 + sin^2)."""
    rate = rng.uniform(0.1, 0.33, (count, 1)) * min(limits.wz_max, 2.0)
    top_speed = rng.uniform(0.3, 1.0, (count, 1)) * limits.vx_max
    phase = rng.uniform(0.0, 2.0 * np.pi, (count, 1)) + rate * time
    q = 1.0 + np.sin(phase) ** 2
    sign = rng.choice((-1.0, 1.0), (count, 1))
    return np.stack([top_speed / np.sqrt(q), sign * 3.0 * rate * np.cos(phase) / q], axis=-1)


def _sines(rng: np.random.Generator, count: int, time: np.ndarray, limits: VelocityLimits) -> np.ndarray:
    """Path x = s t, y = A sin(f t), its slope up to 1.3 as in the benchmark's sine."""
    rate = 2.0 * np.pi / rng.uniform(5.0, 15.0, (count, 1))
    speed = rng.uniform(0.2, 0.7, (count, 1)) * limits.vx_max
    steepness = rng.uniform(0.3, 1.3, (count, 1))
    phase = rng.uniform(0.0, 2.0 * np.pi, (count, 1)) + rate * time
    slope = steepness * np.cos(phase)
    v = speed * np.sqrt(1.0 + slope**2)
    omega = -steepness * rate * np.sin(phase) / (1.0 + slope**2)
    return np.stack([v, omega], axis=-1)


def _levels(rng: np.random.Generator, count: int, knots: int, limits: VelocityLimits) -> np.ndarray:
    """Random (v, omega) levels with stops among them, shape (count, knots, 2)."""
    v = _speeds(rng, (count, knots), limits)
    omega = rng.normal(0.0, 0.35, (count, knots)) * limits.wz_max
    stopped = rng.random((count, knots)) < 0.15
    turning_in_place = rng.random((count, knots)) < 0.1
    v = np.where(stopped | turning_in_place, 0.0, v)
    omega = np.where(stopped & ~turning_in_place, 0.0, omega)
    return np.stack([v, omega], axis=-1)


def _knots(rng: np.random.Generator, count: int, time: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """For each moment the knot before it and the part of the way to the next, (count, T); how many knots."""
    interval = rng.uniform(0.5, 4.0, (count, 1))
    place = time / interval + rng.random((count, 1))
    before = np.floor(place).astype(int)
    return before, place - before, int(before.max(initial=0)) + 2


def _ramps(rng: np.random.Generator, count: int, time: np.ndarray, limits: VelocityLimits) -> np.ndarray:
    before, part, knots = _knots(rng, count, time)
    levels = _levels(rng, count, knots, limits)
    rows = np.arange(count)[:, None]
    here, there = levels[rows, before], levels[rows, before + 1]
    return here + part[..., None] * (there - here)


def _steps(rng: np.random.Generator, count: int, time: np.ndarray, limits: VelocityLimits) -> np.ndarray:
    before, _, knots = _knots(rng, count, time)
    return _levels(rng, count, knots, limits)[np.arange(count)[:, None], before]


def _correlated(
    rng: np.random.Generator, batch: int, steps: int, dt: float, time_constants: tuple[float, float]
) -> np.ndarray:
    """First-order processes of unit variance, shape (B, T, 2), time constants drawn in a range [s]."""
    low, high = np.log(time_constants)
    keep = np.exp(-dt / np.exp(rng.uniform(low, high, (batch, 2))))
    fresh = np.sqrt(1.0 - keep**2)
    noise = rng.standard_normal((batch, steps, 2))
    _low_pass(noise, keep, fresh)
    return noise
