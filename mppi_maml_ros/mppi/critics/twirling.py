"""Does not turn without need."""

from __future__ import annotations

import attrs
import numpy as np

from .base import Critic, Rollouts, power, weight


@attrs.frozen
class Twirling(Critic):
    """Mean yaw rate [rad/s]; silent at the goal, where turning in place may be the task."""

    cost_weight: float = weight(0.5)
    cost_power: int = power()

    def value(self, r: Rollouts) -> np.ndarray | None:
        if r.scene.remaining <= 0.1:
            return None
        value: np.ndarray = np.abs(r.omega).mean(axis=0)
        return value
