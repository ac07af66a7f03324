"""Near the goal: have its heading."""

from __future__ import annotations

import attrs

from ...core.angles import TWO_PI
from ...core.kernels.simd import GROUP, LANES, load, maximum, round_even, splat, store
from ...core.tunable import tunable
from ...core.types import Float32
from .base import YAW, CompiledCritic, Judge, Situation, power, weight


@Judge
def _judge(poses, at, commands, first, target, table, numbers, out):  # type: ignore[no-untyped-def]  # numba
    _, steps, width = poses.shape
    for j in range(0, GROUP, LANES):
        total = splat(0.0)
        for t in range(steps):
            turn = load(poses, (YAW * steps + t) * width + at + j) - numbers[0]
            turn -= TWO_PI * round_even(turn * (1.0 / TWO_PI))
            total += maximum(turn, -turn)
        store(out, j, total * (1.0 / steps))


@attrs.frozen
class GoalAngle(CompiledCritic):
    """Mean heading error to the goal over the horizon [rad]."""

    cost_weight: float = weight(3.0)
    cost_power: int = power()
    threshold_to_consider: float = tunable(0.3, 0.0, 100.0, "At work when less of the path is left", "m")
    judge, reads = _judge, (YAW,)

    def prepare(self, situation: Situation, numbers: Float32) -> bool:
        near = situation.scene.remaining <= self.threshold_to_consider
        if not near or (goal := situation.goal) is None:
            return False
        numbers[0] = goal[2]
        return True
