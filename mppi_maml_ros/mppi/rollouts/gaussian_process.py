"""Rollouts of a Gaussian process in compiled code."""

from __future__ import annotations

import numpy as np

from ...core.kernels.cache import njit
from ...core.types import Float32
from ...dynamics.features import input_size
from ...dynamics.gaussian_process import SparseGP
from .base import RolloutRequest, Trajectories

BLOCK = 128  # samples a block; its scratch stays in the first-level cache


@njit(cache=True, fastmath=True, error_model="numpy")
def _rollout(  # type: ignore[no-untyped-def]  # numba
    commands, v0, omega0, history, taps, linear, inverse_length, points, halves, alpha, dt,
    out_x, out_y, out_yaw, out_v, out_omega,
):  # fmt: skip
    steps, _, samples = commands.shape
    size = 4 + 2 * taps
    x, y, yaw, cos, sin, v, omega, exponent = np.empty((8, BLOCK), dtype=np.float32)
    z, zs = np.empty((2, size, BLOCK), dtype=np.float32)
    delta = np.empty((3, BLOCK), dtype=np.float32)
    square = np.empty(BLOCK, dtype=np.float32)
    half, one = np.float32(0.5), np.float32(1.0)
    share = np.float32(1.0 / 256.0)
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
                    for j in range(n):
                        z[2 + 2 * k, j] = history[k - t - 1, 0]
                        z[3 + 2 * k, j] = history[k - t - 1, 1]
            square[:] = 0.0
            for i in range(size):
                s = inverse_length[i]
                for j in range(n):
                    zs[i, j] = z[i, j] * s
                    square[j] += half * zs[i, j] * zs[i, j]
            for o in range(3):
                row = delta[o]
                for j in range(n):
                    row[j] = linear[o, size]
                for i in range(size):
                    a = linear[o, i]
                    for j in range(n):
                        row[j] += a * z[i, j]
            for m in range(points.shape[0]):
                h = halves[m]
                p0, p1, p2, p3 = points[m, 0], points[m, 1], points[m, 2], points[m, 3]
                for j in range(n):
                    e = p0 * zs[0, j] + p1 * zs[1, j] + p2 * zs[2, j] + p3 * zs[3, j]
                    exponent[j] = e - square[j] - h
                for i in range(4, size, 2):
                    p0, p1 = points[m, i], points[m, i + 1]
                    for j in range(n):
                        exponent[j] += p0 * zs[i, j] + p1 * zs[i + 1, j]
                a0, a1, a2 = alpha[m, 0], alpha[m, 1], alpha[m, 2]
                for j in range(n):
                    # exp(a) as (1 + a / 256)^256: without a call the loop is vector code. Its error is
                    # below 0.8 % of the kernel where that is above 0.13, and nothing matters beyond.
                    e = max(one + share * exponent[j], np.float32(0.0))
                    e = e * e
                    e = e * e
                    e = e * e
                    e = e * e
                    e = e * e
                    e = e * e
                    e = e * e
                    e = e * e
                    delta[0, j] += a0 * e
                    delta[1, j] += a1 * e
                    delta[2, j] += a2 * e
            for j in range(n):
                end_v = z[2, j] + delta[0, j]
                end_omega = z[3, j] + delta[1, j]
                forward = half * (v[j] + end_v) * dt
                side = delta[2, j] * dt
                a = half * half * (omega[j] + end_omega) * dt  # half of the turn of this step
                q = a * a
                sa = a * (one - q * np.float32(1.0 / 6.0))
                ca = one - half * q + q * q * np.float32(1.0 / 24.0)
                cm = cos[j] * ca - sin[j] * sa
                sm = sin[j] * ca + cos[j] * sa
                x[j] += cm * forward - sm * side
                y[j] += sm * forward + cm * side
                yaw[j] += a + a
                cos[j] = cm * ca - sm * sa
                sin[j] = sm * ca + cm * sa
                v[j] = end_v
                omega[j] = end_omega
                out_x[t, start + j] = x[j]
                out_y[t, start + j] = y[j]
                out_yaw[t, start + j] = yaw[j]
                out_v[t, start + j] = end_v
                out_omega[t, start + j] = end_omega


class GaussianProcessRollout:
    """Rolls out kinematics plus a process from residual inputs z to residuals (dv, domega, lateral).

    The step is that of :mod:`dynamics.residual` with the displacement by mean velocities.

    Args:
        process: over z with ``delay_taps`` past commands, see :mod:`dynamics.features`.
        delay_taps: 0 to 8.
    """

    def __init__(self, process: SparseGP, delay_taps: int) -> None:
        if process.linear.shape != (3, input_size(delay_taps) + 1):
            raise ValueError(f"linear must have shape {(3, input_size(delay_taps) + 1)}")
        self.process, self.delay_taps = process, delay_taps
        points = process.inducing / process.length_scale
        self._arrays: list[Float32] = [
            np.ascontiguousarray(array, dtype=np.float32)
            for array in (
                process.linear,
                1.0 / process.length_scale,
                points,
                0.5 * np.sum(points**2, axis=1),
                process.alpha,
            )
        ]

    def rollout(self, request: RolloutRequest, out: Trajectories) -> None:
        """See :class:`.base.RolloutModel`."""
        past = np.zeros((max(self.delay_taps, 1), 2), dtype=np.float32)
        count = min(len(past), len(request.history))
        past[:count] = request.history[:count]
        _rollout(  # type: ignore[call-arg]  # the arguments of compiled functions are unknown
            request.commands, np.float32(request.state[3]), np.float32(request.state[4]), past,
            self.delay_taps, *self._arrays, np.float32(request.model_dt),
            out.x, out.y, out.yaw, out.v, out.omega,
        )  # fmt: skip
