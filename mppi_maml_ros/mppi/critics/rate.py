"""Drives smoothly: commands that change little from step to step."""

from __future__ import annotations

import attrs
import numpy as np

from .base import Critic, Rollouts, power, weight


@attrs.frozen
class Rate(Critic):
    """Mean squared change of the command a step, the first against the one in force."""

    cost_weight: float = weight(10.0)
    cost_power: int = power()

    def value(self, r: Rollouts) -> np.ndarray:
        first = r.commands[0] - r.last_command.astype(np.float32)[:, None]
        rest = np.diff(r.commands, axis=0)
        total = np.einsum("aj,aj->j", first, first) + np.einsum("naj,naj->j", rest, rest)
        value: np.ndarray = total / np.float32(len(r.commands))
        return value
