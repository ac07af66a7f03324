"""Draws the end of a rollout towards the end of the reference."""

from __future__ import annotations

import attrs
import numpy as np

from .base import Critic, Rollouts, power, weight


@attrs.frozen
class PathFollow(Critic):
    """Distance between the ends of rollout and reference [m]."""

    cost_weight: float = weight(5.0)
    cost_power: int = power()

    def value(self, r: Rollouts) -> np.ndarray:
        x, y = r.target[-1, :2].astype(np.float32)
        value: np.ndarray = np.hypot(r.x[-1] - x, r.y[-1] - y)
        return value
