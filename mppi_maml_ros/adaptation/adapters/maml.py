"""``maml`` and ``physics+maml``: restore theta*, then SGD on the kinematic residuals.

With the physics layer underneath, the layer is fitted in closed form first and the network
learns what it leaves, by the same restore-then-adapt step.
"""

from __future__ import annotations

import numpy as np

from ...core.errors import InvalidValueError
from ...dynamics.features import features
from ...dynamics.identification.error_models import TYPICAL, pushes
from ...dynamics.residual import ResidualWeights, network
from ...dynamics.transitions import Transitions
from ...weights.meta_model import MetaModel
from ..sgd import SGDConfig, restore_then_adapt
from .base import Adaptation
from .physics import PhysicsAdapter, response

CONFIDENCE = 1.0  # standard deviations that the network's benefit must stand above noise


def trust(prediction: np.ndarray, target: np.ndarray, noise: np.ndarray) -> np.ndarray:
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
    return np.clip(factor - CONFIDENCE * np.sqrt(noise / power), 0.0, 1.0)


def output_weight(scale, noise):
    """How much of an output's squared error is signal: scale^2 / (scale^2 + noise variance)."""
    return scale**2 / (scale**2 + noise)


VALIDATION_EVERY = 4  # every fourth transition watches for overfitting instead of training


class MAMLAdapter:
    """Restore-then-adapt SGD from meta-learned weights (Finn et al. 2017; GrBAL 2019).

    Args:
        meta: meta-model; must hold a network of this adapter's name.
        sgd: inner loop settings.
        physics: fit the physics layer first.
    """

    def __init__(self, meta: MetaModel, sgd: SGDConfig, physics: bool):
        self.name = "physics+maml" if physics else "maml"
        if self.name not in meta.networks:
            raise InvalidValueError(
                f"the meta-model has no network for {self.name!r}, only {sorted(meta.networks)}"
            )
        self._meta, self._sgd = meta, sgd
        self._theta = meta.networks[self.name]
        self._physics = PhysicsAdapter(meta) if physics else None

    def start(self) -> ResidualWeights:
        linear = self._physics.start().linear if self._physics else None
        errors = TYPICAL if self._physics else None
        return self._meta.weights(self.name, linear=linear, layers=self._theta, error_model=errors)

    def adapt(self, data: Transitions) -> Adaptation:
        meta = self._meta
        targets, linear, extra, noise, told = data.residuals, None, {}, meta.noise, {}
        if self._physics:
            posterior = self._physics.fit(data)
            linear, noise = posterior.mean, posterior.noise
            targets = targets - features(data.inputs) @ linear.T
            told = {"error_model": posterior.error_model, "covariance": posterior.covariance}
            # What persists is not the network's to learn: it is gone when the network serves.
            targets[:, :2] -= pushes(targets[:, :2], data.first, posterior.error_model)[:-1]
            gain, time_constant = response(linear, meta.model_dt)
            extra = {"delay": posterior.delay, "gain": gain, "time_constant": time_constant}
        inputs = data.inputs * meta.input_scale
        scale = meta.output_scale[self.name]
        targets = targets / scale
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
            output_weight(scale, noise),
        )
        layers = result.layers
        if self._physics and watch.any():
            last, bias = layers[-1]
            output = network(meta.weights(self.name, layers=layers), data.inputs[watch])
            share = trust(output, targets[watch] * scale, noise).astype(np.float32)
            # A network that is not trusted at all need not be evaluated in every rollout.
            layers = (*layers[:-1], (last * share[:, None], bias * share)) if share.any() else ()
        return Adaptation(
            weights=meta.weights(self.name, linear=linear, layers=layers, **told),
            loss_before=result.loss_before,
            loss_after=result.loss_after,
            steps=result.steps,
            **extra,
        )
