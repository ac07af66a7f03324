"""``l1``: L1 adaptive augmentation of the nominal robot x' = 5 (u - x) + sigma on each axis.

A state predictor with the piecewise-constant adaptation law estimates the matched uncertainty
sigma [m/s^2, rad/s^2] in every step, a first-order low-pass decides how fast it is believed, and
the nominal model with the filtered sigma as a constant serves.

Source: Hovakimyan and Cao, L1 Adaptive Control Theory (SIAM 2010), 3.3; Pravitra et al., L1-adaptive
MPPI architecture (IROS 2020).
"""

from __future__ import annotations

import numpy as np

from ...core.errors import InvalidValueError
from ...core.kernels.cache import njit
from ...dynamics.residual import ResidualWeights
from ...dynamics.transitions import Transitions
from ...weights.meta_model import MetaModel
from .base import Adaptation
from .first_order import NOMINAL_RATE, adaptation, as_weights, axis_rows, gaps, nominal

BANDWIDTH = 2.0  # [rad/s] of the low-pass
PREDICTOR_RATE = 10.0  # [1/s] at which the predictor's error decays by itself
MAX_SIGMA = 50.0  # [m/s^2, rad/s^2]


@njit(cache=True)
def recursion(x, u, measured, missing, dt, predictor_rate, bandwidth):  # type: ignore[no-untyped-def] # numba finds the types
    """Filtered sigma after the last row; oldest row first, starting at 0.

    Args:
        x, u, measured: odometry at the start, command, odometry at the end, shape (M,).
        missing: -1 where a row follows the one before, else the predictor starts anew, shape (M,).
    """
    keep = np.exp(-NOMINAL_RATE * dt)
    reach = (1.0 - keep) / NOMINAL_RATE  # change of x by a unit sigma held over the step
    decay = np.exp(-predictor_rate * dt)
    share = 1.0 - np.exp(-bandwidth * dt)
    sigma = filtered = 0.0
    predicted = 0.0
    for row in range(len(x)):
        if missing[row] >= 0:
            predicted, sigma = x[row], 0.0
        nominal_end = keep * x[row] + (1.0 - keep) * u[row]
        predicted = nominal_end + decay * (predicted - x[row]) + reach * sigma
        error = predicted - measured[row]
        # The law cancels what the error will be a step later, decay * error; the uncertainty that
        # made it is not decayed yet.
        sigma = -decay * error / reach
        estimate = min(max(-error / reach, -MAX_SIGMA), MAX_SIGMA)
        filtered += share * (estimate - filtered)
    return filtered


class L1Adapter:
    """Runs over the buffer from sigma = 0 each time.

    Args:
        meta: gives the time step and the delay taps; nothing learned is used.
        bandwidth: of the low-pass [rad/s].
        predictor_rate: of the state predictor [1/s].
    """

    name = "l1"

    def __init__(self, meta: MetaModel, bandwidth: float = BANDWIDTH, predictor_rate: float = PREDICTOR_RATE):
        for label, value in (("bandwidth", bandwidth), ("predictor_rate", predictor_rate)):
            if not 0.0 < value <= 1000.0:
                raise InvalidValueError(f"{label} must be in (0, 1000] 1/s, got {value}")
        self._meta, self._bandwidth, self._predictor_rate = meta, float(bandwidth), float(predictor_rate)

    def start(self) -> ResidualWeights:
        """The nominal first-order robot."""
        return as_weights(self._meta, self.name, [nominal(self._meta.model_dt)] * 2)

    def estimate(self, data: Transitions) -> np.ndarray:
        """Filtered sigma of v [m/s^2] and omega [rad/s^2] after the last transition, shape (2,)."""
        missing = gaps(data)
        return np.array(
            [
                recursion(
                    *axis_rows(data, axis), missing, data.model_dt, self._predictor_rate, self._bandwidth
                )
                for axis in (0, 1)
            ]
        )

    def adapt(self, data: Transitions) -> Adaptation:
        keep, drive, _ = nominal(self._meta.model_dt)
        bias = self.estimate(data) * drive / NOMINAL_RATE
        coefficients = np.stack([np.full(2, keep), np.full(2, drive), bias], axis=1)
        return adaptation(self._meta, self.start(), coefficients, data)
