"""The slip of a robot that turns about another point than the origin of its frame.

A base on skid-steered wheels or with a load turns about a point at a distance k behind the origin of its
frame, which moves sideways at k omega then. Feedback makes up for a wrong gain, but a slip that a model does
not know of keeps the robot beside its path.
"""

from __future__ import annotations

import math

import attrs
import numpy as np
from numpy.typing import NDArray

from ...core.kernels.cache import njit
from ...core.types import Array
from ..compiled import missed
from ..residual import ResidualWeights
from ..transitions import Transitions, runs

HORIZON = 10  # steps over which displacements are compared, as the noise of poses drowns those of one
SPREAD = 0.1  # [m] of k, before any data
NOISE = 0.004  # [m] of a lateral displacement
OMEGA = 1  # place of omega among the features


def with_slip(
    weights: ResidualWeights, data: Transitions, transport_delay: tuple[int, int] = (0, 0)
) -> ResidualWeights:
    """The same weights with as much slip more as the data tell of: a ridge regression on the yaw rate.

    Args:
        weights: the model, which knows of no transport delay.
        data: with the commands that act.
        transport_delay: that the weights get as well.
    """
    starts, steps = runs(data, HORIZON)
    k = _slip(missed(weights, data), data.states, data.model_dt, starts, steps) if steps else 0.0
    k = k if math.isfinite(k) else 0.0
    if k == 0.0 and not any(transport_delay):
        return weights
    linear = weights.linear.copy()
    linear[2, OMEGA] += k
    return attrs.evolve(weights, linear=linear, transport_delay=transport_delay)


@njit(cache=True)
def _slip(missed: Array, states: Array, dt: float, starts: NDArray[np.int64], steps: int) -> float:
    # Runs overlap: each observation is counted as often as it has steps.
    product, square = 0.0, steps * (NOISE / SPREAD) ** 2
    for first in starts:
        lateral = turned = 0.0
        for k in range(first, first + steps):
            lateral += dt * missed[k, 2]
            turned += dt * states[k, 4]
        product += turned * lateral
        square += turned * turned
    return product / square
