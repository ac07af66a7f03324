"""What a network's outputs say about actions: likelihoods with derivatives, divergence, Fisher products.

Written for B tasks of S samples: ``out`` (B, S, K) are the network's outputs, ``extra`` (B, 1, E) parameters
of the distribution that no input changes, ``actions`` (B, S, A), ``weights`` (B, S). ``slope`` is the
derivative of sum of weights * log pi(a) by outputs and extra, ``change`` that of the slope in a direction.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import torch

Pair = tuple[torch.Tensor, torch.Tensor]  # something of the outputs (B, S, K) and of the extra (B, 1, E)


class Head(Protocol):
    """A distribution over actions."""

    outputs: int
    extra: int

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """What :meth:`act` draws actions with, ``shape`` and one more axis, float32."""

    def act(self, out: torch.Tensor, extra: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Actions (B, S, A)."""

    def log_prob(self, out: torch.Tensor, extra: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """log pi(a), (B, S)."""

    def entropy(self, out: torch.Tensor, extra: torch.Tensor) -> torch.Tensor:
        """Of each distribution, (B, S) or what broadcasts to it."""

    def slope(
        self, out: torch.Tensor, extra: torch.Tensor, actions: torch.Tensor, weights: torch.Tensor
    ) -> Pair: ...

    def change(
        self,
        out: torch.Tensor,
        extra: torch.Tensor,
        actions: torch.Tensor,
        weights: torch.Tensor,
        vector: Pair,
    ) -> Pair: ...

    def rise(
        self, out: torch.Tensor, extra: torch.Tensor, actions: torch.Tensor, vector: Pair
    ) -> torch.Tensor:
        """Derivative of log pi(a) in the direction ``vector``, (B, S)."""

    def divergence(self, old: Pair, new: Pair) -> torch.Tensor:
        """KL(old || new), (B, S)."""

    def fisher(self, out: torch.Tensor, extra: torch.Tensor, weights: torch.Tensor, vector: Pair) -> Pair:
        """Fisher information of the outputs and extra, weighted, times ``vector``."""


class Gaussian:
    """Normal with the outputs as mean; ``extra`` is the logarithm of the deviation of each action.

    Args:
        actions: A.
    """

    def __init__(self, actions: int) -> None:
        self.outputs = self.extra = actions

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.standard_normal((*shape, self.outputs), dtype=np.float32)

    def act(self, out: torch.Tensor, extra: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return torch.addcmul(out, extra.exp(), noise)

    def log_prob(self, out: torch.Tensor, extra: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        z = (actions - out) * (-extra).exp()
        constant = 0.5 * self.outputs * math.log(2.0 * math.pi)
        return -0.5 * (z * z).sum(dim=2) - extra.sum(dim=2) - constant

    def entropy(self, out: torch.Tensor, extra: torch.Tensor) -> torch.Tensor:
        return extra.sum(dim=2) + 0.5 * self.outputs * (1.0 + math.log(2.0 * math.pi))

    def slope(
        self, out: torch.Tensor, extra: torch.Tensor, actions: torch.Tensor, weights: torch.Tensor
    ) -> Pair:
        error, precision = actions - out, (-2.0 * extra).exp()
        pull = weights[..., None] * error * precision
        return pull, (pull * error - weights[..., None]).sum(dim=1, keepdim=True)

    def change(
        self,
        out: torch.Tensor,
        extra: torch.Tensor,
        actions: torch.Tensor,
        weights: torch.Tensor,
        vector: Pair,
    ) -> Pair:
        along, spread = vector
        pull, _ = self.slope(out, extra, actions, weights)
        precision = (-2.0 * extra).exp()
        shift = -weights[..., None] * along * precision - 2.0 * spread * pull
        return shift, (shift * (actions - out) - pull * along).sum(dim=1, keepdim=True)

    def rise(
        self, out: torch.Tensor, extra: torch.Tensor, actions: torch.Tensor, vector: Pair
    ) -> torch.Tensor:
        along, spread = vector
        error, precision = actions - out, (-2.0 * extra).exp()
        return (error * precision * along + (error * error * precision - 1.0) * spread).sum(dim=2)

    def divergence(self, old: Pair, new: Pair) -> torch.Tensor:
        (mean, spread), (mean_, spread_) = old, new
        ratio = (((2.0 * spread).exp() + (mean - mean_) ** 2) * (-2.0 * spread_).exp()).sum(dim=2)
        return 0.5 * (ratio - self.outputs) + (spread_ - spread).sum(dim=2)

    def fisher(self, out: torch.Tensor, extra: torch.Tensor, weights: torch.Tensor, vector: Pair) -> Pair:
        along, spread = vector
        total = weights.sum(dim=1)[:, None, None]
        return weights[..., None] * along * (-2.0 * extra).exp(), 2.0 * total * spread


class Categorical:
    """One of ``choices`` actions; outputs are logits. An action is one number, (B, S, 1)."""

    extra = 0

    def __init__(self, choices: int) -> None:
        self.outputs = choices

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.random((*shape, 1), dtype=np.float32)

    def act(self, out: torch.Tensor, extra: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """The inverse of the cumulated probabilities, where ``noise`` is uniform."""
        below = out.softmax(dim=2).cumsum(dim=2)[..., :-1]
        return (below < noise).sum(dim=2, keepdim=True).to(out.dtype)

    def log_prob(self, out: torch.Tensor, extra: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return out.log_softmax(dim=2).gather(2, actions.long())[..., 0]

    def entropy(self, out: torch.Tensor, extra: torch.Tensor) -> torch.Tensor:
        log = out.log_softmax(dim=2)
        return -(log.exp() * log).sum(dim=2)

    def slope(
        self, out: torch.Tensor, extra: torch.Tensor, actions: torch.Tensor, weights: torch.Tensor
    ) -> Pair:
        slope = -out.softmax(dim=2)
        slope.scatter_add_(2, actions.long(), torch.ones_like(slope[..., :1]))
        return slope.mul_(weights[..., None]), extra

    def change(
        self,
        out: torch.Tensor,
        extra: torch.Tensor,
        actions: torch.Tensor,
        weights: torch.Tensor,
        vector: Pair,
    ) -> Pair:
        return -self.fisher(out, extra, weights, vector)[0], extra

    def rise(
        self, out: torch.Tensor, extra: torch.Tensor, actions: torch.Tensor, vector: Pair
    ) -> torch.Tensor:
        along = vector[0]
        return along.gather(2, actions.long())[..., 0] - (out.softmax(dim=2) * along).sum(dim=2)

    def divergence(self, old: Pair, new: Pair) -> torch.Tensor:
        log, log_ = old[0].log_softmax(dim=2), new[0].log_softmax(dim=2)
        return (log.exp() * (log - log_)).sum(dim=2)

    def fisher(self, out: torch.Tensor, extra: torch.Tensor, weights: torch.Tensor, vector: Pair) -> Pair:
        along, p = vector[0], out.softmax(dim=2)
        return weights[..., None] * p * (along - (p * along).sum(dim=2, keepdim=True)), extra
