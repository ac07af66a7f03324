"""Near the goal: be there and stay there."""

from __future__ import annotations

import attrs
import numpy as np

from ...core.tunable import tunable
from .base import Critic, Rollouts, power, weight


@attrs.frozen
class Goal(Critic):
    """Mean distance to the goal over the horizon [m]."""

    cost_weight: float = weight(5.0)
    cost_power: int = power()
    threshold_to_consider: float = tunable(0.5, 0.0, 100.0, "At work when less of the path is left", "m")

    def value(self, r: Rollouts) -> np.ndarray | None:
        if r.goal is None or not r.scene.remaining <= self.threshold_to_consider:
            return None
        x, y = r.goal[:2].astype(np.float32)
        value: np.ndarray = np.hypot(r.x - x, r.y - y).mean(axis=0)
        return value
