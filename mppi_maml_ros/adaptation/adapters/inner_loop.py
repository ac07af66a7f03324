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
from ..learning import InnerLoop, LearningProblem, extras_of
from ..sgd import NetworkGradient
from .base import Adaptation


class InnerLoopAdapter:
    """Restore theta*, then a fixed number of full-batch steps.

    Args:
        name: of the adapter and of its network.
        meta: meta-model; holds the network and the settings of its inner loop.
        head_only: leave all layers but the last as they are.
    """

    def __init__(self, name: str, meta: MetaModel, head_only: bool = False) -> None:
        self.name = name
        self._meta, self._problem = meta, LearningProblem.of(meta, name)
        self._inner, self._theta, extras = (
            InnerLoop.of(meta, name),
            meta.networks[name],
            extras_of(meta, name),
        )
        parts = []
        for i, layer in enumerate(self._theta):
            for part, value in zip(("weight", "bias"), layer, strict=True):
                frozen = head_only and i < len(self._theta) - 1
                learned = extras.get(
                    f"rate{i}.{part}", np.full(value.shape, 0.0 if frozen else self._inner.rate)
                )
                if learned.shape != value.shape:
                    raise InvalidValueError(
                        f"rate{i}.{part} must have shape {value.shape}, got {learned.shape}"
                    )
                parts.append(np.ravel(learned))
        self._rates = np.concatenate(parts).astype(np.float32)

    def start(self) -> ResidualWeights:
        return self._meta.weights(self.name, layers=self._theta)

    def adapt(self, data: Transitions) -> Adaptation:
        meta, inner = self._meta, self._inner
        samples = self._problem.of_transitions(data[-inner.window :] if inner.window else data)
        inputs, targets = samples.float32()
        net = NetworkGradient(self._theta, meta.activation, samples.output_weight)
        before = float("nan")
        for step in range(inner.steps):
            loss = net.backward(inputs, targets)
            before = loss if step == 0 else before
            norm = float(np.sqrt(np.vdot(net.gradient, net.gradient)))
            net.parameters -= self._rates * (
                net.gradient * np.float32(min(1.0, inner.max_gradient_norm / (norm + 1e-12)))
            )
        after = net.loss(inputs, targets)
        return Adaptation(meta.weights(self.name, layers=net.layers), before, after, steps=inner.steps)
