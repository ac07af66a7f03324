"""Drives forwards where the path does not ask for reverse."""

from __future__ import annotations

import attrs
import numpy as np

from ...core.tunable import tunable
from .base import Critic, Rollouts, power, weight


@attrs.frozen
class PreferForward(Critic):
    """Mean speed in reverse [m/s]; silent while the reference itself goes backwards, and near the goal."""

    cost_weight: float = weight(5.0)
    cost_power: int = power()
    threshold_to_consider: float = tunable(0.5, 0.0, 100.0, "At work when more of the path is left", "m")

    def value(self, r: Rollouts) -> np.ndarray | None:
        if r.scene.remaining < self.threshold_to_consider:
            return None
        step = np.diff(r.target[:, :2], axis=0)
        along = step[:, 0] * np.cos(r.target[:-1, 2]) + step[:, 1] * np.sin(r.target[:-1, 2])
        if along.min(initial=0.0) < -1e-4:
            return None
        value: np.ndarray = np.maximum(-r.commands[:, 0], 0.0).mean(axis=0)
        return value
