"""Drives forwards where the path does not ask for reverse."""

from __future__ import annotations

import attrs
import numpy as np

from ...core.kernels.cache import njit
from ...core.kernels.simd import LANES, load, minimum, splat, store
from ...core.tunable import tunable
from ...core.types import Float32
from .base import COMMANDS, CompiledCritic, Judge, Situation, power, weight


@njit(cache=True, error_model="numpy")
def _asks_for_reverse(target):  # type: ignore[no-untyped-def]  # numba
    for t in range(len(target) - 1):
        dx, dy = target[t + 1, 0] - target[t, 0], target[t + 1, 1] - target[t, 1]
        if dx * np.cos(target[t, 2]) + dy * np.sin(target[t, 2]) < -1e-4:
            return True
    return False


@Judge
def _judge(poses, at, commands, first, target, table, numbers, out):  # type: ignore[no-untyped-def]  # numba
    steps, _, samples = commands.shape
    a, b = splat(0.0), splat(0.0)  # two sums, neither of which waits for the other
    for t in range(steps):
        a += minimum(load(commands, 2 * t * samples + first), splat(0.0))
        b += minimum(load(commands, 2 * t * samples + first + LANES), splat(0.0))
    store(out, 0, a * (-1.0 / steps))
    store(out, LANES, b * (-1.0 / steps))


@attrs.frozen
class PreferForward(CompiledCritic):
    """Mean speed in reverse [m/s]; silent while the reference itself goes backwards, and near the goal."""

    cost_weight: float = weight(5.0)
    cost_power: int = power()
    threshold_to_consider: float = tunable(0.5, 0.0, 100.0, "At work when more of the path is left", "m")
    judge, reads = _judge, (COMMANDS,)

    def prepare(self, situation: Situation, numbers: Float32) -> bool:
        far = not situation.scene.remaining < self.threshold_to_consider
        return far and not _asks_for_reverse(situation.target)
