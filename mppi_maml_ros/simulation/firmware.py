"""Equations of motion of a base as its firmware makes it, axis by axis, and many such bases at once.

A command passes on each axis (v and omega), in this order::

    delay -> rounding -> dead band with hysteresis -> gain -> ramp: setpoint s

An axis that stands breaks loose at a command above ``dead`` and stops below ``hysteresis dead``; while it
moves, that much of the command is lost. The yaw setpoint of a skid-steered base is lowered in the same way by
``scrub / (1 + |v| / 0.3)``, of which half is left while it slides, then by the factors
``1 - turn_loss k / (k + turn_knee)``, k the curvature, and ``1 / (1 + understeer v^2)``. Then a speed
loop with an integrator z::

    z' = w^2 (s - v)                  held while the motor is at its limit and would be pushed on
    v' = clip(z - 2 d w v, torque) + push        w: natural frequency, d: damping ratio

and alike for omega. The pushes: a centre of mass ahead of the axle by e adds ``e omega^2`` to v' and takes
``e v omega / (rho^2 + e^2)`` from omega'; a caster at the angle phi, which swings round by
``phi' = -(v sin phi - omega a cos phi) / trail - omega``, adds ``-kick sin phi`` to omega' and drags v.
The pose follows v, omega and the slip ``-icr omega`` to the left.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidValueError
from ..core.kernels.cache import njit
from ..core.types import Array
from .firmware_parameters import (
    AXLE_OFFSET,
    CASTER_DRAG,
    CASTER_KICK,
    CASTER_START,
    CASTER_TRAIL,
    DAMPING,
    DEAD,
    DELAY,
    ECHO,
    ENCODER,
    FIRMWARE_HIGH,
    FIRMWARE_LOW,
    FIRMWARE_ODOMETRY_NOISE,
    FIRMWARE_PARAMETERS,
    FIRMWARE_PROCESS_NOISE,
    FREQUENCY,
    GAIN,
    HYSTERESIS,
    ICR,
    ODOMETRY_JITTER,
    ODOMETRY_RATE,
    QUANTUM,
    RAMP,
    SCRUB,
    TORQUE,
    TURN_KNEE,
    TURN_LOSS,
    UNDERSTEER,
)
from .parameters import NOISE_STEP
from .random_bits import mix, normal, uniform

STATES = 13
V, OMEGA, INTEGRATOR, SETPOINT, MOVES, SLIDES, CASTER = 3, 4, 5, 7, 9, 11, 12
"""The whole state, shape (STATES,): x, y, yaw, v, omega, then what no odometry shows: integrators,
setpoints and whether the axis moves, of v and omega each; whether the base slides in yaw; caster angle."""

SUBSTEP = 0.01
"""Longest internal step [s]."""
SCRUB_SPEED = 0.3
"""Speed at which scrub is half of that at standstill [m/s]."""
SLIDING = 0.5
"""Scrub of a base that slides, in that of one that sticks."""
GYRATION = 0.25
"""Radius of gyration of the base [m]."""
CASTER_ARM = 0.25
"""From the axle to the caster's pivot [m]."""
_PROCESS, _ODOMETRY, _JITTER = 1, 2, 3


@njit(cache=True)
def _wrap(angle: float) -> float:
    return (angle + math.pi) % (2.0 * math.pi) - math.pi


@njit(cache=True)
def _rounded(value: float, quantum: float) -> float:
    return math.floor(value / quantum + 0.5) * quantum if quantum > 0.0 else value


@njit(cache=True)
def _released(moves: float, size: float, band: float, stays: float) -> float:
    """1.0 where something that sticks up to ``band`` moves; once moving it stops below ``stays * band``."""
    if band <= 0.0 or size > band:
        return 1.0
    return 1.0 if moves > 0.0 and size >= stays * band and size > 0.0 else 0.0


@njit(cache=True)
def _less(value: float, lost: float, moves: float) -> float:
    """``value`` nearer to zero by ``lost``, at most to it; zero where nothing moves."""
    return moves * math.copysign(max(abs(value) - lost, 0.0), value)


@njit(cache=True)
def _ramped(now: float, goal: float, up: float, down: float) -> float:
    """``now`` moved to ``goal``: by at most ``down`` towards zero, ``up`` away from it."""
    if now > 0.0 and goal < now:
        return max(goal, now - down) if now > down else max(goal, 0.0)
    if now < 0.0 and goal > now:
        return min(goal, now + down) if now < -down else min(goal, 0.0)
    return min(max(goal, now - up), now + up)


@njit(cache=True)
def _loop(
    speed: float, z: float, aim: float, frequency: float, damping: float, torque: float, push: float, h: float
) -> tuple[float, float]:
    """Speed and integrator of a loop after ``h``, by the trapezoidal rule."""
    ki, kp = frequency * frequency, 2.0 * damping * frequency
    drive = z + 0.5 * h * ki * (aim - speed - 0.5 * h * push) - kp * (speed + 0.5 * h * push)
    drive /= 1.0 + 0.25 * h * h * ki + 0.5 * h * kp
    held = min(max(drive, -torque), torque)
    after = speed + h * (held + push)
    error = aim - 0.5 * (speed + after)
    if held == drive or held * error < 0.0:
        z += h * ki * error
    return after, z


@njit(cache=True)
def advance(s: Array, command_v: float, command_omega: float, dt: float, p: Array) -> None:
    """Move a base by ``dt`` under commands that have already reached their axes, without noise.

    Args:
        s: the whole state, shape (STATES,), changed in place; yaw is not wrapped.
        command_v, command_omega: [m/s, rad/s].
        dt: duration [s], at least 0.
        p: parameter vector, shape (F,), see :class:`FirmwareParameters`.
    """
    if dt <= 0.0:
        return
    count = max(math.ceil(dt / SUBSTEP - 1e-6), 1)
    h = dt / count
    goal_v = _rounded(command_v, p[QUANTUM])
    goal_omega = _rounded(command_omega, p[QUANTUM + 1])
    s[MOVES] = _released(s[MOVES], abs(goal_v), p[DEAD], p[HYSTERESIS])
    s[MOVES + 1] = _released(s[MOVES + 1], abs(goal_omega), p[DEAD + 1], p[HYSTERESIS])
    goal_v = p[GAIN] * _less(goal_v, p[HYSTERESIS] * p[DEAD], s[MOVES])
    goal_omega = p[GAIN + 1] * _less(goal_omega, p[HYSTERESIS] * p[DEAD + 1], s[MOVES + 1])
    offset = p[AXLE_OFFSET]
    for _ in range(count):
        v, omega = s[V], s[OMEGA]
        s[SETPOINT] = _ramped(s[SETPOINT], goal_v, p[RAMP] * h, p[RAMP + 1] * h)
        s[SETPOINT + 1] = _ramped(s[SETPOINT + 1], goal_omega, p[RAMP + 2] * h, p[RAMP + 3] * h)
        aim = s[SETPOINT + 1]
        stick = p[SCRUB] / (1.0 + abs(v) / SCRUB_SPEED)
        s[SLIDES] = _released(s[SLIDES], abs(aim), stick, SLIDING)
        aim = _less(aim, SLIDING * stick, s[SLIDES])
        curvature = abs(aim) / (abs(v) + 0.05)
        aim *= 1.0 - p[TURN_LOSS] * curvature / (curvature + p[TURN_KNEE])
        aim /= 1.0 + p[UNDERSTEER] * v * v

        push_v = offset * omega * omega
        push_omega = -offset * v * omega / (GYRATION * GYRATION + offset * offset)
        if p[CASTER_KICK] > 0.0 or p[CASTER_DRAG] > 0.0:
            angle = s[CASTER]
            rolling = abs(v) / (abs(v) + 0.05)
            push_omega -= p[CASTER_KICK] * rolling * math.sin(angle)
            across = 0.5 * (1.0 - math.cos(angle) * math.copysign(1.0, v))
            push_v -= p[CASTER_DRAG] * v / (abs(v) + 0.05) * across
            swing = (v * math.sin(angle) - omega * CASTER_ARM * math.cos(angle)) / p[CASTER_TRAIL] + omega
            s[CASTER] = _wrap(angle - h * swing)

        s[V], s[INTEGRATOR] = _loop(
            v, s[INTEGRATOR], s[SETPOINT], p[FREQUENCY], p[DAMPING], p[TORQUE], push_v, h
        )
        s[OMEGA], s[INTEGRATOR + 1] = _loop(
            omega, s[INTEGRATOR + 1], aim, p[FREQUENCY + 1], p[DAMPING + 1], p[TORQUE + 1], push_omega, h
        )
        v, omega = 0.5 * (v + s[V]), 0.5 * (omega + s[OMEGA])
        side = -p[ICR] * omega
        heading = s[2] + 0.5 * h * omega
        s[0] += h * (v * math.cos(heading) - side * math.sin(heading))
        s[1] += h * (v * math.sin(heading) + side * math.cos(heading))
        s[2] += h * omega


@njit(cache=True)
def advance_delayed(
    s: Array,
    older_v: float,
    newer_v: float,
    late_v: float,
    older_omega: float,
    newer_omega: float,
    late_omega: float,
    dt: float,
    p: Array,
) -> None:
    """:func:`advance` over a step in which each axis gets its newer command ``late`` seconds in."""
    at_v = late_v if late_v > 1e-9 and older_v != newer_v else 0.0
    at_omega = late_omega if late_omega > 1e-9 and older_omega != newer_omega else 0.0
    first, second = min(at_v, at_omega), max(at_v, at_omega)
    advance(s, older_v, older_omega, first, p)
    v = newer_v if at_v <= first else older_v
    omega = newer_omega if at_omega <= first else older_omega
    advance(s, v, omega, second - first, p)
    advance(s, newer_v, newer_omega, dt - second, p)


@njit(cache=True)
def disturb(s: Array, p: Array, seed: int, step: int, dt: float) -> None:
    """Add the process noise of the ``step``-th step, a function of the seed, and wrap yaw; in place."""
    key = mix(mix(seed) ^ np.uint64(_PROCESS))
    scale = math.sqrt(dt / NOISE_STEP)
    for i in range(5):
        if p[FIRMWARE_PROCESS_NOISE + i] > 0.0:
            s[i] += scale * p[FIRMWARE_PROCESS_NOISE + i] * normal(key, 5 * step + i)
    s[2] = _wrap(s[2])


@njit(cache=True)
def stamp_of(index: int, p: Array, seed: int) -> float:
    """When the ``index``-th message of odometry is measured [s]; for a rate above 0."""
    if index <= 0:
        return 0.0
    key = mix(mix(seed) ^ np.uint64(_JITTER))
    return (index + p[ODOMETRY_JITTER] * (2.0 * uniform(key, index) - 1.0)) / p[ODOMETRY_RATE]


@njit(cache=True)
def measure(
    state: Array, issued_v: float, issued_omega: float, p: Array, seed: int, index: int, out: Array
) -> None:
    """The ``index``-th message: ``state`` (5,) as odometry reports it, into ``out`` (5,)."""
    key = mix(mix(seed) ^ np.uint64(_ODOMETRY))
    for i in range(5):
        out[i] = state[i]
        if p[FIRMWARE_ODOMETRY_NOISE + i] > 0.0:
            out[i] += p[FIRMWARE_ODOMETRY_NOISE + i] * normal(key, 5 * index + i)
    out[2] = _wrap(out[2])
    out[3] = _rounded(out[3], p[ENCODER])
    out[4] = _rounded(out[4], p[ENCODER + 1])
    if p[ECHO] >= 0.5:
        out[3], out[4] = issued_v, issued_omega


@njit(cache=True)
def _between(first: Array, second: Array, part: float, out: Array) -> None:
    for i in range(5):
        change = second[i] - first[i]
        if i == 2:
            change = _wrap(change)
        out[i] = first[i] + part * change
    out[2] = _wrap(out[2])


@njit(cache=True)
def _message(
    index: int, true: Array, commands: Array, initial: Array, dt: float, p: Array, seed: int, out: Array
) -> float:
    """The message ``index`` of a whole run; its stamp."""
    steps = len(commands)
    stamp = stamp_of(index, p, seed) if p[ODOMETRY_RATE] > 0.0 else index * dt
    at = min(stamp / dt, float(steps))
    before = min(int(math.floor(at + 1e-9)), steps)
    state = np.empty(5)
    _between(true[before], true[min(before + 1, steps)], max(at - before, 0.0), state)
    last = int(math.ceil(at - 1e-9)) - 1  # the newest command issued before the stamp
    u = commands[last] if last >= 0 else initial
    measure(state, u[0], u[1], p, seed, index, out)
    return stamp


@njit(cache=True)
def _simulate(
    parameters: Array,
    starts: NDArray[np.int64],
    commands: Array,
    dt: float,
    seeds: NDArray[np.int64],
    initial_commands: Array,
    true: Array,
    observed: Array,
) -> None:
    steps, phases = commands.shape[1], parameters.shape[1]
    s = np.empty(STATES)
    newer, older = np.empty(2), np.empty(2)
    late = np.empty(2)
    first, second = np.empty(5), np.empty(5)
    for b in range(commands.shape[0]):
        phase = 0
        s[:] = 0.0
        s[:5] = true[b, 0]
        s[SETPOINT] = s[V]
        s[SETPOINT + 1] = s[OMEGA]
        for axis in range(2):
            p = parameters[b, 0]
            s[INTEGRATOR + axis] = 2.0 * p[DAMPING + axis] * p[FREQUENCY + axis] * s[V + axis]
        s[CASTER] = parameters[b, 0, CASTER_START]
        true[b, 0, 2] = _wrap(s[2])
        for t in range(steps):
            while phase + 1 < phases and t >= starts[b, phase + 1]:
                phase += 1
            p = parameters[b, phase]
            for axis in range(2):
                whole = int(math.floor(p[DELAY + axis] / dt + 1e-9))
                late[axis] = max(p[DELAY + axis] - whole * dt, 0.0)
                i = t - whole
                newer[axis] = commands[b, i, axis] if i >= 0 else initial_commands[b, axis]
                older[axis] = commands[b, i - 1, axis] if i >= 1 else initial_commands[b, axis]
            advance_delayed(s, older[0], newer[0], late[0], older[1], newer[1], late[1], dt, p)
            disturb(s, p, seeds[b], t, dt)
            true[b, t + 1] = s[:5]

        p = parameters[b, 0]
        sparse = p[ODOMETRY_RATE] > 0.0
        index = 0
        one = _message(0, true[b], commands[b], initial_commands[b], dt, p, seeds[b], first)
        two = _message(1, true[b], commands[b], initial_commands[b], dt, p, seeds[b], second)
        for t in range(steps + 1):
            if not sparse:
                _message(t, true[b], commands[b], initial_commands[b], dt, p, seeds[b], observed[b, t])
                continue
            while two < t * dt - 1e-9 and two < steps * dt:
                index += 1
                one = two
                first[:] = second
                two = _message(index + 1, true[b], commands[b], initial_commands[b], dt, p, seeds[b], second)
            _between(first, second, min((t * dt - one) / (two - one), 1.0), observed[b, t])


def simulate_firmware(
    parameter_matrix: np.ndarray,
    commands: np.ndarray,
    dt: float,
    seeds: np.ndarray,
    initial_states: np.ndarray | None = None,
    initial_commands: np.ndarray | None = None,
    starts: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Drive B bases through T commands each; one compiled loop over all.

    Args:
        parameter_matrix: shape (B, F), rows of :meth:`FirmwareParameters.as_vector`; or (B, N, F), bases
            that change: one row for each of N phases, the odometry as in the first.
        commands: shape (B, T, 2), (v, omega) issued at t * dt [m/s, rad/s].
        dt: step [s], above 0.
        seeds: shape (B,), integers >= 0; each base's noise depends on its own seed only.
        initial_states: shape (B, 5), driven steadily until then; at rest in the origin if None.
        initial_commands: shape (B, 2), commanded before the first step; zero if None.
        starts: step at which each phase begins, shape (B, N), ascending from 0; for N > 1.

    Returns:
        True states, and what odometry tells of the same moments: its messages, interpolated by their
        stamps. Each of shape (B, T + 1, 5), yaw in [-pi, pi).

    Raises:
        InvalidValueError: a wrong shape, something that is not finite, or a parameter out of its range.
    """
    parameters = np.ascontiguousarray(parameter_matrix, dtype=np.float64)
    commands = np.ascontiguousarray(commands, dtype=np.float64)
    if commands.ndim != 3 or commands.shape[2] != 2:
        raise InvalidValueError(f"commands must have shape (B, T, 2), got {commands.shape}")
    tasks, steps = commands.shape[:2]
    if parameters.ndim == 2:
        parameters = parameters[:, None]
    if parameters.ndim != 3 or parameters.shape[::2] != (tasks, len(FIRMWARE_PARAMETERS)):
        raise InvalidValueError(
            f"parameter_matrix must have shape ({tasks}, {len(FIRMWARE_PARAMETERS)}) or "
            f"({tasks}, N, {len(FIRMWARE_PARAMETERS)}), got {np.shape(parameter_matrix)}"
        )
    phases = parameters.shape[1]
    starts = np.zeros((tasks, phases), dtype=np.int64) if starts is None else np.asarray(starts)
    if starts.shape != (tasks, phases) or starts[:, 0].any() or (np.diff(starts, axis=1) <= 0).any():
        raise InvalidValueError(f"starts must have shape ({tasks}, {phases}) and ascend from 0")
    if not (np.isfinite(dt) and dt > 0.0):
        raise InvalidValueError(f"dt must be finite and above 0, got {dt}")
    allowed = (parameters >= FIRMWARE_LOW) & (parameters <= FIRMWARE_HIGH)
    if not allowed.all():
        b, n, i = np.argwhere(~allowed)[0]
        raise InvalidValueError(
            f"{FIRMWARE_PARAMETERS[i]} of task {b} must be in [{FIRMWARE_LOW[i]:g}, {FIRMWARE_HIGH[i]:g}], "
            f"got {parameters[b, n, i]}"
        )
    seeds = np.asarray(seeds)
    if seeds.shape != (tasks,) or not np.issubdtype(seeds.dtype, np.integer) or (seeds < 0).any():
        raise InvalidValueError(f"seeds must be {tasks} integers >= 0")
    true, observed = np.zeros((2, tasks, steps + 1, 5))
    before = np.zeros((tasks, 2))
    for name, given, target in (
        ("initial_states", initial_states, true[:, 0]),
        ("initial_commands", initial_commands, before),
    ):
        if given is not None:
            if np.shape(given) != target.shape:
                raise InvalidValueError(f"{name} must have shape {target.shape}, got {np.shape(given)}")
            target[:] = given
        if not np.isfinite(target).all():
            raise InvalidValueError(f"{name} must be finite")
    if not np.isfinite(commands).all():
        raise InvalidValueError("commands must be finite")
    starts, seeds = starts.astype(np.int64), seeds.astype(np.uint64)
    _simulate(parameters, starts, commands, float(dt), seeds, before, true, observed)
    return true, observed
