"""Guided meta-policy search (Mendonca et al., NeurIPS 2019): the outer loop imitates, the inner one explores.

Experts that know the task label what the adapted policies did. Theta moves so that the policy that one
REINFORCE step leads to acts as the expert would; several such moves are made with the same trajectories, the
inner step being weighed by likelihood ratios. As in DAgger, states come from the policies that are being
learned, and from the expert at first.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import torch

from ..core.errors import InvalidValueError
from ..core.tunable import tunable
from .config import PolicyConfig
from .environments.base import Environment, Informed, Trajectories
from .maml import PolicyMAML
from .policy import Batch, Surrogate
from .sampling import rollout, samples

Numbers = Sequence[np.ndarray]


@attrs.frozen
class GMPSConfig(PolicyConfig):
    """Settings of guided meta-policy search; ``outer`` and ``kl`` are of the expert.

    Attributes:
        imitation_steps: moves of theta with the same trajectories.
        demonstrations: trajectories of the expert in each task.
        least_deviation: logarithm below which no deviation falls: imitation of what does not vary would
            end exploration.
    """

    imitation_steps: int = tunable(10, 1, 10_000, "Moves of theta with the same trajectories", dynamic=False)
    demonstrations: int = tunable(5, 0, 10_000, "Trajectories of the expert in each task", dynamic=False)
    least_deviation: float = tunable(
        -1.0, -20.0, 5.0, "Logarithm below which no deviation of an action falls", dynamic=False
    )


def make_expert(
    config: PolicyConfig, environment: Environment, iterations: int, task_size: int
) -> PolicyMAML:
    """A learner of one policy for all tasks that is told which task it is in; the caller trains it."""
    told = attrs.evolve(config, inner_steps=0, outer="trpo", iterations=iterations)
    settings = {field.name: getattr(told, field.name) for field in attrs.fields(PolicyConfig)}
    return PolicyMAML(PolicyConfig(**settings), Informed(environment, task_size))


class GMPS(PolicyMAML):
    """Meta-learns a policy from an expert's actions; Adam at ``meta_lr`` moves theta.

    Args:
        expert: of :func:`make_expert`, trained.

    Raises:
        InvalidValueError: actions are choices; an expert of these has no mean to imitate.
    """

    name = "gmps"

    def __init__(self, config: GMPSConfig, environment: Environment, expert: PolicyMAML) -> None:
        if environment.discrete:
            raise InvalidValueError("gmps must have an environment of continuous actions, got a discrete one")
        super().__init__(attrs.evolve(config, outer="reinforce"), environment)
        self.expert = expert

    def _labelled(self, data: Trajectories, tasks: np.ndarray) -> Batch:
        """What the expert would do where these trajectories went."""
        width = data.observations.shape[2]
        told = np.broadcast_to(tasks[:, None, None], (*data.alive.shape[:2], width, tasks.shape[1]))
        seen = np.concatenate([data.observations, told.astype(np.float32)], axis=3)
        flat = self.expert.parameters.flat.expand(len(tasks), -1)
        means, _ = self.expert.policy.outputs(flat, torch.from_numpy(seen).flatten(1, 2))
        actions = means.numpy().reshape(*data.actions.shape).clip(-1.0, 1.0)
        return samples(attrs.evolve(data, actions=actions), np.ones(data.alive.shape))

    def imitation(
        self, flat: torch.Tensor, inner: Batch, reference: torch.Tensor, query: Batch
    ) -> tuple[torch.Tensor, float]:
        """Gradient and value of minus the expert's likelihood after the inner step from ``flat`` (P,).

        Args:
            inner: trajectories of an older theta, under which their likelihoods were ``reference``.
            query: states with the expert's actions.
        """
        at = flat.expand(len(query.observations), -1)
        step = Surrogate(self.policy, at, inner, reference)
        rate = self.config.inner_lr * self.mask
        adapted = at - rate * step.gradient
        slope = Surrogate(self.policy, adapted, query).gradient
        if self.exact:
            slope = slope - step.hessian_product(rate * slope)
        loss = -(self.policy.log_prob(adapted, query) * query.weights).sum(dim=1).mean()
        return slope.mean(dim=0), float(loss)

    @torch.no_grad()
    def step(self, support: Numbers, query: Numbers, measure: bool = True) -> tuple[float, float]:
        c, tasks, rng = self.config, support[0], np.random.default_rng(np.asarray(query[0]))
        assert isinstance(c, GMPSConfig)
        theta = self.parameters.flat
        done = self.adapt(tasks, [c.inner_lr], c.trajectories, rng)
        data = rollout(self.environment, self.policy, done.adapted, tasks, c.trajectories, rng)
        after, seen = data.returns.mean(), data
        if c.demonstrations:
            expert = self.expert
            shown = rollout(
                expert.environment, expert.policy, expert.parameters.flat, tasks, c.demonstrations, rng
            )
            untold = shown.observations[..., : self.environment.observations]
            seen = data.joined(attrs.evolve(shown, observations=untold))
        labelled, inner = self._labelled(seen, tasks), done.steps[0].batch
        reference = self.policy.log_prob(theta.expand(len(tasks), -1), inner)
        for _ in range(c.imitation_steps):
            self.interrupt()
            gradient, _ = self.imitation(theta, inner, reference, labelled)
            self.optimiser.inner.step(gradient)  # type: ignore[call-arg]
            theta[-self.policy.head.extra :].clamp_(min=c.least_deviation)
        self.optimiser.env_steps += done.env_steps + seen.steps
        return -float(done.returns[0].mean()), -float(after)
