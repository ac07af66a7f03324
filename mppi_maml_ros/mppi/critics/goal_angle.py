"""Near the goal: have its heading."""

from __future__ import annotations

import attrs
import numpy as np

from ...core.tunable import tunable
from .base import Critic, Rollouts, power, weight, wrapped


@attrs.frozen
class GoalAngle(Critic):
    """Mean heading error to the goal over the horizon [rad]."""

    cost_weight: float = weight(3.0)
    cost_power: int = power()
    threshold_to_consider: float = tunable(0.3, 0.0, 100.0, "At work when less of the path is left", "m")

    def value(self, r: Rollouts) -> np.ndarray | None:
        if r.goal is None or not r.scene.remaining <= self.threshold_to_consider:
            return None
        value: np.ndarray = np.abs(wrapped(r.yaw - np.float32(r.goal[2]))).mean(axis=0)
        return value
