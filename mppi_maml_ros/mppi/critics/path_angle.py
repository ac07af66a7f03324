"""Turns the end of a rollout to where the reference leads."""

from __future__ import annotations

import attrs
import numpy as np

from .base import Critic, Rollouts, power, weight, wrapped


@attrs.frozen
class PathAngle(Critic):
    """Angle between the headings at the ends of rollout and reference [rad]."""

    cost_weight: float = weight(2.0)
    cost_power: int = power()

    def value(self, r: Rollouts) -> np.ndarray:
        value: np.ndarray = np.abs(wrapped(r.yaw[-1] - np.float32(r.target[-1, 2])))
        return value
