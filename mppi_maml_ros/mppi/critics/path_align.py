"""Keeps rollouts on the path, whatever their timing."""

from __future__ import annotations

import attrs
import numpy as np
from numba import njit

from ...core.kernels.lanes import any_less
from ...core.kernels.simd import GROUP, LANES, load, maximum, minimum, splat, square_root, store
from ...core.tunable import tunable
from ...core.types import Float32
from .base import CompiledCritic, Situation, X, Y, judge, power, weight

# Numbers of a piece of the path: unit vector (x, y), minus its middle along and across it, half its length.
PIECE = 5
# Pieces in a circle, whose numbers lead: its middle (x, y) and twice its squared radius.
STRETCH = 4


@njit(cache=True, error_model="numpy")
def _pieces(target, numbers):  # type: ignore[no-untyped-def]  # numba
    """The path through every second pose; it begins where the reference does."""
    count = len(target) // 2
    stretches = (count + STRETCH - 1) // STRETCH
    for s in range(stretches):
        low_x = low_y = np.inf
        high_x = high_y = -np.inf
        for i in range(STRETCH * s, min(STRETCH * (s + 1), count)):
            a, b = max(2 * i - 1, 0), 2 * i + 1
            ax, ay = np.float64(target[a, 0]), np.float64(target[a, 1])
            bx, by = np.float64(target[b, 0]), np.float64(target[b, 1])
            length = np.hypot(bx - ax, by - ay)
            ux, uy = ((bx - ax) / length, (by - ay) / length) if length > 1e-9 else (1.0, 0.0)
            x, y = 0.5 * (ax + bx), 0.5 * (ay + by)
            at = 3 * stretches + PIECE * i
            numbers[at], numbers[at + 1] = ux, uy
            numbers[at + 2], numbers[at + 3] = -(ux * x + uy * y), uy * x - ux * y
            numbers[at + 4] = 0.5 * length
            low_x, high_x = min(low_x, ax, bx), max(high_x, ax, bx)
            low_y, high_y = min(low_y, ay, by), max(high_y, ay, by)
        numbers[3 * s], numbers[3 * s + 1] = 0.5 * (low_x + high_x), 0.5 * (low_y + high_y)
        numbers[3 * s + 2] = 0.5 * ((high_x - low_x) ** 2 + (high_y - low_y) ** 2) * 1.001


@judge
def _judge(poses, at, commands, first, target, table, numbers, out):  # type: ignore[no-untyped-def]  # numba
    """Mean distance of every so-manieth pose of a rollout to the polyline of the path."""
    _, steps, width = poses.shape
    count = steps // 2
    stretches = (count + STRETCH - 1) // STRETCH
    every = int(numbers[len(numbers) - 1])
    for j in range(0, GROUP, LANES):
        total = splat(0.0)
        for t in range(every - 1, steps, every):
            x = load(poses, (X * steps + t) * width + at + j)
            y = load(poses, (Y * steps + t) * width + at + j)
            nearest = splat(1e12)
            hint = min(t // (2 * STRETCH), stretches - 1)
            for k in range(stretches):
                s = hint if k == 0 else k - (k <= hint)
                dx, dy = x - numbers[3 * s], y - numbers[3 * s + 1]
                # (nearest + radius)^2 is at most twice the sum of their squares.
                if k > 0 and not any_less(dx * dx + dy * dy, nearest + nearest + numbers[3 * s + 2]):
                    continue
                begin = 3 * stretches + PIECE * STRETCH * s
                for i in range(begin, min(begin + PIECE * STRETCH, 3 * stretches + PIECE * count), PIECE):
                    ux, uy = numbers[i], numbers[i + 1]
                    along = ux * x + (uy * y + numbers[i + 2])
                    across = ux * y - (uy * x - numbers[i + 3])
                    beyond = maximum(maximum(along, -along) - numbers[i + 4], splat(0.0))
                    nearest = minimum(nearest, across * across + beyond * beyond)
            total += square_root(nearest)
        store(out, j, total * (1.0 / max(steps // every, 1)))


@attrs.frozen
class PathAlign(CompiledCritic):
    """Mean distance to the path [m]."""

    cost_weight: float = weight(10.0)
    cost_power: int = power()
    trajectory_point_step: int = tunable(4, 1, 100, "Every so-manieth pose of a rollout is looked at")
    judge, reads = _judge, (X, Y)

    def size(self, steps: int) -> int:
        count = steps // 2
        return 3 * -(-count // STRETCH) + PIECE * count + 1

    def prepare(self, situation: Situation, numbers: Float32) -> bool:
        _pieces(situation.target, numbers)
        numbers[-1] = self.trajectory_point_step
        return True
