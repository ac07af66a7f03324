"""The inner loop: a few steps of gradient descent on each task's support set, and its derivative.

``rates`` is one learning rate, or (rate of W, rate of b) pairs, each a number or a tensor that
broadcasts against the layer: 0 leaves a part as it is (ANIL), tensors are learned (Meta-SGD).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from . import batched, compiled
from .batched import Rates
from .compiled import Layers, SampleSet

Step = tuple[Layers, Layers, Layers, batched.Pass]  # layers, raw and clipped gradients, their derivation


def _scaled(rate: float | torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(tensor) if isinstance(rate, float) and rate == 0.0 else rate * tensor


def _rates_of(rates: Rates, depth: int) -> Sequence[tuple[float | torch.Tensor, float | torch.Tensor]]:
    return [(rates, rates)] * depth if isinstance(rates, float) else rates


def adapt(
    layers: Layers,
    activation: str,
    support: SampleSet,
    rates: Rates,
    steps: int,
    max_norm: float = math.inf,
    trace: list[Step] | None = None,
    interrupt: Callable[[], None] = lambda: None,
) -> Layers:
    """theta' of every task: ``steps`` full-batch steps from ``layers`` (MAML, eq. 1).

    Args:
        layers: (W (B, out, in), b (B, 1, out)) pairs.
        support: (inputs, targets, weights), see :class:`batched.Samples`.
        max_norm: each task's gradient is scaled down to this Euclidean norm.
        trace: a list that receives what :func:`pull_back` needs of each step.
        interrupt: called before each step; may raise.

    Returns:
        Adapted layers.
    """
    if trace is None and isinstance(rates, float) and compiled.serves(layers):
        return compiled.adapt(layers, activation, support, rates, steps, max_norm, interrupt)
    for _ in range(steps):
        interrupt()
        if trace is None:
            _, raw = batched.loss_and_gradient(layers, activation, *support)
            if isinstance(rates, float) and not math.isinf(max_norm):
                layers = batched.descend(layers, raw, rates, batched.shrink(raw, max_norm))
                continue
        else:
            _, raw, record = batched.differentiate(layers, activation, *support)
        gradients = raw if math.isinf(max_norm) else batched.clip(raw, max_norm)
        if trace is not None:
            trace.append((layers, raw, gradients, record))
        layers = batched.descend(layers, gradients, rates)
    return layers


def pull_back(
    trace: list[Step],
    activation: str,
    support: SampleSet,
    rates: Rates,
    vectors: Layers,
    max_norm: float = math.inf,
    on_rates: Callable[[Layers, Layers], None] | None = None,
    interrupt: Callable[[], None] = lambda: None,
) -> Layers:
    """Derivative by theta of a loss whose derivative by theta' is ``vectors``: exact second order.

    Each step theta+ = theta - a g(theta) turns v into v - H (a v), H being the Hessian of the
    support loss (with the clipping's derivative between them where it acts).

    Args:
        trace: of :func:`adapt` with the same support, rates and max_norm.
        vectors: derivative by the adapted layers, shaped like these.
        on_rates: called with each step's (vectors, gradients), last step first: the derivative by
            the rates is -vectors * gradients, summed over steps.

    Returns:
        Derivative by the layers that :func:`adapt` started from, of each task.
    """
    for layers, raw, gradients, record in reversed(trace):
        interrupt()
        if on_rates is not None:
            on_rates(vectors, gradients)
        pairs = _rates_of(rates, len(layers))
        scaled = [
            (_scaled(rw, vw), _scaled(rb, vb)) for (rw, rb), (vw, vb) in zip(pairs, vectors, strict=True)
        ]
        if not math.isinf(max_norm):
            scaled = batched.clip_product(raw, max_norm, scaled)
        products = batched.hessian_product(layers, activation, support[2], record, scaled)
        vectors = [(vw - hw, vb - hb) for (vw, vb), (hw, hb) in zip(vectors, products, strict=True)]
    return vectors
