"""ANIL, almost no inner loop (Raghu et al., ICLR 2020): only the last layer is adapted.

The outer update is MAML's, exact, over all layers: the body learns features whose linear head
can be fitted in a few steps.
"""

from __future__ import annotations

from ..gradients.batched import Rates
from .gradient_based import GradientTrainer


class ANIL(GradientTrainer):
    """MAML with an inner rate of zero below the head."""

    name = "anil"

    @property
    def rates(self) -> Rates:
        depth = len(self.config.hidden)
        return [(0.0, 0.0)] * depth + [(self.config.inner_lr, self.config.inner_lr)]
