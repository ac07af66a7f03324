"""What an environment is, and what is recorded of a policy that acts in it."""

from __future__ import annotations

from typing import Protocol

import attrs
import numpy as np


class Environment(Protocol):
    """T tasks with N trajectories each, stepped together. Arrays are float32 unless said otherwise.

    Attributes:
        observations: O, length of an observation.
        actions: length of an action or, where ``discrete``, how many there are to choose from.
        horizon: steps of an episode at most.
    """

    observations: int
    actions: int
    discrete: bool
    horizon: int

    def sample_tasks(self, rng: np.random.Generator, tasks: int) -> np.ndarray:
        """What tells tasks apart, (T, D)."""

    def reset(self, tasks: np.ndarray, trajectories: int, rng: np.random.Generator) -> np.ndarray:
        """Begin anew; first observations (T, N, O). What the steps draw comes from ``rng``."""

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of actions (T, N, A): observations (T, N, O), rewards (T, N), and whether episodes end (T, N)."""


class Solved(Environment, Protocol):
    """An environment whose tasks have known solutions."""

    def regrets(self) -> np.ndarray:
        """What each action, taken now, loses in the mean of the best return from here on, (T, N, A).

        Over an episode the means of rewards and of minus these differ by what the best policy gets.
        """


@attrs.frozen(eq=False)
class Trajectories:
    """Episodes of H steps at most.

    Attributes:
        observations: (T, N, H, O).
        actions: (T, N, H, A).
        rewards: (T, N, H), 0 after the end.
        alive: whether the step was taken, (T, N, H) bool.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    alive: np.ndarray

    @property
    def returns(self) -> np.ndarray:
        """Sum of each episode's rewards, (T, N)."""
        return self.rewards.sum(axis=2, dtype=np.float64)

    @property
    def steps(self) -> int:
        """Steps taken in all."""
        return int(self.alive.sum())

    def joined(self, more: Trajectories) -> Trajectories:
        """With further trajectories of the same tasks, (T, N + M, H, ...)."""
        horizon = max(self.alive.shape[2], more.alive.shape[2])

        def both(first: np.ndarray, second: np.ndarray) -> np.ndarray:
            parts = []
            for part in (first, second):
                missing = [(0, 0)] * part.ndim
                missing[2] = (0, horizon - part.shape[2])
                parts.append(np.pad(part, missing))
            return np.concatenate(parts, axis=1)

        return Trajectories(
            both(self.observations, more.observations), both(self.actions, more.actions),
            both(self.rewards, more.rewards), both(self.alive, more.alive),
        )  # fmt: skip


class Informed:
    """An environment whose observations tell the task: where the oracle acts.

    Args:
        environment: the one that does not tell.
    """

    def __init__(self, environment: Environment, size: int) -> None:
        self._inner, self._tell = environment, np.zeros((0, 0, size), dtype=np.float32)
        self.observations = environment.observations + size
        self.actions, self.discrete = environment.actions, environment.discrete
        self.horizon = environment.horizon

    def sample_tasks(self, rng: np.random.Generator, tasks: int) -> np.ndarray:
        return self._inner.sample_tasks(rng, tasks)

    def reset(self, tasks: np.ndarray, trajectories: int, rng: np.random.Generator) -> np.ndarray:
        self._tell = np.repeat(tasks[:, None].astype(np.float32), trajectories, axis=1)
        return self._told(self._inner.reset(tasks, trajectories, rng))

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        observations, rewards, done = self._inner.step(actions)
        return self._told(observations), rewards, done

    def _told(self, observations: np.ndarray) -> np.ndarray:
        return np.concatenate([observations, self._tell], axis=2)
