"""The adapter interface."""

from __future__ import annotations

from typing import Protocol

import attrs
import numpy as np

from ...dynamics.residual import ResidualWeights
from ...dynamics.transitions import Transitions


@attrs.frozen(eq=False)
class Adaptation:
    """What an adapter made of the data.

    Attributes:
        weights: candidate residual.
        loss_before, loss_after: training loss at the starting point and of the candidate
            (normalised, mean square).
        delay: estimated command delay [s]; NaN when not estimated.
        gain, time_constant: of (v, omega), shape (2,) [-, s]; NaN when not estimated.
        steps: gradient steps taken.
        share: of the correction that the answers to commands allow, see :mod:`..answers`.
    """

    weights: ResidualWeights
    loss_before: float
    loss_after: float
    delay: float = float("nan")
    gain: np.ndarray = attrs.field(factory=lambda: np.full(2, np.nan))
    time_constant: np.ndarray = attrs.field(factory=lambda: np.full(2, np.nan))
    steps: int = 0
    share: float = 1.0


class Adapter(Protocol):
    """Makes candidates from data; never changes the meta-model."""

    name: str

    def start(self) -> ResidualWeights:
        """The weights before any data: theta*."""

    def adapt(self, data: Transitions) -> Adaptation:
        """A candidate from ``data``, at least one transition; the same after the same calls."""
