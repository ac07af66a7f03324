"""What the trainers share whose inner adapter is gradient descent on the whole network."""

from __future__ import annotations

import math

import numpy as np
import torch

from ...core.tunable import declarations
from ..config import TrainingConfig
from ..gradients import batched, inner
from ..gradients.batched import Arrays, Samples
from ..gradients.compiled import Layers, SampleSet
from .base import Trainer, mean_over_tasks, query_losses

NAN = float("nan")


class GradientTrainer(Trainer):
    """Restore theta, take ``inner_steps`` steps on the support set, differentiate the query loss.

    Attributes:
        exact: differentiate through the inner steps (second order), or take d theta'/d theta as 1.
    """

    exact = True

    @property
    def rates(self) -> batched.Rates:
        """Of the inner steps."""
        return self.config.inner_lr

    @property
    def max_norm(self) -> float:
        """Of a task's gradient; the largest setting means that nothing is clipped."""
        limit = self.config.max_gradient_norm
        largest = declarations(TrainingConfig)["max_gradient_norm"].high
        return math.inf if largest is None or limit >= largest else limit

    def _start(self, tasks: int) -> Layers:
        return batched.repeat([(w.detach(), b.detach()) for w, b in self.layers], tasks)

    @torch.no_grad()
    def meta_gradient(
        self, support: Samples, query: Samples, measure: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | float, torch.Tensor]:
        c = self.config
        start = self._start(len(support[0]))
        before = batched.loss(start, c.activation, query).mean() if measure else NAN
        trace: list[inner.Step] | None = [] if self.exact else None
        adapted = inner.adapt(
            start, c.activation, support, self.rates, c.inner_steps, self.max_norm, trace, self.interrupt
        )
        after, vectors = batched.loss_and_gradient(adapted, c.activation, *query)
        return self._outer(vectors, trace, support), before, after.mean()

    def _outer(self, vectors: Layers, trace: list[inner.Step] | None, support: SampleSet) -> torch.Tensor:
        """Flat meta-gradient from the query loss's gradient at theta'."""
        if trace is not None:
            vectors = inner.pull_back(
                trace, self.config.activation, support, self.rates, vectors, self.max_norm,
                interrupt=self.interrupt,
            )  # fmt: skip
        return mean_over_tasks(vectors)

    @torch.no_grad()
    def losses(self, support: Arrays, query: Arrays, steps: int | None = None) -> torch.Tensor:
        c = self.config
        support, query = self._samples(support), self._samples(query)
        rates = self.rates

        def once(layers: Layers) -> Layers:
            return inner.adapt(layers, c.activation, support, rates, 1, self.max_norm)

        steps = c.inner_steps if steps is None else steps
        return query_losses(self._start(len(support[0])), c.activation, query, once, steps)

    def extras(self) -> dict:
        c = self.config
        return super().extras() | {
            "inner": np.array([c.inner_lr, c.inner_steps], dtype=np.float32),
            "max_gradient_norm": np.array([c.max_gradient_norm], dtype=np.float32),
        }
