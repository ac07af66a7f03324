"""``maml`` and ``physics+maml``: restore theta*, then SGD on the kinematic residuals.

With the physics layer underneath, the layer is fitted in closed form first and the network
learns what it leaves, by the same restore-then-adapt step.
"""

from __future__ import annotations

import numpy as np

from ...core.types import Array, Float32
from ...dynamics.identification.error_models import TYPICAL
from ...dynamics.residual import ResidualWeights, network
from ...dynamics.transitions import Transitions
from ...weights.meta_model import MetaModel
from ..learning import LearningProblem
from ..sgd import SGDConfig, restore_then_adapt
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
        physics: fit the physics layer first.
    """

    def __init__(self, meta: MetaModel, sgd: SGDConfig, physics: bool) -> None:
        self.name = "physics+maml" if physics else "maml"
        self._problem = LearningProblem.of(meta, self.name, physics)
        self._meta, self._sgd, self._physics = meta, sgd, physics
        self._theta = meta.networks[self.name]

    def start(self) -> ResidualWeights:
        linear = self._meta.physics.typical if self._physics else None
        errors = TYPICAL if self._physics else None
        return self._meta.weights(self.name, linear=linear, layers=self._theta, error_model=errors)

    def adapt(self, data: Transitions) -> Adaptation:
        meta, problem = self._meta, self._problem
        posterior = problem.fit(data.inputs, data.residuals, data.first)
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
        if self._physics and watch.any():
            last, bias = layers[-1]
            output = network(meta.weights(self.name, layers=layers), data.inputs[watch])
            share = trust(output, targets[watch] * problem.output_scale, noise).astype(np.float32)
            # A network that is not trusted at all need not be evaluated in every rollout.
            layers = (*layers[:-1], (last * share[:, None], bias * share)) if share.any() else ()
        if posterior is None:
            weights = meta.weights(self.name, layers=layers)
            return Adaptation(weights, result.loss_before, result.loss_after, steps=result.steps)
        gain, time_constant = response(posterior.mean, meta.model_dt)
        return Adaptation(
            weights=meta.weights(
                self.name,
                linear=posterior.mean,
                layers=layers,
                error_model=posterior.error_model,
                covariance=posterior.covariance,
            ),
            loss_before=result.loss_before,
            loss_after=result.loss_after,
            delay=posterior.delay,
            gain=gain,
            time_constant=time_constant,
            steps=result.steps,
        )
