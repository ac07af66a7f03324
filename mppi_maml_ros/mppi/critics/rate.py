"""Drives smoothly: commands that change little from step to step."""

from __future__ import annotations

import attrs

from ...core.kernels.simd import GROUP, LANES, load, splat, store
from ...core.types import Float32
from .base import COMMANDS, CompiledCritic, Judge, Situation, power, weight


@Judge
def _judge(poses, at, commands, first, target, table, numbers, out):  # type: ignore[no-untyped-def]  # numba
    steps, _, samples = commands.shape
    for j in range(0, GROUP, LANES):
        total, v, omega = splat(0.0), splat(numbers[0]), splat(numbers[1])
        for t in range(steps):
            at_v = 2 * t * samples + first + j
            next_v, next_omega = load(commands, at_v), load(commands, at_v + samples)
            total += (next_v - v) * (next_v - v) + (next_omega - omega) * (next_omega - omega)
            v, omega = next_v, next_omega
        store(out, j, total * (1.0 / steps))


@attrs.frozen
class Rate(CompiledCritic):
    """Mean squared change of the command a step, the first against the one in force."""

    cost_weight: float = weight(10.0)
    cost_power: int = power()
    judge, reads = _judge, (COMMANDS,)

    def prepare(self, situation: Situation, numbers: Float32) -> bool:
        numbers[:2] = situation.last_command
        return True
