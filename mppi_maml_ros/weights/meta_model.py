"""What meta-training leaves behind and adaptation starts from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import ArrayLike

from ..core import artifact
from ..core.arrays import read_only_float32
from ..core.errors import ArtifactError, InvalidValueError
from ..core.types import Float32, Layers
from ..dynamics.features import feature_size, input_size
from ..dynamics.identification.physics import PhysicsPrior
from ..dynamics.residual import ResidualWeights
from ..dynamics.soundness import OUTPUTS

KIND = "mppi_maml_ros/meta_model"
VERSION = 2
PACKAGED = Path(__file__).resolve().parent.parent / "artifacts" / "default.safetensors"

# What artifacts of version 1 do not say, by network: it was the same for all of them.
_CLIPPED: dict[str, tuple[float, ...]] = {"max_gradient_norm": (10.0,)}
_VERSION_1: dict[str, dict[str, tuple[float, ...]]] = {
    **dict.fromkeys(("physics+maml", "maml", "anil", "meta_sgd", "grbal"), _CLIPPED),
    "rebal": {"window": (32.0,)},
    "mb": _CLIPPED | {"window": (100.0,), "dynamic": (0.001, 40.0)},
}


def _read_only(extras: Mapping[str, Mapping[str, ArrayLike]]) -> dict[str, dict[str, Float32]]:
    return {
        name: {key: read_only_float32(value) for key, value in tensors.items()}
        for name, tensors in extras.items()
    }


@attrs.frozen(eq=False)
class MetaModel:
    """Meta-learned starting point of the adapters.

    Attributes:
        networks: theta* of each adapter that has a network: name -> (W, b) pairs. The network
            sees z * input_scale and its output is multiplied by its output_scale.
        input_scale: shape (4 + 2 delay_taps,).
        output_scale: name -> typical size of what that network has to learn, shape (3,).
        noise: typical measurement noise variance of the residuals, shape (3,).
        physics: empirical prior of the physics layer.
        activation: of the hidden layers.
        delay_taps: past commands among the inputs.
        model_dt: step [s].
        inner_lr, inner_steps: of the inner loop that theta* was trained for.
        extras: what an adapter needs besides its network (rates and steps, clipping, window, encoder), as
            read-only arrays: name -> tensors; which ones, the trainer of that network says.
        provenance: everything needed to train it again (settings, seed, versions).
    """

    networks: dict[str, Layers]
    input_scale: Float32 = attrs.field(converter=read_only_float32)
    output_scale: dict[str, Float32]
    noise: Float32 = attrs.field(converter=read_only_float32)
    physics: PhysicsPrior
    activation: str
    delay_taps: int
    model_dt: float
    inner_lr: float
    inner_steps: int
    extras: dict[str, dict[str, Float32]] = attrs.field(
        factory=dict,
        converter=_read_only,
    )
    provenance: dict[str, Any] = attrs.field(factory=dict)

    def weights(
        self,
        adapter: str,
        linear: ArrayLike | None = None,
        layers: Layers | None = None,
        blend: float = 1.0,
        error_model: ArrayLike | None = None,
        covariance: ArrayLike | None = None,
        momentum: ArrayLike | None = None,
        observer: ArrayLike | None = None,
    ) -> ResidualWeights:
        """Serving weights from normalised layers (None: no network) and a linear map (None: zero)."""
        scaled: Layers = ()
        if layers:
            weight, bias = layers[-1]
            scale = self.output_scale[adapter]
            last = (weight * scale[:, None], bias * scale)
            scaled = (*layers[:-1], last)
        return ResidualWeights(
            linear=np.zeros((OUTPUTS, feature_size(self.delay_taps))) if linear is None else linear,
            layers=scaled,
            input_scale=self.input_scale,
            displacement_blend=blend,
            activation=self.activation,
            delay_taps=self.delay_taps,
            model_dt=self.model_dt,
            adapter=adapter,
            error_model=np.zeros((3, 2)) if error_model is None else error_model,
            covariance=np.zeros((0, 0)) if covariance is None else covariance,
            momentum=np.zeros(2) if momentum is None else momentum,
            observer=np.ones((2, 2)) if observer is None else observer,
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the artifact atomically; see :func:`core.artifact.save`."""
        tensors = {"input_scale": self.input_scale, "noise": self.noise}
        for field in ("mean", "covariance", "weight", "delay", "noise"):
            tensors[f"physics.{field}"] = getattr(self.physics, field)
        for name, layers in self.networks.items():
            tensors[f"network.{name}.output_scale"] = self.output_scale[name]
            for i, (weight, bias) in enumerate(layers):
                tensors[f"network.{name}.layer{i}.weight"] = weight
                tensors[f"network.{name}.layer{i}.bias"] = bias
        for name, extra in self.extras.items():
            for key, value in extra.items():
                tensors[f"extra.{name}/{key}"] = value
        manifest = {
            "kind": KIND,
            "version": VERSION,
            "activation": self.activation,
            "delay_taps": self.delay_taps,
            "model_dt": self.model_dt,
            "inner_lr": self.inner_lr,
            "inner_steps": self.inner_steps,
            "provenance": self.provenance,
        }
        return artifact.save(path, tensors, manifest)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> MetaModel:
        """Read and check an artifact.

        Raises:
            ArtifactError: unreadable, damaged, of another kind, or a tensor has the wrong shape.
        """
        tensors, manifest = artifact.load(path)
        if manifest.get("kind") != KIND:
            raise ArtifactError(f"artifact kind must be {KIND!r}, got {manifest.get('kind')!r}")
        if manifest.get("version", 1) not in (1, VERSION):
            raise ArtifactError(f"version must be 1 or {VERSION}, got {manifest['version']!r}")
        try:
            return cls._from(tensors, manifest)
        except KeyError as error:
            raise ArtifactError(f"artifact lacks {error}") from error
        except (InvalidValueError, TypeError, ValueError, np.linalg.LinAlgError) as error:
            raise ArtifactError(f"artifact is not usable: {error}") from error

    @classmethod
    def _from(cls, tensors: dict[str, Float32], manifest: dict[str, Any]) -> MetaModel:
        taps = int(manifest["delay_taps"])
        size, inputs = feature_size(taps), input_size(taps)
        components, levels = len(tensors["physics.weight"]), len(tensors["physics.noise"])
        shapes = {
            "input_scale": (inputs,),
            "noise": (OUTPUTS,),
            "physics.mean": (components, OUTPUTS, size),
            "physics.covariance": (components, OUTPUTS, size, size),
            "physics.weight": (components,),
            "physics.delay": (components,),
            "physics.noise": (levels, OUTPUTS),
        }
        for name, shape in shapes.items():
            if tensors[name].shape != shape:
                raise InvalidValueError(f"tensor {name!r} must have shape {shape}, got {tensors[name].shape}")
        networks: dict[str, Layers] = {}
        names = {name.split(".")[1] for name in tensors if name.startswith("network.")}
        for name in names:
            if tensors[f"network.{name}.output_scale"].shape != (OUTPUTS,):
                raise InvalidValueError(f"tensor 'network.{name}.output_scale' must have shape ({OUTPUTS},)")
        for name in sorted(names):
            depth = sum(key.startswith(f"network.{name}.") and key.endswith(".weight") for key in tensors)
            networks[name] = tuple(
                (tensors[f"network.{name}.layer{i}.weight"], tensors[f"network.{name}.layer{i}.bias"])
                for i in range(depth)
            )
        extras: dict[str, dict[str, Float32]] = {}
        for key in tensors:
            if key.startswith("extra."):
                name, _, part = key.removeprefix("extra.").partition("/")
                extras.setdefault(name, {})[part] = tensors[key]
        if manifest.get("version", 1) == 1:
            for name in networks.keys() & _VERSION_1.keys():
                unsaid = {part: read_only_float32(value) for part, value in _VERSION_1[name].items()}
                extras[name] = unsaid | extras.get(name, {})
        model = cls(
            networks=networks,
            input_scale=tensors["input_scale"],
            output_scale={name: tensors[f"network.{name}.output_scale"] for name in names},
            noise=tensors["noise"],
            physics=PhysicsPrior(
                **{f: tensors[f"physics.{f}"] for f in ("mean", "covariance", "weight", "delay", "noise")},
                model_dt=float(manifest["model_dt"]),
            ),
            activation=str(manifest["activation"]),
            delay_taps=taps,
            model_dt=float(manifest["model_dt"]),
            inner_lr=float(manifest["inner_lr"]),
            inner_steps=int(manifest["inner_steps"]),
            extras=extras,
            provenance=dict(manifest.get("provenance", {})),
        )
        for name, layers in networks.items():
            model.weights(name, layers=layers)  # checks every shape
        return model
