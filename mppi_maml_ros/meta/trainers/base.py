"""What a meta-trainer is: meta-parameters, an inner adapter, and a meta-gradient for the outer update.

A task distribution supplies (support, query) sets of B tasks at a time. The inner adapter turns the
support set into an adapted model; the meta-gradient says how to change the meta-parameters so that
adapted models do better on the query set; the outer update takes that step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch

from .. import distributed
from ..config import TrainingConfig
from ..gradients import batched
from ..gradients.batched import Arrays, Samples
from ..gradients.compiled import Layers, SampleSet
from ..gradients.outer import Adam, Descent, Parameters


def initial_layers(
    inputs: int, outputs: int, hidden: Iterable[int], generator: torch.Generator, silent: bool = True
) -> Layers:
    """Scaled normal hidden layers; the output layer is zero (the residual starts as the prior), or not."""
    layers = []
    sizes = [inputs, *hidden]
    for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True):
        weight = torch.randn(fan_out, fan_in, generator=generator) / fan_in**0.5
        layers.append((weight, torch.zeros(fan_out)))
    last = torch.zeros(outputs, sizes[-1])
    if not silent:
        last = torch.randn(outputs, sizes[-1], generator=generator) / sizes[-1] ** 0.5
    layers.append((last, torch.zeros(outputs)))
    return layers


class Trainer(ABC):
    """Meta-learns a network from scaled inputs to normalised targets.

    Args:
        config: settings.
        inputs, outputs: widths of the network's ends.
        silent: whether the untrained network gives zero.
        device, dtype: where and in what to compute.

    Attributes:
        name: of the algorithm.
        sequential: whether the query has to follow the support in time.
        outer: what ``auto`` means among the outer updates of the settings.
        parameters: the meta-parameters.
        optimiser: the outer update.
        interrupt: called before every inner step; what it raises ends the training there.
    """

    name: str
    sequential = False
    outer = "adam"

    def __init__(
        self, config: TrainingConfig, inputs: int, outputs: int, silent: bool = True,
        device: str = "cpu", dtype: torch.dtype = torch.float32,
    ) -> None:  # fmt: skip
        self.config, self.inputs, self.outputs = config, inputs, outputs
        self.device, self.dtype = device, dtype
        generator = torch.Generator().manual_seed(config.seed)
        layers = initial_layers(inputs, outputs, config.hidden, generator, silent)
        self.interrupt: Callable[[], None] = lambda: None
        self.parameters = Parameters(self._initial(layers, generator), device, dtype)
        self.optimiser = self._optimiser()

    def _initial(self, layers: Layers, generator: torch.Generator) -> dict[str, torch.Tensor]:
        return named_layers(layers)

    def _optimiser(self) -> Adam | Descent:
        c, flat = self.config, self.parameters.flat
        outer = self.outer if c.outer == "auto" else c.outer
        if outer == "descent":
            return Descent(flat, c.meta_lr, c.iterations)
        return Adam(flat, c.meta_lr, c.iterations if outer == "annealed_adam" else None)

    @property
    def layers(self) -> Layers:
        """theta as (W, b) pairs, views of the parameters."""
        return layers_in(self.parameters.views())

    def set_layers(
        self, layers: Iterable[tuple[np.ndarray | torch.Tensor, np.ndarray | torch.Tensor]]
    ) -> None:
        """Copy (W, b) pairs into the parameters."""
        for (w, b), (new_w, new_b) in zip(self.layers, layers, strict=True):
            w.copy_(torch.as_tensor(new_w))
            b.copy_(torch.as_tensor(new_b))

    def step(self, support: Arrays, query: Arrays, measure: bool = True) -> tuple[float, float]:
        """One outer iteration.

        Args:
            support, query: (inputs, targets, weights) of B tasks, numpy arrays or tensors; see
                :class:`batched.Samples`.
            measure: also say what the query loss is before the inner steps.

        Returns:
            Mean query loss before (NaN unless measured) and after the inner steps.
        """
        support, query = self._samples(support), self._samples(query)
        gradient, before, after = self.meta_gradient(support, query, measure)
        self.optimiser.step(self._limit(distributed.average(gradient)))
        self._bound()
        return float(before), float(after)

    def _samples(self, arrays: Arrays) -> Samples:
        return Samples(*(torch.as_tensor(a, dtype=self.dtype, device=self.device) for a in arrays))

    def _limit(self, gradient: torch.Tensor) -> torch.Tensor:
        """Keep one bad batch from spoiling the outer update."""
        return gradient

    def _bound(self) -> None:  # noqa: B027 - most trainers have no bounds
        """Bring parameters back into their range after an outer step."""

    @abstractmethod
    def meta_gradient(
        self, support: Samples, query: Samples, measure: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | float, torch.Tensor]:
        """Flat gradient for the outer update, query loss before (NaN unless measured) and after."""

    @abstractmethod
    def losses(self, support: Arrays, query: Arrays, steps: int | None = None) -> torch.Tensor:
        """Query loss of each task after 0, 1, ... ``steps`` adaptation steps, (steps + 1, B).

        An adapter in closed form has one step: the rest repeat it.
        """

    def theta(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """theta* as numpy (W, b) pairs."""
        return tuple(
            (w.detach().cpu().numpy().copy(), b.detach().cpu().numpy().copy()) for w, b in self.layers
        )

    def extras(self) -> dict[str, np.ndarray]:
        """What adapting needs besides theta*, as numpy arrays by name: all that travels with the network."""
        return {"window": np.array([self.config.support_size], dtype=np.float32)} if self.sequential else {}


def named_layers(layers: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """``layer0.weight``, ``layer0.bias``, ... of (W, b) pairs."""
    return {
        f"layer{i}.{part}": value
        for i, pair in enumerate(layers)
        for part, value in zip(("weight", "bias"), pair, strict=True)
    }


def layers_in(named: dict[str, torch.Tensor]) -> Layers:
    """Inverse of :func:`named_layers`; other names are left out."""
    depth = sum(name.startswith("layer") and name.endswith(".weight") for name in named)
    return [(named[f"layer{i}.weight"], named[f"layer{i}.bias"]) for i in range(depth)]


def limited(gradient: torch.Tensor, max_norm: float) -> torch.Tensor:
    """The gradient, scaled down to a Euclidean norm of at most ``max_norm``."""
    return gradient * torch.clamp(max_norm / (gradient.norm() + 1e-12), max=1.0)


def mean_over_tasks(gradients: Iterable[Sequence[torch.Tensor]]) -> torch.Tensor:
    """Flat mean of the tasks' gradients of (W, b) pairs, in the order of :func:`named_layers`."""
    return torch.cat([g.mean(dim=0).reshape(-1) for pair in gradients for g in pair])


def query_losses(
    start: Layers, activation: str, query: SampleSet, adapt_once: Callable[[Layers], Layers], steps: int
) -> torch.Tensor:
    """Query loss of each task before and after each of ``steps`` calls of ``adapt_once(layers)``."""
    layers, out = start, [batched.loss(start, activation, query)]
    for _ in range(steps):
        layers = adapt_once(layers)
        out.append(batched.loss(layers, activation, query))
    return torch.stack(out)
