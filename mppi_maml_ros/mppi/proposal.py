"""A command sequence from elsewhere among the samples (Biased-MPPI, Trevisan and Alonso-Mora, RA-L 2024)."""

from __future__ import annotations

from typing import Protocol

from ..core.types import Array
from .rollouts.base import Model


class Proposal(Protocol):
    """What proposes a sequence; it is rolled out, scored and weighed as one more sample."""

    def __call__(self, state: Array, reference: Array, history: Array, last: Array, model: Model) -> Array:
        """Commands (N, 2) for a step; arguments as of ``MPPIController.compute_control``."""
