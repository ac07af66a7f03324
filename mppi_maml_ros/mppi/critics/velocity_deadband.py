"""Avoids commands that the motors do not obey."""

from __future__ import annotations

import attrs
import numpy as np

from ...core.tunable import tunable
from .base import Critic, Rollouts, power, weight


@attrs.frozen
class VelocityDeadband(Critic):
    """Mean depth of the commands in the dead band around zero, velocity [m/s] plus yaw rate [rad/s]."""

    cost_weight: float = weight(30.0)
    cost_power: int = power()
    vx: float = tunable(0.0, 0.0, 1.0, "Forward velocities below this are not obeyed", "m/s")
    wz: float = tunable(0.0, 0.0, 2.0, "Yaw rates below this are not obeyed", "rad/s")

    def value(self, r: Rollouts) -> np.ndarray:
        vx = np.maximum(np.float32(self.vx) - np.abs(r.commands[:, 0]), 0.0)
        wz = np.maximum(np.float32(self.wz) - np.abs(r.commands[:, 1]), 0.0)
        value: np.ndarray = (vx + wz).mean(axis=0)
        return value
