"""Kinematics of the differential drive: the robot has the commanded twist at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..core.angles import wrap
from ..core.errors import InvalidValueError
from .robot_model import RobotModel


class DifferentialDriveKinematic(RobotModel):
    """x' = v cos yaw, y' = v sin yaw, yaw' = omega.

    Args:
        v_max, omega_max: commands beyond them are cut [m/s, rad/s]; inf for none.
    """

    state_dim = 3
    model_type = "kinematic"

    def __init__(self, v_max: float = np.inf, omega_max: float = np.inf) -> None:
        for name, value in (("v_max", v_max), ("omega_max", omega_max)):
            if not value > 0.0:
                raise InvalidValueError(f"{name} must be above 0, got {value}")
        self._bound = np.array([v_max, omega_max], dtype=float)

    def forward_dynamics(self, state: ArrayLike, control: ArrayLike) -> np.ndarray:
        state, control = self._checked(state, control)
        v, omega = np.moveaxis(np.clip(control, -self._bound, self._bound), -1, 0)
        return np.stack([v * np.cos(state[..., 2]), v * np.sin(state[..., 2]), omega], axis=-1)

    def step(self, state: ArrayLike, control: ArrayLike, dt: float) -> np.ndarray:
        """Exact: an arc of constant twist."""
        state, control = self._checked(state, control)
        v, omega = np.moveaxis(np.clip(control, -self._bound, self._bound), -1, 0)
        middle = state[..., 2] + 0.5 * omega * dt
        chord = v * dt * np.sinc(0.5 * omega * dt / np.pi)
        return np.stack(
            [
                state[..., 0] + chord * np.cos(middle),
                state[..., 1] + chord * np.sin(middle),
                wrap(state[..., 2] + omega * dt),
            ],
            axis=-1,
        )
