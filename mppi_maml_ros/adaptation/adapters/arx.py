"""``arx``: each axis by ridge regression on its last two velocities and the commands; the plain baseline.

    x+ = a x + m (x - x-) + sum of b_j u_j + constant

Source: Ljung, System Identification (1999), 4.2 (ARX by least squares), with Tikhonov's ridge.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...core.types import Array
from ...dynamics.features import feature_size, input_size
from ...dynamics.residual import ResidualWeights
from ...dynamics.soundness import OUTPUTS
from ...dynamics.transitions import Transitions
from ...weights.meta_model import MetaModel
from .base import Adaptation
from .physics import response

RIDGE = 1e-3  # of a transition's squares, towards a robot that obeys
FEWEST = 12  # transitions that tell more than the prior


class ARXAdapter:
    """Least squares and nothing learned.

    Args:
        meta: gives the time step and the delay taps.
    """

    name = "arx"

    def __init__(self, meta: MetaModel) -> None:
        self._meta = meta

    def start(self) -> ResidualWeights:
        """The prior, by the mean of the velocities."""
        return self._meta.weights(self.name)

    def adapt(self, data: Transitions) -> Adaptation:
        meta, size = self._meta, feature_size(self._meta.delay_taps)
        linear, momentum = np.zeros((OUTPUTS, size)), np.zeros(2)
        before = after = float(np.mean(data.residuals[:, :2] ** 2))
        rows = np.flatnonzero(~data.first)
        if len(rows) >= FEWEST:
            left = np.zeros((len(rows), 2))
            for axis in (0, 1):
                columns, target = self._columns(data, rows, axis), data.residuals[rows, axis]
                gram = columns.T @ columns + RIDGE * len(rows) * np.eye(columns.shape[1])
                found = np.linalg.solve(gram, columns.T @ target)
                left[:, axis] = target - columns @ found
                linear[axis, axis], momentum[axis] = found[0], np.clip(found[1], -1.0, 1.0)
                linear[axis, input_size(meta.delay_taps)] = found[2]
                linear[axis, 2 + axis : input_size(meta.delay_taps) : 2] = found[3:]
            after = float(np.mean(left**2))
        gain, time_constant = response(linear, meta.model_dt)
        weights = meta.weights(self.name, linear=linear, momentum=momentum)
        return Adaptation(weights, before, after, gain=gain, time_constant=time_constant)

    @staticmethod
    def _columns(data: Transitions, rows: NDArray[np.int64], axis: int) -> Array:
        x = data.inputs[:, axis]
        change = x[rows] - x[rows - 1]
        return np.column_stack([x[rows], change, np.ones(len(rows)), data.inputs[rows, 2 + axis :: 2]])
