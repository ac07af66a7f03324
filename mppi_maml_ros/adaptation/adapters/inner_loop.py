"""``anil``, ``meta_sgd`` and ``grbal``: the inner loop that their networks were meta-trained for.

Each restores theta* and takes the steps that come with it: ``anil`` in the last layer alone
(Raghu et al., ICLR 2020), ``meta_sgd`` with a learned rate for each parameter (Li et al.,
arXiv:1707.09835), ``grbal`` on the last M transitions only (Nagabandi et al., ICLR 2019).
"""

from __future__ import annotations

import numpy as np

from ...core.errors import InvalidValueError
from ...dynamics.residual import ResidualWeights
from ...dynamics.transitions import Transitions
from ...weights.meta_model import MetaModel
from ..sgd import NetworkGradient
from .base import Adaptation
from .maml import output_weight

MAX_GRADIENT_NORM = 10.0
LONGEST_WINDOW = 10_000


def network_of(meta: MetaModel, name: str, *extras: str):
    """theta* of a network and what else was learned for it.

    Raises:
        InvalidValueError: the meta-model lacks them.
    """
    if name not in meta.networks:
        raise InvalidValueError(f"the meta-model has no network for {name!r}, only {sorted(meta.networks)}")
    found = meta.extras.get(name, {})
    missing = [key for key in extras if key not in found]
    if missing:
        raise InvalidValueError(f"the meta-model lacks {', '.join(missing)} of the network {name!r}")
    return meta.networks[name], found


def window_of(meta: MetaModel, name: str) -> int | None:
    """Newest transitions that a network was trained to be adapted on, M; None where it takes all.

    Raises:
        InvalidValueError: M is out of range.
    """
    window = meta.extras.get(name, {}).get("window")
    if window is None:
        return None
    if not 1.0 <= float(window[0]) <= LONGEST_WINDOW:
        raise InvalidValueError(
            f"window of the network {name!r} must be in [1, {LONGEST_WINDOW}], got {window[0]}"
        )
    return int(window[0])


def normalised(meta: MetaModel, name: str, data: Transitions) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets as the network ``name`` was trained on them, float32."""
    targets = data.residuals / meta.output_scale[name]
    return (data.inputs * meta.input_scale).astype(np.float32), targets.astype(np.float32)


class InnerLoopAdapter:
    """Restore theta*, then a fixed number of full-batch steps.

    Args:
        name: of the adapter and of its network.
        meta: meta-model; holds the network and the settings of its inner loop.
        head_only: leave all layers but the last as they are.
    """

    def __init__(self, name: str, meta: MetaModel, head_only: bool = False):
        self.name = name
        self._meta, self._newest = meta, window_of(meta, name)
        self._theta, extras = network_of(meta, name, "inner")
        rate, steps = float(extras["inner"][0]), float(extras["inner"][1])
        if not (0.0 < rate <= 10.0 and 1.0 <= steps <= 1000.0):
            raise InvalidValueError(
                f"inner of the network {name!r} must be a rate in (0, 10] and steps in [1, 1000], "
                f"got {rate}, {steps}"
            )
        self._steps = int(steps)
        parts = []
        for i, layer in enumerate(self._theta):
            for part, value in zip(("weight", "bias"), layer, strict=True):
                frozen = head_only and i < len(self._theta) - 1
                learned = extras.get(f"rate{i}.{part}", np.full(value.shape, 0.0 if frozen else rate))
                if learned.shape != value.shape:
                    raise InvalidValueError(
                        f"rate{i}.{part} must have shape {value.shape}, got {learned.shape}"
                    )
                parts.append(np.ravel(learned))
        self._rates = np.concatenate(parts).astype(np.float32)

    def start(self) -> ResidualWeights:
        return self._meta.weights(self.name, layers=self._theta)

    def adapt(self, data: Transitions) -> Adaptation:
        meta = self._meta
        inputs, targets = normalised(meta, self.name, data[-self._newest :] if self._newest else data)
        net = NetworkGradient(
            self._theta, meta.activation, output_weight(meta.output_scale[self.name], meta.noise)
        )
        before = None
        for _ in range(self._steps):
            loss = net.backward(inputs, targets)
            before = loss if before is None else before
            norm = float(np.sqrt(np.vdot(net.gradient, net.gradient)))
            net.parameters -= self._rates * (
                net.gradient * np.float32(min(1.0, MAX_GRADIENT_NORM / (norm + 1e-12)))
            )
        after = net.loss(inputs, targets)
        return Adaptation(meta.weights(self.name, layers=net.layers), before, after, steps=self._steps)
