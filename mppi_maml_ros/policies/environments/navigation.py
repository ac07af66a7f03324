"""2D navigation (Finn et al., ICML 2017, section 5.3): a point on its way to a goal that it is not told."""

from __future__ import annotations

import numpy as np

LARGEST_STEP = 0.1
NEAR = 0.01  # of the goal in both axes: the episode ends


class Navigation:
    """Goals uniform in the unit square around the origin, where the point starts.

    An action of 1 is the largest step of an axis; more is cut. The paper calls the reward the negative
    squared distance; the authors' program, which gave the published returns, takes the distance.

    Args:
        horizon: steps of an episode.
        squared: reward the paper's words in place of the program's.
    """

    observations = actions = 2
    discrete = False

    def __init__(self, horizon: int = 100, squared: bool = False) -> None:
        self.horizon, self._squared = horizon, squared

    def sample_tasks(self, rng: np.random.Generator, tasks: int) -> np.ndarray:
        """Goals (T, 2)."""
        return rng.uniform(-0.5, 0.5, (tasks, 2))

    def reset(self, tasks: np.ndarray, trajectories: int, rng: np.random.Generator) -> np.ndarray:
        self._goal = tasks[:, None].astype(np.float32)
        self._state = np.zeros((len(tasks), trajectories, 2), dtype=np.float32)
        return self._state

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        self._state = self._state + LARGEST_STEP * np.clip(actions, -1.0, 1.0).astype(np.float32)
        off = self._state - self._goal
        squares = (off * off).sum(axis=2)
        rewards = -squares if self._squared else -np.sqrt(squares)
        return self._state, rewards, (np.abs(off) < NEAR).all(axis=2)
