"""A neural network as the whole model, learned offline from recorded transitions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
import torch
from numpy.typing import ArrayLike

from ..core import artifact
from ..core.angles import wrap
from ..core.arrays import read_only_float32
from ..core.errors import ArtifactError, InvalidValueError
from .mlp import FitConfig, Layers, forward, initial_layers, train
from .robot_model import YAW, RobotModel, body_rates, transitions_of, world_rates
from .soundness import ACTIVATIONS

KIND = "mppi_maml_ros/neural_dynamics"


@attrs.frozen(eq=False)
class Normaliser:
    """Mean and standard deviation of what goes in and what comes out.

    Attributes:
        input_mean, input_std: shape (inputs,); target_mean, target_std: shape (outputs,).
    """

    input_mean: np.ndarray = attrs.field(converter=read_only_float32)
    input_std: np.ndarray = attrs.field(converter=read_only_float32)
    target_mean: np.ndarray = attrs.field(converter=read_only_float32)
    target_std: np.ndarray = attrs.field(converter=read_only_float32)

    def __attrs_post_init__(self) -> None:
        for name in ("input_std", "target_std"):
            if not (getattr(self, name) > 0.0).all():
                raise InvalidValueError(f"{name} must be above 0")
        for name, value in attrs.asdict(self).items():
            if not np.isfinite(value).all():
                raise InvalidValueError(f"{name} must be finite")

    @classmethod
    def identity(cls, inputs: int, outputs: int) -> Normaliser:
        """Changes nothing."""
        return cls(np.zeros(inputs), np.ones(inputs), np.zeros(outputs), np.ones(outputs))

    @classmethod
    def of(cls, inputs: np.ndarray, targets: np.ndarray) -> Normaliser:
        """That of data (M, inputs) and (M, outputs); a constant column keeps its scale."""

        def spread(array: np.ndarray) -> np.ndarray:
            std = np.std(array, axis=0)
            return np.where(std > 1e-6, std, 1.0)

        return cls(np.mean(inputs, axis=0), spread(inputs), np.mean(targets, axis=0), spread(targets))


class NeuralDynamics(RobotModel):
    """state_dot by a network on what does not depend on where the robot stands and looks.

    Inputs are the state without the pose, and the command; outputs are the velocity in the body frame
    (forward, lateral, yaw rate) and, with five states, the accelerations. A network that has not been
    trained says zero.

    Args:
        state_dim: 3 (pose) or 5 (pose and twist).
        control_dim: 2.
        hidden_dims: widths of the hidden layers.
        activation: ``tanh`` or ``relu``.
        model_path: file to load, which then decides on the network.
        device: where torch computes, ``cpu`` or ``cuda``.
        seed: of the hidden layers.
    """

    kind = KIND

    def __init__(
        self,
        state_dim: int = 3,
        control_dim: int = 2,
        hidden_dims: Sequence[int] = (128, 128),
        activation: str = "tanh",
        model_path: str | os.PathLike[str] | None = None,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        if state_dim not in (3, 5):
            raise InvalidValueError(f"state_dim must be 3 or 5, got {state_dim}")
        if control_dim != 2:
            raise InvalidValueError(f"control_dim must be 2, got {control_dim}")
        if activation not in ACTIVATIONS:
            raise InvalidValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        self._state_dim, self._activation = state_dim, activation
        self._device = torch.device(device)
        self.layers = initial_layers(self.input_dim, state_dim, hidden_dims, seed)
        self.normaliser = Normaliser.identity(self.input_dim, state_dim)
        if model_path is not None:
            self.load(model_path)

    @property
    def state_dim(self) -> int:
        return self._state_dim

    @property
    def model_type(self) -> str:
        return "learned"

    @property
    def input_dim(self) -> int:
        """Inputs of the network: the state without the pose, and the command."""
        return self._state_dim - 3 + self.control_dim

    @property
    def activation(self) -> str:
        """Of the hidden layers."""
        return self._activation

    @property
    def layers(self) -> Layers:
        """(W, b) pairs, W of shape (out, in), input side first; copies."""
        return [(w.clone(), b.clone()) for w, b in self._layers]

    @layers.setter
    def layers(self, layers: Sequence[tuple[torch.Tensor | np.ndarray, torch.Tensor | np.ndarray]]) -> None:
        checked, width = [], self.input_dim
        for i, (weight, bias) in enumerate(layers):
            weight = torch.as_tensor(weight, dtype=torch.float32).detach().clone().to(self._device)
            bias = torch.as_tensor(bias, dtype=torch.float32).detach().clone().to(self._device)
            rows = self._state_dim if i == len(layers) - 1 else weight.shape[0]
            if weight.shape != (rows, width) or bias.shape != (rows,):
                raise InvalidValueError(
                    f"layer{i} must have shapes ({rows}, {width}) and ({rows},), "
                    f"got {tuple(weight.shape)} and {tuple(bias.shape)}"
                )
            checked.append((weight, bias))
            width = rows
        if not checked:
            raise InvalidValueError("a network needs at least one layer")
        self._layers = checked

    def inputs_of(self, states: np.ndarray, controls: np.ndarray) -> torch.Tensor:
        """Normalised inputs of the network, (..., input_dim)."""
        n = self.normaliser
        raw = np.concatenate([states[..., 3:], controls], axis=-1)
        return torch.as_tensor((raw - n.input_mean) / n.input_std, dtype=torch.float32, device=self._device)

    def targets_of(self, states: np.ndarray, state_dots: np.ndarray) -> torch.Tensor:
        """Normalised targets of the network for state_dot (..., nx)."""
        n = self.normaliser
        body = body_rates(state_dots, states[..., YAW])
        return torch.as_tensor(
            (body - n.target_mean) / n.target_std, dtype=torch.float32, device=self._device
        )

    def forward_dynamics(self, state: ArrayLike, control: ArrayLike) -> np.ndarray:
        state, control = self._checked(state, control)
        with torch.no_grad():
            out = forward(self._layers, self.inputs_of(state, control), self._activation)
        n = self.normaliser
        body = out.cpu().numpy().astype(float) * n.target_std + n.target_mean
        return world_rates(body, state[..., YAW])

    def step(self, state: ArrayLike, control: ArrayLike, dt: float) -> np.ndarray:
        """One Euler step: the network learns the mean of state_dot over a step."""
        state, control = self._checked(state, control)
        after = state + dt * self.forward_dynamics(state, control)
        after[..., YAW] = wrap(after[..., YAW])
        return after

    def fit(
        self,
        states: ArrayLike,
        controls: ArrayLike,
        next_states: ArrayLike,
        dt: float,
        config: FitConfig | None = None,
    ) -> np.ndarray:
        """Learn from transitions, all of them at once; the normaliser becomes theirs.

        Args:
            states: (M, nx); controls: (M, nu); next_states: (M, nx); dt: step [s].
            config: settings.

        Returns:
            Training and validation loss of each epoch (normalised), shape (epochs, 2).
        """
        states, controls, state_dots = transitions_of(self, states, controls, next_states, dt)
        raw = np.concatenate([states[:, 3:], controls], axis=1)
        self.normaliser = Normaliser.of(raw, body_rates(state_dots, states[:, YAW]))
        inputs, targets = self.inputs_of(states, controls), self.targets_of(states, state_dots)
        self.layers, losses = train(self._layers, self._activation, inputs, targets, config or FitConfig())
        return losses

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write network and normaliser, see :func:`core.artifact.save`."""
        tensors = {f"normaliser.{name}": value for name, value in attrs.asdict(self.normaliser).items()}
        for i, (weight, bias) in enumerate(self._layers):
            tensors[f"layer{i}.weight"] = weight.cpu().numpy()
            tensors[f"layer{i}.bias"] = bias.cpu().numpy()
        manifest = {"kind": KIND, "state_dim": self._state_dim, "activation": self._activation}
        return artifact.save(path, tensors, manifest)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Read what :meth:`save` wrote; on an error nothing has changed.

        Raises:
            ArtifactError: not such a file, damaged, or of a model with other states.
        """
        tensors, manifest = artifact.load(path)
        if manifest.get("kind") != KIND:
            raise ArtifactError(f"artifact kind must be {KIND!r}, got {manifest.get('kind')!r}")
        if manifest.get("state_dim") != self._state_dim:
            raise ArtifactError(
                f"the model in the file has state_dim {manifest.get('state_dim')}, not {self._state_dim}"
            )
        if manifest.get("activation") not in ACTIVATIONS:
            raise ArtifactError(f"unknown activation {manifest.get('activation')!r}")
        depth = sum(name.startswith("layer") and name.endswith(".weight") for name in tensors)
        try:
            normaliser = Normaliser(
                *(tensors[f"normaliser.{field.name}"] for field in attrs.fields(Normaliser))
            )
            widths = (self.input_dim, self.input_dim, self._state_dim, self._state_dim)
            if [value.shape for value in attrs.astuple(normaliser)] != [(width,) for width in widths]:
                raise InvalidValueError("the normaliser has the wrong shape")
            self.layers = [(tensors[f"layer{i}.weight"], tensors[f"layer{i}.bias"]) for i in range(depth)]
        except KeyError as error:
            raise ArtifactError(f"artifact lacks {error}") from error
        except (InvalidValueError, IndexError) as error:
            raise ArtifactError(f"artifact is not usable: {error}") from error
        self.normaliser, self._activation = normaliser, manifest["activation"]
