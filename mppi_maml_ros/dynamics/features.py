"""Inputs of the residual: SE(2)-invariant, in the body frame, with past commands.

Input vector z, length ``input_size(D) = 4 + 2 D`` for D delay taps::

    z = [v, omega, u0_v, u0_omega, u1_v, u1_omega, ..., uD_v, uD_omega]

u0 is the command of the step that is predicted, u_j the mean command j steps earlier. On an axis with a
transport delay of d whole steps all of them are d steps older.

Feature vector phi(z), length ``feature_size(D) = input_size(D) + 4``::

    phi = [z, 1, v omega, s(v / 0.05), s(omega / 0.1)],   s(a) = a / sqrt(1 + a^2)

The last four let a linear map express a constant drift, lateral slip and Coulomb friction.
"""

import math

import numpy as np

from ..core.kernels.cache import njit

SOFT_SIGN_V = 0.05  # [m/s] speed at which the Coulomb feature has 71 % of its full value
SOFT_SIGN_OMEGA = 0.1  # [rad/s]
EXTRA_FEATURES = 4
MAX_DELAY_TAPS = 8
MAX_TRANSPORT_DELAY = 12  # whole steps
MAX_HISTORY = MAX_DELAY_TAPS + MAX_TRANSPORT_DELAY  # past commands that any weights may use


def input_size(delay_taps: int) -> int:
    """Length of z for ``delay_taps`` past commands."""
    return 4 + 2 * delay_taps


def feature_size(delay_taps: int) -> int:
    """Length of phi(z) for ``delay_taps`` past commands."""
    return input_size(delay_taps) + EXTRA_FEATURES


def soft_sign(a: np.ndarray) -> np.ndarray:
    """a / sqrt(1 + a^2): a smooth sign, cheap in every backend."""
    return a / np.sqrt(1.0 + a * a)


@njit(inline="always", error_model="numpy")
def extras(v: float, omega: float) -> tuple[float, float, float, float]:
    """The features that are no inputs."""
    p, q = v / SOFT_SIGN_V, omega / SOFT_SIGN_OMEGA
    return 1.0, v * omega, p / math.sqrt(1.0 + p * p), q / math.sqrt(1.0 + q * q)


def features(inputs: np.ndarray) -> np.ndarray:
    """Map inputs z of shape (..., Z) to features phi(z) of shape (..., Z + 4)."""
    inputs = np.asarray(inputs)
    size = inputs.shape[-1]
    out = np.empty((*inputs.shape[:-1], size + EXTRA_FEATURES), dtype=np.result_type(inputs, np.float32))
    v, omega = inputs[..., 0], inputs[..., 1]
    out[..., :size], out[..., size], out[..., size + 1] = inputs, 1.0, v * omega
    out[..., size + 2], out[..., size + 3] = soft_sign(v / SOFT_SIGN_V), soft_sign(omega / SOFT_SIGN_OMEGA)
    return out
