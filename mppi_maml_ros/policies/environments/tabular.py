"""Bandits and small Markov decision processes, drawn as Duan et al. (arXiv:1611.02779) draw them."""

from __future__ import annotations

import numpy as np


def _choose(probabilities: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """An index along the last axis, drawn with ``uniform`` of one axis less."""
    below = probabilities.cumsum(axis=-1)[..., :-1] < uniform[..., None]
    return below.sum(axis=-1)


class Bandits:
    """Arms that pay 1 with probabilities p ~ U(0, 1); nothing is observed but a constant.

    Args:
        arms: k.
        pulls: n, steps of an episode.
    """

    observations = 1
    discrete = True

    def __init__(self, arms: int = 5, pulls: int = 10) -> None:
        self.actions, self.horizon = arms, pulls

    def sample_tasks(self, rng: np.random.Generator, tasks: int) -> np.ndarray:
        """p of each arm, (T, k)."""
        return rng.random((tasks, self.actions))

    def reset(self, tasks: np.ndarray, trajectories: int, rng: np.random.Generator) -> np.ndarray:
        self._p, self._rng = tasks, rng
        self._seen = np.ones((len(tasks), trajectories, 1), dtype=np.float32)
        return self._seen

    def regrets(self) -> np.ndarray:
        lost = self._p.max(axis=1, keepdims=True) - self._p
        return np.repeat(lost[:, None], self._seen.shape[1], axis=1)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        p = np.take_along_axis(self._p, actions[..., 0].astype(np.intp), axis=1)
        rewards = (self._rng.random(p.shape) < p).astype(np.float32)
        return self._seen, rewards, np.zeros(p.shape, dtype=bool)


class MDPs:
    """Ten states and five actions; P ~ Dirichlet(1), rewards N(m, 1) with m ~ N(1, 1) of state and action.

    An episode starts in state 0 and takes ten steps. States are observed as one of ten.

    Attributes:
        states: their number.
    """

    states, observations, actions = 10, 10, 5
    discrete = True

    def __init__(self, horizon: int = 10) -> None:
        self.horizon = horizon
        self._solved: np.ndarray | None = None  # tasks whose values are known

    def sample_tasks(self, rng: np.random.Generator, tasks: int) -> np.ndarray:
        """Transition probabilities (10, 5, 10) and mean rewards (10, 5), flat: (T, 550)."""
        move = rng.dirichlet(np.ones(self.states), (tasks, self.states, self.actions))
        mean = rng.normal(1.0, 1.0, (tasks, self.states, self.actions))
        return np.concatenate([move.reshape(tasks, -1), mean.reshape(tasks, -1)], axis=1)

    def parts(self, tasks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Transition probabilities (T, 10, 5, 10) and mean rewards (T, 10, 5) of tasks."""
        pairs = self.states * self.actions
        shape = (len(tasks), self.states, self.actions)
        return tasks[:, : pairs * self.states].reshape(*shape, self.states), tasks[:, -pairs:].reshape(shape)

    def reset(self, tasks: np.ndarray, trajectories: int, rng: np.random.Generator) -> np.ndarray:
        (self._move, self._mean), self._rng, self._tasks = self.parts(tasks), rng, tasks
        self._row = np.arange(len(tasks))[:, None]
        self._state = np.zeros((len(tasks), trajectories), dtype=np.intp)
        self._left = self.horizon
        return self._observation()

    def _observation(self) -> np.ndarray:
        return np.eye(self.states, dtype=np.float32)[self._state]

    def regrets(self) -> np.ndarray:
        if self._solved is not self._tasks:
            self._solved, self._worth = self._tasks, self.action_values(self._tasks)
        worth = self._worth[self._left - 1][self._row, self._state]
        return worth.max(axis=2, keepdims=True) - worth

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        self._left -= 1
        at = (self._row, self._state, actions[..., 0].astype(np.intp))
        noise = self._rng.standard_normal(self._state.shape)
        self._state = _choose(self._move[at], self._rng.random(self._state.shape))
        done = np.zeros(self._state.shape, dtype=bool)
        return self._observation(), (self._mean[at] + noise).astype(np.float32), done

    def action_values(self, tasks: np.ndarray) -> list[np.ndarray]:
        """Of states and actions with 1, 2, ... steps left, each (T, 10, 5), by value iteration."""
        move, mean = self.parts(tasks)
        values = [mean]
        for _ in range(self.horizon - 1):
            values.append(mean + np.einsum("tsan,tn->tsa", move, values[-1].max(axis=2)))
        return values

    def optimal_returns(self, tasks: np.ndarray) -> np.ndarray:
        """What the best policy that knows the task gets in an episode, (T,)."""
        return self.action_values(tasks)[-1][:, 0].max(axis=1)
