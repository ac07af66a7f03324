"""The slip of a robot that turns about another point than the origin of its frame.

A base on skid-steered wheels or with a load turns about a point at a distance k behind the origin of its
frame, which moves sideways at k omega then. Feedback makes up for a wrong gain, but a slip that a model does
not know of keeps the robot beside its path.
"""

from __future__ import annotations

import attrs
import numpy as np

from ..compiled import correction
from ..residual import ResidualWeights
from ..transitions import Transitions, runs

HORIZON = 10  # steps over which displacements are compared, as the noise of poses drowns those of one
SPREAD = 0.1  # [m] of k, before any data
NOISE = 0.004  # [m] of a lateral displacement
OMEGA = 1  # place of omega among the features


def with_slip(weights: ResidualWeights, data: Transitions) -> ResidualWeights:
    """The same weights with as much slip more as the data tell of: a ridge regression on the yaw rate.

    Args:
        weights: the model.
        data: as :meth:`Transitions.delayed` gives them for the commands that act.
    """
    starts, steps = runs(data, HORIZON)
    if not steps:
        return weights
    index = starts[:, None] + np.arange(steps)
    missed = data.residuals[:, 2] - correction(weights, data.inputs)[:, 2]
    lateral, turned = (data.model_dt * a[index].sum(axis=1) for a in (missed, data.states[:, 4]))
    # Runs overlap: each observation is counted as often as it has steps.
    ridge = steps * (NOISE / SPREAD) ** 2
    k = float(turned @ lateral / (turned @ turned + ridge))
    if not np.isfinite(k):
        return weights
    linear = weights.linear.copy()
    linear[2, OMEGA] += k
    return attrs.evolve(weights, linear=linear)
