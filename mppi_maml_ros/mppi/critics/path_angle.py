"""Turns the end of a rollout to where the reference leads."""

from __future__ import annotations

import attrs

from ...core.angles import TWO_PI
from ...core.kernels.simd import GROUP, LANES, load, maximum, round_even, store
from ...core.types import Float32
from .base import YAW, CompiledCritic, Judge, Situation, power, weight


@Judge
def _judge(poses, at, commands, first, target, table, numbers, out):  # type: ignore[no-untyped-def]  # numba
    _, steps, width = poses.shape
    for j in range(0, GROUP, LANES):
        turn = load(poses, (YAW * steps + steps - 1) * width + at + j) - target[steps - 1, 2]
        turn -= TWO_PI * round_even(turn * (1.0 / TWO_PI))
        store(out, j, maximum(turn, -turn))


@attrs.frozen
class PathAngle(CompiledCritic):
    """Angle between the headings at the ends of rollout and reference [rad]."""

    cost_weight: float = weight(2.0)
    cost_power: int = power()
    judge = _judge

    def prepare(self, situation: Situation, numbers: Float32) -> bool:
        return True
