"""Keeps rollouts on the path, whatever their timing."""

from __future__ import annotations

import attrs
import numpy as np
from numba import njit

from ...core.tunable import tunable
from .base import Critic, Rollouts, power, weight


@njit(cache=True, fastmath=True, error_model="numpy")
def _mean_distance(x, y, path_x, path_y, every, out):  # type: ignore[no-untyped-def]  # numba
    """Mean distance of every so-manieth pose of a rollout to the polyline of the path."""
    steps, samples = x.shape
    count = 0
    out[:] = 0.0
    nearest = np.empty(samples, dtype=np.float32)
    for t in range(every - 1, steps, every):
        count += 1
        nearest[:] = 1e12
        for i in range(len(path_x) - 1):
            ax, ay = path_x[i], path_y[i]
            dx, dy = path_x[i + 1] - ax, path_y[i + 1] - ay
            scale = np.float32(1.0) / max(dx * dx + dy * dy, np.float32(1e-9))
            for j in range(samples):
                ox, oy = x[t, j] - ax, y[t, j] - ay
                share = min(max((ox * dx + oy * dy) * scale, np.float32(0.0)), np.float32(1.0))
                ex, ey = ox - share * dx, oy - share * dy
                nearest[j] = min(nearest[j], ex * ex + ey * ey)
        for j in range(samples):
            out[j] += np.sqrt(nearest[j])
    for j in range(samples):
        out[j] /= max(count, 1)


@attrs.frozen
class PathAlign(Critic):
    """Mean distance to the path [m]."""

    cost_weight: float = weight(10.0)
    cost_power: int = power()
    trajectory_point_step: int = tunable(4, 1, 100, "Every so-manieth pose of a rollout is looked at")

    def value(self, r: Rollouts) -> np.ndarray:
        path = np.concatenate([np.zeros((1, 3)), r.target])[::2].astype(np.float32)
        # The path begins where the reference does, which need not be where the robot is.
        path[0] = r.target[0]
        out = np.empty(r.x.shape[1], dtype=np.float32)
        _mean_distance(r.x, r.y, path[:, 0].copy(), path[:, 1].copy(), self.trajectory_point_step, out)
        return out
