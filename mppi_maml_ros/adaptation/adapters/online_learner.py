"""``online_learner``: fine-tuning without restore.

The same SGD as ``maml`` on the newest transitions, but each call goes on from where the last one
ended, whatever became of its candidate; the meta-learned weights are only the first start.
"""

from __future__ import annotations

import attrs
import numpy as np

from ...core.errors import InvalidValueError
from ...dynamics.residual import MAX_WEIGHT, ResidualWeights
from ...dynamics.transitions import Transitions
from ...weights.meta_model import MetaModel
from ..sgd import SGDConfig, restore_then_adapt
from .base import Adaptation
from .maml import output_weight

NETWORK = "maml"  # whose theta* the learner starts from
NEWEST = 50  # transitions that a call learns from


class OnlineLearner:
    """Keeps its network between calls: the result depends on all the calls before.

    Args:
        meta: meta-model; must hold the network.
        sgd: settings of each call; its early stopping is not used.
        newest: transitions that a call learns from.
        network: whose theta* is the first start.
        name: of the adapter.
    """

    def __init__(
        self,
        meta: MetaModel,
        sgd: SGDConfig,
        newest: int = NEWEST,
        network: str = NETWORK,
        name: str = "online_learner",
    ):
        if network not in meta.networks:
            raise InvalidValueError(
                f"the meta-model has no network for {network!r}, only {sorted(meta.networks)}"
            )
        if not newest >= 1:
            raise InvalidValueError(f"newest must be at least 1, got {newest}")
        self._meta, self._sgd, self._newest = meta, sgd, newest
        self.name, self._network = name, network
        self._scale = meta.output_scale[network]
        self._layers = meta.networks[network]

    def _weights(self, layers) -> ResidualWeights:
        last, bias = layers[-1]
        scaled = (*layers[:-1], (last * self._scale[:, None], bias * self._scale))
        return attrs.evolve(self._meta.weights(self.name), layers=scaled)

    def start(self) -> ResidualWeights:
        return self._weights(self._meta.networks[self._network])

    def adapt(self, data: Transitions) -> Adaptation:
        newest = data[-self._newest :]
        result = restore_then_adapt(
            self._layers,
            self._meta.activation,
            newest.inputs * self._meta.input_scale,
            newest.residuals / self._scale,
            self._sgd,
            output_weight=output_weight(self._scale, self._meta.noise),
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
