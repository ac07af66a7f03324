"""Reptile (Nichol et al., arXiv:1803.02999, algorithm 2): theta moves toward where SGD ends.

theta <- theta + epsilon * mean over tasks of (theta' - theta), epsilon falling linearly to 0.
There is no query: theta' is trained on all of a task's samples. The mean of theta - theta' may also
serve as the gradient of Adam, as the paper proposes.
"""

from __future__ import annotations

import torch

from ..gradients import batched, inner
from ..gradients.batched import Samples
from .base import mean_over_tasks
from .gradient_based import NAN, GradientTrainer


class Reptile(GradientTrainer):
    """``meta_lr`` is epsilon at the start, or Adam's rate where ``outer`` asks for Adam."""

    name = "reptile"
    exact = False
    outer = "descent"

    @torch.no_grad()
    def meta_gradient(
        self, support: Samples, query: Samples, measure: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | float, torch.Tensor]:
        c = self.config
        start = self._start(len(support[0]))
        before = batched.loss(start, c.activation, query).mean() if measure else NAN
        samples = together(support, query)
        adapted = inner.adapt(
            start, c.activation, samples, self.rates, c.inner_steps, self.max_norm, interrupt=self.interrupt
        )
        away = [(w0 - w1, b0 - b1) for (w0, b0), (w1, b1) in zip(start, adapted, strict=True)]
        after = batched.loss(adapted, c.activation, query).mean()
        return mean_over_tasks(away), before, after


def together(support: Samples, query: Samples) -> Samples:
    """Both sets as one, each weighing as much as it has samples."""
    counts = [(s[2] > 0).any(dim=2, keepdim=True).sum(dim=1, keepdim=True) for s in (support, query)]
    total = counts[0] + counts[1]
    weights = [s[2] * (n / total) for s, n in zip((support, query), counts, strict=True)]
    inputs, targets = (torch.cat(pair, dim=1) for pair in zip(support[:2], query[:2], strict=True))
    return Samples(inputs, targets, torch.cat(weights, dim=1))
