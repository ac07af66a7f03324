"""A robot's learned policy as a file, and what drives by it: numpy alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import ArrayLike

from ..core import artifact
from ..core.errors import ArtifactError, InvalidValueError
from ..core.types import Array
from .environments import tracking

KIND = "mppi_maml_ros/policy"
FOLDER = Path(__file__).resolve().parent.parent / "artifacts" / "policies"
FLAT = "policy"  # tensor of a policy without memory: weights and biases of its layers, then log-deviations


@attrs.frozen(eq=False)
class RobotPolicy:
    """A policy of :class:`.environments.tracking.ReferenceTracking`.

    Attributes:
        name: of what learned it.
        tensors: FLAT alone, or those of a GRU and its heads as torch names them.
        notes: ``widths`` of the layers, and ``activation``; ``inner_lr`` of the step that adapts it, 0 for
            none, on ``trajectories`` of ``horizon`` steps; ``env_steps`` that it was trained on, ``seed``.
    """

    name: str
    tensors: Mapping[str, np.ndarray]
    notes: Mapping[str, Any]

    @property
    def recurrent(self) -> bool:
        """Whether it has a memory."""
        return FLAT not in self.tensors

    @property
    def robot_steps(self) -> int:
        """That adapting it takes on the robot before it drives."""
        return int(self.notes["trajectories"] * self.notes["horizon"]) if self.notes["inner_lr"] else 0

    def save(self, path: Path) -> Path:
        """Write it."""
        notes = {"kind": KIND, "name": self.name, **self.notes}
        return artifact.save(path, dict(self.tensors), notes)

    @classmethod
    def load(cls, path: Path) -> RobotPolicy:
        """Read what :meth:`save` wrote.

        Raises:
            ArtifactError: not such a file, or of another shape.
        """
        tensors, notes = artifact.load(path)
        if notes.pop("kind", None) != KIND:
            raise ArtifactError(f"{path.name} is no policy of a robot")
        try:
            found = cls(notes.pop("name"), tensors, notes)
            fits = found.actor()(np.zeros(tracking.OBSERVATIONS, dtype=np.float32)).shape == (2,)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ArtifactError(f"{path.name} is damaged: {error}") from error
        if not fits:
            raise ArtifactError(f"{path.name} does not command v and omega")
        return found

    def actor(self) -> Actor:
        """What acts by it, at the start of a drive."""
        return Recurrent(self.tensors) if self.recurrent else Memoryless(self)


class Memoryless:
    """The mean action of a multilayer perceptron."""

    def __init__(self, policy: RobotPolicy) -> None:
        flat, widths = policy.tensors[FLAT], policy.notes["widths"]
        self._layers, at = [], 0
        for i, o in zip(widths, widths[1:], strict=False):
            weight = flat[at : at + o * i].reshape(o, i)
            self._layers.append((weight, flat[at + o * i : at + o * (i + 1)]))
            at += o * (i + 1)
        self._tanh = policy.notes["activation"] == "tanh"

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """Of an observation (O,), (A,)."""
        value = observation
        for weight, bias in self._layers[:-1]:
            value = weight @ value + bias
            value = np.tanh(value) if self._tanh else np.maximum(value, 0.0)
        weight, bias = self._layers[-1]
        action: np.ndarray = weight @ value + bias
        return action

    def paid(self, reward: float) -> None:
        """What the last action earned; it does not remember."""


class Recurrent:
    """The mean action of a GRU that sees its last action and reward."""

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        self._t = tensors
        self._state = np.zeros(tensors["memory.weight_hh_l0"].shape[1], dtype=np.float32)
        self._action, self._reward = np.zeros(2, dtype=np.float32), 0.0

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """Of an observation (O,), (A,)."""
        t, state = self._t, self._state
        now = np.concatenate([observation, self._action, [self._reward, 0.0]], dtype=np.float32)
        seen = np.split(t["memory.weight_ih_l0"] @ now + t["memory.bias_ih_l0"], 3)
        kept = np.split(t["memory.weight_hh_l0"] @ state + t["memory.bias_hh_l0"], 3)
        reset, update = (1.0 / (1.0 + np.exp(-(seen[i] + kept[i]))) for i in (0, 1))
        self._state = (1.0 - update) * np.tanh(seen[2] + reset * kept[2]) + update * state
        self._action = t["logits.weight"] @ self._state + t["logits.bias"]
        return self._action

    def paid(self, reward: float) -> None:
        """What the last action earned."""
        self._reward = reward


Actor = Memoryless | Recurrent


@attrs.frozen(eq=False)
class Chosen:
    """A command (v, omega), (2,)."""

    command: Array


class PolicyController:
    """Drives by a policy in place of MPPI; as ``control.step.Mppi`` wants it.

    Args:
        policy: adapted, where it is one that is.
    """

    footprint = None

    def __init__(self, policy: RobotPolicy) -> None:
        self.policy = policy
        self.command_per_speed: Array = np.ones(2)
        self._actor: Actor = policy.actor()
        self._action: np.ndarray | None = None

    def compute_control(
        self, state: Array, reference: Array, history: Array, last_command: Array, *_: object
    ) -> Chosen:
        """The mean action; models, scenes and pushes are not asked.

        Raises:
            InvalidValueError: ``reference`` does not reach as far as the policy looks.
        """
        if len(reference) < tracking.WINDOW:
            raise InvalidValueError(
                f"a policy looks {tracking.WINDOW - 1} steps ahead, got {len(reference) - 1}"
            )
        if self._action is not None:
            self._actor.paid(float(tracking.reward(state, reference[0], self._action)))
        self._action = self._actor(tracking.observe(state, reference, last_command))
        return Chosen(tracking.command(self._action, reference))

    def optimal_trajectory(self, state: ArrayLike, *_: object) -> Array:
        """Where the robot is, (1, 3): a policy plans no way."""
        return np.asarray(state, dtype=float)[None, :3]

    def reset(self) -> None:
        """Forget the drive so far."""
        self._actor, self._action = self.policy.actor(), None
