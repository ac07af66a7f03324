"""One rollout call: what a control step asks for, and what answers it."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import attrs
import numpy as np
from numpy.typing import ArrayLike

from ...core.types import Array, Float32
from ...dynamics.features import MAX_HISTORY
from ...dynamics.residual import ResidualWeights


class Trajectories:
    """Preallocated rollout results, each (time_steps, batch_size) float32, in the robot's start frame.

    ``x``, ``y`` [m], ``yaw`` [rad, unwrapped], ``v`` [m/s], ``omega`` [rad/s] after each step.
    """

    def __init__(self, time_steps: int, batch_size: int) -> None:
        self.x, self.y, self.yaw, self.v, self.omega = np.zeros((5, time_steps, batch_size), dtype=np.float32)


class Tracking:
    """Cost of the distance to a time-indexed reference, which a rollout adds up on its way.

    Args:
        position_weight: of the squared distance after each step, shape (time_steps,) [1/m^2].
        heading_weight: of the squared heading error, shape (time_steps,) [1/rad^2].

    Attributes:
        weight: both, shape (time_steps, 2) float32.
        target: wanted poses after each step in the robot's start frame, (time_steps, 3) float32.
    """

    def __init__(self, position_weight: ArrayLike, heading_weight: ArrayLike) -> None:
        columns = np.column_stack([position_weight, heading_weight])
        self.weight: Float32 = np.ascontiguousarray(columns, dtype=np.float32)
        self.target: Float32 = np.zeros((len(self.weight), 3), dtype=np.float32)


@attrs.define(eq=False)
class RolloutRequest:
    """What is to be rolled out from the robot's pose; made once and filled anew for each step.

    N steps of K samples; K need not be a whole number of vectors, at the price of copies.

    Attributes:
        commands: (v [m/s], omega [rad/s]) held over each step, shape (N, 2, K) float32.
        model_dt: step [s].
        state: (x, y, yaw, v, omega) now, shape (5,) [m, m, rad, m/s, rad/s]; residuals read the twist.
        history: past commands, newest first, shape (D, 2) float32, D at least what the model reads.
        change: of (v, omega) over the step before, shape (2,) float32 [m/s, rad/s]; for momentum.
        push: added to (v, omega) of a residual at the end of each step, shape (N, 2) float32 [m/s, rad/s].
        tracking: what to add to ``costs``; None for nothing.
        costs: shape (K,) float32, added to in place.
        out: filled in place; None when only the costs are wanted.
    """

    commands: Float32
    model_dt: float
    state: Array = attrs.field(factory=lambda: np.zeros(5))
    history: Float32 = attrs.field(factory=lambda: np.zeros((MAX_HISTORY, 2), dtype=np.float32))
    change: Float32 = attrs.field(factory=lambda: np.zeros(2, dtype=np.float32))
    push: Float32 = attrs.field()
    tracking: Tracking | None = None
    costs: Float32 = attrs.field()
    out: Trajectories | None = None

    @push.default
    def _no_push(self) -> Float32:
        return np.zeros((len(self.commands), 2), dtype=np.float32)

    @costs.default
    def _no_costs(self) -> Float32:
        return np.zeros(self.commands.shape[2], dtype=np.float32)

    def kept(self) -> Trajectories:
        """``out``, which is there from now on."""
        if self.out is None:
            steps, _, samples = self.commands.shape
            self.out = Trajectories(steps, samples)
        return self.out


class RolloutModel(Protocol):
    """A model that rolls out a whole batch by itself."""

    def rollout(self, request: RolloutRequest, out: Trajectories) -> None:
        """Fill ``out``, with poses relative to ``request.state``; costs and push are not its business."""


Model: TypeAlias = ResidualWeights | RolloutModel | None
"""What can be rolled out: a residual snapshot, a model with a rollout of its own, or the kinematic prior."""


class Rollout(Protocol):
    """Where rollouts are computed, behind one call."""

    def __call__(self, model: Model, request: RolloutRequest) -> None:
        """Do what ``request`` asks for."""

    def prepare(self, model: Model, time_steps: int, batch_size: int) -> None:
        """Let the first rollout of such a model in this size be as fast as the rest; may take a second."""
