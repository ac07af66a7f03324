"""Near the goal: be there and stay there."""

from __future__ import annotations

import attrs

from ...core.kernels.simd import GROUP, LANES, load, splat, square_root, store
from ...core.tunable import tunable
from ...core.types import Float32
from .base import CompiledCritic, Judge, Situation, X, Y, power, weight


@Judge
def _judge(poses, at, commands, first, target, table, numbers, out):  # type: ignore[no-untyped-def]  # numba
    _, steps, width = poses.shape
    for j in range(0, GROUP, LANES):
        total = splat(0.0)
        for t in range(steps):
            dx = load(poses, (X * steps + t) * width + at + j) - numbers[0]
            dy = load(poses, (Y * steps + t) * width + at + j) - numbers[1]
            total += square_root(dx * dx + dy * dy)
        store(out, j, total * (1.0 / steps))


@attrs.frozen
class Goal(CompiledCritic):
    """Mean distance to the goal over the horizon [m]."""

    cost_weight: float = weight(5.0)
    cost_power: int = power()
    threshold_to_consider: float = tunable(0.5, 0.0, 100.0, "At work when less of the path is left", "m")
    judge, reads = _judge, (X, Y)

    def prepare(self, situation: Situation, numbers: Float32) -> bool:
        near = situation.scene.remaining <= self.threshold_to_consider
        if not near or (goal := situation.goal) is None:
            return False
        numbers[0], numbers[1] = goal[0], goal[1]
        return True
