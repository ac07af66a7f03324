"""The physics layer: gain, lag, delay and friction per axis, by Bayesian linear regression.

Model of each output o of (dv, domega, lateral):  y_o = a_o . phi(z) + noise, with a mixture
of Gaussian priors over a_o, one component for each range of command delay, estimated from
many simulated or recorded worlds (an empirical prior). The posterior of the mixture is again
a mixture; its mean is one linear map, because the prediction is linear in a_o. The noise
level is averaged over a small grid in the same way.

Source: Bishop, Pattern Recognition and Machine Learning, 3.3 (linear Gaussian regression) and
3.4 (evidence); Harrison et al., ALPaCA (WAFR 2018) for the empirical prior.
"""

from __future__ import annotations

import attrs
import numpy as np

from .features import feature_size, features

OUTPUTS = 3


def _array(value):
    value = np.array(value, dtype=np.float64)
    value.setflags(write=False)
    return value


@attrs.frozen(eq=False)
class PhysicsPrior:
    """Empirical mixture prior over the coefficients.

    Attributes:
        mean: shape (C, 3, P) for C components and P features.
        covariance: shape (C, 3, P, P), positive definite.
        weight: prior probability of each component, shape (C,), sums to 1.
        delay: command delay that each component stands for [s], shape (C,).
        noise: noise variances to average over for each output, shape (G, 3).
    """

    mean: np.ndarray = attrs.field(converter=_array)
    covariance: np.ndarray = attrs.field(converter=_array)
    weight: np.ndarray = attrs.field(converter=_array)
    delay: np.ndarray = attrs.field(converter=_array)
    noise: np.ndarray = attrs.field(converter=_array)
    precision: np.ndarray = attrs.field(init=False)
    log_det: np.ndarray = attrs.field(init=False)

    def __attrs_post_init__(self):
        object.__setattr__(self, "precision", _array(np.linalg.inv(self.covariance)))
        object.__setattr__(self, "log_det", _array(np.linalg.slogdet(self.covariance)[1]))


@attrs.frozen(eq=False)
class PhysicsPosterior:
    """Fit of the physics layer.

    Attributes:
        mean: shape (3, P): coefficients averaged over components and noise levels.
        component: posterior probability of each prior component, shape (C,).
        delay: posterior mean of the command delay [s].
        noise: posterior mean of the noise variance of each output, shape (3,).
    """

    mean: np.ndarray
    component: np.ndarray
    delay: float
    noise: np.ndarray


def fit(prior: PhysicsPrior, inputs: np.ndarray, residuals: np.ndarray, weights=None) -> PhysicsPosterior:
    """Regress residuals on features.

    Args:
        prior: empirical prior.
        inputs: z, shape (M, Z).
        residuals: shape (M, 3).
        weights: of each transition in [0, 1], shape (M,); None for ones.

    Returns:
        The posterior; with M = 0 it is the prior.
    """
    phi = features(inputs)
    weights = np.ones(len(phi)) if weights is None else np.asarray(weights, dtype=float)
    count = weights.sum()
    gram = (phi * weights[:, None]).T @ phi
    moment = (phi * weights[:, None]).T @ residuals  # (P, 3)
    power = (weights[:, None] * residuals**2).sum(axis=0)  # (3,)

    # Axes: component c, noise level g, output o.
    inverse_noise = 1.0 / prior.noise  # (G, 3)
    precision = prior.precision[:, None] + inverse_noise[None, :, :, None, None] * gram
    prior_term = np.einsum("copq,coq->cop", prior.precision, prior.mean)
    right = prior_term[:, None] + inverse_noise[None, :, :, None] * moment.T
    mean = np.linalg.solve(precision, right[..., None])[..., 0]  # (C, G, 3, P)
    log_det = np.linalg.slogdet(precision)[1]
    prior_power = np.einsum("cop,cop->co", prior.mean, prior_term)
    evidence = 0.5 * (
        -count * np.log(2.0 * np.pi * prior.noise)[None]
        - prior.log_det[:, None]
        - log_det
        - power * inverse_noise[None]
        - prior_power[:, None]
        + np.einsum("cgop,cgop->cgo", right, mean)
    )
    # The delay is one for all outputs; the noise level is each output's own.
    log_noise_sum = np.logaddexp.reduce(evidence, axis=1)  # (C, 3)
    component = np.log(prior.weight) + log_noise_sum.sum(axis=1)
    component = np.exp(component - component.max())
    component /= component.sum()
    level = np.exp(evidence - log_noise_sum[:, None])  # (C, G, 3): p(g | c, o)
    share = component[:, None, None] * level
    return PhysicsPosterior(
        mean=np.einsum("cgo,cgop->op", share, mean),
        component=component,
        delay=float(component @ prior.delay),
        noise=np.einsum("cgo,go->o", share, prior.noise),
    )


def empirical_prior(
    coefficients: np.ndarray, delays: np.ndarray, model_dt: float, delay_taps: int, noise: np.ndarray
) -> PhysicsPrior:
    """Estimate the mixture prior from the coefficients of many worlds.

    Args:
        coefficients: least-squares fits, one a world, shape (W, 3, P).
        delays: command delay of each world [s], shape (W,).
        model_dt: step [s]; delays are binned by it.
        delay_taps: past commands among the inputs.
        noise: noise variances to average over, shape (G, 3).

    Returns:
        One component for each delay of 0 ... delay_taps steps that at least 2 P worlds have.
    """
    size = feature_size(delay_taps)
    steps = np.clip(np.rint(np.asarray(delays) / model_dt).astype(int), 0, delay_taps)
    overall = np.cov(coefficients.reshape(len(coefficients), -1).T).reshape(OUTPUTS, size, OUTPUTS, size)
    means, covariances, counts, values = [], [], [], []
    for bin_ in range(delay_taps + 1):
        chosen = coefficients[steps == bin_]
        if len(chosen) < 2 * size:
            continue
        covariance = np.stack([np.cov(chosen[:, o].T) for o in range(OUTPUTS)])
        for o in range(OUTPUTS):
            # A floor against directions in which the sampled worlds happen not to differ.
            covariance[o] += np.diag(1e-3 * np.diag(overall[o, :, o, :]) + 1e-8)
        means.append(chosen.mean(axis=0))
        covariances.append(covariance)
        counts.append(len(chosen))
        values.append(float(np.mean(np.asarray(delays)[steps == bin_])))
    counts = np.array(counts, dtype=float)
    return PhysicsPrior(
        mean=np.stack(means),
        covariance=np.stack(covariances),
        weight=counts / counts.sum(),
        delay=values,
        noise=noise,
    )
