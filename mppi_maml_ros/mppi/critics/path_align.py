"""Keeps rollouts on the path, whatever their timing."""

from __future__ import annotations

import attrs
import numpy as np

from ...core.kernels.cache import njit
from ...core.kernels.simd import LANES, load, maximum, minimum, splat, square_root, store
from ...core.tunable import tunable
from ...core.types import Float32
from .base import CompiledCritic, Judge, Situation, X, Y, power, weight

# Numbers of a piece of the path: unit vector (x, y), minus its middle along and across it, half its length.
PIECE = 5


@njit(cache=True, error_model="numpy")
def _pieces(target, numbers):  # type: ignore[no-untyped-def]  # numba
    """The path through every second pose; it begins where the reference does."""
    for i in range(len(target) // 2):
        a, b = max(2 * i - 1, 0), 2 * i + 1
        ax, ay = np.float64(target[a, 0]), np.float64(target[a, 1])
        dx, dy = target[b, 0] - ax, target[b, 1] - ay
        length = np.hypot(dx, dy)
        ux, uy = (dx / length, dy / length) if length > 1e-9 else (1.0, 0.0)
        x, y = ax + 0.5 * dx, ay + 0.5 * dy
        at = PIECE * i
        numbers[at], numbers[at + 1] = ux, uy
        numbers[at + 2], numbers[at + 3] = -(ux * x + uy * y), uy * x - ux * y
        numbers[at + 4] = 0.5 * length


@njit(inline="always")
def _squared_distance(x, y, numbers, i):  # type: ignore[no-untyped-def]  # numba
    ux, uy = numbers[i], numbers[i + 1]
    along = ux * x + (uy * y + numbers[i + 2])
    across = ux * y - (uy * x - numbers[i + 3])
    beyond = maximum(maximum(along, -along) - numbers[i + 4], splat(0.0))
    return across * across + beyond * beyond


@Judge
def _judge(poses, at, commands, first, target, table, numbers, out):  # type: ignore[no-untyped-def]  # numba
    """Mean distance of every so-manieth pose of a rollout to the polyline of the path.

    Two poses of two vectors at once: what is read of a piece serves all four.
    """
    _, steps, width = poses.shape
    pieces = PIECE * (steps // 2)
    every = int(numbers[pieces])
    total_a, total_b = splat(0.0), splat(0.0)
    for t in range(every - 1, steps, 2 * every):
        paired = t + every < steps
        at_x, at_y = (X * steps + t) * width + at, (Y * steps + t) * width + at
        on = every * width if paired else 0
        x_a, x_b = load(poses, at_x), load(poses, at_x + LANES)
        y_a, y_b = load(poses, at_y), load(poses, at_y + LANES)
        x_c, x_d = load(poses, at_x + on), load(poses, at_x + on + LANES)
        y_c, y_d = load(poses, at_y + on), load(poses, at_y + on + LANES)
        nearest_a, nearest_b, nearest_c, nearest_d = splat(1e12), splat(1e12), splat(1e12), splat(1e12)
        for i in range(0, pieces, PIECE):
            nearest_a = minimum(nearest_a, _squared_distance(x_a, y_a, numbers, i))
            nearest_b = minimum(nearest_b, _squared_distance(x_b, y_b, numbers, i))
            nearest_c = minimum(nearest_c, _squared_distance(x_c, y_c, numbers, i))
            nearest_d = minimum(nearest_d, _squared_distance(x_d, y_d, numbers, i))
        share = 1.0 if paired else 0.0
        total_a += square_root(nearest_a) + share * square_root(nearest_c)
        total_b += square_root(nearest_b) + share * square_root(nearest_d)
    share = 1.0 / max(steps // every, 1)
    store(out, 0, total_a * share)
    store(out, LANES, total_b * share)


@attrs.frozen
class PathAlign(CompiledCritic):
    """Mean distance to the path [m]."""

    cost_weight: float = weight(10.0)
    cost_power: int = power()
    trajectory_point_step: int = tunable(4, 1, 100, "Every so-manieth pose of a rollout is looked at")
    judge, reads = _judge, (X, Y)

    def size(self, steps: int) -> int:
        return PIECE * (steps // 2) + 1

    def prepare(self, situation: Situation, numbers: Float32) -> bool:
        _pieces(situation.target, numbers)
        numbers[-1] = self.trajectory_point_step
        return True
