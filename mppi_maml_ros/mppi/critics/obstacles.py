"""Keeps the footprint out of what an occupancy grid says is occupied, and some distance from it."""

from __future__ import annotations

import attrs
import numpy as np

from ...core.kernels.cache import njit
from ...core.kernels.lanes import nearest_cell, where_less
from ...core.kernels.simd import GROUP, LANES, load, minimum, splat, store
from ...core.tunable import tunable
from ...core.types import Float32
from .base import CompiledCritic, Judge, Situation, X, Y, power, weight


@njit(cache=True, fastmath=True, error_model="numpy")
def _tabulate(field, radius, inflation, decay):  # type: ignore[no-untyped-def]  # numba
    """What a pose in each cell costs, -1 for contact, and nothing in a last row and column off the grid."""
    rows, columns = field.shape
    table = np.zeros((rows + 1, columns + 1), dtype=np.float32)
    for row in range(rows):
        for column in range(columns):
            clearance = field[row, column] - radius
            if clearance <= 0.0:
                table[row, column] = -1.0
            elif clearance < inflation:
                table[row, column] = np.exp(-decay * clearance)
    return table


@Judge
def _judge(poses, at, commands, first, target, table, numbers, out):  # type: ignore[no-untyped-def]  # numba
    """Mean repulsion over the horizon; a rollout that touches an obstacle costs more."""
    _, steps, width = poses.shape
    column0, row0, cos, sin, collision = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    share = np.float32(1.0 / steps)
    for j in range(0, GROUP, LANES):
        total, touched, least = splat(0.0), splat(0.0), splat(0.0)
        for t in range(steps):
            x = load(poses, (X * steps + t) * width + at + j)
            y = load(poses, (Y * steps + t) * width + at + j)
            cost = nearest_cell(table, column0 + (cos * x - sin * y), row0 + (sin * x + cos * y))
            least = minimum(least, cost)
            total += where_less(least, 0.0, 0.0, cost)
            touched += where_less(least, 0.0, 1.0, 0.0)
        # sooner is worse, so that a robot in contact still prefers the way out
        contact = where_less(0.0, touched, collision + (collision * share) * touched, 0.0)
        store(out, j, total * share + contact)


@attrs.frozen
class Obstacles(CompiledCritic):
    """1 where the footprint touches, falling off with its clearance; a collision costs much more.

    The footprint is a disc. Off the grid nothing is in the way.
    """

    cost_weight: float = weight(10.0)
    cost_power: int = power()
    footprint_radius: float = tunable(0.25, 0.0, 5.0, "Radius of the robot", "m")
    inflation_radius: float = tunable(0.3, 0.0, 5.0, "Clearance beyond which obstacles do not matter", "m")
    cost_scaling_factor: float = tunable(20.0, 0.1, 1000.0, "How fast the cost falls with clearance", "1/m")
    collision_cost: float = tunable(1000.0, 0.0, 1e6, "Of a rollout that touches an obstacle")
    judge, reads, has_table = _judge, (X, Y), True

    def size(self, steps: int) -> int:
        return 5

    def prepare(self, situation: Situation, numbers: Float32) -> bool:
        grid = situation.scene.costmap
        if grid is None or grid.empty:
            return False
        column, row, cos, sin = grid.locate(situation.state)
        numbers[0], numbers[1], numbers[4] = column, row, self.collision_cost
        numbers[2], numbers[3] = cos / grid.resolution, sin / grid.resolution
        return True

    def table(self, situation: Situation) -> Float32:
        grid = situation.scene.costmap
        assert grid is not None
        shape = (self.footprint_radius, self.inflation_radius, self.cost_scaling_factor)
        return grid.derived(shape, lambda field: _tabulate(field, *map(np.float32, shape)))
