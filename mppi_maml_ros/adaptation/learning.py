"""What a network learns above a linear layer, and how: the same in meta-training and online.

Of the kinematic residual r over a step from the inputs z, the linear layer L, fitted to the same
transitions, and the push p that its error model sees leave (r - L phi(z) - p). The network is given

    inputs   z * input_scale
    targets  (r - L phi(z) - p) / output_scale
    weights  of an output's squared error: its share of signal, scale^2 / (scale^2 + noise variance).

The layer is the physics layer, or for ``maml`` the network's own linear part (see :mod:`.starts`). A network
without one learns r itself.
"""

from __future__ import annotations

from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidValueError
from ..core.types import Array, Float32
from ..dynamics.features import features
from ..dynamics.identification.error_models import pushes
from ..dynamics.observer import innovations
from ..dynamics.residual import ResidualWeights, correction
from ..dynamics.transitions import Transitions
from ..weights.meta_model import MetaModel

# Online the errors are modelled and the push is taken out: what persists is gone when the network serves.
# Training takes the errors for white. The worlds that its physics layer is fitted in push nothing, and the
# query that judges it comes from anywhere in a task, with no step before it that could tell of a push.
PUSH_IN_TRAINING = False
SMALLEST_SCALE = 1e-4  # [m/s, rad/s, m/s] of a target
LONGEST_WINDOW = 10_000
STEEPEST = 1e9  # largest limit of a gradient's norm


class Posterior(Protocol):
    """What a linear layer came to: the physics layer's, or :class:`.starts.LinearFit`."""

    @property
    def mean(self) -> Array:
        """L, shape (3, P)."""

    @property
    def noise(self) -> Array:
        """Variance of each output, shape (3,)."""

    @property
    def error_model(self) -> Array:
        """Of what it leaves, see dynamics.identification.error_models, shape (3, 2)."""

    @property
    def momentum(self) -> Array:
        """Of (v, omega), shape (2,)."""

    @property
    def observer(self) -> Array:
        """Gains of (velocity, change), see dynamics.observer, shape (2, 2)."""


class Layer(Protocol):
    """A linear layer below a network: ``PhysicsPrior``, or :class:`.starts.Starts`."""

    def fit(self, inputs: Array, residuals: Array, first: NDArray[np.bool_] | None = None) -> Posterior:
        """Fit to z (M, Z) and residuals (M, 3)."""


@attrs.frozen(eq=False)
class Samples:
    """What a network is trained on.

    Attributes:
        inputs: scaled, shape (..., M, Z).
        targets: normalised, shape (..., M, 3).
        output_weight: of each output's squared error, shape (..., 3) or to be broadcast to the targets.
    """

    inputs: Array
    targets: Array
    output_weight: Array | Float32

    def float32(self) -> tuple[Float32, Float32]:
        """Inputs and targets in single precision."""
        return self.inputs.astype(np.float32), self.targets.astype(np.float32)


@attrs.frozen(eq=False)
class LearningProblem:
    """See the module.

    Attributes:
        input_scale: shape (Z,); output_scale: typical size of the targets, shape (3,).
        noise: typical variance of the residuals' measurement noise, shape (3,).
        prior: of the linear layer below the network; None for none.
    """

    input_scale: Array | Float32
    output_scale: Array | Float32
    noise: Array | Float32
    prior: Layer | None = None

    @classmethod
    def of(cls, meta: MetaModel, network: str, prior: Layer | None = None) -> LearningProblem:
        """That a network of the meta-model was trained for.

        Raises:
            InvalidValueError: the meta-model lacks the network.
        """
        check_network(meta, network)
        return cls(meta.input_scale, meta.output_scale[network], meta.noise, prior)

    def fit(
        self, inputs: Array, residuals: Array, first: NDArray[np.bool_] | None = None
    ) -> Posterior | None:
        """Posterior of the linear layer; None where there is none.

        Args:
            inputs: z, shape (M, Z); residuals: shape (M, 3).
            first: which transitions do not follow the one before, (M,); None: the errors are white.
        """
        return None if self.prior is None else self.prior.fit(inputs, residuals, first)

    def left(
        self,
        inputs: Array,
        residuals: Array,
        posterior: Posterior | None,
        first: NDArray[np.bool_] | None = None,
    ) -> Array:
        """What the network has to say, shape (M, 3) [m/s, rad/s, m/s].

        Args:
            inputs: z, shape (M, Z); residuals: shape (M, 3).
            posterior: of :meth:`fit`.
            first: as of :meth:`fit`; None: no push is taken out.
        """
        if posterior is None:
            return residuals
        left: Array = residuals - features(inputs) @ posterior.mean.T
        if first is not None and posterior.momentum.any():
            left[:, :2] = innovations(
                left[:, :2],
                inputs[:, :2],
                first,
                np.diag(posterior.mean),
                posterior.momentum,
                posterior.observer,
            )[0]
        if first is not None:
            left[:, :2] -= pushes(left[:, :2], first, posterior.error_model)[:-1]
        return left

    def noise_of(self, posterior: Posterior | None) -> Array | Float32:
        """Noise variance of the residuals, as the physics layer finds it where there is one, shape (3,)."""
        return self.noise if posterior is None else posterior.noise

    def task(
        self, support: tuple[Array, Array], query: tuple[Array, Array], used: NDArray[np.bool_]
    ) -> tuple[Array, Array, Array | Float32]:
        """A task of meta-training: what is left of support and query, and the noise variance.

        Args:
            support, query: (inputs, residuals), shapes (M, Z) and (M, 3); the support in time order.
            used: rows of the support that the physics layer may see, (M,): the leading ones.
        """
        inputs, residuals = support
        first = np.arange(len(inputs)) == 0 if PUSH_IN_TRAINING else None
        posterior = self.fit(inputs[used], residuals[used], None if first is None else first[used])
        left = self.left(inputs, residuals, posterior, first)
        return left, self.left(*query, posterior), self.noise_of(posterior)

    def samples(self, inputs: Array, left: Array, noise: Array | Float32) -> Samples:
        """Scaled inputs, normalised targets and their weights.

        Args:
            inputs: z, shape (..., M, Z); left: of :meth:`left`, shape (..., M, 3).
            noise: variance, shape (3,) or to be broadcast to ``left``.
        """
        return Samples(
            inputs * self.input_scale, left / self.output_scale, output_weight(self.output_scale, noise)
        )

    def of_transitions(self, data: Transitions) -> Samples:
        """:meth:`samples` of a network without a physics layer."""
        return self.samples(data.inputs, data.residuals, self.noise)

    def loss(self, weights: ResidualWeights, data: Transitions) -> float:
        """Mean square of the normalised error of what serves, summed over outputs."""
        error = (correction(weights, data.inputs) - data.residuals) / self.output_scale
        return float(np.mean(np.sum(error**2, axis=1)))


def output_weight(scale: Array | Float32, noise: Array | Float32) -> Array | Float32:
    """How much of an output's squared error is signal: scale^2 / (scale^2 + noise variance)."""
    share: Array | Float32 = scale**2 / (scale**2 + noise)
    return share


def typical_size(left: Array, noise: Array, above_noise: bool) -> Array:
    """``output_scale`` of a network: the root mean square of its targets, shape (3,).

    Args:
        left: of :meth:`LearningProblem.left`, for many tasks, shape (tasks, M, 3).
        noise: variance of the measurement noise, shape (3,).
        above_noise: not less than the noise, so that an output which mostly is noise does not count as
            much as the others.
    """
    scale = np.maximum(np.sqrt(np.mean(left**2, axis=(0, 1))), SMALLEST_SCALE)
    return np.maximum(scale, np.sqrt(noise)) if above_noise else scale


@attrs.frozen
class InnerLoop:
    """The gradient steps that a network was meta-trained for.

    Attributes:
        rate: of every parameter that has none of its own.
        steps: full-batch steps from theta*.
        max_gradient_norm: gradients are scaled down to this Euclidean norm.
        window: newest transitions that are looked at; None: all.
    """

    rate: float
    steps: int
    max_gradient_norm: float
    window: int | None

    @classmethod
    def of(cls, meta: MetaModel, network: str, key: str = "inner") -> InnerLoop:
        """Of a network of the meta-model; ``key`` holds its rate and steps.

        Raises:
            InvalidValueError: the meta-model lacks them, or a value is out of range.
        """
        extras = extras_of(meta, network, key, "max_gradient_norm")
        rate, steps = float(extras[key][0]), float(extras[key][1])
        if not (0.0 < rate <= 10.0 and 1.0 <= steps <= 1000.0):
            raise InvalidValueError(
                f"{key} of the network {network!r} must be a rate in (0, 10] and steps in [1, 1000], "
                f"got {rate}, {steps}"
            )
        norm = float(extras["max_gradient_norm"][0])
        if not 0.0 < norm <= STEEPEST:
            raise InvalidValueError(
                f"max_gradient_norm of the network {network!r} must be in (0, {STEEPEST:g}], got {norm}"
            )
        return cls(rate, int(steps), norm, window_of(meta, network))


def check_network(meta: MetaModel, network: str) -> None:
    """Raise :class:`InvalidValueError` when the meta-model lacks a network."""
    if network not in meta.networks:
        raise InvalidValueError(
            f"the meta-model has no network for {network!r}, only {sorted(meta.networks)}"
        )


def extras_of(meta: MetaModel, network: str, *names: str) -> dict[str, Float32]:
    """What adapting a network needs besides theta*.

    Raises:
        InvalidValueError: the meta-model lacks the network or one of the names.
    """
    check_network(meta, network)
    found = meta.extras.get(network, {})
    missing = [name for name in names if name not in found]
    if missing:
        raise InvalidValueError(f"the meta-model lacks {', '.join(missing)} of the network {network!r}")
    return found


def window_of(meta: MetaModel, network: str) -> int | None:
    """Newest transitions that a network was trained to be adapted on, M; None where it takes all.

    Raises:
        InvalidValueError: M is out of range.
    """
    window = meta.extras.get(network, {}).get("window")
    if window is None:
        return None
    if not 1.0 <= float(window[0]) <= LONGEST_WINDOW:
        raise InvalidValueError(
            f"window of the network {network!r} must be in [1, {LONGEST_WINDOW}], got {window[0]}"
        )
    return int(window[0])
