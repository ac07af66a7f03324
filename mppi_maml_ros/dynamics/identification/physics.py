"""The physics layer: gain, lag, delay and friction per axis, by Bayesian linear regression.

Each output o of (dv, domega, lateral) is a_o . phi(z) + noise. What a_o may be is a mixture of
structures, weighed by the evidence of the data: for the axes v and omega the servo family (see
dynamics.servo) or a free linear map with a Gaussian prior for each range of command delay, estimated from
many simulated or recorded worlds (an empirical prior); for the lateral velocity nothing, slip, or a
free map. Both axes have one delay, or each its own. An axis that a speed loop of second order explains
surely better is taken for one (see identification.second_order). The posterior is again a mixture; its mean
is one linear map, because the prediction is linear in a_o. The noise level is averaged over a small grid
likewise.

Source: Bishop, Pattern Recognition and Machine Learning, 3.3 (linear Gaussian regression) and
3.4 (evidence); Harrison et al., ALPaCA (WAFR 2018) for the empirical prior.
"""

from __future__ import annotations

import math

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...core.arrays import read_only
from ...core.kernels.cache import njit
from ...core.types import Array
from ..compiled import WIDE
from ..features import EXTRA_FEATURES, extras, feature_size
from ..soundness import OUTPUTS
from . import cholesky, free_maps, second_order, servo, servo_fit
from . import error_models as innovations
from .error_models import MODELS, THETAS
from .evidence import log_evidence
from .free_maps import LearnedMaps
from .lateral import LATERAL, lateral_map
from .servo import Grid

UNKNOWN = -1
SERVO_SHARE = 0.95  # prior probability that an axis is of the servo family
ONE_DELAY = 0.8  # prior probability that both axes have the same
LOOP_ODDS = 6.0  # log of how much likelier a loop of second order must make the data
LATERAL_SHARES = (0.5, 0.3, 0.2)  # prior probabilities: no lateral velocity, slip, anything


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

    mean: np.ndarray = attrs.field(converter=read_only)
    covariance: np.ndarray = attrs.field(converter=read_only)
    weight: np.ndarray = attrs.field(converter=read_only)
    delay: np.ndarray = attrs.field(converter=read_only)
    noise: np.ndarray = attrs.field(converter=read_only)
    model_dt: float = attrs.field(default=0.05, converter=float)
    precision: np.ndarray = attrs.field(init=False)
    log_det: np.ndarray = attrs.field(init=False)
    servo: servo.ServoFamily = attrs.field(init=False)
    nearest: np.ndarray = attrs.field(init=False)  # component that stands for each delay of the servo family

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "precision", read_only(np.linalg.inv(self.covariance)))
        taps = (self.mean.shape[-1] - feature_size(0)) // 2
        object.__setattr__(self, "servo", servo.ServoFamily.make(taps, self.model_dt))
        object.__setattr__(self, "log_det", read_only(np.linalg.slogdet(self.covariance)[1]))
        nearest = np.abs(self.servo.delay[:, None] - self.delay).argmin(axis=1)
        object.__setattr__(self, "nearest", nearest)

    def fit(
        self, inputs: Array, residuals: Array, first: NDArray[np.bool_] | None = None
    ) -> PhysicsPosterior:
        """:func:`fit` with this prior."""
        return fit(self, inputs, residuals, first=first)

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
        noise: posterior mean of the noise variance of each output, shape (3,); of the innovations r where
            the errors of an axis are not white.
        covariance: of the coefficients of v if they were free, in the likeliest component, shape (P, P).
        error_model: likeliest (pole, push_gain, noise_gain) of the errors of (v, omega), shape (3, 2).
        errors: number of each axis' error model in error_models.MODELS, shape (2,).
        momentum: of (v, omega), shape (2,); observer: gains of (velocity, change), shape (2, 2). See
            dynamics.observer; zeros and ones where an axis is of no second order.
    """

    mean: np.ndarray
    component: np.ndarray
    delay: float
    noise: np.ndarray
    error_model: np.ndarray
    errors: NDArray[np.int64]
    covariance: np.ndarray
    momentum: np.ndarray
    observer: np.ndarray


def fit(
    prior: PhysicsPrior,
    inputs: np.ndarray,
    residuals: np.ndarray,
    weights: ArrayLike | None = None,
    first: NDArray[np.bool_] | None = None,
    learned: LearnedMaps | None = None,
    errors: NDArray[np.int64] | None = None,
) -> PhysicsPosterior:
    """Regress residuals on features.

    Args:
        prior: empirical prior.
        inputs: z, shape (M, Z).
        residuals: shape (M, 3).
        weights: of each transition in [0, 1], shape (M,); None for ones.
        first: which transitions do not follow the one before, shape (M,) bool; None: the errors are white.
        learned: free maps in place of the prior's own.
        errors: number of each axis' error model where it is known, shape (2,); None: the likeliest.

    Returns:
        The posterior; with M = 0 it is the prior.
    """
    rows, size, family = len(inputs), feature_size(prior.servo.delay_taps), prior.servo
    weights = np.ones(rows) if weights is None else np.array(weights, dtype=float)
    base, chained = family.base(inputs, residuals), first is not None
    models = np.array(errors) if chained and errors is not None else np.full(2, UNKNOWN if chained else 0)
    levels, log_det = np.empty(prior.noise.shape), np.zeros(2)
    joint, gram = np.empty((OUTPUTS, size + 1, size + 1)), np.empty((2, *2 * base.shape[2:]))
    count = _statistics(
        np.array(inputs, dtype=float, order="C"), np.array(residuals, dtype=float, order="C"), base,
        np.ones(rows, dtype=np.bool_) if first is None else first, chained, weights, prior.noise, MODELS.grid,
        len(THETAS), servo.MEAN, servo.PRECISION, family.grid, models, levels, log_det, joint, gram,
    )  # fmt: skip
    simple = servo_fit.fit(family, gram, count, levels[:, :2])
    floors = np.append(simple.evidence.max(axis=1), -np.inf)
    if learned is None:
        parts = prior.mean, prior.precision, prior.log_det
        free, nearest = free_maps.fit(joint, count, levels, *parts, floors), prior.nearest
    else:
        free, nearest = learned.fit(joint, count, levels, floors), np.zeros_like(prior.nearest)
    delay, mean, level, white, error_model, simplest = _combined(
        simple.evidence, simple.linear, simple.noise, free.evidence, free.mean, free.noise, nearest,
        SERVO_SHARE, joint[LATERAL], count, prior.noise[:, LATERAL], LATERAL_SHARES, models, MODELS.grid,
    )  # fmt: skip
    simplest += log_det
    momentum, observer = np.zeros(2), np.ones((2, 2))
    if first is not None:
        for axis in (0, 1):
            loop = second_order.fit(
                axis, base[axis], first, prior.noise[:, axis], family.delay_taps, family.model_dt,
                float(simplest[axis]),
            )  # fmt: skip
            if loop.evidence > simplest[axis] + LOOP_ODDS:
                mean[axis], momentum[axis], observer[:, axis] = loop.row, loop.momentum, loop.observer
                level[axis], error_model[:, axis] = loop.noise, 0.0
    likeliest = prior.nearest[delay.argmax()]
    return PhysicsPosterior(
        mean=mean,
        component=delay,
        delay=float(delay @ family.delay),
        noise=level,
        error_model=error_model,
        errors=models,
        momentum=momentum,
        observer=observer,
        covariance=np.linalg.inv(prior.precision[likeliest, 0] + joint[0, :-1, :-1] / white),
    )


@njit(cache=True)
def _combined(
    evidence: Array,
    linear: Array,
    noise: Array,
    free_evidence: Array,
    free_mean: Array,
    free_noise: Array,
    nearest: NDArray[np.int64],
    servo_share: float,
    lateral: Array,
    count: float,
    lateral_noise: Array,
    lateral_shares: tuple[float, float, float],
    models: NDArray[np.int64],
    error_models: tuple[Array, Array, Array, Array, Array],
) -> tuple[Array, Array, Array, float, Array, Array]:
    """All outputs from what :func:`_mix` and :func:`.lateral.lateral_map` make of the fits.

    Returns:
        Probability of each delay; rows of the linear map, shape (3, P); variance of the innovations of a long
        chain, shape (3,), and of the white noise of v; settled error models, shape (3, 2); the log evidence
        of the servo family on each axis, shape (2,).
    """
    pole, push_gain, noise_gain, scale, _ = error_models
    delay, component, rows, white = _mix(
        evidence, linear, noise, free_evidence, free_mean, free_noise, nearest, servo_share
    )
    level, error_model, servo_evidence = np.empty(3), np.empty((3, 2)), np.empty(2)
    level[LATERAL] = lateral_map(
        lateral, count, lateral_noise, component, free_evidence, free_mean, free_noise, lateral_shares,
        rows[LATERAL],
    )  # fmt: skip
    for axis in range(2):
        model, high = models[axis], evidence[axis].max()
        level[axis] = white[axis] * scale[model, -1] ** 2
        error_model[0, axis], error_model[1, axis] = pole[model], push_gain[model, -1]
        error_model[2, axis] = noise_gain[model, -1]
        servo_evidence[axis] = high + math.log(np.exp(evidence[axis] - high).sum() / evidence.shape[1])
    return delay, rows, level, white[0], error_model, servo_evidence


@njit(cache=True)
def _mix(
    evidence: Array,
    linear: Array,
    noise: Array,
    free_evidence: Array,
    free_mean: Array,
    free_noise: Array,
    nearest: NDArray[np.int64],
    servo_share: float,
) -> tuple[Array, Array, Array, Array]:
    """Average over structures and delays; an axis is of the servo family or a free linear map.

    The delay j is one for both axes, or each has its own; ``nearest`` is the component of the free maps that
    stands for it.

    Returns:
        Probability of each j, the mean of both axes, and of each component; rows of the linear map, shape
        (3, P), the last one zero; noise of both axes, shape (2,).
    """
    delays, size = len(nearest), linear.shape[2]
    both, is_servo = np.empty((2, delays)), np.empty((2, delays))
    for j in range(delays):
        for axis in range(2):
            servo_part = evidence[axis, j] + math.log(servo_share)
            free_part = free_evidence[nearest[j], axis] + math.log(1.0 - servo_share)
            high = max(servo_part, free_part)
            both[axis, j] = high + math.log(math.exp(servo_part - high) + math.exp(free_part - high))
            is_servo[axis, j] = math.exp(servo_part - both[axis, j])
    shares = _delay_shares(both)
    component, rows, level = np.zeros(len(free_evidence)), np.zeros((3, size)), np.zeros(2)
    for j in range(delays):
        c = nearest[j]
        for axis in range(2):
            component[c] += 0.5 * shares[axis, j]
            a, b = shares[axis, j] * is_servo[axis, j], shares[axis, j] * (1.0 - is_servo[axis, j])
            level[axis] += a * noise[axis, j] + b * free_noise[c, axis]
            for p in range(size):
                rows[axis, p] += a * linear[axis, j, p] + b * free_mean[c, axis, p]
    return 0.5 * (shares[0] + shares[1]), component, rows, level


@njit(cache=True)
def _delay_shares(evidence: Array) -> Array:
    """Probability of each delay of each axis, shape (2, J), for log evidences of shape (2, J)."""
    delays, best = evidence.shape[1], np.array([evidence[0].max(), evidence[1].max()])
    own = np.exp(evidence - best.reshape(2, 1))
    one = own[0] * own[1]
    same, apart = ONE_DELAY * one.sum(), (1.0 - ONE_DELAY) * own[0].sum() * own[1].sum() / delays
    shares = np.empty((2, delays))
    for axis in range(2):
        shares[axis] = (same * one / max(one.sum(), 1e-300) + apart * own[axis] / own[axis].sum()) / (
            same + apart
        )
    return shares


@njit(cache=True)
def _statistics(
    inputs: Array,
    residuals: Array,
    base: Array,
    first: NDArray[np.bool_],
    chained: bool,
    weights: Array,
    noise: Array,
    error_models: tuple[Array, Array, Array, Array, Array],
    thetas: int,
    mean: Array,
    precision: Array,
    grid: Grid,
    models: NDArray[np.int64],
    levels: Array,
    log_det: Array,
    joint: Array,
    gram: Array,
) -> float:
    """What the fits need to know of the data, under the likeliest model of the errors of each axis.

    Args:
        base: of the servo family; its ``mean``, ``precision`` and ``grid``.
        chained: whether the errors follow from one another at all.
        models: of the errors, shape (2,); filled where they are UNKNOWN.
        levels: filled with the noise levels of all outputs under them, shape (G, 3); ``noise`` is without.
        log_det: filled with the log of what whitening does to the density, shape (2,).
        joint: filled with inner products of the features and the target of each output, (3, P + 1, P + 1);
            gram: of ``base``, shape (2, B, B).

    Returns:
        The sum of the weights.
    """
    pole, push_gain, noise_gain, scale, _ = error_models
    rows, size = inputs.shape
    last, taps = size + EXTRA_FEATURES, (size - 2) // 2
    design = np.empty((rows, last + 1))
    white, columns = np.empty_like(design), np.empty((last + 1, rows))
    column = np.empty(gram.shape[1], dtype=np.int64)
    for m in range(rows):
        row = design[m]
        row[:size] = inputs[m]
        row[size], row[size + 1], row[size + 2], row[size + 3] = extras(row[0], row[1])
    levels[:] = noise
    for output in range(OUTPUTS):
        design[:, last] = residuals[:, output]
        if output == LATERAL or not chained:
            _gram(design, weights, columns, joint[output])
        else:
            if models[output] == UNKNOWN:
                models[output] = _likeliest(
                    base[output], first, weights, noise[:, output].copy(), error_models, thetas, mean,
                    precision[output], grid,
                )  # fmt: skip
            model = models[output]
            log_det[output] = -innovations.whiten(
                design, first, pole[model], push_gain[model], noise_gain[model], scale[model], white
            )
            levels[:, output] = _levels(noise[:, output], scale[model])
            _gram(white, weights, columns, joint[output])
        if output == LATERAL:
            continue
        # The columns of the base are among those of the design.
        column[0], column[2 * taps + 1] = output, size
        column[2 * taps + 2], column[2 * taps + 3] = size + 2 + output, last
        for k in range(taps):
            column[1 + k], column[1 + taps + k] = 2 + 2 * k + output, 3 + 2 * k - output
        for i in range(len(column)):
            for j in range(len(column)):
                gram[output, i, j] = joint[output, column[i], column[j]]
    return weights.sum()


@njit(cache=True)
def _levels(noise: Array, scale: Array) -> Array:
    """Variances of the white noise, for which r varies by ``noise`` once a chain is long.

    None is below the least of ``noise``: a push may not explain away what clean data leave.
    """
    return np.maximum(noise / scale[-1] ** 2, noise.min())


@njit(cache=True)
def _gram(rows: Array, weights: Array, columns: Array, out: Array) -> None:
    """Weighted sum of row row^T over the rows (M, K); ``columns`` (K, M) is scratch."""
    for m in range(len(rows)):
        root = math.sqrt(weights[m])
        for i in range(len(columns)):
            columns[i, m] = root * rows[m, i]
    cholesky.inner_products(columns, out)


@njit(cache=True)
def _likeliest(
    base: Array,
    first: NDArray[np.bool_],
    weights: Array,
    noise: Array,
    error_models: tuple[Array, Array, Array, Array, Array],
    thetas: int,
    mean: Array,
    precision: Array,
    grid: Grid,
) -> int:
    """Model of the errors of one axis.

    The likeliest push without noise, then every noise beside it; and beside none, for noise that is not
    reckoned with bends the regression, and what that leaves looks like a push.
    """
    pole, push_gain, noise_gain, scale, share = error_models
    rows, size = base.shape
    filled = (size + WIDE - 1) // WIDE * WIDE  # whole vectors
    padded, white, columns = np.zeros((rows, filled)), np.empty((rows, filled)), np.empty((size, rows))
    gram, count, pushes = np.empty((size, size)), weights.sum(), len(pole) // thetas
    padded[:, :size] = base
    best, pushed, highest, delay = 0, 0, -np.inf, 0
    for attempt in range(pushes + 2 * (thetas - 1)):
        if attempt < pushes:
            model = attempt * thetas
        else:
            beside, theta = divmod(attempt - pushes, thetas - 1)
            if beside == 1 and pushed == 0:
                break
            model = (pushed if beside == 0 else 0) + theta + 1
        value = math.log(share[model]) - innovations.whiten(
            padded, first, pole[model], push_gain[model], noise_gain[model], scale[model], white
        )
        _gram(white, weights, columns, gram)
        levels = _levels(noise, scale[model])
        evidence, delay = log_evidence(gram, count, levels, mean, precision, *grid, delay, highest - value)
        value += evidence
        if value > highest:
            best, highest = model, value
            if attempt < pushes:
                pushed = model
    return best


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
    means, covariances, sizes, values = [], [], [], []
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
        sizes.append(len(chosen))
        values.append(float(np.mean(np.asarray(delays)[steps == bin_])))
    counts = np.array(sizes, dtype=float)
    return PhysicsPrior(
        mean=np.stack(means),
        covariance=np.stack(covariances),
        weight=counts / counts.sum(),
        delay=values,
        noise=noise,
        model_dt=model_dt,
    )
