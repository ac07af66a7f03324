"""Drives where the model knows the robot."""

from __future__ import annotations

import attrs
import numpy as np

from .base import Critic, Rollouts, power, weight


@attrs.frozen
class Uncertainty(Critic):
    """Mean standard deviation of the predicted velocity for want of data [m/s], of weights that tell it."""

    cost_weight: float = weight(5.0)
    cost_power: int = power()
    asks_for_uncertainty = True

    def value(self, r: Rollouts) -> np.ndarray | None:
        return None if r.uncertainty is None else r.uncertainty.mean(axis=0)
