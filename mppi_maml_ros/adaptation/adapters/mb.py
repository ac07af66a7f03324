"""The plain supervised network, and its dynamic evaluation: MB and MB+DE of Nagabandi et al. (ICLR 2019).

Baselines of GrBAL and ReBAL, not in the registry: nobody would serve them.
"""

from __future__ import annotations

import numpy as np

from ...dynamics.residual import ResidualWeights, correction
from ...dynamics.transitions import Transitions
from ...weights.meta_model import MetaModel
from ..sgd import SGDConfig
from .base import Adaptation
from .inner_loop import network_of
from .online_learner import OnlineLearner

DYNAMIC = SGDConfig(inner_lr=0.001, inner_steps=40, patience=0)
DYNAMIC_WINDOW = 100  # newest transitions of a call


class MBAdapter:
    """Gives the same network whatever the data.

    Args:
        meta: meta-model; must hold a network ``mb``.
    """

    name = "mb"

    def __init__(self, meta: MetaModel):
        self._meta = meta
        self._theta, _ = network_of(meta, self.name)

    def start(self) -> ResidualWeights:
        return self._meta.weights(self.name, layers=self._theta)

    def adapt(self, data: Transitions) -> Adaptation:
        weights = self.start()
        error = (correction(weights, data.inputs) - data.residuals) / self._meta.output_scale[self.name]
        loss = float(np.mean(np.sum(error**2, axis=1)))
        return Adaptation(weights, loss, loss)


def dynamic_evaluation(meta: MetaModel) -> OnlineLearner:
    """MB+DE: steps on the newest transitions at each call, without restore (Krause et al., ICML 2018)."""
    return OnlineLearner(meta, DYNAMIC, newest=DYNAMIC_WINDOW, network="mb", name="mb+de")
