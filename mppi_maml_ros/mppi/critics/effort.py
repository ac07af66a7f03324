"""Saves effort: commands near zero."""

from __future__ import annotations

import attrs

from ...core.kernels.simd import GROUP, LANES, load, splat, store
from ...core.types import Float32
from .base import COMMANDS, CompiledCritic, Judge, Situation, power, weight


@Judge
def _judge(poses, at, commands, first, target, table, numbers, out):  # type: ignore[no-untyped-def]  # numba
    steps, _, samples = commands.shape
    for j in range(0, GROUP, LANES):
        total = splat(0.0)
        for row in range(2 * steps):
            command = load(commands, row * samples + first + j)
            total += command * command
        store(out, j, total * (1.0 / steps))


@attrs.frozen
class Effort(CompiledCritic):
    """Mean squared command, velocity [m/s] and yaw rate [rad/s] alike."""

    cost_weight: float = weight(1.0)
    cost_power: int = power()
    judge, reads = _judge, (COMMANDS,)

    def prepare(self, situation: Situation, numbers: Float32) -> bool:
        return True
