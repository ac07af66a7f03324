"""MPPI over any robot model, for use without ROS: a state and a reference in, a command out."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import ArrayLike

from ..core.errors import InvalidValueError
from ..core.types import VelocityLimits
from ..dynamics.features import MAX_HISTORY
from ..dynamics.robot_model import RobotModel
from .config import MPPIConfig
from .controller import MPPIController, MPPIResult
from .rollouts.any_model import ModelRollout


@attrs.frozen
class TrackingCost:
    """The weights of the cost, see :class:`.config.MPPIConfig`; ranges are checked there."""

    position_weight: float = 10.0
    heading_weight: float = 1.0
    terminal_scale: float = 2.0
    vx_weight: float = 0.1
    wz_weight: float = 0.1


class ModelController:
    """Chooses commands with a model of one's own; remembers the commands that it gave.

    Args:
        model: of 3 or 5 states.
        params: sampling, horizon and step.
        cost_function: weights that replace those of ``params``.
        limits: on the commands.
        seed: of the samples.
    """

    def __init__(
        self,
        model: RobotModel,
        params: MPPIConfig | None = None,
        cost_function: TrackingCost | None = None,
        limits: VelocityLimits | None = None,
        seed: int = 0,
    ) -> None:
        params = params or MPPIConfig()
        if cost_function is not None:
            params = attrs.evolve(params, **attrs.asdict(cost_function))
        self.model, self._dt = ModelRollout(model), params.model_dt
        self._controller = MPPIController(params, limits or VelocityLimits(), seed)
        self.reset()

    def reset(self) -> None:
        """Forget the warm start and the commands given."""
        self._controller.reset()
        self._past = np.zeros((MAX_HISTORY, 2))

    def compute_control(self, state: ArrayLike, reference: ArrayLike) -> tuple[np.ndarray, MPPIResult]:
        """The command (v, omega) to hold for one step, and how it came about.

        Args:
            state: (x, y, yaw) or (x, y, yaw, v, omega); without a twist, the last command is taken for it.
            reference: wanted poses now and at each step of the horizon, shape (time_steps + 1, 3).
        """
        state = np.asarray(state, dtype=float)
        if state.shape == (3,):
            state = np.concatenate([state, self._past[0]])
        elif state.shape != (5,):
            raise InvalidValueError(f"state must have shape (3,) or (5,), got {state.shape}")
        result = self._controller.compute_control(state, reference, self._past, self._past[0], self.model)
        self._past = np.concatenate([result.command[None], self._past[:-1]])
        return result.command, result
