"""The guide's perturbed robot: biased commands and scaled displacements."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..core.angles import wrap
from ..core.errors import InvalidValueError
from .kinematic import DifferentialDriveKinematic
from .robot_model import RobotModel


class PerturbedDynamics(RobotModel):
    """The kinematics of u + bias, its translation and its rotation scaled after each step.

    Args:
        bias: added to the command (v, omega) [m/s, rad/s].
        scale: factors on translation and rotation, each in (0, 10].
    """

    state_dim = 3
    model_type = "kinematic"

    def __init__(self, bias: ArrayLike = (0.12, -0.05), scale: ArrayLike = (0.55, 0.80)) -> None:
        self._bias, self._scale = np.array(bias, dtype=float), np.array(scale, dtype=float)
        if self._bias.shape != (2,) or not np.isfinite(self._bias).all():
            raise InvalidValueError(f"bias must be two finite numbers, got {bias!r}")
        if self._scale.shape != (2,) or not ((self._scale > 0.0) & (self._scale <= 10.0)).all():
            raise InvalidValueError(f"scale must be two numbers in (0, 10], got {scale!r}")
        self._kinematic = DifferentialDriveKinematic()

    def forward_dynamics(self, state: ArrayLike, control: ArrayLike) -> np.ndarray:
        state, control = self._checked(state, control)
        scale = self._scale[[0, 0, 1]]
        return scale * self._kinematic.forward_dynamics(state, control + self._bias)

    def step(self, state: ArrayLike, control: ArrayLike, dt: float) -> np.ndarray:
        """Exact: the displacement of the biased command, one Runge-Kutta step of order 4, then scaled."""
        state, control = self._checked(state, control)
        after = RobotModel.step(self._kinematic, state, control + self._bias, dt)
        change = after - state
        change[..., 2] = wrap(change[..., 2])
        moved = state + self._scale[[0, 0, 1]] * change
        moved[..., 2] = wrap(moved[..., 2])
        return moved
