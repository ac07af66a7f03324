"""GrBAL, gradient-based adaptive learner (Nagabandi et al., ICLR 2019, algorithm 1).

MAML in time: the support set is the last M transitions, the query the next K of the same robot.
Online theta is restored and adapted at every step, so that the model never lags behind a change by
more than M transitions and never drifts.
"""

from __future__ import annotations

from .gradient_based import GradientTrainer


class GrBAL(GradientTrainer):
    """``support_size`` is M and ``query_size`` K; exact second order."""

    name = "grbal"
    sequential = True
