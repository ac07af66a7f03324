"""The heading of a robot that slips sideways as it turns, and is to move along its reference all the same.

Wanted are the places of the reference, with headings along it. Who moves sideways at s while it drives at v
has to head against that by atan(s / v). Without it a controller that knows of the slip gives up a part of
the place for a part of the heading, and stays beside its path.
"""

from __future__ import annotations

import numpy as np

from ..core.angles import wrap
from ..core.types import Array
from ..dynamics.features import input_size
from ..dynamics.identification.slip import OMEGA
from ..dynamics.residual import ResidualWeights
from ..mppi.rollouts.base import Model

LEAST = 0.05  # [m/s] slower, a robot turns and goes nowhere
MOST = 0.3  # [rad] that it heads against a slip
DOUBT = 0.02  # [rad] less of it: as much is found on robots that do not slip, and would lead them astray
REACH = 4  # steps to both sides over which a speed is taken, as headings of taught paths are rough


def against_slip(window: Array, weights: Model, dt: float) -> Array:
    """Wanted poses, shape (N, 3), ``dt`` [s] apart, with headings that make up for what weights say of slip.

    The same array where nothing slips.
    """
    if not isinstance(weights, ResidualWeights) or len(window) < 2:
        return window
    # v omega comes second after the inputs
    by_omega, by_both = weights.linear[2, [OMEGA, input_size(weights.delay_taps) + 1]].tolist()
    if by_omega == by_both == 0.0:
        return window
    places, yaw = np.arange(len(window)), window[:, 2]
    first, last = np.maximum(places - REACH, 0), np.minimum(places + REACH, len(window) - 1)
    way, lasts = window[last] - window[first], dt * (last - first)
    v = (way[:, 0] * np.cos(yaw) + way[:, 1] * np.sin(yaw)) / lasts
    omega = wrap(way[:, 2]) / lasts
    drives = np.abs(v) > LEAST
    slip = (by_omega + by_both * v) * omega
    turned = window.copy()
    angle = np.arctan(slip[drives] / v[drives])
    turned[drives, 2] -= np.copysign(np.clip(np.abs(angle) - DOUBT, 0.0, MOST), angle)
    return turned
