"""Draws the end of a rollout towards the end of the reference."""

from __future__ import annotations

import attrs

from ...core.kernels.simd import GROUP, LANES, load, square_root, store
from ...core.types import Float32
from .base import CompiledCritic, Judge, Situation, X, Y, power, weight


@Judge
def _judge(poses, at, commands, first, target, table, numbers, out):  # type: ignore[no-untyped-def]  # numba
    _, steps, width = poses.shape
    for j in range(0, GROUP, LANES):
        dx = load(poses, (X * steps + steps - 1) * width + at + j) - target[steps - 1, 0]
        dy = load(poses, (Y * steps + steps - 1) * width + at + j) - target[steps - 1, 1]
        store(out, j, square_root(dx * dx + dy * dy))


@attrs.frozen
class PathFollow(CompiledCritic):
    """Distance between the ends of rollout and reference [m]."""

    cost_weight: float = weight(5.0)
    cost_power: int = power()
    judge = _judge

    def prepare(self, situation: Situation, numbers: Float32) -> bool:
        return True
