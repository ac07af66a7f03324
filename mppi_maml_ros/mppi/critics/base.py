"""What a critic is: it looks at all rollouts of a step and says how bad each one is.

A critic is one file in this folder with one class; its name is the file's. Its attrs fields are its
parameters, ``<name>.<field>`` in the node, and it is at work when its name is in the list ``critics``.
Costs are added as ``(cost_weight * value) ** cost_power``, as in nav2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import attrs
import numpy as np

from ...core.tunable import tunable
from ..costmap import Costmap


@attrs.frozen(eq=False)
class Scene:
    """What there is besides the reference; poses in the frame of the state.

    Attributes:
        goal: last pose of the path, shape (3,); None where there is no goal.
        remaining: way left along the path [m]; infinite where there is no goal.
        costmap: obstacles; None where none are known.
    """

    goal: np.ndarray | None = None
    remaining: float = np.inf
    costmap: Costmap | None = None


@attrs.frozen(eq=False)
class Rollouts:
    """The rollouts of one step, N steps of K samples each; relative to the robot's pose.

    Attributes:
        x, y, yaw, v, omega: after each step [m, m, rad, m/s, rad/s], shape (N, K), float32; yaw unwrapped.
        commands: (v, omega), shape (N, 2, K), float32.
        state: of the robot (x, y, yaw, v, omega), in the frame of the scene, shape (5,).
        target: wanted pose after each step, relative to the robot, shape (N, 3).
        last_command: in force until now, shape (2,).
        scene: see there.
        model_dt: step [s].
        uncertainty: standard deviation of the model's prediction of v, shape (N, K) [m/s]; None where
            the model does not tell.
    """

    x: np.ndarray
    y: np.ndarray
    yaw: np.ndarray
    v: np.ndarray
    omega: np.ndarray
    commands: np.ndarray
    state: np.ndarray
    target: np.ndarray
    last_command: np.ndarray
    scene: Scene
    model_dt: float
    uncertainty: np.ndarray | None = None

    @property
    def goal(self) -> np.ndarray | None:
        """The goal relative to the robot, shape (3,); None where there is none."""
        if self.scene.goal is None:
            return None
        dx, dy = self.scene.goal[:2] - self.state[:2]
        c, s = np.cos(self.state[2]), np.sin(self.state[2])
        return np.array([c * dx + s * dy, c * dy - s * dx, self.scene.goal[2] - self.state[2]])


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
    footprint_radius: float | None = None  # [m] of the disc that keeps off obstacles, where one is judged
    asks_for_uncertainty = False  # whether Rollouts.uncertainty is read

    @abstractmethod
    def value(self, r: Rollouts) -> np.ndarray | None:
        """How bad each rollout is, shape (K,), at least 0; None when this critic has no opinion now."""

    def add_to(self, costs: np.ndarray, r: Rollouts) -> None:
        """Add the weighted value to ``costs``, shape (K,), in place."""
        if self.cost_weight == 0.0:
            return
        value = self.value(r)
        if value is None:
            return
        weighted = np.float32(self.cost_weight) * value
        costs += weighted if self.cost_power == 1 else weighted**self.cost_power


def wrapped(angle: np.ndarray) -> np.ndarray:
    """Angles in [-pi, pi], any float type."""
    return angle - 2.0 * np.pi * np.rint(angle / (2.0 * np.pi))
