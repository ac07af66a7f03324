"""Supervised learning over all tasks at once, no inner loop in training: the baseline ``MB``.

The ``pretrained`` network of the sinusoid benchmark, and the model-based baseline MB of Nagabandi
et al. (ICLR 2019). Updated online without restore it is MB+DE, dynamic evaluation.
"""

from __future__ import annotations

import torch

from ..gradients import batched
from ..gradients.batched import Samples
from .base import mean_over_tasks
from .gradient_based import NAN, GradientTrainer
from .reptile import together


class Supervised(GradientTrainer):
    """The gradient of the plain loss at theta, over all samples of all tasks."""

    name = "supervised"

    @torch.no_grad()
    def meta_gradient(
        self, support: Samples, query: Samples, measure: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | float, torch.Tensor]:
        c = self.config
        start = self._start(len(support[0]))
        before = batched.loss(start, c.activation, query).mean() if measure else NAN
        losses, gradients = batched.loss_and_gradient(start, c.activation, *together(support, query))
        return mean_over_tasks(gradients), before, losses.mean()
