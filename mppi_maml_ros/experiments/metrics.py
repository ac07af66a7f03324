"""Measures of closed-loop runs: pure functions of arrays, no run and no file in sight."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from ..core import se2
from ..core.types import Array
from ..dynamics.features import MAX_HISTORY
from ..dynamics.residual import ResidualWeights, open_loop
from ..mppi.rollouts.base import RolloutModel, RolloutRequest, Trajectories

RECOVERY_WINDOW = 2.0  # [s] over which the errors are compared
RECOVERY_FACTOR = 1.2  # of the oracle's error

# Two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom.
_T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


def rms(error: ArrayLike) -> float:
    """Root mean square; NaN of nothing."""
    error = np.asarray(error, dtype=float)
    return float(np.sqrt(np.mean(error**2))) if error.size else math.nan


def rmse_after(error: ArrayLike, dt: float, after: float) -> float:
    """Root mean square of ``error``, one sample a step of ``dt`` [s], from time ``after`` [s] on."""
    return rms(np.asarray(error)[int(round(after / dt)) :])


def gap_closed(kinematic: float, oracle: float, x: float) -> float:
    """Part of the kinematic model's excess over the oracle that a model removes: 1 meets the oracle.

    Returns:
        (kinematic - x) / (kinematic - oracle); NaN where the oracle is not better than kinematics.
    """
    gap = kinematic - oracle
    return (kinematic - x) / gap if gap > 0.0 else math.nan


def recovery_time(
    error: Array | Sequence[float],
    oracle: Array | Sequence[float],
    dt: float,
    change: float,
    window: float = RECOVERY_WINDOW,
    factor: float = RECOVERY_FACTOR,
    until: float = math.inf,
) -> float:
    """How long after a change a model tracks like the oracle again.

    Args:
        error, oracle: tracking errors [m] of model and oracle under the same noise, one each step, (T,).
        dt: step [s].
        change: when the world changed [s].
        window: the errors are compared over this time [s].
        factor: the model has recovered when its RMS error is at most ``factor`` times the oracle's.
        until: what happened from here on does not count [s].

    Returns:
        Time from the change to the start of the first such window [s], 0 when the change does not
        show; inf when there is none; NaN when no window fits between the change and the end.
    """
    first, length = int(round(change / dt)), int(round(window / dt))
    end = min(len(error), int(round(min(until, len(error) * dt) / dt)))
    if first < 0 or end - first < length:
        return math.nan

    def moving(values: ArrayLike) -> Array:
        total = np.concatenate([[0.0], np.cumsum(np.asarray(values, dtype=float)[first:end] ** 2)])
        return np.sqrt(np.maximum(total[length:] - total[:-length], 0.0) / length)

    back = np.flatnonzero(moving(error) <= factor * moving(oracle))
    return float(back[0] * dt) if len(back) else math.inf


def longest_recovery(
    error: Array | Sequence[float], oracle: Array | Sequence[float], dt: float, changes: Iterable[float]
) -> float:
    """The longest :func:`recovery_time` of ``changes`` [s], each judged until the next; NaN of none."""
    pairs = pairwise([*changes, math.inf])
    times = [recovery_time(error, oracle, dt, at, until=end) for at, end in pairs]
    times = [time for time in times if not math.isnan(time)]
    return max(times) if times else math.nan


def smoothness(commands: ArrayLike) -> float:
    """Mean |du| between consecutive commands (T, 2), Euclidean over v [m/s] and omega [rad/s]."""
    steps = np.diff(np.asarray(commands, dtype=float), axis=0)
    return float(np.hypot(*steps.T).mean()) if len(steps) else math.nan


def percentile(values: Array | Sequence[float], q: float) -> float:
    """Percentile ``q`` in [0, 100]; NaN of nothing."""
    return float(np.percentile(values, q)) if len(values) else math.nan


def prediction_error(
    states: np.ndarray,
    commands: np.ndarray,
    serving: list[tuple[int, ResidualWeights | RolloutModel]],
    steps: int,
    stride: int = 1,
    model_dt: float = 0.05,
) -> float:
    """Open-loop error of the models that served during a run, on what then happened.

    From each true state the model that served at that time predicts ``steps`` steps ahead along the
    commands that were then issued. A model is never asked about data that it was adapted on: those
    lie before.

    Args:
        states: true states, (T + 1, 5).
        commands: (T, 2).
        serving: (step from which it served, model), in order, the first from step 0.
        steps: to predict.
        stride: predict from every so many-th step.
        model_dt: step [s].

    Returns:
        RMS distance between predicted and true position after ``steps`` steps [m]; NaN when the
        run is shorter.
    """
    count = len(commands) - steps + 1
    if count < 1:
        return math.nan
    past = np.concatenate([np.zeros((MAX_HISTORY, 2)), commands])
    every = np.arange(0, count, stride)
    squares = []
    ends = [start for start, _ in serving[1:]] + [count]
    for (start, model), end in zip(serving, ends, strict=True):
        starts = every[(every >= start) & (every < end)]
        if not len(starts):
            continue
        ahead = commands[starts[:, None] + np.arange(steps)]
        before = past[starts[:, None] + MAX_HISTORY - 1 - np.arange(MAX_HISTORY)]
        if isinstance(model, ResidualWeights):
            predicted = open_loop(model, states[starts], ahead, before)[:, -1, :2]
        else:
            predicted = _rolled_out(model, states[starts], ahead, before, model_dt)
        squares.append(np.sum((predicted - states[starts + steps, :2]) ** 2, axis=1))
    return float(np.sqrt(np.concatenate(squares).mean()))


def _rolled_out(
    model: RolloutModel, states: np.ndarray, commands: np.ndarray, history: np.ndarray, model_dt: float
) -> np.ndarray:
    """Positions (M, 2) at the end of commands (M, T, 2) from states (M, 5)."""
    ends = np.empty((len(states), 3))
    out = Trajectories(commands.shape[1], 1)
    for i, state in enumerate(states):
        sequence = np.ascontiguousarray(commands[i][:, :, None], dtype=np.float32)
        model.rollout(RolloutRequest(sequence, model_dt, state, history[i].astype(np.float32)), out)
        ends[i] = out.x[-1, 0], out.y[-1, 0], out.yaw[-1, 0]
    return se2.compose(states[:, :3], ends)[:, :2]


def mean_and_margin(values: ArrayLike) -> tuple[float, float]:
    """Mean and half width of its 95 % confidence interval (Student's t); NaN half width of one value."""
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    if not len(known):
        return math.nan, math.nan
    if len(known) < 2 or not np.isfinite(known).all():
        return float(known.mean()), math.nan
    degrees = len(known) - 1
    quantile = _T95[degrees - 1] if degrees <= len(_T95) else 1.96 + 2.4 / degrees
    return float(known.mean()), float(quantile * known.std(ddof=1) / math.sqrt(len(known)))
