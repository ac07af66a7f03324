"""Keeps the footprint out of what an occupancy grid says is occupied, and some distance from it."""

from __future__ import annotations

import attrs
import numpy as np

from ...core.kernels.cache import njit
from ...core.kernels.lanes import nearest_cell, where_less
from ...core.kernels.simd import GROUP, LANES, load, maximum, minimum, round_even, splat, store
from ...core.tunable import tunable
from ...core.types import Float32
from ..footprint import MOST_DISCS, Footprint
from .base import YAW, CompiledCritic, Judge, Situation, X, Y, power, weight

_FIRST = 6  # of the numbers that say where discs are
_PER_TURN = 0.5 / np.pi


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


@njit(inline="always")
def _direction(yaw):  # type: ignore[no-untyped-def]  # numba
    """Cosine and sine, exact to single precision: those of an eighth of the angle, doubled three times."""
    a = 0.125 * (yaw - (2.0 * np.pi) * round_even(yaw * _PER_TURN))
    q = a * a
    s = a * (1.0 + q * (-1.0 / 6.0 + q * (1.0 / 120.0 - q * (1.0 / 5040.0))))
    c = 1.0 + q * (-0.5 + q * (1.0 / 24.0 - q * (1.0 / 720.0)))
    for _ in range(3):
        c, s = c * c - s * s, 2.0 * (s * c)
    return c, s


@Judge
def _judge_discs(poses, at, commands, first, target, table, numbers, out):  # type: ignore[no-untyped-def]  # numba
    """As :func:`_judge`, for the disc of each pose that is nearest to an obstacle."""
    _, steps, width = poses.shape
    column0, row0, cos, sin, collision = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    end = _FIRST + 2 * int(numbers[5])
    share = np.float32(1.0 / steps)
    for j in range(0, GROUP, LANES):
        total, touched, least = splat(0.0), splat(0.0), splat(0.0)
        for t in range(steps):
            x = load(poses, (X * steps + t) * width + at + j)
            y = load(poses, (Y * steps + t) * width + at + j)
            c, s = _direction(load(poses, (YAW * steps + t) * width + at + j))
            column, row = column0 + (cos * x - sin * y), row0 + (sin * x + cos * y)
            c, s = cos * c - sin * s, sin * c + cos * s
            most = splat(0.0)
            for i in range(_FIRST, end, 2):
                u, v = numbers[i], numbers[i + 1]
                cost = nearest_cell(table, column + (c * u - s * v), row + (s * u + c * v))
                least, most = minimum(least, cost), maximum(most, cost)
            total += where_less(least, 0.0, 0.0, most)
            touched += where_less(least, 0.0, 1.0, 0.0)
        contact = where_less(0.0, touched, collision + (collision * share) * touched, 0.0)
        store(out, j, total * share + contact)


@attrs.frozen
class Obstacles(CompiledCritic):
    """1 where the footprint touches, falling off with its clearance; a collision costs much more.

    The footprint is a disc, or a polygon that up to 16 discs cover, which takes longer. Off the grid
    nothing is in the way.
    """

    cost_weight: float = weight(10.0)
    cost_power: int = power()
    footprint_radius: float = tunable(0.25, 0.0, 5.0, "Radius of the robot", "m")
    footprint: str = tunable(
        "", description="Outline of the robot as nav2's costmaps have it, [[x, y], ...] in m; empty: the disc"
    )
    inflation_radius: float = tunable(0.3, 0.0, 5.0, "Clearance beyond which obstacles do not matter", "m")
    cost_scaling_factor: float = tunable(20.0, 0.1, 1000.0, "How fast the cost falls with clearance", "1/m")
    collision_cost: float = tunable(1000.0, 0.0, 1e6, "Of a rollout that touches an obstacle")
    has_table = True

    def __attrs_post_init__(self) -> None:
        Footprint.of(self.footprint, self.footprint_radius)  # refuses what is none

    @property
    def outline(self) -> Footprint:
        return Footprint.of(self.footprint, self.footprint_radius)

    @property
    def judge(self) -> Judge:  # type: ignore[override]  # of the footprint's kind
        return _judge_discs if self.footprint else _judge

    @property
    def reads(self) -> tuple[int, ...]:  # type: ignore[override]  # likewise
        return (X, Y, YAW) if self.footprint else (X, Y)

    def size(self, steps: int) -> int:
        return _FIRST + 2 * MOST_DISCS

    def prepare(self, situation: Situation, numbers: Float32) -> bool:
        grid = situation.scene.costmap
        if grid is None or grid.empty:
            return False
        column, row, cos, sin = grid.locate(situation.state)
        numbers[0], numbers[1], numbers[4] = column, row, self.collision_cost
        numbers[2], numbers[3] = cos / grid.resolution, sin / grid.resolution
        if self.footprint:
            centres = self.outline.centres
            numbers[5] = len(centres)
            numbers[_FIRST : _FIRST + centres.size] = centres.ravel()
        return True

    def table(self, situation: Situation) -> Float32:
        grid = situation.scene.costmap
        assert grid is not None
        shape = (self.outline.radius, self.inflation_radius, self.cost_scaling_factor)
        return grid.derived(shape, lambda field: _tabulate(field, *map(np.float32, shape)))
