"""Does not turn without need."""

from __future__ import annotations

import attrs

from ...core.kernels.simd import GROUP, LANES, load, maximum, splat, store
from ...core.types import Float32
from .base import OMEGA, CompiledCritic, Judge, Situation, power, weight


@Judge
def _judge(poses, at, commands, first, target, table, numbers, out):  # type: ignore[no-untyped-def]  # numba
    _, steps, width = poses.shape
    for j in range(0, GROUP, LANES):
        total = splat(0.0)
        for t in range(steps):
            omega = load(poses, (OMEGA * steps + t) * width + at + j)
            total += maximum(omega, -omega)
        store(out, j, total * (1.0 / steps))


@attrs.frozen
class Twirling(CompiledCritic):
    """Mean yaw rate [rad/s]; silent at the goal, where turning in place may be the task."""

    cost_weight: float = weight(0.5)
    cost_power: int = power()
    judge, reads = _judge, (OMEGA,)

    def prepare(self, situation: Situation, numbers: Float32) -> bool:
        return not situation.scene.remaining <= 0.1
