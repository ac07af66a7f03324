"""Saves effort: commands near zero."""

from __future__ import annotations

import attrs
import numpy as np

from .base import Critic, Rollouts, power, weight


@attrs.frozen
class Effort(Critic):
    """Mean squared command, velocity [m/s] and yaw rate [rad/s] alike."""

    cost_weight: float = weight(1.0)
    cost_power: int = power()

    def value(self, r: Rollouts) -> np.ndarray:
        value: np.ndarray = np.einsum("naj,naj->j", r.commands, r.commands) / np.float32(len(r.commands))
        return value
