"""GrBAL, gradient-based adaptive learner (Nagabandi et al., ICLR 2019, algorithm 1).

MAML in time: the support set is the last M transitions, the query the next K of the same robot, and
the rates psi of the inner steps are learned with theta. Online theta is restored and adapted at every
step, so that the model never lags behind a change by more than M transitions and never drifts.
"""

from __future__ import annotations

import torch

from .base import limited
from .meta_sgd import MetaSGD

LARGEST = 1.0  # Euclidean norm of a meta-gradient; most are well below it


class GrBAL(MetaSGD):
    """``support_size`` is M and ``query_size`` K; exact second order."""

    name = "grbal"
    sequential = True

    def _limit(self, gradient: torch.Tensor) -> torch.Tensor:
        return limited(gradient, LARGEST)
