"""Many wheel-level worlds at once, for meta-training data and prediction studies."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidValueError
from ..core.kernels.cache import njit
from ..core.types import Array
from .parameters import (
    BATTERY,
    BATTERY_FLOOR,
    BATTERY_SAG,
    COMMAND_DELAY,
    NOISE_STEP,
    ODOMETRY_DELAY,
    ODOMETRY_NOISE,
    PARAMETER_HIGH,
    PARAMETER_LOW,
    PARAMETER_NAMES,
    PROCESS_NOISE,
)
from .random_bits import mix, normal
from .wheels import advance

_PROCESS, _ODOMETRY = 1, 2


@njit(cache=True)
def _wrap(angle: float) -> float:
    return (angle + math.pi) % (2.0 * math.pi) - math.pi


@njit(cache=True)
def _command_at(commands: Array, initial: Array, index: int) -> tuple[float, float]:
    if index < 0:
        return initial[0], initial[1]
    return commands[index, 0], commands[index, 1]


@njit(cache=True)
def _simulate(
    parameters: Array,
    starts: NDArray[np.int64],
    pushes: Array,
    commands: Array,
    dt: float,
    seeds: NDArray[np.int64],
    initial_states: Array,
    initial_commands: Array,
    true: Array,
    observed: Array,
) -> None:
    steps, phases = commands.shape[1], parameters.shape[1]
    noise_scale = math.sqrt(dt / NOISE_STEP)
    for b in range(commands.shape[0]):
        phase = 0
        p = parameters[b, 0].copy()
        full_battery = p[BATTERY]
        process_key = mix(mix(seeds[b]) ^ np.uint64(_PROCESS))
        odometry_key = mix(mix(seeds[b]) ^ np.uint64(_ODOMETRY))
        whole = math.floor(p[COMMAND_DELAY] / dt + 1e-9)
        late = max(p[COMMAND_DELAY] - whole * dt, 0.0)
        x, y, yaw, v, omega = initial_states[b]
        true[b, 0] = initial_states[b]
        true[b, 0, 2] = _wrap(yaw)
        for t in range(steps):
            while phase + 1 < phases and t >= starts[b, phase + 1]:
                phase += 1
                p = parameters[b, phase].copy()
                full_battery = p[BATTERY]
                whole = math.floor(p[COMMAND_DELAY] / dt + 1e-9)
                late = max(p[COMMAND_DELAY] - whole * dt, 0.0)
            push_v, push_omega = pushes[b, phase, 0], pushes[b, phase, 1]
            p[BATTERY] = max(full_battery * (1.0 - p[BATTERY_SAG] * t * dt), BATTERY_FLOOR)
            u_v, u_omega = _command_at(commands[b], initial_commands[b], t - whole)
            rest = dt
            if late > 1e-9:
                old_v, old_omega = _command_at(commands[b], initial_commands[b], t - whole - 1)
                if old_v != u_v or old_omega != u_omega:
                    x, y, yaw, v, omega = advance(
                        x, y, yaw, v, omega, old_v, old_omega, late, p, 1.0, push_v, push_omega
                    )
                    rest = dt - late
            x, y, yaw, v, omega = advance(x, y, yaw, v, omega, u_v, u_omega, rest, p, 1.0, push_v, push_omega)
            if p[PROCESS_NOISE] > 0.0:
                x += noise_scale * p[PROCESS_NOISE] * normal(process_key, 5 * t)
            if p[PROCESS_NOISE + 1] > 0.0:
                y += noise_scale * p[PROCESS_NOISE + 1] * normal(process_key, 5 * t + 1)
            if p[PROCESS_NOISE + 2] > 0.0:
                yaw += noise_scale * p[PROCESS_NOISE + 2] * normal(process_key, 5 * t + 2)
            if p[PROCESS_NOISE + 3] > 0.0:
                v += noise_scale * p[PROCESS_NOISE + 3] * normal(process_key, 5 * t + 3)
            if p[PROCESS_NOISE + 4] > 0.0:
                omega += noise_scale * p[PROCESS_NOISE + 4] * normal(process_key, 5 * t + 4)
            yaw = _wrap(yaw)
            true[b, t + 1, 0] = x
            true[b, t + 1, 1] = y
            true[b, t + 1, 2] = yaw
            true[b, t + 1, 3] = v
            true[b, t + 1, 4] = omega

        p = parameters[b, 0]
        age = p[ODOMETRY_DELAY] / dt
        for t in range(steps + 1):
            at = max(t - age, 0.0)
            first = math.floor(at)
            second = min(first + 1, steps)
            part = at - first
            for i in range(5):
                step = true[b, second, i] - true[b, first, i]
                if i == 2:
                    step = _wrap(step)
                value = true[b, first, i] + part * step
                if p[ODOMETRY_NOISE + i] > 0.0:
                    value += p[ODOMETRY_NOISE + i] * normal(odometry_key, 5 * t + i)
                if i == 2:
                    value = _wrap(value)
                observed[b, t, i] = value


def simulate_batch(
    parameter_matrix: np.ndarray,
    commands: np.ndarray,
    dt: float,
    seeds: np.ndarray,
    initial_states: np.ndarray | None = None,
    initial_commands: np.ndarray | None = None,
    starts: np.ndarray | None = None,
    pushes: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Drive B worlds through T commands each; one compiled loop over all.

    Args:
        parameter_matrix: shape (B, P), rows of :meth:`WorldParameters.as_vector`; or (B, N, P), worlds
            that change: one row for each of N phases, the odometry as in the first.
        commands: shape (B, T, 2), (v, omega) issued at t * dt [m/s, rad/s].
        dt: step [s], above 0.
        seeds: shape (B,), integers >= 0; each task's noise depends on its own seed only.
        initial_states: shape (B, 5); at rest in the origin if None.
        initial_commands: shape (B, 2), what was commanded before the first step, which a delayed
            robot still obeys; zero if None.
        starts: step at which each phase begins, shape (B, N), ascending from 0; for N > 1.
        pushes: external (forward, yaw) acceleration in each phase, shape (B, N, 2)
            [m/s^2, rad/s^2]; none if None.

    Returns:
        True states and observed states (delayed, with odometry noise), each of shape
        (B, T + 1, 5), yaw in [-pi, pi).

    Raises:
        InvalidValueError: a wrong shape, a command or initial state that is not finite, or a
            parameter out of its range.
    """
    parameter_matrix = np.ascontiguousarray(parameter_matrix, dtype=np.float64)
    commands = np.ascontiguousarray(commands, dtype=np.float64)
    if commands.ndim != 3 or commands.shape[2] != 2:
        raise InvalidValueError(f"commands must have shape (B, T, 2), got {commands.shape}")
    tasks, steps = commands.shape[:2]
    given = parameter_matrix.shape
    if parameter_matrix.ndim == 2:
        parameter_matrix = parameter_matrix[:, None]
    phases = parameter_matrix.shape[1] if parameter_matrix.ndim == 3 else 0
    if phases < 1 or parameter_matrix.shape != (tasks, phases, len(PARAMETER_NAMES)):
        raise InvalidValueError(
            f"parameter_matrix must have shape ({tasks}, {len(PARAMETER_NAMES)}) or "
            f"({tasks}, N, {len(PARAMETER_NAMES)}), got {given}"
        )
    starts = np.zeros((tasks, phases), dtype=np.int64) if starts is None else np.asarray(starts)
    if starts.shape != (tasks, phases) or starts[:, 0].any() or (np.diff(starts, axis=1) <= 0).any():
        raise InvalidValueError(f"starts must have shape ({tasks}, {phases}) and ascend from 0")
    pushes = np.zeros((tasks, phases, 2)) if pushes is None else np.asarray(pushes, dtype=np.float64)
    if pushes.shape != (tasks, phases, 2) or not np.isfinite(pushes).all():
        raise InvalidValueError(f"pushes must be finite and of shape ({tasks}, {phases}, 2)")
    if not (np.isfinite(dt) and dt > 0.0):
        raise InvalidValueError(f"dt must be finite and above 0, got {dt}")
    allowed = (PARAMETER_LOW <= parameter_matrix) & (parameter_matrix <= PARAMETER_HIGH)
    if not allowed.all():
        b, n, i = np.argwhere(~allowed)[0]
        raise InvalidValueError(
            f"{PARAMETER_NAMES[i]} of task {b} must be in [{PARAMETER_LOW[i]:g}, {PARAMETER_HIGH[i]:g}], "
            f"got {parameter_matrix[b, n, i]}"
        )
    seeds = np.asarray(seeds)
    if seeds.shape != (tasks,) or not np.issubdtype(seeds.dtype, np.integer) or (seeds < 0).any():
        raise InvalidValueError(f"seeds must be {tasks} integers >= 0")
    if initial_states is None:
        initial_states = np.zeros((tasks, 5))
    if initial_commands is None:
        initial_commands = np.zeros((tasks, 2))
    initial_states = np.ascontiguousarray(initial_states, dtype=np.float64)
    initial_commands = np.ascontiguousarray(initial_commands, dtype=np.float64)
    if initial_states.shape != (tasks, 5):
        raise InvalidValueError(f"initial_states must have shape ({tasks}, 5), got {initial_states.shape}")
    if initial_commands.shape != (tasks, 2):
        raise InvalidValueError(
            f"initial_commands must have shape ({tasks}, 2), got {initial_commands.shape}"
        )
    for name, array in (
        ("commands", commands),
        ("initial_states", initial_states),
        ("initial_commands", initial_commands),
    ):
        if not np.isfinite(array).all():
            raise InvalidValueError(f"{name} must be finite")
    true = np.empty((tasks, steps + 1, 5))
    observed = np.empty((tasks, steps + 1, 5))
    _simulate(
        parameter_matrix,
        starts.astype(np.int64),
        np.ascontiguousarray(pushes),
        commands,
        float(dt),
        seeds.astype(np.uint64),
        initial_states,
        initial_commands,
        true,
        observed,
    )
    return true, observed
