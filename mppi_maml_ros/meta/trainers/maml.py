"""MAML (Finn et al., ICML 2017, algorithm 1), second order and exact.

theta <- theta - Adam(d/d theta of mean over tasks of L_query(theta')),
theta' = ``inner_steps`` gradient steps from theta on the support set.
"""

from __future__ import annotations

from .gradient_based import GradientTrainer


class MAML(GradientTrainer):
    """The gradient passes through every inner step, by Hessian-vector products."""

    name = "maml"
