"""Batched rollouts of the prior and the residual for MPPI, in compiled vector code.

Arrays run (time, sample) with samples contiguous, and a vector of samples stays in registers
for a whole step. Poses are relative to the robot: the rollout starts at (0, 0, 0), which keeps
single precision exact enough anywhere on the map.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import attrs
import numpy as np

from ...core.angles import TWO_PI
from ...core.kernels.cache import njit
from ...core.kernels.simd import (
    GROUP,
    LANES,
    NONE,
    RELU,
    ROWS,
    TANH,
    dense_tile,
    load,
    maximum,
    minimum,
    round_even,
    splat,
    square_root,
    store,
)
from ...core.types import Float32
from ...dynamics.acceleration import TURNING
from ...dynamics.features import EXTRA_FEATURES, SOFT_SIGN_OMEGA, SOFT_SIGN_V, input_size
from ...dynamics.residual import ResidualWeights
from ...dynamics.soundness import OUTPUTS
from ..jury import OMEGA, YAW, Jury, V, X, Y, judge_group
from .any_model import own_rollout
from .base import Model, RolloutRequest, Trajectories

OUTPUT_ROWS = 4  # rows of the output layer's tile; the last one is padding
_PER_TURN = 1.0 / TWO_PI


@njit(inline="always")
def _turned(cos, sin, angle):  # type: ignore[no-untyped-def]  # numba
    """Cosine and sine of a heading that turned by ``angle``; exact to single precision up to 1 rad."""
    q = angle * angle
    s = angle * (1.0 + q * (-1.0 / 6.0 + q * (1.0 / 120.0 - q * (1.0 / 5040.0))))
    c = 1.0 + q * (-0.5 + q * (1.0 / 24.0 + q * (-1.0 / 720.0 + q * (1.0 / 40320.0))))
    return cos * c - sin * s, sin * c + cos * s


@njit(inline="always")
def _tracking_cost(x, y, yaw, target, weight, t):  # type: ignore[no-untyped-def]  # numba
    dx = x - target[t, 0]
    dy = y - target[t, 1]
    turn = yaw - target[t, 2]
    turn -= TWO_PI * round_even(turn * _PER_TURN)
    return weight[t, 0] * (dx * dx + dy * dy) + weight[t, 1] * (turn * turn)


@njit(inline="always")
def _write(poses, at, row, x, y, yaw, v, omega):  # type: ignore[no-untyped-def]  # numba
    store(poses, at, x)
    store(poses, at + row, y)
    store(poses, at + 2 * row, yaw)
    store(poses, at + 3 * row, v)
    store(poses, at + 4 * row, omega)


@njit(cache=True, error_model="numpy")
def _rollout_kinematic(  # type: ignore[no-untyped-def]  # numba
    commands, dt, tracked, tracked_target, weight, costs, kept, poses, judged, bench
):
    steps, _, samples = commands.shape
    width, last, reads = poses.shape[2], steps - 1, bench.reads
    row = steps * width
    places, headings, twists = (
        kept or reads[X] or reads[Y],
        kept or reads[YAW],
        kept or reads[V] or reads[OMEGA],
    )
    lowest, waiting = np.inf, 0
    half_dt = np.float32(0.5) * dt
    for start in range(0, samples, GROUP):
        begin = start if kept else 0
        for half in range(0, GROUP, LANES):
            # Cosine and sine belong to the heading in the middle of the step before; `behind` is
            # what the robot turned from there to the end of that step.
            cos = splat(1.0)
            sin = splat(0.0)
            x = splat(0.0)
            y = splat(0.0)
            yaw = splat(0.0)
            behind = splat(0.0)
            cost = splat(0.0)
            v, omega = splat(0.0), splat(0.0)
            for t in range(steps):
                v = load(commands, 2 * t * samples + start + half)
                omega = load(commands, (2 * t + 1) * samples + start + half)
                turned = omega * half_dt
                cos, sin = _turned(cos, sin, behind + turned)
                behind = turned
                distance = v * dt
                x += cos * distance
                y += sin * distance
                yaw += turned + turned
                if tracked:
                    cost += _tracking_cost(x, y, yaw, tracked_target, weight, t)
                if places:
                    at = t * width + begin + half
                    store(poses, at, x)
                    store(poses, at + row, y)
                if headings:
                    store(poses, t * width + begin + half + 2 * row, yaw)
                if twists:
                    at = t * width + begin + half
                    store(poses, at + 3 * row, v)
                    store(poses, at + 4 * row, omega)
            if judged:
                _write(poses, last * width + begin + half, row, x, y, yaw, v, omega)
            if tracked:
                store(costs, start + half, load(costs, start + half) + cost)
        if judged:
            lowest, waiting = judge_group(poses, begin, commands, start, costs, bench, lowest, waiting)


@njit(inline="always")
def _layer(weights, at, inner, rows, source, target, activation):  # type: ignore[no-untyped-def]  # numba
    size = ROWS * (inner + 1)
    for tile in range(rows // ROWS):
        if activation == TANH:
            dense_tile(weights, at + tile * size, inner, source, target, 0, GROUP, tile * ROWS, ROWS, TANH)
        else:
            dense_tile(weights, at + tile * size, inner, source, target, 0, GROUP, tile * ROWS, ROWS, RELU)


@njit(inline="always")
def _bounded(x, end, up, down):  # type: ignore[no-untyped-def]  # numba
    """See dynamics.acceleration."""
    more, off = up - down, x * np.float32(1.0 / TURNING)
    zero, one = splat(0.0), splat(1.0)
    upper = x + down + more * minimum(maximum(1.0 + off, zero), one)
    lower = x - down - more * minimum(maximum(1.0 - off, zero), one)
    return minimum(maximum(end, lower), upper)


@njit(cache=True, error_model="numpy")
def _rollout_residual(  # type: ignore[no-untyped-def]  # numba
    commands, v0, omega0, history, late_v, late_omega, push, momentum, limited, limits, change, network,
    inputs, wide0, wide1, activation, blend, dt,
    tracked, tracked_target, weight, costs, kept, poses, judged, bench,
):  # fmt: skip
    # `last` holds what the output layer reads: the last hidden layer's rows, then the features.
    steps, _, samples = commands.shape
    width, stored = poses.shape[2], kept or judged
    lowest, waiting = np.inf, 0
    half_dt = np.float32(0.5) * dt
    taps = (inputs - 4) // 2
    hidden = wide1 if wide1 > 0 else wide0
    first = np.empty((max(wide0, 1), GROUP), dtype=np.float32)
    last = np.empty((hidden + inputs + 3, GROUP), dtype=np.float32)
    delta = np.empty((OUTPUT_ROWS, GROUP), dtype=np.float32)
    features = last[hidden:]
    second = (inputs + 1) * wide0
    output = second + ((wide0 + 1) * wide1 if wide1 > 0 else 0)
    state = np.empty((9, GROUP), dtype=np.float32)
    for start in range(0, samples, GROUP):
        begin = start if kept else 0
        for half in range(0, GROUP, LANES):
            for i in range(7):
                store(state, i * GROUP + half, splat(1.0 if i == 0 else 0.0))
            store(state, 7 * GROUP + half, splat(change[0]))
            store(state, 8 * GROUP + half, splat(change[1]))
            store(features, half, splat(v0))
            store(features, GROUP + half, splat(omega0))
        for t in range(steps):
            for half in range(0, GROUP, LANES):
                for k in range(taps + 1):
                    row = (2 + 2 * k) * GROUP + half
                    back = t - k - late_v
                    if back >= 0:
                        store(features, row, load(commands, 2 * back * samples + start + half))
                    else:
                        store(features, row, splat(history[-1 - back, 0]))
                    back = t - k - late_omega
                    if back >= 0:
                        at = (2 * back + 1) * samples + start + half
                        store(features, row + GROUP, load(commands, at))
                    else:
                        store(features, row + GROUP, splat(history[-1 - back, 1]))
                v = load(features, half)
                omega = load(features, GROUP + half)
                p = v * (1.0 / SOFT_SIGN_V)
                q = omega * (1.0 / SOFT_SIGN_OMEGA)
                store(features, inputs * GROUP + half, v * omega)
                store(features, (inputs + 1) * GROUP + half, p / square_root(1.0 + p * p))
                store(features, (inputs + 2) * GROUP + half, q / square_root(1.0 + q * q))
            if wide1 > 0:
                _layer(network, 0, inputs, wide0, features, first, activation)
                _layer(network, second, wide0, wide1, first, last, activation)
            elif wide0 > 0:
                _layer(network, 0, inputs, wide0, features, last, activation)
            dense_tile(network, output, hidden + inputs + 3, last, delta, 0, GROUP, 0, OUTPUT_ROWS, NONE)
            for half in range(0, GROUP, LANES):
                v = load(features, half)
                omega = load(features, GROUP + half)
                command_v = load(features, 2 * GROUP + half)
                command_omega = load(features, 3 * GROUP + half)
                end_v = command_v + load(delta, half) + push[t, 0]
                end_omega = command_omega + load(delta, GROUP + half) + push[t, 1]
                end_v += momentum[0] * load(state, 7 * GROUP + half)
                end_omega += momentum[1] * load(state, 8 * GROUP + half)
                if limited:
                    end_v = _bounded(v, end_v, limits[0, 0], limits[1, 0])
                    end_omega = _bounded(omega, end_omega, limits[0, 1], limits[1, 1])
                store(state, 7 * GROUP + half, end_v - v)
                store(state, 8 * GROUP + half, end_omega - omega)
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
                    store(
                        state, 6 * GROUP + half, cost + _tracking_cost(x, y, yaw, tracked_target, weight, t)
                    )
                if stored:
                    _write(poses, t * width + begin + half, steps * width, x, y, yaw, end_v, end_omega)
        if tracked:
            for half in range(0, GROUP, LANES):
                store(costs, start + half, load(costs, start + half) + load(state, 6 * GROUP + half))
        if judged:
            lowest, waiting = judge_group(poses, begin, commands, start, costs, bench, lowest, waiting)


@attrs.frozen(eq=False)
class _Packed:
    """A snapshot's numbers in the order in which the kernel reads them.

    The input scale is folded into the first layer, and the linear map into the output layer,
    which reads [last hidden layer, features without the constant].
    """

    weights: Float32
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
        scale: np.ndarray | np.float32 = weights.input_scale
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


def _tiles(matrix: Float32, bias: Float32, rows: int, columns: int, tile: int) -> Float32:
    """(W, b) padded to (rows, columns), as tiles of: biases (tile), then weights (columns, tile)."""
    full = np.zeros((rows, columns + 1), dtype=np.float32)
    full[: len(bias), 0] = bias
    full[: len(bias), 1 : 1 + matrix.shape[1]] = matrix
    return full.reshape(-1, tile, columns + 1).transpose(0, 2, 1).ravel()


_packed: WeakKeyDictionary[ResidualWeights, _Packed] = WeakKeyDictionary()
_NO_TARGET = np.zeros((1, 3), dtype=np.float32)
_NO_WEIGHT = np.zeros((1, 2), dtype=np.float32)
_NOT_KEPT = np.zeros((5, 1, GROUP), dtype=np.float32)
_NOBODY = Jury((), 1)


def rollout(weights: ResidualWeights | None, request: RolloutRequest) -> None:
    """Roll out a residual, or the kinematic prior, which knows no push."""
    commands = request.commands
    if commands.shape[2] % GROUP:
        _rollout_padded(weights, request)
        return
    dt, tracking, out, jury = np.float32(request.model_dt), request.tracking, request.out, request.jury
    scored = (False, _NO_TARGET, _NO_WEIGHT, request.costs)
    if tracking is not None:
        scored = (True, tracking.target, tracking.weight, request.costs)
    poses = out.poses if out is not None else _NOT_KEPT if jury is None else jury.poses
    rest = (*scored, out is not None, poses, jury is not None, (jury or _NOBODY).bench())
    if weights is None or weights.is_prior:
        _rollout_kinematic(commands, dt, *rest)
        return
    packed = _packed.get(weights)
    if packed is None:
        packed = _packed[weights] = _Packed.of(weights)
    _rollout_residual(
        commands, np.float32(request.state[3]), np.float32(request.state[4]), request.history,
        *weights.transport_delay, request.push, weights.momentum, weights.is_limited,
        weights.acceleration * dt, request.change,
        packed.weights, packed.inputs, packed.wide0, packed.wide1, packed.activation, packed.blend, dt,
        *rest,
    )  # fmt: skip


def _rollout_padded(weights: ResidualWeights | None, request: RolloutRequest) -> None:
    """Any batch size, at the price of copies."""
    steps, _, samples = request.commands.shape
    size = -(-samples // GROUP) * GROUP
    wide = np.zeros((steps, 2, size), dtype=np.float32)
    wide[:, :, :samples] = request.commands
    out = request.out
    inner = None if out is None else Trajectories(steps, size)
    total = np.full(size, np.inf, dtype=np.float32)  # which nobody judges
    total[:samples] = request.costs
    rollout(weights, attrs.evolve(request, commands=wide, costs=total, out=inner))
    if out is not None and inner is not None:
        out.poses[:] = inner.poses[:, :, :samples]
    request.costs[:] = total[:samples]


class CompiledRollout:
    """On the processor: residuals in compiled vector code, other models by their own rollout."""

    def __call__(self, model: Model, request: RolloutRequest) -> None:
        """See :class:`.base.Rollout`."""
        if model is None or isinstance(model, ResidualWeights):
            rollout(model, request)
        else:
            own_rollout(model, request)

    def prepare(self, model: Model, time_steps: int, batch_size: int) -> None:
        """Nothing: a first rollout costs no more than the next."""
