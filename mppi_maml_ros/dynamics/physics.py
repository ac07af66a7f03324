"""The physics layer: gain, lag, delay and friction per axis, by Bayesian linear regression.

Each output o of (dv, domega, lateral) is a_o . phi(z) + noise. What a_o may be is a mixture of
structures, weighed by the evidence of the data: for the axes v and omega the servo family (see
dynamics.servo) or a free linear map with a Gaussian prior for each range of command delay, estimated from
many simulated or recorded worlds (an empirical prior); for the lateral velocity nothing, slip, or a
free map. The delay is one for both axes. The posterior is again a mixture; its mean is one linear
map, because the prediction is linear in a_o. The noise level is averaged over a small grid likewise.

Source: Bishop, Pattern Recognition and Machine Learning, 3.3 (linear Gaussian regression) and
3.4 (evidence); Harrison et al., ALPaCA (WAFR 2018) for the empirical prior.
"""

from __future__ import annotations

import attrs
import numpy as np

from . import innovations, servo
from .features import feature_size, features
from .innovations import MODELS, PUSHES, THETAS

OUTPUTS = 3
LATERAL = 2
SERVO_SHARE = 0.95  # prior probability that an axis is of the servo family
SLIP_DEVIATION = (0.1, 0.3)  # of the lateral velocity's share of omega [m] and of v omega [s]
LATERAL_SHARES = (0.5, 0.3, 0.2)  # prior probabilities: no lateral velocity, slip, anything


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
        weight: share of the worlds that each component stands for, shape (C,), sums to 1; for those that
            take delays to be as frequent as there. :func:`fit` takes every delay to be as likely.
        delay: command delay that each component stands for [s], shape (C,).
        noise: noise variances to average over for each output, shape (G, 3).
        model_dt: step [s].
        servo: the structured alternative, see :mod:`.servo`.
    """

    mean: np.ndarray = attrs.field(converter=_array)
    covariance: np.ndarray = attrs.field(converter=_array)
    weight: np.ndarray = attrs.field(converter=_array)
    delay: np.ndarray = attrs.field(converter=_array)
    noise: np.ndarray = attrs.field(converter=_array)
    model_dt: float = attrs.field(default=0.05, converter=float)
    precision: np.ndarray = attrs.field(init=False)
    log_det: np.ndarray = attrs.field(init=False)
    root: np.ndarray = attrs.field(init=False)
    servo: servo.ServoFamily = attrs.field(init=False)

    def __attrs_post_init__(self):
        object.__setattr__(self, "precision", _array(np.linalg.inv(self.covariance)))
        object.__setattr__(self, "root", _array(np.linalg.cholesky(self.covariance)))
        taps = (self.mean.shape[-1] - feature_size(0)) // 2
        object.__setattr__(self, "servo", servo.ServoFamily.make(taps, self.model_dt))
        object.__setattr__(self, "log_det", _array(np.linalg.slogdet(self.covariance)[1]))

    @property
    def typical(self) -> np.ndarray:
        """Linear map of the median robot: the servo family's middle lag, full gain, no delay, (3, P)."""
        linear = np.zeros(self.mean.shape[1:])
        keep = np.exp(-self.servo.model_dt / np.median(self.servo.time_constant))
        for axis in (0, 1):
            linear[axis, axis], linear[axis, 2 + axis] = keep, -keep
        return linear


@attrs.frozen(eq=False)
class PhysicsPosterior:
    """Fit of the physics layer.

    Attributes:
        mean: shape (3, P): coefficients averaged over structures, delays and noise levels.
        component: posterior probability of each delay of the servo family's grid, shape (J,).
        delay: posterior mean of the command delay [s].
        noise: posterior mean of the noise variance of each output, shape (3,).
        covariance: of the coefficients of v if they were free, in the likeliest component, shape (P, P).
        error_model: likeliest (pole, push_gain, noise_gain) of the errors of (v, omega), shape (3, 2).
    """

    mean: np.ndarray
    component: np.ndarray
    delay: float
    noise: np.ndarray
    error_model: np.ndarray
    covariance: np.ndarray


def fit(
    prior: PhysicsPrior, inputs: np.ndarray, residuals: np.ndarray, weights=None, first=None
) -> PhysicsPosterior:
    """Regress residuals on features.

    Args:
        prior: empirical prior.
        inputs: z, shape (M, Z).
        residuals: shape (M, 3).
        weights: of each transition in [0, 1], shape (M,); None for ones.
        first: which transitions do not follow the one before, shape (M,) bool; None: the errors are white.

    Returns:
        The posterior; with M = 0 it is the prior.
    """
    phi = features(inputs)
    weights = np.ones(len(phi)) if weights is None else np.asarray(weights, dtype=float)
    family = prior.servo
    base = family.base(inputs, residuals)
    models, simple = _servo_fit(prior, base, first, weights)
    designs = np.stack([np.column_stack([phi, residuals[:, o]]) for o in range(OUTPUTS)])
    for axis in (0, 1):
        if models[axis]:
            _whiten(models[axis], designs[axis].copy(), first, designs[axis])
    free = _free_fit(prior, designs, weights)

    # Each axis is of the servo family or a free linear map; the delay is one for both.
    nearest = np.abs(family.delay[:, None] - prior.delay).argmin(axis=1)  # (J,)
    mixed = np.logaddexp(
        simple.evidence + np.log(SERVO_SHARE), free.evidence[nearest, :2].T + np.log1p(-SERVO_SHARE)
    )  # (2, J)
    delay = mixed.sum(axis=0)
    delay = np.exp(delay - delay.max())
    delay /= delay.sum()
    is_servo = np.exp(simple.evidence + np.log(SERVO_SHARE) - mixed)  # (2, J)
    rows = is_servo[..., None] * simple.linear
    rows += (1.0 - is_servo[..., None]) * free.mean[nearest, :2].swapaxes(0, 1)
    noise = is_servo * simple.noise + (1.0 - is_servo) * free.noise[nearest, :2].T
    component = np.bincount(nearest, delay, minlength=len(prior.delay))
    phi_v, likeliest = designs[0, :, :-1], component.argmax()
    information = (phi_v * weights[:, None]).T @ phi_v / float(noise[0] @ delay)
    lateral, lateral_noise = _lateral(prior, free, component, phi, residuals[:, LATERAL], weights)
    return PhysicsPosterior(
        mean=np.vstack([np.einsum("j,ajp->ap", delay, rows), lateral]),
        component=delay,
        delay=float(delay @ family.delay),
        noise=np.append(noise @ delay, lateral_noise),
        error_model=MODELS.settled(models),
        covariance=np.linalg.inv(prior.precision[likeliest, 0] + information),
    )


def _whiten(model, columns, first, out) -> float:
    return innovations.whiten(
        columns, first, MODELS.pole[model], MODELS.push_gain[model], MODELS.noise_gain[model],
        MODELS.scale[model], out,
    )  # fmt: skip


def _servo_fit(prior, base, first, weights) -> tuple[np.ndarray, servo.ServoFit]:
    """The servo family's fit under the likeliest model of the errors of each axis, and those models.

    First the likeliest push, then the likeliest noise beside it.
    """
    white, best = base.copy(), [None, None]

    def attempt(models):
        values = np.log(MODELS.share[models])
        for axis in (0, 1):
            values[axis] -= _whiten(models[axis], base[axis], first, white[axis])
        gram = (white * weights[:, None]).swapaxes(1, 2) @ white
        fits = servo.fit(prior.servo, gram, weights.sum(), prior.noise[:, :2])
        values += np.logaddexp.reduce(fits.evidence, axis=1)
        for axis in (0, 1):
            if best[axis] is None or values[axis] > best[axis][0]:
                row = fits.evidence[axis], fits.linear[axis], fits.noise[axis]
                best[axis] = (values[axis], models[axis], row)

    if first is None:
        first = np.ones(base.shape[1], dtype=bool)
        attempt(np.zeros(2, dtype=int))
    else:
        for push in range(len(PUSHES)):
            attempt(np.full(2, push * len(THETAS)))
        pushed = np.array([model for _, model, _ in best])
        for theta in range(1, len(THETAS)):
            attempt(pushed + theta)
    fits = servo.ServoFit(*(np.stack(part) for part in zip(*(row for _, _, row in best), strict=True)))
    return np.array([model for _, model, _ in best]), fits


@attrs.frozen(eq=False)
class _Free:
    mean: np.ndarray  # (C, 3, P)
    noise: np.ndarray  # (C, 3)
    evidence: np.ndarray  # (C, 3)


def _free_fit(prior, designs, weights) -> _Free:
    # designs: features and target of each output, (3, M, P + 1)
    count = weights.sum()
    joint = (designs * weights[:, None]).swapaxes(1, 2) @ designs
    gram, moment, power = joint[:, :-1, :-1], joint[:, :-1, -1], joint[:, -1, -1]
    # In coordinates e with coefficients = mean + root V e, prior and data are diagonal together, so that
    # every noise level is had from one decomposition. Axes: component c, noise level g, output o.
    root = prior.root  # (C, 3, P, P)
    value, vector = np.linalg.eigh(root.swapaxes(-1, -2) @ gram @ root)
    value = np.maximum(value, 0.0)
    basis = root @ vector
    missed = moment - np.einsum("cop,opq->coq", prior.mean, gram)  # (C, 3, P): what the prior mean leaves
    pull = np.einsum("copq,cop->coq", basis, missed)
    left = power - np.einsum("cop,op->co", prior.mean, moment)
    left -= np.einsum("cop,cop->co", prior.mean, missed)
    inverse = (1.0 / prior.noise)[None]  # (1, G, 3)
    scale = 1.0 + value[:, None] * inverse[..., None]  # (C, G, 3, P)
    shift = pull[:, None] * inverse[..., None] / scale
    evidence = 0.5 * (
        -count * np.log(2.0 * np.pi * prior.noise)[None]
        - np.log(scale).sum(axis=-1)
        - left[:, None] * inverse
        + np.einsum("cgop,cop->cgo", shift, pull) * inverse
    )
    total = np.logaddexp.reduce(evidence, axis=1)  # (C, 3)
    level = np.exp(evidence - total[:, None])  # (C, G, 3): p(g | c, o)
    return _Free(
        mean=prior.mean + np.einsum("copq,coq->cop", basis, np.einsum("cgo,cgop->cop", level, shift)),
        noise=np.einsum("cgo,go->co", level, prior.noise),
        evidence=total - np.log(len(prior.noise)),
    )


def _lateral(prior, free, component, phi, y, weights):
    """Lateral output: none, slip in proportion to v omega and omega, or a free linear map."""
    noise = prior.noise[:, LATERAL]
    count, power = weights.sum(), weights @ y**2
    level = -0.5 * (count * np.log(2.0 * np.pi * noise) + power / noise)  # (G,)
    columns = [1, phi.shape[1] - 3]  # omega, v omega
    few = phi[:, columns]
    gram, moment = (few * weights[:, None]).T @ few, (few * weights[:, None]).T @ y
    start = np.diag(1.0 / np.square(SLIP_DEVIATION))
    precision = start + gram / noise[:, None, None]
    mean = np.linalg.solve(precision, (moment / noise[:, None])[..., None])[..., 0]
    slab = level + 0.5 * (
        np.linalg.slogdet(start)[1]
        - np.linalg.slogdet(precision)[1]
        + np.einsum("gp,p->g", mean, moment) / noise
    )
    none, slip = np.logaddexp.reduce(level), np.logaddexp.reduce(slab)
    full = np.logaddexp.reduce(np.log(component + 1e-300) + free.evidence[:, LATERAL]) + np.log(len(noise))
    share = np.array([none, slip, full]) + np.log(LATERAL_SHARES)
    share = np.exp(share - share.max())
    share /= share.sum()
    p_none, p_slip = np.exp(level - none), np.exp(slab - slip)
    row = share[2] * (component @ free.mean[:, LATERAL])
    row[columns] += share[1] * (p_slip @ mean)
    variance = share[0] * (p_none @ noise) + share[1] * (p_slip @ noise)
    return row, variance + share[2] * (component @ free.noise[:, LATERAL])


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
        model_dt=model_dt,
    )
