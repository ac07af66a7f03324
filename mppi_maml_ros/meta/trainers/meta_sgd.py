"""Meta-SGD (Li et al., arXiv:1707.09835): the start and a learning rate for each parameter are learned.

theta' = theta - a * grad L_support(theta), the gradient of the query loss passing to theta and a.
The rates are learned by their logarithm and clamped to [MIN_RATE, MAX_RATE] times ``inner_lr``:
free rates serve the one step they were trained for and diverge when more are taken.
"""

from __future__ import annotations

import math

import torch

from ..gradients import inner
from ..gradients.compiled import Layers, SampleSet
from .base import mean_over_tasks, named_layers
from .gradient_based import GradientTrainer

MIN_RATE, MAX_RATE = 0.01, 10.0  # of inner_lr


class MetaSGD(GradientTrainer):
    """Every weight and bias has its own inner rate."""

    name = "meta_sgd"

    def _initial(self, layers: Layers, generator: torch.Generator) -> dict[str, torch.Tensor]:
        start = math.log(self.config.inner_lr)
        rates = {f"rate.{name}": torch.full_like(v, start) for name, v in named_layers(layers).items()}
        return named_layers(layers) | rates

    @property
    def rates(self) -> Layers:
        named = self.parameters.views()
        return [
            (named[f"rate.layer{i}.weight"].exp(), named[f"rate.layer{i}.bias"].exp()[None])
            for i in range(len(self.config.hidden) + 1)
        ]

    def _outer(self, vectors: Layers, trace: list[inner.Step] | None, support: SampleSet) -> torch.Tensor:
        assert trace is not None
        c, rates = self.config, self.rates
        totals = [[torch.zeros_like(w), torch.zeros_like(b)] for w, b in vectors]

        def on_rates(vectors: Layers, gradients: Layers) -> None:
            for total, pair, gradient in zip(totals, vectors, gradients, strict=True):
                for i in (0, 1):
                    total[i].addcmul_(pair[i], gradient[i], value=-1.0)

        vectors = inner.pull_back(
            trace, c.activation, support, rates, vectors, self.max_norm, on_rates, self.interrupt
        )
        logs = [(tw * rw, tb * rb) for (tw, tb), (rw, rb) in zip(totals, rates, strict=True)]
        return torch.cat([mean_over_tasks(vectors), mean_over_tasks(logs)])

    def _bound(self) -> None:
        half = len(self.parameters.flat) // 2
        centre = math.log(self.config.inner_lr)
        self.parameters.flat[half:].clamp_(centre + math.log(MIN_RATE), centre + math.log(MAX_RATE))

    def extras(self) -> dict:
        return super().extras() | {
            f"rate{i}.{part}": rate.detach().cpu().numpy().reshape(layer[j].shape)
            for i, (pair, layer) in enumerate(zip(self.rates, self.layers, strict=True))
            for j, (part, rate) in enumerate(zip(("weight", "bias"), pair, strict=True))
        }
