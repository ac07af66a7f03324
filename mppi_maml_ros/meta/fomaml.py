"""First-order MAML over a pool of tasks (Finn et al., ICML 2017; Nichol et al., arXiv:1803.02999).

theta <- theta - Adam(mean over tasks of grad L_query at theta'),
theta' = inner SGD from theta on the support set; the derivative of theta' by theta is taken as 1.
"""

from __future__ import annotations

import attrs
import numpy as np
import torch

from ..core.errors import InvalidValueError
from . import batched


@attrs.frozen
class FOMAMLConfig:
    """Settings of the meta-training; ranges are checked.

    Attributes:
        hidden: widths of the hidden layers.
        activation: ``tanh`` or ``relu``.
        iterations: outer iterations.
        task_batch_size: tasks an iteration.
        support_size: largest support set; each task draws its size from [10, support_size].
        query_size: transitions that judge the adapted weights.
        inner_lr, inner_steps: inner SGD, as in deployment.
        meta_lr: of Adam.
        max_gradient_norm: of each inner step.
        seed: of initialisation and sampling.
    """

    hidden: tuple[int, ...] = attrs.field(default=(32,), converter=tuple)
    activation: str = "tanh"
    iterations: int = 2000
    task_batch_size: int = 16
    support_size: int = 200
    query_size: int = 100
    inner_lr: float = 0.05
    inner_steps: int = 30
    meta_lr: float = 1e-3
    max_gradient_norm: float = 10.0
    seed: int = 0

    def __attrs_post_init__(self):
        ranges = {
            "iterations": (1, 1_000_000),
            "task_batch_size": (1, 1024),
            "support_size": (2, 10_000),
            "query_size": (2, 10_000),
            "inner_lr": (1e-9, 1.0),
            "inner_steps": (1, 1000),
            "meta_lr": (1e-9, 1.0),
            "max_gradient_norm": (1e-9, 1e9),
            "seed": (0, 2**63 - 1),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise InvalidValueError(f"{name} must be in [{low:g}, {high:g}], got {getattr(self, name)}")
        if self.activation not in ("tanh", "relu"):
            raise InvalidValueError(f"activation must be tanh or relu, got {self.activation!r}")
        if not 1 <= len(self.hidden) <= 2 or not all(1 <= width <= 1024 for width in self.hidden):
            raise InvalidValueError(f"hidden must be one or two widths in [1, 1024], got {self.hidden}")


def initial_layers(inputs: int, outputs: int, hidden, generator: torch.Generator):
    """Scaled normal hidden layers and a zero output layer: the residual starts as the prior."""
    layers = []
    sizes = [inputs, *hidden]
    for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True):
        weight = torch.randn(fan_out, fan_in, generator=generator) / fan_in**0.5
        layers.append((weight, torch.zeros(fan_out)))
    layers.append((torch.zeros(outputs, sizes[-1]), torch.zeros(outputs)))
    return layers


class FOMAML:
    """Meta-learns theta* for networks from scaled inputs to normalised targets.

    Args:
        config: settings.
        inputs, outputs: widths of the network's ends.
    """

    def __init__(self, config: FOMAMLConfig, inputs: int, outputs: int):
        self.config = config
        generator = torch.Generator().manual_seed(config.seed)
        self.layers = [
            (w.requires_grad_(True), b.requires_grad_(True))
            for w, b in initial_layers(inputs, outputs, config.hidden, generator)
        ]
        self._optimiser = torch.optim.Adam([p for pair in self.layers for p in pair], lr=config.meta_lr)

    def step(self, support, query) -> tuple[float, float]:
        """One outer iteration.

        Args:
            support: (inputs (B, S, in), targets (B, S, out), weights (B, S, out)) numpy arrays.
            query: likewise.

        Returns:
            Mean query loss before and after the inner steps.
        """
        c = self.config
        support = [torch.as_tensor(a, dtype=torch.float32) for a in support]
        query = [torch.as_tensor(a, dtype=torch.float32) for a in query]
        with torch.no_grad():
            start = batched.repeat([(w.detach(), b.detach()) for w, b in self.layers], len(support[0]))
            before, _ = batched.loss_and_gradient(start, c.activation, *query)
            adapted = batched.inner_sgd(
                start, c.activation, *support, c.inner_lr, c.inner_steps, c.max_gradient_norm
            )
            after, gradients = batched.loss_and_gradient(adapted, c.activation, *query)
            gradients = batched.clip(gradients, c.max_gradient_norm)
            for (w, b), (gw, gb) in zip(self.layers, gradients, strict=True):
                w.grad, b.grad = gw.mean(dim=0), gb.mean(dim=0)[0]
        self._optimiser.step()
        return float(before.mean()), float(after.mean())

    def theta(self):
        """theta* as numpy (W, b) pairs."""
        return tuple((w.detach().numpy().copy(), b.detach().numpy().copy()) for w, b in self.layers)


def sample_sets(rng: np.random.Generator, tasks: int, steps: int, config: FOMAMLConfig):
    """Choose the support window and the query of each task.

    The support is one contiguous window, as the buffer holds it; the query follows or
    precedes it within the same task.

    Returns:
        support indices (tasks, S), support weights (tasks, S), query indices (tasks, Q).
    """
    size = min(config.support_size, steps)
    count = rng.integers(min(10, size), size + 1, size=tasks)
    start = (rng.uniform(size=tasks) * (steps - count + 1)).astype(int)
    index = np.minimum(start[:, None] + np.arange(size), steps - 1)
    weights = (np.arange(size) < count[:, None]) / count[:, None]
    query = rng.integers(0, steps, size=(tasks, config.query_size))
    return index, weights, query
