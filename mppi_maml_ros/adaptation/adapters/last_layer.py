"""``last_layer``: a Bayesian linear head on physics features and meta-learned features.

Each output is a_o . psi(z) + noise with psi = [phi(z), h(z)]: the features of the physics layer, whose
coefficients have the empirical mixture prior over command delays, and the last hidden layer h of the
network of ``physics+maml``, whose head has a zero-mean Gaussian prior. Older transitions count less
(exponential forgetting). The posterior is closed-form, a mixture over delay components and noise levels.

Source: Harrison et al., ALPaCA (WAFR 2018); O'Connell et al., Neural-Fly (Science Robotics 2022) for
features learned offline under a head that forgets; Bishop, PRML, 3.3 and 3.4.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import ArrayLike

from ...core.errors import InvalidValueError
from ...core.types import Array
from ...dynamics.features import feature_size, features
from ...dynamics.identification import cholesky
from ...dynamics.residual import ResidualWeights, hidden_output
from ...dynamics.soundness import OUTPUTS
from ...dynamics.transitions import Transitions
from ...weights.meta_model import MetaModel
from .base import Adaptation
from .first_order import training_loss
from .physics import response

NETWORK = "physics+maml"  # whose hidden layers are the features
FORGETTING = 0.99  # weight of a transition relative to one that is a step newer
HEAD_SPREAD = 1.5  # prior deviation of the head's output, in units of what the network has to learn


@attrs.frozen(eq=False)
class HeadPosterior:
    """Gaussian mixture over coefficients; axes: component c, noise level g, output o, feature q.

    Attributes:
        mean: shape (C, G, 3, Q).
        gram: sum of psi psi' over the transitions, shape (Q, Q).
        share: probability of (c, g) for each output, shape (C, G, 3); sums to 1 over c and g.
        component: probability of each component, shape (C,).
    """

    mean: Array
    gram: Array
    share: Array
    component: Array


class LastLayerAdapter:
    """Fits the head anew each time.

    Args:
        meta: meta-model; must hold the network ``physics+maml``.
        forgetting: weight of a transition relative to one that is a step newer, in (0, 1].
        spread: prior standard deviation of the head's output, in units of the network's output scale.
    """

    name = "last_layer"

    def __init__(self, meta: MetaModel, forgetting: float = FORGETTING, spread: float = HEAD_SPREAD) -> None:
        if NETWORK not in meta.networks:
            raise InvalidValueError(
                f"the meta-model has no network for {NETWORK!r}, only {sorted(meta.networks)}"
            )
        if not 0.0 < forgetting <= 1.0:
            raise InvalidValueError(f"forgetting must be in (0, 1], got {forgetting}")
        if not 0.0 < spread <= 1000.0:
            raise InvalidValueError(f"spread must be in (0, 1000], got {spread}")
        self._meta, self._forgetting = meta, float(forgetting)
        self._hidden = meta.networks[NETWORK][:-1]
        width, size, prior = len(self._hidden[-1][1]), feature_size(meta.delay_taps), meta.physics
        variance = np.square(spread * np.asarray(meta.output_scale[NETWORK], dtype=float)) / width
        components = len(prior.weight)
        self._precision = np.zeros((components, OUTPUTS, size + width, size + width))
        self._precision[..., :size, :size] = prior.precision
        diagonal = np.arange(size, size + width)
        self._precision[..., diagonal, diagonal] = 1.0 / variance[:, None]
        self._size, self._head_precision = size, 1.0 / variance
        self._pull = np.einsum("copq,coq->cop", prior.precision, prior.mean)
        self._log_det = prior.log_det + width * np.log(variance)
        self._prior_power = np.einsum("cop,cop->co", prior.mean, self._pull)
        self._log_noise = np.log(2.0 * np.pi * prior.noise)[None]
        self._blank = meta.weights(self.name)
        self._posterior = self.fit(np.zeros((0, 4 + 2 * meta.delay_taps)), np.zeros((0, OUTPUTS)))
        self._start = self._weights(self._posterior)

    def features(self, inputs: Array) -> Array:
        """psi(z), shape (..., Q), for inputs z of shape (..., Z)."""
        inputs = np.asarray(inputs, dtype=float)
        hidden = hidden_output(self._hidden, inputs * self._meta.input_scale, self._meta.activation)
        return np.concatenate([features(inputs), hidden], axis=-1)

    def fit(self, inputs: Array, residuals: Array, weights: ArrayLike | None = None) -> HeadPosterior:
        """Posterior of the coefficients.

        Args:
            inputs: z, shape (M, Z); residuals: shape (M, 3).
            weights: of each transition in [0, 1], shape (M,); None for ones.
        """
        prior, psi = self._meta.physics, self.features(inputs)
        weights = np.ones(len(psi)) if weights is None else np.asarray(weights, dtype=float)
        weighted = psi * weights[:, None]
        gram, moment = weighted.T @ psi, weighted.T @ residuals  # (Q, Q), (Q, 3)
        power = weights @ np.square(residuals)  # (3,)
        inverse = 1.0 / prior.noise  # (G, 3)
        # The head's prior is the same in every component and a multiple of one, so one eigenvalue
        # problem inverts its block for all of them; what is left has the physics layer's size.
        p = self._size
        values, vectors = np.linalg.eigh(gram[p:, p:])
        cross, head_moment = vectors.T @ gram[p:, :p], vectors.T @ moment[p:]
        head = self._head_precision[:, None] + inverse[:, :, None] * values  # (G, 3, H)
        squared = np.square(inverse)[:, :, None] / head
        schur = inverse[:, :, None, None] * gram[:p, :p] - np.matmul(cross.T * squared[:, :, None], cross)
        schur = prior.precision[:, None] + schur  # (C, G, 3, P, P)
        drive = inverse[:, :, None] * moment[:p].T - (squared * head_moment.T) @ cross
        right = self._pull[:, None] + drive  # (C, G, 3, P)
        physics, log_det = np.empty_like(right), np.empty(right.shape[:-1])
        cholesky.solve_many(
            schur.reshape(-1, p, p), right.reshape(-1, p), physics.reshape(-1, p), log_det.reshape(-1)
        )
        share = inverse[:, :, None] / head
        rotated = share * (head_moment.T - physics @ cross.T)  # (C, G, 3, H)
        mean = np.concatenate([physics, rotated @ vectors.T], axis=-1)
        log_det += np.log(head).sum(axis=-1)
        explained = np.einsum("cop,cgop->cgo", self._pull, physics)
        explained += inverse * np.einsum("qo,cgoq->cgo", moment, mean)
        evidence = 0.5 * (
            -weights.sum() * self._log_noise
            - self._log_det[:, None]
            - log_det
            - power * inverse[None]
            - self._prior_power[:, None]
            + explained
        )
        # The delay is one for all outputs; the noise level is each output's own.
        over_levels = np.logaddexp.reduce(evidence, axis=1)  # (C, 3)
        component = np.log(prior.weight) + over_levels.sum(axis=1)
        component = np.exp(component - component.max())
        component /= component.sum()
        share = component[:, None, None] * np.exp(evidence - over_levels[:, None])
        return HeadPosterior(mean, gram, share, component)

    def variance(self, inputs: Array) -> Array:
        """Predictive variance of the residual under the last fit, noise included.

        Args:
            inputs: z, shape (M, Z).

        Returns:
            Shape (M, 3) [(m/s)^2, (rad/s)^2, (m/s)^2]; before any data, that of the prior.
        """
        fit, psi = self._posterior, self.features(inputs)
        inverse = 1.0 / self._meta.physics.noise
        precision = self._precision[:, None] + inverse[None, :, :, None, None] * fit.gram
        spread = np.linalg.solve(precision, psi.T)  # (C, G, 3, Q, M)
        own = np.einsum("mq,cgoqm->cgom", psi, spread) + self._meta.physics.noise[None, :, :, None]
        predicted = np.einsum("cgoq,mq->cgom", fit.mean, psi)
        average = np.einsum("cgo,cgom->om", fit.share, predicted)
        # Total variance: within the parts of the mixture and between them.
        variance: Array = np.einsum("cgo,cgom->om", fit.share, own + (predicted - average) ** 2).T
        return variance

    def _weights(self, posterior: HeadPosterior) -> ResidualWeights:
        mean = np.einsum("cgo,cgoq->oq", posterior.share, posterior.mean)
        size = feature_size(self._meta.delay_taps)
        head = mean[:, size:].astype(np.float32)
        layers = (*self._hidden, (head, np.zeros(OUTPUTS, np.float32))) if head.any() else ()
        return attrs.evolve(self._blank, linear=mean[:, :size], layers=layers)

    def start(self) -> ResidualWeights:
        """The prior mean: the average robot of the training distribution."""
        return self._start

    def adapt(self, data: Transitions) -> Adaptation:
        meta = self._meta
        age = (data.stamps[-1] - data.stamps) / data.model_dt
        inputs, residuals = data.inputs, data.residuals
        self._posterior = self.fit(inputs, residuals, self._forgetting**age)
        weights = self._weights(self._posterior)
        gain, time_constant = response(weights.linear, meta.model_dt)
        return Adaptation(
            weights=weights,
            loss_before=training_loss(meta, self._start, inputs, residuals),
            loss_after=training_loss(meta, weights, inputs, residuals),
            delay=float(self._posterior.component @ meta.physics.delay),
            gain=gain,
            time_constant=time_constant,
        )
