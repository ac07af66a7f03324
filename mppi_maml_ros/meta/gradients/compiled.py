"""First derivatives and the inner loop on a processor: one task after the other, in compiled code.

All of a task fits into the processor's cache, which a batched product over tasks leaves again and again.
The same numbers as :mod:`.batched` but for rounding; single precision and no graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from ...core.kernels import backprop
from ...core.types import Float32

Layers = list[tuple[torch.Tensor, torch.Tensor]]  # (W (B, out, in), b (B, 1, out)), input side first
SampleSet = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # see batched.Samples


def serves(layers: Layers) -> bool:
    """Whether these (W, b) pairs of torch tensors can be worked on here."""
    return all(
        p.device.type == "cpu" and p.dtype == torch.float32 and not p.requires_grad
        for pair in layers
        for p in pair
    )


def _widths(layers: Layers) -> list[int]:
    return [layers[0][0].shape[2], *(w.shape[1] for w, _ in layers)]


def _packed(layers: Layers) -> np.ndarray:
    return torch.cat([part.flatten(1) for pair in layers for part in pair], dim=1).numpy()


def _unpacked(flat: np.ndarray, widths: list[int]) -> Layers:
    return [(torch.from_numpy(w), torch.from_numpy(b)[:, None]) for w, b in backprop.views(flat, widths)]


def _samples(inputs: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> list[Float32]:
    arrays = (inputs, targets, weights.expand_as(targets))
    return [np.ascontiguousarray(a.numpy(), dtype=np.float32) for a in arrays]


def loss(
    layers: Layers, activation: str, inputs: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """As :func:`batched.loss`."""
    flat = _packed(layers)
    space, losses = backprop.Workspace(_widths(layers), inputs.shape[1]), np.empty(len(flat), np.float32)
    samples = _samples(inputs, targets, weights)
    backprop.losses(space.plan, space.memory, flat, activation == "tanh", *samples, losses)
    return torch.from_numpy(losses)


def loss_and_gradient(
    layers: Layers, activation: str, inputs: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, Layers]:
    """As :func:`batched.loss_and_gradient`."""
    widths, flat = _widths(layers), _packed(layers)
    space = backprop.Workspace(widths, inputs.shape[1])
    losses, gradients = np.empty(len(flat), dtype=np.float32), np.empty_like(flat)
    samples = _samples(inputs, targets, weights)
    backprop.losses_and_gradients(
        space.plan, space.memory, flat, activation == "tanh", *samples, losses, gradients
    )
    return torch.from_numpy(losses), _unpacked(gradients, widths)


def adapt(
    layers: Layers,
    activation: str,
    support: SampleSet,
    rate: float,
    steps: int,
    max_norm: float = math.inf,
    interrupt: Callable[[], None] = lambda: None,
) -> Layers:
    """As :func:`inner.adapt` with one rate and without a trace."""
    widths, flat = _widths(layers), _packed(layers)
    space = backprop.Workspace(widths, support[0].shape[1])
    samples, gradient = _samples(*support), np.empty(flat.shape[1], dtype=np.float32)
    for _ in range(steps):
        interrupt()
        backprop.step_down(
            space.plan, space.memory, flat, activation == "tanh", *samples, rate, max_norm, gradient
        )
    return _unpacked(flat, widths)
