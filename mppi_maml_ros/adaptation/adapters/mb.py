"""The plain supervised network, and its dynamic evaluation: MB and MB+DE of Nagabandi et al. (ICLR 2019).

Baselines of GrBAL and ReBAL, not in the registry: nobody would serve them.
"""

from __future__ import annotations

from ...dynamics.residual import ResidualWeights
from ...dynamics.transitions import Transitions
from ...weights.meta_model import MetaModel
from ..learning import InnerLoop, LearningProblem
from ..sgd import SGDConfig
from .base import Adaptation
from .online_learner import OnlineLearner


class MBAdapter:
    """Gives the same network whatever the data.

    Args:
        meta: meta-model; must hold a network ``mb``.
    """

    name = "mb"

    def __init__(self, meta: MetaModel) -> None:
        self._meta, self._problem = meta, LearningProblem.of(meta, self.name)
        self._theta = meta.networks[self.name]

    def start(self) -> ResidualWeights:
        return self._meta.weights(self.name, layers=self._theta)

    def adapt(self, data: Transitions) -> Adaptation:
        weights = self.start()
        loss = self._problem.loss(weights, data)
        return Adaptation(weights, loss, loss)


def dynamic_evaluation(meta: MetaModel) -> OnlineLearner:
    """MB+DE: steps on the newest transitions at each call, without restore (Krause et al., ICML 2018)."""
    inner = InnerLoop.of(meta, "mb", "dynamic")
    sgd = SGDConfig(inner.rate, inner.steps, max_gradient_norm=inner.max_gradient_norm, patience=0)
    return OnlineLearner(meta, sgd, newest=inner.window, network="mb", name="mb+de")
