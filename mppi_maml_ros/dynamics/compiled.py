"""The residual in compiled code: :func:`.residual.correction`, ``step`` and ``open_loop``, many rows at once.

For what is asked often: an attempt to adapt is judged by thousands of steps, and each control period looks a
few ahead. In double precision, as the reference in :mod:`.residual`, and equal to it within rounding.
"""

from __future__ import annotations

import math
from typing import Any
from weakref import WeakKeyDictionary

import attrs
import numpy as np
from numpy.polynomial.polynomial import polyadd, polymulx
from numpy.typing import ArrayLike, NDArray

from ..core.angles import TWO_PI
from ..core.errors import InvalidValueError
from ..core.kernels.cache import njit
from ..core.kernels.se2 import displacement, wrapped
from ..core.types import Array
from .acceleration import bounded, changes
from .features import EXTRA_FEATURES, extras, input_size
from .residual import ResidualWeights
from .soundness import OUTPUTS
from .transitions import Transitions

WIDE = 8  # rows are filled up to whole vectors of these
_PER_TURN = 1.0 / TWO_PI

_SATURATED = 7.0  # tanh of twice as much is 1 within 2e-12
_DEPTH = 18


def _convergent(depth: int) -> tuple[tuple[float, ...], ...]:
    """P and Q of tanh(x) = x P(x^2) / Q(x^2), from Lambert's continued fraction; highest powers first."""
    older: list[Any] = [np.zeros(1), np.ones(1)]
    newer: list[Any] = [np.ones(1), np.ones(1)]
    for k in range(1, depth):
        ahead = [polyadd((2 * k + 1) * b, polymulx(a)) for a, b in zip(older, newer, strict=True)]
        older, newer = newer, ahead
    return tuple(tuple((part[::-1] / newer[1][0]).tolist()) for part in newer)


_ABOVE, _BELOW = _convergent(_DEPTH)


@njit(inline="always", error_model="numpy", fastmath={"contract"})
def _tanh(x: float) -> float:
    """Within 1e-12, without a branch: the compiler does a vector of them at once."""
    half = 0.5 * x
    half = _SATURATED if half > _SATURATED else half
    half = -_SATURATED if half < -_SATURATED else half
    square = half * half
    above, below = _ABOVE[0], _BELOW[0]
    for k in range(1, len(_ABOVE)):
        above = above * square + _ABOVE[k]
    for k in range(1, len(_BELOW)):
        below = below * square + _BELOW[k]
    t = half * above / below
    return 2.0 * t / (1.0 + t * t)


@njit(error_model="numpy", fastmath={"contract"})
def _corrections(
    linear: Array,
    parameters: Array,
    widths: NDArray[np.int64],
    tanh: bool,
    phi: Array,
    spare: Array,
    delta: Array,
) -> None:
    """Corrections ``delta`` (3, n) from features ``phi`` (P, n), the inputs first; ``spare`` is (2, W, n)."""
    rows = phi.shape[1]
    for o in range(3):
        out = delta[o]
        out[:] = 0.0
        for i in range(len(phi)):
            weight, row = linear[o, i], phi[i]
            for j in range(rows):
                out[j] += weight * row[j]
    at, source = 0, phi
    for layer in range(len(widths) - 1):
        last = layer == len(widths) - 2
        target = delta if last else spare[layer % 2]
        inner, outer = widths[layer], widths[layer + 1]
        for o in range(outer):
            out, bias = target[o], parameters[at + outer * inner + o]
            if last:
                for j in range(rows):
                    out[j] += bias
            else:
                out[:] = bias
            whole = inner - inner % 4
            for i in range(0, whole, 4):
                first = at + o * inner + i
                a, b, c, d = (
                    parameters[first], parameters[first + 1], parameters[first + 2], parameters[first + 3],
                )  # fmt: skip
                p, q, r, s = source[i], source[i + 1], source[i + 2], source[i + 3]
                for j in range(rows):
                    out[j] += (a * p[j] + b * q[j]) + (c * r[j] + d * s[j])
            for i in range(whole, inner):
                weight, row = parameters[at + o * inner + i], source[i]
                for j in range(rows):
                    out[j] += weight * row[j]
            if last:
                continue
            if tanh:
                for j in range(rows):
                    out[j] = _tanh(out[j])
            else:
                for j in range(rows):
                    out[j] = 0.0 if out[j] < 0.0 else out[j]
        at += outer * (inner + 1)
        source = target


@njit(error_model="numpy", fastmath={"contract"})
def _complete(phi: Array, inputs: int) -> None:
    """The features that are no inputs."""
    for j in range(phi.shape[1]):
        (phi[inputs, j], phi[inputs + 1, j], phi[inputs + 2, j], phi[inputs + 3, j]) = extras(
            phi[0, j], phi[1, j]
        )


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _correction(
    linear: Array,
    parameters: Array,
    widths: NDArray[np.int64],
    tanh: bool,
    wide: int,
    inputs: Array,
    out: Array,
) -> None:
    rows, size = inputs.shape
    filled = (rows + WIDE - 1) // WIDE * WIDE
    phi, spare = np.zeros((size + EXTRA_FEATURES, filled)), np.empty((2, wide, filled))
    delta = np.empty((3, filled))
    for j in range(rows):
        for i in range(size):
            phi[i, j] = inputs[j, i]
    _complete(phi, size)
    _corrections(linear, parameters, widths, tanh, phi, spare, delta)
    for j in range(rows):
        for o in range(3):
            out[j, o] = delta[o, j]


@njit(error_model="numpy")
def _lay_out(commands: Array, history: Array, late: NDArray[np.int64], t: int, taps: int, phi: Array) -> None:
    """The commands that act at step ``t`` and those of the steps before, as features."""
    for back in range(taps + 1):
        for axis in range(2):
            row, ago = phi[2 + 2 * back + axis], back + late[axis]
            for j in range(len(commands)):
                row[j] = commands[j, t - ago, axis] if t >= ago else history[j, ago - t - 1, axis]


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _missed(
    linear: Array,
    parameters: Array,
    widths: NDArray[np.int64],
    tanh: bool,
    wide: int,
    late: NDArray[np.int64],
    dt: float,
    states: Array,
    commands: Array,
    history: Array,
    next_states: Array,
    out: Array,
) -> None:
    rows, size = len(states), linear.shape[1] - EXTRA_FEATURES
    filled, taps = (rows + WIDE - 1) // WIDE * WIDE, (size - 4) // 2
    phi, spare = np.zeros((size + EXTRA_FEATURES, filled)), np.empty((2, wide, filled))
    delta = np.empty((3, filled))
    for j in range(rows):
        phi[0, j], phi[1, j] = states[j, 3], states[j, 4]
    _lay_out(commands.reshape(rows, 1, 2), history, late, 0, taps, phi)
    _complete(phi, size)
    _corrections(linear, parameters, widths, tanh, phi, spare, delta)
    for j in range(rows):
        for axis in range(2):
            out[j, axis] = next_states[j, 3 + axis] - phi[2 + axis, j] - delta[axis, j]
        out[j, 2] = displacement(states[j], next_states[j])[1] / dt - delta[2, j]


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _open_loop(
    linear: Array,
    parameters: Array,
    widths: NDArray[np.int64],
    tanh: bool,
    wide: int,
    blend: float,
    dt: float,
    momentum: Array,
    limits: Array,
    late: NDArray[np.int64],
    fraction: float,
    states: Array,
    commands: Array,
    history: Array,
    push: Array,
    poses: bool,
    out: Array,
) -> None:
    rows, steps = commands.shape[0], commands.shape[1]
    size = linear.shape[1] - EXTRA_FEATURES
    filled, taps = (rows + WIDE - 1) // WIDE * WIDE, (size - 4) // 2
    phi, spare = np.zeros((size + EXTRA_FEATURES, filled)), np.empty((2, wide, filled))
    delta = np.empty((3, filled))
    moved = fraction * dt
    change = np.zeros((2, rows))
    for j in range(rows):
        phi[0, j], phi[1, j] = states[j, 3], states[j, 4]
        if states.shape[1] == 7:
            change[0, j], change[1, j] = states[j, 5], states[j, 6]
    for t in range(steps):
        _lay_out(commands, history, late, t, taps, phi)
        _complete(phi, size)
        _corrections(linear, parameters, widths, tanh, phi, spare, delta)
        before = states if t == 0 else out[:, t - 1]
        for j in range(rows):
            v, omega, u, w = phi[0, j], phi[1, j], phi[2, j], phi[3, j]
            end_v = u + (delta[0, j] + push[t, 0] + momentum[0] * change[0, j])
            end_omega = w + (delta[1, j] + push[t, 1] + momentum[1] * change[1, j])
            end_v = bounded(v, end_v, limits[0, 0], limits[1, 0])
            end_omega = bounded(omega, end_omega, limits[0, 1], limits[1, 1])
            if fraction != 1.0 and blend > 0.0:
                end_v, end_omega = v + fraction * (end_v - v), omega + fraction * (end_omega - omega)
            if poses:
                forward = u + blend * (0.5 * (v + end_v) - u)
                turn = (w + blend * (0.5 * (omega + end_omega) - w)) * moved
                x, y, yaw = before[j, 0], before[j, 1], before[j, 2]
                c, s = math.cos(yaw + 0.5 * turn), math.sin(yaw + 0.5 * turn)
                yaw += turn
                out[j, t, 0] = x + (c * forward - s * delta[2, j]) * moved
                out[j, t, 1] = y + (s * forward + c * delta[2, j]) * moved
                out[j, t, 2] = yaw - TWO_PI * math.floor((yaw + math.pi) * _PER_TURN)
            out[j, t, 3], out[j, t, 4] = end_v, end_omega
            # A change over a fraction of a step is filled up with the one before.
            change[0, j] = end_v - v + (1.0 - fraction) * change[0, j]
            change[1, j] = end_omega - omega + (1.0 - fraction) * change[1, j]
            if out.shape[2] == 7:
                out[j, t, 5], out[j, t, 6] = change[0, j], change[1, j]
            phi[0, j], phi[1, j] = end_v, end_omega


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _run_errors(
    linear: Array,
    parameters: Array,
    widths: NDArray[np.int64],
    tanh: bool,
    wide: int,
    blend: float,
    dt: float,
    momentum: Array,
    limits: Array,
    late: NDArray[np.int64],
    states: Array,
    twists: Array,
    commands: Array,
    history: Array,
    next_states: Array,
    starts: NDArray[np.int64],
    steps: int,
    arm: float,
    out: Array,
) -> None:
    rows, width, known = len(starts), 3 + twists.shape[1], history.shape[1]
    begin, told = np.empty((rows, width)), np.empty((rows, steps, 2))
    before, push = np.empty((rows, known, 2)), np.zeros((steps, 2))
    predicted = np.empty((rows, steps, width))
    for j in range(rows):
        first = starts[j]
        begin[j, :3], begin[j, 3:], before[j] = states[first, :3], twists[first], history[first]
        told[j] = commands[first : first + steps]
    _open_loop(
        linear, parameters, widths, tanh, wide, blend, dt, momentum, limits, late, 1.0, begin, told, before,
        push, True, predicted,
    )  # fmt: skip
    for j in range(rows):
        total = 0.0
        for t in range(steps):
            seen, said = next_states[starts[j] + t], predicted[j, t]
            x, y, turn = said[0] - seen[0], said[1] - seen[1], wrapped(said[2] - seen[2])
            total += x * x + y * y + (arm * turn) ** 2
        out[j] = total / steps


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _held_ends(
    linear: Array,
    parameters: Array,
    widths: NDArray[np.int64],
    tanh: bool,
    wide: int,
    blend: float,
    dt: float,
    momentum: Array,
    limits: Array,
    late: NDArray[np.int64],
    before: int,
    start: Array,
    held: Array,
    steps: int,
    out: Array,
) -> None:
    rows = len(start)
    states, commands = np.zeros((rows, 5)), np.empty((rows, steps, 2))
    history, predicted = np.empty((rows, before, 2)), np.zeros((rows, steps, 5))
    for j in range(rows):
        states[j, 3:], commands[j], history[j] = start[j], held[j], start[j]
    _open_loop(
        linear, parameters, widths, tanh, wide, blend, dt, momentum, limits, late, 1.0, states, commands,
        history, np.zeros((steps, 2)), False, predicted,
    )  # fmt: skip
    out[:] = predicted[:, steps - 1, 3:]


@attrs.frozen(eq=False)
class _Packed:
    """A snapshot as the kernels read it, the input scale folded into the first layer."""

    linear: Array
    parameters: Array
    widths: NDArray[np.int64]
    tanh: bool
    wide: int
    momentum: Array  # of (v, omega): share of the change over the step before that goes on
    limits: Array  # of a change over a step, away from standstill and towards it, of (v, omega)
    late: NDArray[np.int64]  # whole steps by which the commands of (v, omega) act later

    @classmethod
    def of(cls, weights: ResidualWeights) -> _Packed:
        """Of the weights; made once for each."""
        packed = _packed.get(weights)
        if packed is None:
            parts, scale = [np.zeros(0)], weights.input_scale
            widths: list[int] = []
            for weight, bias in weights.layers:
                parts += [(weight.astype(float) * scale).ravel(), bias]
                widths += [] if widths else [len(scale)]
                widths.append(len(bias))
                scale = np.ones(1, dtype=np.float32)
            packed = _packed[weights] = cls(
                weights.linear.astype(float),
                np.concatenate(parts),
                np.array(widths or [0], dtype=np.int64),
                weights.activation == "tanh",
                max(widths, default=0),
                momentum=weights.momentum.astype(float),
                limits=changes(weights.acceleration, weights.model_dt),
                late=np.array(weights.transport_delay, dtype=np.int64),
            )
        return packed

    @property
    def network(self) -> tuple[Array, Array, NDArray[np.int64], bool, int]:
        """What every kernel takes first."""
        return self.linear, self.parameters, self.widths, self.tanh, self.wide


_packed: WeakKeyDictionary[ResidualWeights, _Packed] = WeakKeyDictionary()


def correction(weights: ResidualWeights, inputs: Array) -> Array:
    """(dv [m/s], domega [rad/s], lateral [m/s]) for inputs z of shape (M, Z); returns (M, 3)."""
    if inputs.shape[1:] != (input_size(weights.delay_taps),):
        raise InvalidValueError(
            f"inputs must have {input_size(weights.delay_taps)} columns, got the shape {inputs.shape}"
        )
    out = np.empty((len(inputs), OUTPUTS))
    # A copy, as whatever is read-only or lies otherwise would be compiled for anew.
    _correction(*_Packed.of(weights).network, np.array(inputs, dtype=float, order="C"), out)
    return out


def missed(weights: ResidualWeights, data: Transitions) -> Array:
    """What weights got wrong of (v, omega) and of the lateral velocity in each step, shape (M, 3).

    Args:
        data: with commands as they were given; the weights know when those act.

    Raises:
        InvalidValueError: the history is too short.
    """
    data.check_history(weights)
    packed, out = _Packed.of(weights), np.empty((len(data), OUTPUTS))
    _missed(
        *packed.network, packed.late, data.model_dt, data.states, data.commands, data.history,
        data.next_states, out,
    )  # fmt: skip
    return out


def open_loop(
    weights: ResidualWeights,
    states: ArrayLike,
    commands: ArrayLike,
    history: ArrayLike,
    push: ArrayLike | None = None,
    dt: float | None = None,
    poses: bool = True,
) -> Array:
    """Predict command sequences.

    Args:
        states: starts (x, y, yaw, v, omega), shape (S, 5); or (S, 7) with the change of (v, omega) over the
            step before, else zero.
        commands: shape (S, T, 2).
        history: commands before the first, newest first, shape (S, D, 2), D >= weights.history.
        push: added to (v, omega) at the end of each step, shape (T, 2); None for nothing.
        dt: of each step [s], at most model_dt; None for model_dt.
        poses: whether they are of interest; else they are left at zero, which takes half the time.

    Returns:
        States after each command, shape (S, T, 5) or (S, T, 7).
    """
    packed = _Packed.of(weights)
    given = states, commands, history
    states, commands, history = (np.array(a, dtype=float, order="C") for a in given)  # as above
    push = np.zeros((commands.shape[1], 2)) if push is None else np.array(push, dtype=float, order="C")
    rows, steps = commands.shape[:2]
    known, needed = history.shape[1], weights.history
    width = 7 if states.shape[1:] == (7,) else 5
    shapes = {
        "states": (states, (rows, width)),
        "commands": (commands, (rows, steps, 2)),
        "history": (history, (rows, max(known, needed), 2)),
        "push": (push, (steps, 2)),
    }
    for name, (array, shape) in shapes.items():
        if array.shape != shape:
            raise InvalidValueError(f"{name} must have the shape {shape}, got {array.shape}")
    out = np.empty((rows, steps, width)) if poses else np.zeros((rows, steps, width))
    fraction = 1.0 if dt is None else dt / weights.model_dt
    _open_loop(
        *packed.network, weights.displacement_blend, weights.model_dt, packed.momentum, packed.limits,
        packed.late, fraction, states, commands, history, push, poses, out,
    )  # fmt: skip
    return out


def run_errors(
    weights: ResidualWeights,
    data: Transitions,
    twists: Array,
    starts: NDArray[np.int64],
    steps: int,
    arm: float,
) -> Array:
    """Mean square error of predictions along the commands that were given, shape (S,) [m^2].

    Args:
        data: what happened.
        twists: at the start of each transition, (v, omega) or with their changes, shape (M, 2) or (M, 4).
        starts: first transitions, each followed by ``steps`` in all without a gap, shape (S,).
        arm: [m] of a yaw error.

    Raises:
        InvalidValueError: the history is too short.
    """
    data.check_history(weights)
    packed, out = _Packed.of(weights), np.empty(len(starts))
    _run_errors(
        *packed.network, weights.displacement_blend, weights.model_dt, packed.momentum, packed.limits,
        packed.late, data.states, np.array(twists, dtype=float, order="C"), data.commands, data.history,
        data.next_states, starts, steps, arm, out,
    )  # fmt: skip
    return out


def held_ends(weights: ResidualWeights, start: Array, held: Array, steps: int) -> Array:
    """(v, omega) after ``steps`` of a command that is held, where another was for long; shape (S, 2).

    Args:
        start: velocity before, and the command that gave it, shape (S, 2); held: shape (S, 2).
    """
    packed, out = _Packed.of(weights), np.empty((len(start), 2))
    _held_ends(
        *packed.network, weights.displacement_blend, weights.model_dt, packed.momentum, packed.limits,
        packed.late, max(weights.history, 1), start, held, steps, out,
    )  # fmt: skip
    return out
