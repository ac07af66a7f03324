"""What a critic is: it looks at all rollouts of a step and says how bad each one is.

A critic is one file in this folder with one class; its name is the file's. Its attrs fields are its
parameters, ``<name>.<field>`` in the node, and it is at work when its name is in the list ``critics``.
Costs are added as ``(cost_weight * value) ** cost_power``, as in nav2.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import attrs
import numpy as np

from ...core.kernels.simd import GROUP
from ...core.tunable import tunable
from ...core.types import Float32
from ..costmap import Costmap
from ..footprint import Footprint
from ..jury import COMMANDS, OMEGA, YAW, Judge, Jury, V, X, Y

__all__ = [
    "COMMANDS", "OMEGA", "YAW", "CompiledCritic", "Critic", "Judge", "Rollouts", "Scene", "Situation", "V",
    "X", "Y", "power", "weight",
]  # fmt: skip


@attrs.frozen(eq=False)
class Scene:
    """What there is besides the reference; poses in the frame of the state.

    Attributes:
        goal: last pose of the path, shape (3,); None where there is no goal.
        remaining: way left along the path [m]; infinite where there is no goal.
        costmap: obstacles; None where none are known.
        dead_band: commands (v, omega) up to this were seen not to move the robot [m/s, rad/s].
    """

    goal: np.ndarray | None = None
    remaining: float = np.inf
    costmap: Costmap | None = None
    dead_band: tuple[float, float] = (0.0, 0.0)


@attrs.frozen(eq=False, kw_only=True)
class Situation:
    """What all rollouts of a step have in common.

    Attributes:
        state: of the robot (x, y, yaw, v, omega), in the frame of the scene, shape (5,).
        target: wanted pose after each step, relative to the robot, shape (N, 3).
        last_command: in force until now, shape (2,).
        scene: see there.
        model_dt: step [s].
    """

    state: np.ndarray
    target: np.ndarray
    last_command: np.ndarray
    scene: Scene
    model_dt: float

    @property
    def goal(self) -> np.ndarray | None:
        """The goal relative to the robot, shape (3,); None where there is none."""
        if self.scene.goal is None:
            return None
        x, y, yaw = (float(a) - float(b) for a, b in zip(self.scene.goal, self.state[:3], strict=True))
        c, s = math.cos(self.state[2]), math.sin(self.state[2])
        return np.array([c * x + s * y, c * y - s * x, yaw])


@attrs.frozen(eq=False)
class Rollouts(Situation):
    """The rollouts of one step, N steps of K samples each; relative to the robot's pose.

    Attributes:
        x, y, yaw, v, omega: after each step [m, m, rad, m/s, rad/s], shape (N, K), float32; yaw unwrapped.
        commands: (v, omega), shape (N, 2, K), float32.
        uncertainty: standard deviation of the model's prediction of v, shape (N, K) [m/s]; None where
            the model does not tell.
    """

    x: np.ndarray
    y: np.ndarray
    yaw: np.ndarray
    v: np.ndarray
    omega: np.ndarray
    commands: np.ndarray
    uncertainty: np.ndarray | None = None


def weight(default: float) -> Any:
    """The field ``cost_weight``."""
    return tunable(default, 0.0, 1e6, "Weight of this critic")


def power(default: int = 1) -> Any:
    """The field ``cost_power``."""
    return tunable(default, 1, 4, "Power of the weighted value")


class Critic(ABC):
    """One way to judge rollouts; attrs classes with the fields ``cost_weight`` and ``cost_power``."""

    cost_weight: float
    cost_power: int
    asks_for_uncertainty = False  # whether Rollouts.uncertainty is read

    @property
    def outline(self) -> Footprint | None:
        """Of the robot, where it is kept off obstacles."""
        return None

    @abstractmethod
    def value(self, r: Rollouts) -> np.ndarray | None:
        """How bad each rollout is, shape (K,), at least 0; None when this critic has no opinion now."""

    def add_to(self, costs: np.ndarray, r: Rollouts) -> None:
        """Add the weighted value to ``costs``, shape (K,), in place."""
        value = self.value(r) if self.cost_weight else None
        if value is None:
            return
        weighted = np.float32(self.cost_weight) * value
        costs += weighted if self.cost_power == 1 else weighted**self.cost_power


class CompiledCritic(Critic):
    """A critic whose judge is asked while the rollouts are computed, see :mod:`..jury`.

    Attributes:
        judge: fills in how bad each rollout is.
        reads: what the judge reads before the last step, of X, Y, YAW, V, OMEGA, and COMMANDS at any.
        has_table: whether there is a :meth:`table`.
    """

    judge: ClassVar[Judge]
    reads: ClassVar[tuple[int, ...]] = ()
    has_table: ClassVar[bool] = False

    def size(self, steps: int) -> int:
        """How many numbers the judge takes for rollouts of so many steps."""
        return 4

    @abstractmethod
    def prepare(self, situation: Situation, numbers: Float32) -> bool:
        """Fill in the numbers for the judge; False when this critic has no opinion now."""

    def table(self, situation: Situation) -> Float32:
        """What else the judge takes, shape (R, C), C-contiguous, where this critic has an opinion."""
        raise NotImplementedError

    def value(self, r: Rollouts) -> np.ndarray | None:
        steps, _, samples = r.commands.shape
        width = -(-samples // GROUP) * GROUP
        poses = np.zeros((5, steps, width), dtype=np.float32)
        for row, values in zip(poses, (r.x, r.y, r.yaw, r.v, r.omega), strict=True):
            row[:, :samples] = values
        commands = np.zeros((steps, 2, width), dtype=np.float32)
        commands[:, :, :samples] = r.commands
        plain = attrs.evolve(self, cost_weight=1.0, cost_power=1)  # type: ignore[misc]  # each is an attrs class
        jury = Jury((plain,), steps)
        jury.target[:] = r.target
        if not jury.prepare(attrs.evolve(r, target=jury.target)):
            return None
        costs = np.zeros(width, dtype=np.float32)
        jury.judge(poses, commands, costs)
        return costs[:samples]
