"""``online_learner``: fine-tuning without restore.

The same SGD as the network of ``maml`` on the newest transitions, but each call goes on from where the
last one ended, whatever became of its candidate; the pretrained weights are only the first start.
"""

from __future__ import annotations

import attrs
import numpy as np

from ...core.errors import InvalidValueError
from ...core.types import Layers
from ...dynamics.residual import ResidualWeights
from ...dynamics.soundness import MAX_WEIGHT
from ...dynamics.transitions import Transitions
from ...weights.meta_model import MetaModel
from ..learning import LearningProblem
from ..sgd import SGDConfig, restore_then_adapt
from .base import Adaptation

NETWORK = "mb"  # whose weights, trained on all worlds at once, the learner starts from
NEWEST = 50  # transitions that a call learns from


class OnlineLearner:
    """Keeps its network between calls: the result depends on all the calls before.

    Args:
        meta: meta-model; must hold the network.
        sgd: settings of each call; its early stopping is not used.
        newest: transitions that a call learns from; None: all.
        network: whose theta* is the first start.
        name: of the adapter.
    """

    def __init__(
        self,
        meta: MetaModel,
        sgd: SGDConfig,
        newest: int | None = NEWEST,
        network: str = NETWORK,
        name: str = "online_learner",
    ) -> None:
        self._problem = LearningProblem.of(meta, network)
        if newest is not None and not newest >= 1:
            raise InvalidValueError(f"newest must be at least 1, got {newest}")
        self._meta, self._sgd, self._newest = meta, sgd, newest
        self.name, self._network = name, network
        self._layers = meta.networks[network]

    def _weights(self, layers: Layers) -> ResidualWeights:
        last, bias = layers[-1]
        scale = self._problem.output_scale
        scaled = (*layers[:-1], (last * scale[:, None], bias * scale))
        return attrs.evolve(self._meta.weights(self.name), layers=scaled)

    def start(self) -> ResidualWeights:
        return self._weights(self._meta.networks[self._network])

    def adapt(self, data: Transitions) -> Adaptation:
        samples = self._problem.of_transitions(data[-self._newest :] if self._newest else data)
        result = restore_then_adapt(
            self._layers,
            self._meta.activation,
            samples.inputs,
            samples.targets,
            self._sgd,
            output_weight=samples.output_weight,
        )
        # Nothing else would ever bring a network back that has diverged.
        largest = max(float(np.abs(part).max()) for layer in result.layers for part in layer)
        sound = largest <= MAX_WEIGHT and np.isfinite(result.loss_after)
        self._layers = result.layers if sound else self._meta.networks[self._network]
        return Adaptation(
            weights=self._weights(self._layers),
            loss_before=result.loss_before,
            loss_after=result.loss_after,
            steps=result.steps,
        )
