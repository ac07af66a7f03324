"""A known model plus a learned one."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..core.errors import InvalidValueError
from .robot_model import RobotModel


class ResidualDynamics(RobotModel):
    """state_dot = base + learned.

    Args:
        base_model: the prior.
        learned_model: what the prior gets wrong; None for nothing. Of the same state.
        use_residual: False: the prior alone.
    """

    def __init__(
        self, base_model: RobotModel, learned_model: RobotModel | None = None, use_residual: bool = True
    ) -> None:
        if learned_model is not None and learned_model.state_dim != base_model.state_dim:
            raise InvalidValueError(
                f"learned_model must have state_dim {base_model.state_dim}, got {learned_model.state_dim}"
            )
        self.base_model, self.learned_model, self.use_residual = base_model, learned_model, use_residual

    @property
    def state_dim(self) -> int:
        return self.base_model.state_dim

    @property
    def model_type(self) -> str:
        return "learned" if self._corrects else self.base_model.model_type

    @property
    def _corrects(self) -> bool:
        return self.use_residual and self.learned_model is not None

    def forward_dynamics(self, state: ArrayLike, control: ArrayLike) -> np.ndarray:
        base = self.base_model.forward_dynamics(state, control)
        if not self.use_residual or self.learned_model is None:
            return base
        return base + self.learned_model.forward_dynamics(state, control)
