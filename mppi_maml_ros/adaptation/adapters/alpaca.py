"""``alpaca``: Bayesian linear regression on features that were meta-learned for it.

Closed form, no gradient steps (Harrison et al., WAFR 2018): the head's prior and the noise come
from meta-training, the window gives the posterior.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InvalidValueError
from ...core.types import Array, Float32
from ...dynamics.residual import ResidualWeights, hidden_output
from ...dynamics.transitions import Transitions
from ...weights.meta_model import MetaModel
from ..learning import LearningProblem, extras_of
from .base import Adaptation


class ALPaCAAdapter:
    """See the module.

    Args:
        meta: meta-model; must hold a network ``alpaca`` with its prior precision.
    """

    name = "alpaca"

    def __init__(self, meta: MetaModel) -> None:
        self._meta, self._problem = meta, LearningProblem.of(meta, self.name)
        self._theta, extras = meta.networks[self.name], extras_of(meta, self.name, "precision", "noise")
        self._head = np.column_stack(self._theta[-1]).astype(float)  # (3, Q), the bias last
        self._precision = extras["precision"].astype(float)
        self._noise = extras["noise"].astype(float)
        size = self._head.shape[1]
        if self._precision.shape != (size, size) or not (np.linalg.eigvalsh(self._precision) > 0.0).all():
            raise InvalidValueError(f"precision must be positive definite of shape ({size}, {size})")
        self._factor: NDArray[Any] | None = None

    def start(self) -> ResidualWeights:
        return self._meta.weights(self.name, layers=self._theta)

    def _features(self, inputs: Array | Float32) -> Array:
        hidden = hidden_output(self._theta[:-1], inputs, self._meta.activation)
        return np.column_stack([hidden, np.ones(len(hidden))]).astype(float)

    def adapt(self, data: Transitions) -> Adaptation:
        inputs, targets = self._problem.of_transitions(data).float32()
        psi = self._features(inputs)
        precision = self._precision + psi.T @ psi
        head = np.linalg.solve(precision, psi.T @ targets + self._precision @ self._head.T).T
        self._factor = np.linalg.cholesky(precision)
        before, after = (
            float(np.mean(np.sum((psi @ h.T - targets) ** 2, axis=1))) for h in (self._head, head)
        )
        layers = (*self._theta[:-1], (head[:, :-1], head[:, -1]))
        return Adaptation(self._meta.weights(self.name, layers=layers), before, after)

    def variance(self, inputs: Array) -> Array:
        """Predictive variance of the residual under the last fit, noise included, (M, 3) in SI units.

        Args:
            inputs: z, shape (M, Z).
        """
        factor = np.linalg.cholesky(self._precision) if self._factor is None else self._factor
        psi = self._features(np.asarray(inputs) * self._meta.input_scale)
        spread = 1.0 + np.sum(np.linalg.solve(factor, psi.T) ** 2, axis=0)
        variance: Array = spread[:, None] * self._noise * self._meta.output_scale[self.name] ** 2
        return variance
