"""Models with a rollout of their own, and that of any robot model, a whole batch a step."""

from __future__ import annotations

import numpy as np

from ...core import se2
from ...dynamics.robot_model import RobotModel
from .. import kernels
from .base import RolloutModel, RolloutRequest, Trajectories


def own_rollout(model: RolloutModel, request: RolloutRequest) -> None:
    """The model's trajectories, which it cannot do without, and what they cost."""
    out, tracking = request.kept(), request.tracking
    model.rollout(request, out)
    if tracking is not None:
        kernels.tracking_cost(out.x, out.y, out.yaw, tracking.target, tracking.weight, request.costs)
    if request.jury is not None:
        request.jury.judge(out.poses, request.commands, request.costs)


class ModelRollout:
    """Lets a controller roll out a :class:`RobotModel`; past commands mean nothing to it.

    Args:
        model: of 3 states (the twist is then the command) or 5.
    """

    def __init__(self, model: RobotModel) -> None:
        self.model = model

    def rollout(self, request: RolloutRequest, out: Trajectories) -> None:
        """See :class:`.base.RolloutModel`."""
        start, commands = request.state, request.commands
        states = np.tile(start[: self.model.state_dim], (commands.shape[2], 1))
        turned = np.zeros(commands.shape[2])
        for t in range(len(commands)):
            control = commands[t].T.astype(float)
            after = self.model.step(states, control, request.model_dt)
            turned += (after[:, 2] - states[:, 2] + np.pi) % (2.0 * np.pi) - np.pi
            states = after
            local = se2.to_body(states[:, :3], start[:3])
            out.x[t], out.y[t], out.yaw[t] = local[:, 0], local[:, 1], turned
            out.v[t], out.omega[t] = (states[:, 3:] if self.model.state_dim == 5 else control).T
