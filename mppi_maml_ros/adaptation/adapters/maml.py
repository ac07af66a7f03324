"""``maml``: restore theta*, then gradient descent on the kinematic residuals.

The linear part is adapted first, from the likeliest of its meta-learned starts (``adaptation.starts``), then
the layers of the network on what that leaves.
"""

from __future__ import annotations

import numpy as np

from ...core.types import Array, Float32
from ...dynamics.identification.error_models import TYPICAL
from ...dynamics.residual import ResidualWeights, network
from ...dynamics.transitions import Transitions
from ...weights.meta_model import MetaModel
from ..learning import LearningProblem, extras_of
from ..sgd import SGDConfig, restore_then_adapt
from ..starts import Starts
from .base import Adaptation
from .physics import response

CONFIDENCE = 1.0  # standard deviations that the network's benefit must stand above noise
VALIDATION_EVERY = 4  # every fourth transition watches for overfitting instead of training


def trust(prediction: Array, target: Array, noise: Array | Float32) -> Array:
    """How much of the network's output to use, judged on data that it was not trained on.

    The least-squares factor of the prediction, less CONFIDENCE of its own standard deviations,
    between 0 (the network explains nothing beyond noise) and 1.

    Args:
        prediction, target: network output and what the physics layer left, shape (M, 3).
        noise: noise variance of the target, shape (3,).

    Returns:
        Factor of each output, shape (3,).
    """
    power = np.sum(prediction**2, axis=0) + 1e-12
    factor = np.sum(prediction * target, axis=0) / power
    share: Array = np.clip(factor - CONFIDENCE * np.sqrt(noise / power), 0.0, 1.0)
    return share


class MAMLAdapter:
    """Restore-then-adapt SGD from meta-learned weights (Finn et al. 2017; GrBAL 2019).

    Args:
        meta: meta-model; must hold a network of this adapter's name.
        sgd: inner loop settings.
    """

    name = "maml"

    def __init__(self, meta: MetaModel, sgd: SGDConfig) -> None:
        self._layer = starts_of(meta)
        self._problem = LearningProblem.of(meta, self.name, self._layer)
        self._meta, self._sgd = meta, sgd
        self._theta = meta.networks[self.name]

    def start(self) -> ResidualWeights:
        return self._meta.weights(
            self.name, linear=self._layer.typical, layers=self._theta, error_model=TYPICAL
        )

    def adapt(self, data: Transitions) -> Adaptation:
        meta, problem = self._meta, self._problem
        posterior = self._layer.fit(data.inputs, data.residuals, data.first)
        left, noise = (
            problem.left(data.inputs, data.residuals, posterior, data.first),
            problem.noise_of(posterior),
        )
        samples = problem.samples(data.inputs, left, noise)
        inputs, targets = samples.inputs, samples.targets
        watch = np.zeros(len(data), dtype=bool)
        if self._sgd.patience and len(data) >= 2 * VALIDATION_EVERY:
            watch[VALIDATION_EVERY - 1 :: VALIDATION_EVERY] = True
        result = restore_then_adapt(
            self._theta,
            meta.activation,
            inputs[~watch],
            targets[~watch],
            self._sgd,
            (inputs[watch], targets[watch]) if watch.any() else None,
            samples.output_weight,
        )
        layers = result.layers
        if watch.any():
            last, bias = layers[-1]
            output = network(meta.weights(self.name, layers=layers), data.inputs[watch])
            share = trust(output, targets[watch] * problem.output_scale, noise).astype(np.float32)
            # A network that is not trusted at all need not be evaluated in every rollout.
            layers = (*layers[:-1], (last * share[:, None], bias * share)) if share.any() else ()
        gain, time_constant = response(posterior.mean, meta.model_dt)
        return Adaptation(
            weights=meta.weights(
                self.name,
                linear=posterior.mean,
                layers=layers,
                error_model=posterior.error_model,
            ),
            loss_before=result.loss_before,
            loss_after=result.loss_after,
            gain=gain,
            time_constant=time_constant,
            steps=result.steps,
        )


def starts_of(meta: MetaModel) -> Starts:
    """The starts of the linear part of ``maml``.

    Raises:
        InvalidValueError: the meta-model lacks them.
    """
    parts = ("output", "mean", "factor", "curvature", "noise", "steps")
    return Starts.of(extras_of(meta, "maml", *(f"start_{part}" for part in parts)))
