"""``ekf``: an extended Kalman filter of velocity, friction and gain on each axis.

State (x, c, g) with x' = 5 (g u - x) - c x, exactly discretised for a held command u; friction c
[1/s] and gain g [-] walk at random. Odometry measures x. Knows of no command delay.
"""

from __future__ import annotations

import attrs
import numpy as np

from ...core.errors import InvalidValueError
from ...core.kernels.cache import njit
from ...dynamics.residual import ResidualWeights
from ...dynamics.transitions import Transitions
from ...weights.meta_model import MetaModel
from .base import Adaptation
from .first_order import NOMINAL_RATE, adaptation, as_weights, axis_rows, gaps, nominal

SLOWEST = 0.1  # [1/s] smallest rate 5 + c: keeps the model a stable lag
FASTEST = 100.0  # [1/s] largest rate


@attrs.frozen
class EKFConfig:
    """Standard deviations, the same on both axes (m/s read as rad/s for omega).

    Attributes:
        process: of x, added in a step [m/s].
        measurement: of odometry [m/s].
        walk_friction: of c, added in a step [1/s].
        walk_gain: of g, added in a step [-].
        start_friction, start_gain: of the starting guess c = 0, g = 1.
    """

    process: float = 0.01
    measurement: float = 0.01
    walk_friction: float = 0.1
    walk_gain: float = 0.005
    start_friction: float = 2.0
    start_gain: float = 0.3

    def __attrs_post_init__(self) -> None:
        for field in attrs.fields(EKFConfig):
            value = getattr(self, field.name)
            if not 0.0 <= value <= 100.0:
                raise InvalidValueError(f"{field.name} must be in [0, 100], got {value}")
        if not self.measurement > 0.0:
            raise InvalidValueError(f"measurement must be above 0, got {self.measurement}")


@njit(cache=True)
def transition(x, c, g, u, dt):  # type: ignore[no-untyped-def] # numba finds the types
    """x after ``dt`` and its derivatives to (x, c, g)."""
    rate = NOMINAL_RATE + c
    keep = np.exp(-rate * dt)
    drive = NOMINAL_RATE * (1.0 - keep) / rate
    slope = NOMINAL_RATE * (dt * keep - (1.0 - keep) / rate) / rate
    return keep * x + drive * g * u, keep, -dt * keep * x + slope * g * u, drive * u


@njit(cache=True)
def recursion(x, u, measured, missing, dt, process, measurement, walk_c, walk_g, p):  # type: ignore[no-untyped-def] # numba finds the types
    """Filter one axis, oldest row first.

    Args:
        x, u, measured: odometry at the start, command, odometry at the end, shape (M,).
        missing: steps lost before each row, -1 where it follows the one before, shape (M,).
        process, measurement, walk_c, walk_g: variances [(m/s)^2, (m/s)^2, 1/s^2, -].
        p: covariance of (x, c, g) at the start, shape (3, 3); changed in place.

    Returns:
        (x, c, g) after the last row.
    """
    state = np.array([0.0, 0.0, 1.0])
    for row in range(len(x)):
        if missing[row] >= 0:
            # Nothing links the velocity to the one before the gap; the parameters only walked.
            state[0] = x[row]
            for i in range(3):
                p[0, i] = 0.0
                p[i, 0] = 0.0
            p[0, 0] = measurement
            p[1, 1] += missing[row] * walk_c
            p[2, 2] += missing[row] * walk_g
        ahead, fx, fc, fg = transition(state[0], state[1], state[2], u[row], dt)
        row_x = fx * p[0] + fc * p[1] + fg * p[2]  # first row of F P
        corner = fx * row_x[0] + fc * row_x[1] + fg * row_x[2]
        p[0, 1] = p[1, 0] = row_x[1]
        p[0, 2] = p[2, 0] = row_x[2]
        p[0, 0] = corner + process
        p[1, 1] += walk_c
        p[2, 2] += walk_g
        gain = p[:, 0] / (p[0, 0] + measurement)
        innovation = measured[row] - ahead
        state[0] = ahead
        state += gain * innovation
        state[1] = min(max(state[1], SLOWEST - NOMINAL_RATE), FASTEST - NOMINAL_RATE)
        before = p[0].copy()
        for i in range(3):
            for j in range(3):
                p[i, j] -= gain[i] * before[j]
    return state


class EKFAdapter:
    """Runs over the buffer from the nominal robot (c = 0, g = 1) each time.

    Args:
        meta: gives the time step and the delay taps; nothing learned is used.
        config: noise levels.
    """

    name = "ekf"

    def __init__(self, meta: MetaModel, config: EKFConfig = EKFConfig()):
        self._meta, self._config = meta, config

    def start(self) -> ResidualWeights:
        """The nominal first-order robot."""
        return as_weights(self._meta, self.name, [nominal(self._meta.model_dt)] * 2)

    def estimate(self, data: Transitions) -> np.ndarray:
        """(x, c, g) of v and omega after the last transition, shape (2, 3)."""
        k, missing = self._config, gaps(data)
        process, measurement, walk_c, walk_g = np.square(
            [k.process, k.measurement, k.walk_friction, k.walk_gain]
        )
        spread = np.square([k.measurement, k.start_friction, k.start_gain])
        return np.array(
            [
                recursion(
                    *axis_rows(data, axis), missing, data.model_dt, process, measurement, walk_c, walk_g,
                    np.diag(spread),
                )
                for axis in (0, 1)
            ]
        )  # fmt: skip

    def adapt(self, data: Transitions) -> Adaptation:
        _, friction, gain = self.estimate(data).T
        rate = NOMINAL_RATE + friction
        keep = np.exp(-rate * self._meta.model_dt)
        coefficients = np.stack([keep, NOMINAL_RATE * gain * (1.0 - keep) / rate, np.zeros(2)], axis=1)
        return adaptation(self._meta, self.start(), coefficients, data)
