"""Keeps the footprint out of what an occupancy grid says is occupied, and some distance from it."""

from __future__ import annotations

import attrs
import numpy as np
from numba import njit

from ...core.tunable import tunable
from .base import Critic, Rollouts, power, weight


@njit(cache=True, fastmath=True, error_model="numpy")
def _judge(  # type: ignore[no-untyped-def]  # numba
    x, y, field, column0, row0, cos, sin, scale, radius, inflation, decay, collision, out
):  # fmt: skip
    """Mean repulsion over the horizon; a rollout that touches an obstacle costs ``collision`` more."""
    steps, samples = x.shape
    rows, columns = field.shape
    for j in range(samples):
        total = np.float32(0.0)
        for t in range(steps):
            column = int(column0 + (cos * x[t, j] - sin * y[t, j]) * scale)
            row = int(row0 + (sin * x[t, j] + cos * y[t, j]) * scale)
            if not (0 <= column and column < columns and 0 <= row and row < rows):
                continue
            clearance = field[row, column] - radius
            if clearance <= 0.0:
                # sooner is worse, so that a robot in contact still prefers the way out
                total += collision * np.float32(steps - t) / np.float32(steps) + collision
                break
            if clearance < inflation:
                total += np.exp(-decay * clearance) / steps
        out[j] = total


@attrs.frozen
class Obstacles(Critic):
    """1 where the footprint touches, falling off with its clearance; a collision costs much more.

    The footprint is a disc. Off the grid nothing is in the way.
    """

    cost_weight: float = weight(10.0)
    cost_power: int = power()
    footprint_radius: float = tunable(0.25, 0.0, 5.0, "Radius of the robot", "m")
    inflation_radius: float = tunable(0.3, 0.0, 5.0, "Clearance beyond which obstacles do not matter", "m")
    cost_scaling_factor: float = tunable(20.0, 0.1, 1000.0, "How fast the cost falls with clearance", "1/m")
    collision_cost: float = tunable(1000.0, 0.0, 1e6, "Of a rollout that touches an obstacle")

    def value(self, r: Rollouts) -> np.ndarray | None:
        grid = r.scene.costmap
        if grid is None or grid.empty:
            return None
        column0, row0, cos, sin = grid.locate(r.state[:3])
        out = np.empty(r.x.shape[1], dtype=np.float32)
        _judge(
            r.x, r.y, grid.field, np.float32(column0), np.float32(row0), np.float32(cos), np.float32(sin),
            np.float32(1.0 / grid.resolution), np.float32(self.footprint_radius),
            np.float32(self.inflation_radius), np.float32(self.cost_scaling_factor),
            np.float32(self.collision_cost), out,
        )  # fmt: skip
        return out
