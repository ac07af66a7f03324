"""Avoids commands that the motors do not obey."""

from __future__ import annotations

import attrs

from ...core.kernels.simd import GROUP, LANES, load, maximum, splat, store
from ...core.tunable import tunable
from ...core.types import Float32
from .base import COMMANDS, CompiledCritic, Judge, Situation, power, weight


@Judge
def _judge(poses, at, commands, first, target, table, numbers, out):  # type: ignore[no-untyped-def]  # numba
    steps, _, samples = commands.shape
    for j in range(0, GROUP, LANES):
        total = splat(0.0)
        for row in range(2 * steps):
            command = load(commands, row * samples + first + j)
            total += maximum(numbers[row % 2] - maximum(command, -command), splat(0.0))
        store(out, j, total * (1.0 / steps))


@attrs.frozen
class VelocityDeadband(CompiledCritic):
    """Mean depth of the commands in the dead band around zero, velocity [m/s] plus yaw rate [rad/s]."""

    cost_weight: float = weight(30.0)
    cost_power: int = power()
    vx: float = tunable(0.0, 0.0, 1.0, "Forward velocities below this are not obeyed; 0: as observed", "m/s")
    wz: float = tunable(0.0, 0.0, 2.0, "Yaw rates below this are not obeyed; 0: as observed", "rad/s")
    judge, reads = _judge, (COMMANDS,)

    def prepare(self, situation: Situation, numbers: Float32) -> bool:
        v, omega = situation.scene.dead_band
        numbers[0], numbers[1] = self.vx or v, self.wz or omega
        return True
