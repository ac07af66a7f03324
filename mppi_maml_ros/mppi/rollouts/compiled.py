"""Batched rollouts of the prior and the residual for MPPI, in compiled vector code.

Arrays run (time, sample) with samples contiguous, and a vector of samples stays in registers
for a whole step. Poses are relative to the robot: the rollout starts at (0, 0, 0), which keeps
single precision exact enough anywhere on the map.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import attrs
import numpy as np
from numba import njit

from ...core.angles import TWO_PI
from ...core.kernels.simd import (
    GROUP,
    LANES,
    NONE,
    RELU,
    ROWS,
    TANH,
    dense_tile,
    load,
    round_even,
    splat,
    square_root,
    store,
)
from ...dynamics.features import EXTRA_FEATURES, SOFT_SIGN_OMEGA, SOFT_SIGN_V, input_size
from ...dynamics.residual import OUTPUTS, ResidualWeights

OUTPUT_ROWS = 4  # rows of the output layer's tile; the last one is padding
_PER_TURN = 1.0 / TWO_PI


class Trajectories:
    """Preallocated rollout results, each (time_steps, batch_size) float32, in the robot's start frame.

    ``x``, ``y`` [m], ``yaw`` [rad, unwrapped], ``v`` [m/s], ``omega`` [rad/s] after each step.
    """

    def __init__(self, time_steps: int, batch_size: int):
        self.x, self.y, self.yaw, self.v, self.omega = np.zeros((5, time_steps, batch_size), dtype=np.float32)


class Tracking:
    """Cost of the distance to a time-indexed reference, which a rollout adds up on its way.

    Args:
        position_weight: of the squared distance after each step, shape (time_steps,) [1/m^2].
        heading_weight: of the squared heading error, shape (time_steps,) [1/rad^2].

    Attributes:
        target: wanted poses after each step in the robot's start frame, (time_steps, 3) float32.
    """

    def __init__(self, position_weight, heading_weight):
        self.weight = np.ascontiguousarray(
            np.stack([position_weight, heading_weight], axis=1), dtype=np.float32
        )
        self.target = np.zeros((len(self.weight), 3), dtype=np.float32)


@njit(inline="always")
def _turned(cos, sin, angle):
    """Cosine and sine of a heading that turned by ``angle``; exact to single precision up to 1 rad."""
    q = angle * angle
    s = angle * (1.0 + q * (-1.0 / 6.0 + q * (1.0 / 120.0 - q * (1.0 / 5040.0))))
    c = 1.0 + q * (-0.5 + q * (1.0 / 24.0 + q * (-1.0 / 720.0 + q * (1.0 / 40320.0))))
    return cos * c - sin * s, sin * c + cos * s


@njit(inline="always")
def _tracking_cost(x, y, yaw, target, weight, t):
    dx = x - target[t, 0]
    dy = y - target[t, 1]
    turn = yaw - target[t, 2]
    turn -= TWO_PI * round_even(turn * _PER_TURN)
    return weight[t, 0] * (dx * dx + dy * dy) + weight[t, 1] * (turn * turn)


@njit(cache=True, error_model="numpy")
def _rollout_kinematic(
    commands, dt, tracked, target, weight, costs, kept, out_x, out_y, out_yaw, out_v, out_omega
):
    steps, _, samples = commands.shape
    half_dt = np.float32(0.5) * dt
    for j in range(0, samples, LANES):
        # Cosine and sine belong to the heading in the middle of the step before; `behind` is
        # what the robot turned from there to the end of that step.
        cos = splat(1.0)
        sin = splat(0.0)
        x = splat(0.0)
        y = splat(0.0)
        yaw = splat(0.0)
        behind = splat(0.0)
        cost = splat(0.0)
        for t in range(steps):
            v = load(commands, 2 * t * samples + j)
            omega = load(commands, (2 * t + 1) * samples + j)
            half = omega * half_dt
            cos, sin = _turned(cos, sin, behind + half)
            behind = half
            distance = v * dt
            x += cos * distance
            y += sin * distance
            yaw += half + half
            if tracked:
                cost += _tracking_cost(x, y, yaw, target, weight, t)
            if kept:
                at = t * samples + j
                store(out_x, at, x)
                store(out_y, at, y)
                store(out_yaw, at, yaw)
                store(out_v, at, v)
                store(out_omega, at, omega)
        if tracked:
            store(costs, j, load(costs, j) + cost)


@njit(inline="always")
def _layer(weights, at, inner, rows, source, target, activation):
    size = ROWS * (inner + 1)
    for tile in range(rows // ROWS):
        if activation == TANH:
            dense_tile(weights, at + tile * size, inner, source, target, 0, GROUP, tile * ROWS, ROWS, TANH)
        else:
            dense_tile(weights, at + tile * size, inner, source, target, 0, GROUP, tile * ROWS, ROWS, RELU)


@njit(cache=True, error_model="numpy")
def _rollout_residual(
    commands, v0, omega0, history, push, weights, inputs, wide0, wide1, activation, blend, dt,
    tracked, target, weight, costs, kept, out_x, out_y, out_yaw, out_v, out_omega,
):  # fmt: skip
    # `last` holds what the output layer reads: the last hidden layer's rows, then the features.
    steps, _, samples = commands.shape
    half_dt = np.float32(0.5) * dt
    taps = (inputs - 4) // 2
    hidden = wide1 if wide1 > 0 else wide0
    first = np.empty((max(wide0, 1), GROUP), dtype=np.float32)
    last = np.empty((hidden + inputs + 3, GROUP), dtype=np.float32)
    delta = np.empty((OUTPUT_ROWS, GROUP), dtype=np.float32)
    features = last[hidden:]
    second = (inputs + 1) * wide0
    output = second + ((wide0 + 1) * wide1 if wide1 > 0 else 0)
    state = np.empty((7, GROUP), dtype=np.float32)
    for start in range(0, samples, GROUP):
        for half in range(0, GROUP, LANES):
            for i in range(7):
                store(state, i * GROUP + half, splat(1.0 if i == 0 else 0.0))
            store(features, half, splat(v0))
            store(features, GROUP + half, splat(omega0))
        for t in range(steps):
            for half in range(0, GROUP, LANES):
                for k in range(taps + 1):
                    row = (2 + 2 * k) * GROUP + half
                    if t >= k:
                        at = 2 * (t - k) * samples + start + half
                        store(features, row, load(commands, at))
                        store(features, row + GROUP, load(commands, at + samples))
                    else:
                        store(features, row, splat(history[k - t - 1, 0]))
                        store(features, row + GROUP, splat(history[k - t - 1, 1]))
                v = load(features, half)
                omega = load(features, GROUP + half)
                p = v * (1.0 / SOFT_SIGN_V)
                q = omega * (1.0 / SOFT_SIGN_OMEGA)
                store(features, inputs * GROUP + half, v * omega)
                store(features, (inputs + 1) * GROUP + half, p / square_root(1.0 + p * p))
                store(features, (inputs + 2) * GROUP + half, q / square_root(1.0 + q * q))
            if wide1 > 0:
                _layer(weights, 0, inputs, wide0, features, first, activation)
                _layer(weights, second, wide0, wide1, first, last, activation)
            elif wide0 > 0:
                _layer(weights, 0, inputs, wide0, features, last, activation)
            dense_tile(weights, output, hidden + inputs + 3, last, delta, 0, GROUP, 0, OUTPUT_ROWS, NONE)
            for half in range(0, GROUP, LANES):
                v = load(features, half)
                omega = load(features, GROUP + half)
                command_v = load(features, 2 * GROUP + half)
                command_omega = load(features, 3 * GROUP + half)
                end_v = command_v + load(delta, half) + push[t, 0]
                end_omega = command_omega + load(delta, GROUP + half) + push[t, 1]
                lateral = load(delta, 2 * GROUP + half) * dt
                forward = (command_v + blend * (0.5 * (v + end_v) - command_v)) * dt
                turn = (command_omega + blend * (0.5 * (omega + end_omega) - command_omega)) * half_dt
                store(features, half, end_v)
                store(features, GROUP + half, end_omega)
                cos, sin = _turned(
                    load(state, half), load(state, GROUP + half), load(state, 2 * GROUP + half) + turn
                )
                x = load(state, 3 * GROUP + half) + (cos * forward - sin * lateral)
                y = load(state, 4 * GROUP + half) + (sin * forward + cos * lateral)
                yaw = load(state, 5 * GROUP + half) + (turn + turn)
                store(state, half, cos)
                store(state, GROUP + half, sin)
                store(state, 2 * GROUP + half, turn)
                store(state, 3 * GROUP + half, x)
                store(state, 4 * GROUP + half, y)
                store(state, 5 * GROUP + half, yaw)
                if tracked:
                    cost = load(state, 6 * GROUP + half)
                    store(state, 6 * GROUP + half, cost + _tracking_cost(x, y, yaw, target, weight, t))
                if kept:
                    at = t * samples + start + half
                    store(out_x, at, x)
                    store(out_y, at, y)
                    store(out_yaw, at, yaw)
                    store(out_v, at, end_v)
                    store(out_omega, at, end_omega)
        if tracked:
            for half in range(0, GROUP, LANES):
                store(costs, start + half, load(costs, start + half) + load(state, 6 * GROUP + half))


@attrs.frozen(eq=False)
class _Packed:
    """A snapshot's numbers in the order in which the kernel reads them.

    The input scale is folded into the first layer, and the linear map into the output layer,
    which reads [last hidden layer, features without the constant].
    """

    weights: np.ndarray
    inputs: int
    wide0: int
    wide1: int
    activation: int
    blend: np.float32

    @classmethod
    def of(cls, weights: ResidualWeights) -> _Packed:
        inputs = input_size(weights.delay_taps)
        layers = [(w, b) for w, b in weights.layers]
        wide = [0, 0]
        parts = []
        scale = weights.input_scale
        width = inputs
        for i, (matrix, bias) in enumerate(layers[:-1]):
            wide[i] = -(-len(bias) // ROWS) * ROWS
            parts.append(_tiles(matrix * scale, bias, wide[i], width, ROWS))
            scale, width = np.float32(1.0), wide[i]
        hidden = wide[1] or wide[0]
        matrix = np.zeros((OUTPUTS, hidden + inputs + EXTRA_FEATURES - 1), dtype=np.float32)
        bias = weights.linear[:, inputs].copy()
        if layers:
            matrix[:, : layers[-1][0].shape[1]] = layers[-1][0]
            bias += layers[-1][1]
        matrix[:, hidden:] = np.delete(weights.linear, inputs, axis=1)
        parts.append(_tiles(matrix, bias, OUTPUT_ROWS, matrix.shape[1], OUTPUT_ROWS))
        return cls(
            weights=np.concatenate(parts),
            inputs=inputs,
            wide0=wide[0],
            wide1=wide[1],
            activation=TANH if weights.activation == "tanh" else RELU,
            blend=np.float32(weights.displacement_blend),
        )


def _tiles(matrix, bias, rows, columns, tile):
    """(W, b) padded to (rows, columns), as tiles of: biases (tile), then weights (columns, tile)."""
    full = np.zeros((rows, columns + 1), dtype=np.float32)
    full[: len(bias), 0] = bias
    full[: len(bias), 1 : 1 + matrix.shape[1]] = matrix
    return full.reshape(-1, tile, columns + 1).transpose(0, 2, 1).ravel()


_packed: WeakKeyDictionary[ResidualWeights, _Packed] = WeakKeyDictionary()
_NO_TARGET = np.zeros((1, 3), dtype=np.float32)
_NO_WEIGHT = np.zeros((1, 2), dtype=np.float32)
_NO_COSTS = np.zeros(1, dtype=np.float32)
_NOT_KEPT = np.zeros((1, 1), dtype=np.float32)


def rollout(
    weights: ResidualWeights | None,
    twist: np.ndarray,
    history: np.ndarray,
    commands: np.ndarray,
    model_dt: float,
    out: Trajectories | None,
    tracking: Tracking | None = None,
    costs: np.ndarray | None = None,
    push: np.ndarray | None = None,
) -> None:
    """Roll out all command sequences from the robot's pose.

    Args:
        weights: the model; None for the kinematic prior.
        twist: present (v [m/s], omega [rad/s]).
        history: past commands, newest first, shape (D, 2) float32, D >= weights.delay_taps.
        commands: shape (time_steps, 2, batch_size) float32.
        model_dt: step [s].
        out: filled in place; None when only the costs are wanted.
        tracking: what to add to ``costs``; None for nothing.
        costs: shape (batch_size,) float32.
        push: what is added to (v, omega) at the end of each step, shape (time_steps, 2) float32
            [m/s, rad/s]; None for nothing. The kinematic prior has none.
    """
    samples = commands.shape[2]
    if samples % GROUP:
        _rollout_padded(weights, twist, history, commands, model_dt, out, tracking, costs, push)
        return
    dt = np.float32(model_dt)
    scored = (False, _NO_TARGET, _NO_WEIGHT, _NO_COSTS)
    if tracking is not None:
        scored = (True, tracking.target, tracking.weight, costs)
    kept = (False, *[_NOT_KEPT] * 5)
    if out is not None:
        kept = (True, out.x, out.y, out.yaw, out.v, out.omega)
    if weights is None or weights.is_prior:
        _rollout_kinematic(commands, dt, *scored, *kept)
        return
    packed = _packed.get(weights)
    if packed is None:
        packed = _packed[weights] = _Packed.of(weights)
    if push is None:
        push = np.zeros((len(commands), 2), dtype=np.float32)
    _rollout_residual(
        commands, np.float32(twist[0]), np.float32(twist[1]), history, push, packed.weights,
        packed.inputs, packed.wide0, packed.wide1, packed.activation, packed.blend, dt, *scored, *kept,
    )  # fmt: skip


def _rollout_padded(weights, twist, history, commands, model_dt, out, tracking, costs, push):
    """Any batch size, at the price of copies."""
    steps, _, samples = commands.shape
    size = -(-samples // GROUP) * GROUP
    wide = np.zeros((steps, 2, size), dtype=np.float32)
    wide[:, :, :samples] = commands
    inner = None if out is None else Trajectories(steps, size)
    total = None if costs is None else np.zeros(size, dtype=np.float32)
    rollout(weights, twist, history, wide, model_dt, inner, tracking, total, push)
    if out is not None:
        for name in ("x", "y", "yaw", "v", "omega"):
            getattr(out, name)[:] = getattr(inner, name)[:, :samples]
    if costs is not None:
        costs += total[:samples]
