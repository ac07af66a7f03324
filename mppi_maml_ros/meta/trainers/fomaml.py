"""First-order MAML (Finn et al., ICML 2017; Nichol et al., arXiv:1803.02999).

theta <- theta - Adam(mean over tasks of grad L_query at theta'),
theta' = inner SGD from theta on the support set; the derivative of theta' by theta is taken as 1.
"""

from __future__ import annotations

import math

import torch

from ..gradients import batched, inner
from ..gradients.compiled import Layers, SampleSet
from .base import mean_over_tasks
from .gradient_based import GradientTrainer


class FOMAML(GradientTrainer):
    """MAML without second derivatives; each task's gradient is clipped like an inner step."""

    name = "fomaml"
    exact = False

    def _outer(self, vectors: Layers, trace: list[inner.Step] | None, support: SampleSet) -> torch.Tensor:
        limit = self.max_norm
        return mean_over_tasks(vectors if math.isinf(limit) else batched.clip(vectors, limit))
