"""``physics``: the closed-form physics layer alone; ``physics+maml``: with what was meta-learned beside it.

The physics layer weighs families of equations by the evidence of the data. ``physics+maml`` puts the
meta-learned starts of ``maml`` (see :mod:`..starts`) among them: where the data are likelier from one of
these, it is restored and adapted, in closed form, since the proximal inner problem of a linear map
is quadratic.
"""

from __future__ import annotations

import math

import numpy as np

from ...core.kernels.cache import njit
from ...core.types import Array, Float32
from ...dynamics.features import EXTRA_FEATURES, extras
from ...dynamics.identification import physics
from ...dynamics.identification.error_models import TYPICAL
from ...dynamics.identification.free_maps import LearnedMaps
from ...dynamics.residual import ResidualWeights
from ...dynamics.transitions import Transitions
from ...weights.meta_model import MetaModel
from ..starts import Starts
from .base import Adaptation

MORE = 1.5  # times the data of the fit before; of more than that the errors are looked at anew


class PhysicsAdapter:
    """Bayesian regression of gain, lag, delay and friction with the meta-learned prior.

    Args:
        meta: gives that prior.
        starts: of ``maml``, to stand beside the families; None for none.
    """

    def __init__(self, meta: MetaModel, starts: Starts | None = None) -> None:
        self._begin, self._count, self._errors = math.nan, 0, np.zeros(2, dtype=int)  # of the fit before
        self.name = "physics" if starts is None else "physics+maml"
        self._meta, self._typical = meta, meta.physics.typical
        self._learned = None if starts is None else LearnedMaps.of(starts.output, starts.mean, starts.factor)

    def start(self) -> ResidualWeights:
        """The typical robot: a short lag, full gain and no delay."""
        return self._meta.weights(self.name, linear=self._typical, error_model=TYPICAL)

    def fit(self, data: Transitions) -> physics.PhysicsPosterior:
        """Posterior of the coefficients given the transitions.

        Where they go on from those of the fit before, their errors are of the same kind.
        """
        begin, count = float(data.stamps[0]) if len(data) else math.nan, len(data)
        goes_on = begin == self._begin and self._count < count <= MORE * self._count
        found = physics.fit(
            self._meta.physics, data.inputs, data.residuals, first=data.first, learned=self._learned,
            errors=self._errors if goes_on else None,
        )  # fmt: skip
        self._begin, self._count, self._errors = begin, count, found.errors
        return found

    def adapt(self, data: Transitions) -> Adaptation:
        posterior = self.fit(data)
        maps, noise = (self._typical, posterior.mean), self._meta.noise
        before, after = (_loss(data.inputs, data.residuals, linear, noise) for linear in maps)
        gain, time_constant = response(posterior.mean, self._meta.model_dt)
        return Adaptation(
            weights=self._meta.weights(
                self.name,
                linear=posterior.mean,
                error_model=posterior.error_model,
                covariance=posterior.covariance,
                momentum=posterior.momentum,
                observer=posterior.observer,
            ),
            loss_before=before,
            loss_after=after,
            delay=posterior.delay,
            gain=gain,
            time_constant=time_constant,
        )


@njit(cache=True)
def _loss(inputs: Array, residuals: Array, linear: Array, noise: Float32) -> float:
    """Mean square of what a linear map leaves of the residuals, in the variance of their noise."""
    total, size = 0.0, inputs.shape[1]
    phi = np.empty(size + EXTRA_FEATURES)
    for m in range(len(inputs)):
        phi[:size] = inputs[m]
        phi[size], phi[size + 1], phi[size + 2], phi[size + 3] = extras(phi[0], phi[1])
        for o in range(len(noise)):
            left = -residuals[m, o]
            for p in range(len(phi)):
                left += linear[o, p] * phi[p]
            total += left * left / noise[o]
    return total / len(inputs)


def response(linear: np.ndarray, model_dt: float) -> tuple[np.ndarray, np.ndarray]:
    """Steady-state gain and time constant of each axis of a linear map L.

    Args:
        linear: shape (3, P), see dynamics.residual.
        model_dt: step [s].

    Returns:
        gain (2,) [-] and time constant (2,) [s], NaN where the axis is not a stable lag.
    """
    taps = (linear.shape[1] - 8) // 2
    gain, tau = np.full(2, np.nan), np.full(2, np.nan)
    for axis, row in enumerate(linear[:2].tolist()):
        keep, drive = row[axis], 1.0 + sum(row[2 + axis : 4 + 2 * taps : 2])
        if keep < 1.0:
            gain[axis] = drive / (1.0 - keep)
        if 0.0 < keep < 1.0:
            tau[axis] = -model_dt / math.log(keep)
    return gain, tau
