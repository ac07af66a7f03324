"""Many small networks at once: batched matrix products with hand-written back-propagation.

One network a task; parameters carry a leading task axis. No Python loop over tasks.
"""

from __future__ import annotations

import torch


def repeat(layers, tasks: int):
    """Copy (W, b) pairs once a task: W (tasks, out, in), b (tasks, 1, out)."""
    return [(w.expand(tasks, *w.shape).clone(), b.expand(tasks, 1, *b.shape).clone()) for w, b in layers]


def loss_and_gradient(layers, activation: str, inputs, targets, weights):
    """Weighted mean squared error of each task and its gradient.

    Args:
        layers: list of (W (B, out, in), b (B, 1, out)).
        activation: ``tanh`` or ``relu``.
        inputs: (B, S, in); targets: (B, S, out).
        weights: of each sample and output, (B, S, out); plain means: 1 / S.

    Returns:
        losses (B,), and gradients shaped like ``layers``.
    """
    hidden = [inputs]
    for i, (w, b) in enumerate(layers):
        value = torch.baddbmm(b, hidden[-1], w.transpose(1, 2))
        if i < len(layers) - 1:
            value = torch.tanh(value) if activation == "tanh" else torch.relu(value)
        hidden.append(value)
    error = hidden[-1] - targets
    weighted = error * weights
    losses = (weighted * error).sum(dim=(1, 2))
    delta = 2.0 * weighted
    gradients = [None] * len(layers)
    for i in range(len(layers) - 1, -1, -1):
        gradients[i] = (torch.bmm(delta.transpose(1, 2), hidden[i]), delta.sum(dim=1, keepdim=True))
        if i > 0:
            delta = torch.bmm(delta, layers[i][0])
            slope = 1.0 - hidden[i] ** 2 if activation == "tanh" else (hidden[i] > 0.0).to(delta.dtype)
            delta = delta * slope
    return losses, gradients


def clip(gradients, max_norm: float):
    """Scale each task's gradient down to a Euclidean norm of at most ``max_norm``."""
    square = sum((g**2).sum(dim=(1, 2)) for pair in gradients for g in pair)
    factor = torch.clamp(max_norm / (square.sqrt() + 1e-12), max=1.0)[:, None, None]
    return [(gw * factor, gb * factor) for gw, gb in gradients]


def inner_sgd(
    layers, activation: str, inputs, targets, weights, inner_lr: float, steps: int, max_norm: float
):
    """Full-batch SGD of every task; returns the adapted layers (MAML, eq. 1)."""
    for _ in range(steps):
        _, gradients = loss_and_gradient(layers, activation, inputs, targets, weights)
        gradients = clip(gradients, max_norm)
        layers = [
            (w - inner_lr * gw, b - inner_lr * gb) for (w, b), (gw, gb) in zip(layers, gradients, strict=True)
        ]
    return layers
