"""``rls``: recursive least squares of x+ = a x + b u + c on each axis, with exponential forgetting.

Knows of no command delay. Source: Åström and Wittenmark, Adaptive Control (2nd ed.), 2.2.
"""

from __future__ import annotations

import numpy as np

from ...core.errors import InvalidValueError
from ...core.kernels.cache import njit
from ...core.types import Array
from ...dynamics.residual import ResidualWeights
from ...dynamics.transitions import Transitions
from ...weights.meta_model import MetaModel
from .base import Adaptation
from .first_order import KINEMATIC, adaptation, axis_rows

FORGETTING = 0.93
COVARIANCE = 100.0  # of the starting guess, in units of the noise variance
WIND_UP = 100.0  # the trace of the covariance may grow to this many times that of the start
SLOWEST = 0.995  # largest a: a lag of ten seconds at a step of 0.05 s


@njit(cache=True)
def recursion(x, u, target, start, covariance, forgetting, limit):  # type: ignore[no-untyped-def] # numba finds the types
    """Least squares of ``target`` on (x, u, 1), oldest row first.

    The covariance is divided by ``forgetting`` only while its trace stays below ``limit``: a robot
    that drives steadily would otherwise forget what it cannot see (covariance wind-up).

    Args:
        x, u, target: shape (M,); start: shape (3,); covariance: of the start, a multiple of the identity.

    Returns:
        Coefficients (3,) and covariance (3, 3) in units of the noise variance.
    """
    theta = start.copy()
    p = covariance * np.eye(3)
    phi, gain = np.empty(3), np.empty(3)
    for row in range(len(x)):
        phi[0], phi[1], phi[2] = x[row], u[row], 1.0
        error, scale = target[row], forgetting
        for i in range(3):
            gain[i] = p[i, 0] * phi[0] + p[i, 1] * phi[1] + p[i, 2] * phi[2]
            error -= phi[i] * theta[i]
            scale += phi[i] * gain[i]
        for i in range(3):
            theta[i] += gain[i] * error / scale
            for j in range(3):
                p[i, j] -= gain[i] * gain[j] / scale
        if p[0, 0] + p[1, 1] + p[2, 2] <= limit * forgetting:
            p /= forgetting
    return theta, p


def stable(theta: Array, covariance: Array) -> Array:
    """The least squares solution with a in [0, SLOWEST], from the free one and its covariance.

    A larger a is a robot that speeds up by itself, which rollouts do not survive.
    """
    excess = theta[0] - np.clip(theta[0], 0.0, SLOWEST)
    inside: Array = theta - covariance[:, 0] * (excess / covariance[0, 0])
    return inside


class RLSAdapter:
    """Runs over the buffer from the kinematic prior each time.

    Args:
        meta: gives the time step and the delay taps; nothing learned is used.
        forgetting: weight of a row relative to the next newer one, in (0, 1].
        covariance: of the starting guess, in units of the noise variance.
        wind_up: nothing is forgotten while the trace of the covariance is this many times that
            of the start.
    """

    name = "rls"

    def __init__(
        self,
        meta: MetaModel,
        forgetting: float = FORGETTING,
        covariance: float = COVARIANCE,
        wind_up: float = WIND_UP,
    ):
        if not 0.0 < forgetting <= 1.0:
            raise InvalidValueError(f"forgetting must be in (0, 1], got {forgetting}")
        if not 0.0 < covariance <= 1e12:
            raise InvalidValueError(f"covariance must be in (0, 1e12], got {covariance}")
        if not 1.0 <= wind_up <= 1e12:
            raise InvalidValueError(f"wind_up must be in [1, 1e12], got {wind_up}")
        self._meta, self._forgetting, self._covariance = meta, float(forgetting), float(covariance)
        self._limit = 3.0 * float(wind_up) * self._covariance

    def start(self) -> ResidualWeights:
        """The kinematic prior."""
        return self._meta.weights(self.name, blend=0.0)

    def adapt(self, data: Transitions) -> Adaptation:
        start = np.array(KINEMATIC)
        found = [
            stable(*recursion(*axis_rows(data, axis), start, self._covariance, self._forgetting, self._limit))
            for axis in (0, 1)
        ]
        return adaptation(self._meta, self.start(), np.array(found), data)
