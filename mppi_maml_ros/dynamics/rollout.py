"""Batched rollouts of the residual model for MPPI, compiled with numba.

Arrays run (time, sample) with samples contiguous, so that each inner loop is one vector
operation. Poses are relative to the robot: the rollout starts at (0, 0, 0), which keeps
single precision exact enough anywhere on the map.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .features import SOFT_SIGN_OMEGA, SOFT_SIGN_V
from .residual import ResidualWeights

BLOCK = 128  # samples a block; all scratch of a block stays in the first-level cache


class Trajectories:
    """Preallocated rollout results, each (time_steps, batch_size) float32, in the robot's start frame.

    ``x``, ``y`` [m], ``yaw`` [rad, unwrapped], ``v`` [m/s], ``omega`` [rad/s] after each step.
    """

    def __init__(self, time_steps: int, batch_size: int):
        self.x, self.y, self.yaw, self.v, self.omega = np.zeros((5, time_steps, batch_size), dtype=np.float32)


@njit(inline="always", fastmath=True)
def _tanh(x):
    # Lambert's continued fraction, [9/8]; beyond 5.5 the true value is 1 within 4e-5.
    x = min(max(x, np.float32(-5.5)), np.float32(5.5))
    q = x * x
    top = x * (
        np.float32(34459425.0)
        + q * (np.float32(4729725.0) + q * (np.float32(135135.0) + q * (np.float32(990.0) + q)))
    )
    bottom = np.float32(34459425.0) + q * (
        np.float32(16216200.0) + q * (np.float32(945945.0) + q * (np.float32(13860.0) + q * np.float32(45.0)))
    )
    return top / bottom


@njit(inline="always", fastmath=True)
def _advance_pose(n, forward, lateral, rate, dt, x, y, yaw, cos, sin, out_x, out_y, out_yaw):
    # The heading's cosine and sine are carried along and turned by half the step twice; the
    # series is exact to single precision for the small angles of one step (below 0.5 rad).
    half_dt = np.float32(0.5) * dt
    for j in range(n):
        a = rate[j] * half_dt
        q = a * a
        sa = a * (np.float32(1.0) + q * (np.float32(-1.0 / 6.0) + q * np.float32(1.0 / 120.0)))
        ca = np.float32(1.0) + q * (
            np.float32(-0.5) + q * (np.float32(1.0 / 24.0) - q * np.float32(1.0 / 720.0))
        )
        cm = cos[j] * ca - sin[j] * sa
        sm = sin[j] * ca + cos[j] * sa
        x[j] += (cm * forward[j] - sm * lateral[j]) * dt
        y[j] += (sm * forward[j] + cm * lateral[j]) * dt
        yaw[j] += np.float32(2.0) * a
        cos[j] = cm * ca - sm * sa
        sin[j] = sm * ca + cm * sa
        out_x[j] = x[j]
        out_y[j] = y[j]
        out_yaw[j] = yaw[j]


@njit(cache=True, fastmath=True, error_model="numpy")
def _rollout_kinematic(commands, dt, out_x, out_y, out_yaw, out_v, out_omega):
    steps, _, samples = commands.shape
    x, y, yaw, cos, sin, zero = np.empty((6, BLOCK), dtype=np.float32)
    zero[:] = 0.0
    for start in range(0, samples, BLOCK):
        n = min(BLOCK, samples - start)
        x[:] = 0.0
        y[:] = 0.0
        yaw[:] = 0.0
        cos[:] = 1.0
        sin[:] = 0.0
        for t in range(steps):
            cv = commands[t, 0, start : start + n]
            cw = commands[t, 1, start : start + n]
            _advance_pose(
                n, cv, zero, cw, dt, x, y, yaw, cos, sin,
                out_x[t, start : start + n], out_y[t, start : start + n], out_yaw[t, start : start + n],
            )  # fmt: skip
            ov = out_v[t, start : start + n]
            ow = out_omega[t, start : start + n]
            for j in range(n):
                ov[j] = cv[j]
                ow[j] = cw[j]


@njit(inline="always", fastmath=True)
def _dense(n, weight, bias, source, target, activation):
    for h in range(weight.shape[0]):
        row = target[h]
        for j in range(n):
            row[j] = bias[h]
        for i in range(weight.shape[1]):
            w = weight[h, i]
            column = source[i]
            for j in range(n):
                row[j] += w * column[j]
        if activation == 1:
            for j in range(n):
                row[j] = _tanh(row[j])
        elif activation == 2:
            for j in range(n):
                row[j] = max(row[j], np.float32(0.0))


@njit(cache=True, fastmath=True, error_model="numpy")
def _rollout_residual(
    commands, v0, omega0, history, linear, blend, dt, depth, scale, w0, b0, w1, b1, w2, b2, activation,
    out_x, out_y, out_yaw, out_v, out_omega,
):  # fmt: skip
    steps, _, samples = commands.shape
    taps = (linear.shape[1] - 8) // 2
    size = 4 + 2 * taps
    x, y, yaw, cos, sin, v, omega, mean_v, mean_w, lateral = np.empty((10, BLOCK), dtype=np.float32)
    z = np.empty((size, BLOCK), dtype=np.float32)
    zs = np.empty((size if depth > 0 else 1, BLOCK), dtype=np.float32)
    h0 = np.empty((w0.shape[0], BLOCK), dtype=np.float32)
    h1 = np.empty((w1.shape[0], BLOCK), dtype=np.float32)
    delta = np.empty((3, BLOCK), dtype=np.float32)
    inv_v = np.float32(1.0 / SOFT_SIGN_V)
    inv_w = np.float32(1.0 / SOFT_SIGN_OMEGA)
    half = np.float32(0.5)
    one = np.float32(1.0)
    for start in range(0, samples, BLOCK):
        n = min(BLOCK, samples - start)
        x[:] = 0.0
        y[:] = 0.0
        yaw[:] = 0.0
        cos[:] = 1.0
        sin[:] = 0.0
        v[:] = v0
        omega[:] = omega0
        for t in range(steps):
            for j in range(n):
                z[0, j] = v[j]
                z[1, j] = omega[j]
            for k in range(taps + 1):
                if t - k >= 0:
                    for j in range(n):
                        z[2 + 2 * k, j] = commands[t - k, 0, start + j]
                        z[3 + 2 * k, j] = commands[t - k, 1, start + j]
                else:
                    hv = history[k - t - 1, 0]
                    hw = history[k - t - 1, 1]
                    for j in range(n):
                        z[2 + 2 * k, j] = hv
                        z[3 + 2 * k, j] = hw
            if depth > 0:
                for i in range(size):
                    s = scale[i]
                    for j in range(n):
                        zs[i, j] = z[i, j] * s
                _dense(n, w0, b0, zs, h0, activation)
                if depth == 2:
                    _dense(n, w1, b1, h0, delta, 0)
                else:
                    _dense(n, w1, b1, h0, h1, activation)
                    _dense(n, w2, b2, h1, delta, 0)
            else:
                delta[:] = 0.0
            for o in range(3):
                row = delta[o]
                for i in range(size):
                    a = linear[o, i]
                    source = z[i]
                    for j in range(n):
                        row[j] += a * source[j]
                c0 = linear[o, size]
                c1 = linear[o, size + 1]
                c2 = linear[o, size + 2]
                c3 = linear[o, size + 3]
                for j in range(n):
                    p = v[j] * inv_v
                    q = omega[j] * inv_w
                    row[j] += (
                        c0
                        + c1 * v[j] * omega[j]
                        + c2 * p / np.sqrt(one + p * p)
                        + c3 * q / np.sqrt(one + q * q)
                    )
            ov = out_v[t, start : start + n]
            ow = out_omega[t, start : start + n]
            for j in range(n):
                uv = z[2, j]
                uw = z[3, j]
                end_v = uv + delta[0, j]
                end_w = uw + delta[1, j]
                mean_v[j] = uv + blend * (half * (v[j] + end_v) - uv)
                mean_w[j] = uw + blend * (half * (omega[j] + end_w) - uw)
                lateral[j] = delta[2, j]
                v[j] = end_v
                omega[j] = end_w
                ov[j] = end_v
                ow[j] = end_w
            _advance_pose(
                n, mean_v, lateral, mean_w, dt, x, y, yaw, cos, sin,
                out_x[t, start : start + n], out_y[t, start : start + n], out_yaw[t, start : start + n],
            )  # fmt: skip


_EMPTY_W = np.zeros((1, 1), dtype=np.float32)
_EMPTY_B = np.zeros(1, dtype=np.float32)


def rollout(
    weights: ResidualWeights | None,
    twist: np.ndarray,
    history: np.ndarray,
    commands: np.ndarray,
    model_dt: float,
    out: Trajectories,
) -> None:
    """Roll out all command sequences from the robot's pose.

    Args:
        weights: the model; None for the kinematic prior.
        twist: present (v [m/s], omega [rad/s]).
        history: past commands, newest first, shape (D, 2) float32, D >= weights.delay_taps.
        commands: shape (time_steps, 2, batch_size) float32.
        model_dt: step [s].
        out: filled in place.
    """
    dt = np.float32(model_dt)
    if weights is None or weights.is_prior:
        _rollout_kinematic(commands, dt, out.x, out.y, out.yaw, out.v, out.omega)
        return
    pairs = list(weights.layers) + [(_EMPTY_W, _EMPTY_B)] * (3 - len(weights.layers))
    (w0, b0), (w1, b1), (w2, b2) = pairs
    _rollout_residual(
        commands, np.float32(twist[0]), np.float32(twist[1]), history, weights.linear,
        np.float32(weights.displacement_blend), dt, len(weights.layers), weights.input_scale,
        w0, b0, w1, b1, w2, b2, 1 if weights.activation == "tanh" else 2,
        out.x, out.y, out.yaw, out.v, out.omega,
    )  # fmt: skip
