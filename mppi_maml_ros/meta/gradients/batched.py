"""Many small networks at once: batched matrix products with hand-written derivatives.

One network a task; parameters carry a leading task axis. No Python loop over tasks. A network is a
list of (W (B, out, in), b (B, 1, out)) pairs, input side first. First derivatives are
back-propagation, second ones Hessian-vector products by the R operator (Pearlmutter, Neural
Computation 6, 1994), so no graph is ever recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from . import compiled
from .compiled import Layers, SampleSet

NARROW = 32  # inputs
Arrays = Iterable[np.ndarray | torch.Tensor]  # what Samples are made of
ArraySet = tuple[np.ndarray, np.ndarray, np.ndarray]
Rates = float | Sequence[tuple[float | torch.Tensor, float | torch.Tensor]]  # see inner


class Samples(NamedTuple):
    """A set of samples for each of B tasks.

    Attributes:
        inputs: (B, S, in), scaled.
        targets: (B, S, out), normalised.
        weights: of each sample and output in the loss, (B, S, out); a plain mean: 1 / S.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor

    @classmethod
    def of(cls, arrays: Arrays, device: str = "cpu") -> Samples:
        """From three numpy arrays or tensors, as float32 on ``device``."""
        return cls(*(torch.as_tensor(a, dtype=torch.float32, device=device) for a in arrays))


class Pass(NamedTuple):
    """What back-propagation leaves behind for the second derivative."""

    hidden: list[torch.Tensor]  # inputs of each layer, then the network's output
    deltas: list[torch.Tensor]  # derivative of the loss by what each layer adds up
    pulled: list[torch.Tensor]  # the same by each layer's input, before the activation's slope


def repeat(layers: Layers, tasks: int) -> Layers:
    """Copy (W, b) pairs once a task: W (tasks, out, in), b (tasks, 1, out)."""
    return [(w.expand(tasks, *w.shape).clone(), b.expand(tasks, 1, *b.shape).clone()) for w, b in layers]


def hidden_values(layers: Layers, activation: str, inputs: torch.Tensor) -> list[torch.Tensor]:
    """Inputs of each layer and, last, the network's output."""
    hidden = [inputs]
    last = len(layers) - 1
    for i, (w, b) in enumerate(layers):
        value = torch.baddbmm(b, hidden[-1], w.transpose(1, 2))
        if i < last:
            value = _activate(value, activation)
        hidden.append(value)
    return hidden


def forward(layers: Layers, activation: str, inputs: torch.Tensor) -> torch.Tensor:
    """Outputs (B, S, out)."""
    return hidden_values(layers, activation, inputs)[-1]


def loss(layers: Layers, activation: str, samples: SampleSet) -> torch.Tensor:
    """Weighted mean squared error of each task, (B,)."""
    if compiled.serves(layers):
        return compiled.loss(layers, activation, *samples)
    error = forward(layers, activation, samples[0]) - samples[1]
    return (error * error * samples[2]).sum(dim=(1, 2))


def _activate(value: torch.Tensor, activation: str) -> torch.Tensor:
    """The activation, in place."""
    if activation == "relu":
        return value.relu_()
    if value.device.type == "cpu" and not value.requires_grad:
        np.tanh(value.numpy(), out=value.numpy())  # torch's own takes ten times as long
        return value
    return value.tanh_()


def through(change: torch.Tensor, hidden: torch.Tensor, activation: str) -> torch.Tensor:
    """``change`` times the derivative of the activation that gave ``hidden``; ``change`` may be reused."""
    if activation == "tanh":
        return torch.ops.aten.tanh_backward(change, hidden)
    return torch.ops.aten.threshold_backward.grad_input(change, hidden, 0.0, grad_input=change)


def _outer(delta: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """Sum over samples of delta inputs^T, (B, out, in)."""
    if inputs.shape[2] < NARROW <= delta.shape[2]:  # the product that is slow the other way round
        return torch.bmm(inputs.transpose(1, 2), delta).transpose(1, 2)
    return torch.bmm(delta.transpose(1, 2), inputs)


def differentiate(
    layers: Layers, activation: str, inputs: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, Layers, Pass]:
    """Weighted mean squared error of each task, its gradient, and what led to it.

    Returns:
        losses (B,), gradients shaped like ``layers``, and the :class:`Pass`.
    """
    hidden = hidden_values(layers, activation, inputs)
    error = hidden[-1] - targets
    weighted = error * weights
    losses = (weighted * error).sum(dim=(1, 2))
    gradients, record = pull(layers, activation, hidden, 2.0 * weighted)
    return losses, gradients, record


def pull(
    layers: Layers, activation: str, hidden: list[torch.Tensor], delta: torch.Tensor
) -> tuple[Layers, Pass]:
    """Derivative by ``layers`` of a loss whose derivative by the outputs is ``delta`` (B, S, out).

    Args:
        hidden: of :func:`hidden_values`.
    """
    unknown: list[Any] = [None] * len(layers)  # filled from the last layer on
    gradients, deltas, pulled = unknown.copy(), unknown.copy(), unknown.copy()
    for i in range(len(layers) - 1, -1, -1):
        deltas[i] = delta
        gradients[i] = (_outer(delta, hidden[i]), delta.sum(dim=1, keepdim=True))
        if i > 0:
            pulled[i] = torch.bmm(delta, layers[i][0])
            delta = through(pulled[i], hidden[i], activation)
    return gradients, Pass(hidden, deltas, pulled)


def loss_and_gradient(
    layers: Layers, activation: str, inputs: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, Layers]:
    """Weighted mean squared error of each task and its gradient.

    Args:
        layers: list of (W (B, out, in), b (B, 1, out)).
        activation: ``tanh`` or ``relu``.
        inputs: (B, S, in); targets: (B, S, out).
        weights: of each sample and output, (B, S, out); plain means: 1 / S.

    Returns:
        losses (B,), and gradients shaped like ``layers``.
    """
    if compiled.serves(layers):
        return compiled.loss_and_gradient(layers, activation, inputs, targets, weights)
    losses, gradients, _ = differentiate(layers, activation, inputs, targets, weights)
    return losses, gradients


def hessian_product(
    layers: Layers, activation: str, weights: torch.Tensor, record: Pass, vectors: Layers
) -> Layers:
    """Second derivative of each task's loss times ``vectors``, shaped like ``layers``.

    Exact where the activation is differentiable twice; ReLU's kinks are taken as straight.

    Args:
        weights: of the samples, as given to :func:`differentiate`.
        record: what that returned.
        vectors: shaped like ``layers``.
    """
    moved = push(layers, activation, record.hidden, vectors)
    return pull_change(layers, activation, record, vectors, moved, (2.0 * weights) * moved[-1])


def push(layers: Layers, activation: str, hidden: list[torch.Tensor], vectors: Layers) -> list[torch.Tensor]:
    """Derivative of each layer's input and, last, of the outputs in the direction ``vectors`` of the layers.

    The first is None: the data stand still.
    """
    moved: list[Any] = [None]
    for i, ((w, _), (vw, vb)) in enumerate(zip(layers, vectors, strict=True)):
        value = torch.baddbmm(vb, hidden[i], vw.transpose(1, 2))
        if i > 0:
            value.baddbmm_(moved[i], w.transpose(1, 2))
        if i < len(layers) - 1:
            value = through(value, hidden[i + 1], activation)
        moved.append(value)
    return moved


def pull_change(
    layers: Layers, activation: str, record: Pass, vectors: Layers, moved: list[torch.Tensor],
    change: torch.Tensor,
) -> Layers:  # fmt: skip
    """Derivative of what :func:`pull` gave, in the direction ``vectors`` of the layers.

    Args:
        record: what it returned.
        moved: of :func:`push`.
        change: derivative of its ``delta`` in that direction, (B, S, out).
    """
    hidden, deltas, pulled = record
    products: list[Any] = [None] * len(layers)
    for i in range(len(layers) - 1, -1, -1):
        product = _outer(change, hidden[i])
        if i > 0:
            product = product + _outer(deltas[i], moved[i])
        products[i] = (product, change.sum(dim=1, keepdim=True))
        if i > 0:
            back = torch.bmm(change, layers[i][0]).baddbmm_(deltas[i], vectors[i][0])
            change = through(back, hidden[i], activation)
            if activation == "tanh":  # the slope itself changes: tanh'' = -2 tanh tanh'
                change = change.addcmul_(pulled[i] * hidden[i], moved[i], value=-2.0)
    return products


def norm(gradients: Layers) -> torch.Tensor:
    """Euclidean norm of each task's gradient, (B,)."""
    parts = [torch.linalg.vector_norm(g, dim=(1, 2)) for pair in gradients for g in pair]
    return torch.linalg.vector_norm(torch.stack(parts), dim=0)


def shrink(gradients: Layers, max_norm: float) -> torch.Tensor:
    """What brings each task's gradient down to a Euclidean norm of at most ``max_norm``, (B, 1, 1)."""
    return torch.clamp(max_norm / (norm(gradients) + 1e-12), max=1.0)[:, None, None]


def clip(gradients: Layers, max_norm: float) -> Layers:
    """Scale each task's gradient down to a Euclidean norm of at most ``max_norm``."""
    factor = shrink(gradients, max_norm)
    return [(gw * factor, gb * factor) for gw, gb in gradients]


def clip_product(gradients: Layers, max_norm: float, vectors: Layers) -> Layers:
    """Derivative of :func:`clip` at ``gradients``, which is symmetric, times ``vectors``."""
    length = norm(gradients) + 1e-12
    inner = sum((g * v).sum(dim=(1, 2)) for gp, vp in zip(gradients, vectors, strict=True)
                for g, v in zip(gp, vp, strict=True))  # fmt: skip
    clipped = length > max_norm
    factor = torch.where(clipped, max_norm / length, torch.ones_like(length))[:, None, None]
    along = torch.where(clipped, inner / length**2, torch.zeros_like(length))[:, None, None]
    return [
        (factor * (vw - along * gw), factor * (vb - along * gb))
        for (gw, gb), (vw, vb) in zip(gradients, vectors, strict=True)
    ]


def descend(layers: Layers, gradients: Layers, rates: Rates, factor: torch.Tensor | None = None) -> Layers:
    """One step down.

    Args:
        rates: one number, or pairs that broadcast against ``layers``.
        factor: on the gradients of each task, (B, 1, 1), with one rate; see :func:`shrink`.
    """
    if factor is not None:
        assert isinstance(rates, float)
        return [
            (torch.addcmul(w, gw, factor, value=-rates), torch.addcmul(b, gb, factor, value=-rates))
            for (w, b), (gw, gb) in zip(layers, gradients, strict=True)
        ]
    if isinstance(rates, float):
        return [
            (torch.sub(w, gw, alpha=rates), torch.sub(b, gb, alpha=rates))
            for (w, b), (gw, gb) in zip(layers, gradients, strict=True)
        ]
    return [
        (w - rw * gw, b - rb * gb)
        for (w, b), (gw, gb), (rw, rb) in zip(layers, gradients, rates, strict=True)
    ]
