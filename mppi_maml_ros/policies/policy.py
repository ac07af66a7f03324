"""A network with a head: one policy a task, its parameters a row of a flat tensor (B, P).

First and second derivatives are those of :mod:`..meta.gradients.batched`; no graph is recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import attrs
import numpy as np
import torch

from ..meta.gradients import batched
from ..meta.gradients.compiled import Layers
from .heads import Categorical, Gaussian, Head, Pair

BLOCK = 400_000  # values of a layer that are computed at once


class Batch(NamedTuple):
    """Samples of B tasks.

    Attributes:
        observations: (B, S, O).
        actions: (B, S, A).
        weights: of each log-likelihood in a policy's gain, (B, S): advantage / number of samples.
        shares: of each sample in a mean, (B, S): 1 / number of samples, 0 where there is none.
    """

    observations: torch.Tensor
    actions: torch.Tensor
    weights: torch.Tensor
    shares: torch.Tensor

    def thinned(self, every: int) -> Batch:
        """Every so many samples, which stand for all."""
        part = Batch(*(t[:, ::every] for t in self))
        total = part.shares.sum(dim=1, keepdim=True).clamp_min(1e-12)
        return part._replace(weights=part.weights / total, shares=part.shares / total)


@attrs.frozen
class Policy:
    """An MLP policy.

    Attributes:
        observations: O, length of an observation.
        actions: length of an action or, where ``discrete``, how many there are to choose from.
        hidden: widths of the hidden layers.
        activation: ``tanh`` or ``relu``.
    """

    observations: int
    actions: int
    discrete: bool = False
    hidden: tuple[int, ...] = (100, 100)
    activation: str = "relu"

    @property
    def head(self) -> Head:
        """The distribution of actions."""
        return Categorical(self.actions) if self.discrete else Gaussian(self.actions)

    @property
    def widths(self) -> list[int]:
        """Of all layers."""
        return [self.observations, *self.hidden, self.head.outputs]

    @property
    def size(self) -> int:
        """P, the number of parameters."""
        return sum((i + 1) * o for i, o in zip(self.widths, self.widths[1:], strict=False)) + self.head.extra

    def initial(self, generator: torch.Generator) -> torch.Tensor:
        """Weights uniform as Glorot and Bengio have them, all else 0: (P,)."""
        layers = []
        for i, o in zip(self.widths, self.widths[1:], strict=False):
            limit = (6.0 / (i + o)) ** 0.5
            layers.append(limit * (2.0 * torch.rand(o * i, generator=generator) - 1.0))
            layers.append(torch.zeros(o))
        return torch.cat([*layers, torch.zeros(self.head.extra)])

    def split(self, flat: torch.Tensor) -> tuple[Layers, torch.Tensor]:
        """(W (B, out, in), b (B, 1, out)) pairs and extra (B, 1, E): views of the rows."""
        layers, at = [], 0
        for i, o in zip(self.widths, self.widths[1:], strict=False):
            w = flat[:, at : at + o * i].unflatten(1, (o, i))
            layers.append((w, flat[:, None, at + o * i : at + o * (i + 1)]))
            at += o * (i + 1)
        return layers, flat[:, None, at:]

    def join(self, layers: Layers, extra: torch.Tensor) -> torch.Tensor:
        """Inverse of :meth:`split`."""
        return torch.cat([part.flatten(1) for pair in layers for part in pair] + [extra.flatten(1)], dim=1)

    def last_layer(self) -> torch.Tensor:
        """1 at the parameters of the last layer and of the head, 0 elsewhere: ANIL's mask, (P,)."""
        mask = torch.zeros(self.size)
        mask[-(self.widths[-2] + 1) * self.widths[-1] - self.head.extra :] = 1.0
        return mask

    def outputs(self, flat: torch.Tensor, observations: torch.Tensor) -> Pair:
        """Outputs (B, S, K) and extra (B, 1, E) for observations (B, S, O)."""
        layers, extra = self.split(flat)
        return batched.forward(layers, self.activation, observations), extra

    def actor(self, flat: torch.Tensor) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """What draws actions (B, S, A) for observations (B, S, O) with the head's noise."""
        layers, extra = self.split(flat)

        def act(observations: np.ndarray, noise: np.ndarray) -> np.ndarray:
            out = batched.forward(layers, self.activation, torch.from_numpy(observations))
            return self.head.act(out, extra, torch.from_numpy(noise)).numpy()

        return act

    def log_prob(self, flat: torch.Tensor, batch: Batch) -> torch.Tensor:
        """log pi(a | o), (B, S)."""
        return self.head.log_prob(*self.outputs(flat, batch.observations), batch.actions)

    def divergence(self, old: Pair, flat: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Mean KL(old || new) of each task, (B,)."""
        return (self.head.divergence(old, self.outputs(flat, batch.observations)) * batch.shares).sum(dim=1)


class Surrogate:
    """The loss -sum of weights * log pi(a | o) of each task around parameters, with its derivatives.

    With ``reference`` the likelihood ratio stands in place of the logarithm, for samples that an older
    policy drew. Blocks of tasks come one after the other, so that what is computed of one stays in cache.

    Args:
        flat: (B, P).
        reference: log pi_old(a | o), (B, S).

    Attributes:
        gradient: (B, P).
    """

    def __init__(
        self, policy: Policy, flat: torch.Tensor, batch: Batch, reference: torch.Tensor | None = None
    ) -> None:
        self.policy, self.flat, self.batch = policy, flat, batch
        tasks, samples = batch.weights.shape
        size = max(1, BLOCK // (samples * max(policy.widths)))
        self._blocks = [
            _Block(
                policy, flat[rows], Batch(*(t[rows] for t in batch)),
                None if reference is None else reference[rows],
            )
            for rows in (slice(i, i + size) for i in range(0, tasks, size))
        ]  # fmt: skip
        self.gradient = torch.cat([block.gradient for block in self._blocks])

    @property
    def outputs(self) -> Pair:
        """Of the policy, as :meth:`Policy.outputs`."""
        return torch.cat([block.out for block in self._blocks]), self.policy.split(self.flat)[1]

    def thinned(self, every: int) -> Surrogate:
        """The same of every so many samples."""
        return self if every == 1 else Surrogate(self.policy, self.flat, self.batch.thinned(every))

    def hessian_product(self, vectors: torch.Tensor) -> torch.Tensor:
        """Second derivative of each task's loss times vectors (B, P)."""
        parts = vectors.split([len(block.out) for block in self._blocks])
        return torch.cat([b.hessian_product(v) for b, v in zip(self._blocks, parts, strict=True)])

    def fisher_product(self, vectors: torch.Tensor) -> torch.Tensor:
        """Fisher information of each task's policy, averaged over the samples, times vectors (B, P)."""
        parts = vectors.split([len(block.out) for block in self._blocks])
        return torch.cat([b.fisher_product(v) for b, v in zip(self._blocks, parts, strict=True)])


class _Block:
    """A surrogate of some tasks, which are computed together."""

    def __init__(
        self, policy: Policy, flat: torch.Tensor, batch: Batch, reference: torch.Tensor | None
    ) -> None:
        self._policy, self._batch, self._off_policy = policy, batch, reference is not None
        self._layers, self._extra = policy.split(flat)
        hidden = batched.hidden_values(self._layers, policy.activation, batch.observations)
        self.out, self._weights = hidden[-1], batch.weights
        if reference is not None:
            log = policy.head.log_prob(self.out, self._extra, batch.actions)
            self._weights = batch.weights * (log - reference).exp()
        delta, extra = policy.head.slope(self.out, self._extra, batch.actions, self._weights)
        gradient, self._record = batched.pull(self._layers, policy.activation, hidden, -delta)
        self.gradient = policy.join(gradient, -extra)

    def hessian_product(self, vectors: torch.Tensor) -> torch.Tensor:
        p, head = self._policy, self._policy.head
        layers, extra = p.split(vectors)
        moved = batched.push(self._layers, p.activation, self._record.hidden, layers)
        at, along = (self.out, self._extra, self._batch.actions), (moved[-1], extra)
        change, spread = head.change(*at, self._weights, along)
        if self._off_policy:  # the weights change, too
            more, wider = head.slope(*at, self._weights * head.rise(*at, along))
            change, spread = change + more, spread + wider
        product = batched.pull_change(self._layers, p.activation, self._record, layers, moved, -change)
        return p.join(product, -spread)

    def fisher_product(self, vectors: torch.Tensor) -> torch.Tensor:
        p = self._policy
        layers, extra = p.split(vectors)
        moved = batched.push(self._layers, p.activation, self._record.hidden, layers)
        delta, spread = p.head.fisher(self.out, self._extra, self._batch.shares, (moved[-1], extra))
        product, _ = batched.pull(self._layers, p.activation, self._record.hidden, delta)
        return p.join(product, spread)
