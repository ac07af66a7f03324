"""A differential drive that has to reach goals with gains, lags and a delay that it is not told."""

from __future__ import annotations

import numpy as np

from ...core.se2 import integrate

DT = 0.1  # [s]
LIMITS = np.array([0.8, 1.5], dtype=np.float32)  # of v [m/s] and omega [rad/s]; an action of 1 is the limit
GAIN, LAG, DELAY = (0.5, 1.5), (0.05, 0.6), 3  # ranges of gains and lags [s]; largest delay [steps]
NEAR = 0.1  # [m] of the goal: the episode ends


class Drive:
    """Robots whose twist follows a command that arrives late, times a gain, with a lag.

    Args:
        tasks: gain of v and of omega, lag of each [s], and the delay [steps], (T, 5).
        trajectories: robots of each task.
        dt: step [s].

    Attributes:
        pose: (x, y, yaw), (T, N, 3); twist: (v, omega), (T, N, 2).
        commands: newest first, (DELAY + 1, T, N, 2).
    """

    def __init__(self, tasks: np.ndarray, trajectories: int, dt: float) -> None:
        shape = (len(tasks), trajectories)
        self._gain, self._decay = tasks[:, None, :2], np.exp(-dt / tasks[:, None, 2:4])
        self._late, self._dt = tasks[:, 4].astype(np.intp), dt
        self.pose, self.twist = np.zeros((*shape, 3)), np.zeros((*shape, 2))
        self.commands = np.zeros((DELAY + 1, *shape, 2))

    def step(self, command: np.ndarray) -> None:
        """Hold a command (T, N, 2) for a step."""
        self.commands = np.concatenate([command[None], self.commands[:-1]])
        arriving = self._gain * self.commands[self._late, np.arange(len(self._late))]
        self.twist = arriving + self._decay * (self.twist - arriving)
        v, omega = self.twist[..., 0], self.twist[..., 1]
        self.pose = integrate(self.pose, np.stack([v, np.zeros_like(v), omega], axis=-1), self._dt)


def drawn_robots(rng: np.random.Generator, tasks: int) -> np.ndarray:
    """Gains, lags [s] and delay [steps], (T, 5)."""
    delay = rng.integers(0, DELAY + 1, (tasks, 1))
    return np.concatenate([rng.uniform(*GAIN, (tasks, 2)), rng.uniform(*LAG, (tasks, 2)), delay], axis=1)


class GoalReaching:
    """Goals within 1.5 m; the reward of a step is the distance with a minus and a little for effort.

    A task is gain of v and of omega, lag of each [s], and the delay [steps]. Observed are the goal in the
    robot's frame [m], the measured twist and the newest command, as shares of the limits.

    Args:
        horizon: steps of an episode.
    """

    observations, actions = 6, 2
    discrete = False

    def __init__(self, horizon: int = 60) -> None:
        self.horizon = horizon

    def sample_tasks(self, rng: np.random.Generator, tasks: int) -> np.ndarray:
        """Gains, lags [s] and delay [steps], (T, 5)."""
        return drawn_robots(rng, tasks)

    def reset(self, tasks: np.ndarray, trajectories: int, rng: np.random.Generator) -> np.ndarray:
        shape = (len(tasks), trajectories)
        self._robot = Drive(tasks, trajectories, DT)
        radius, angle = rng.uniform(0.5, 1.5, shape), rng.uniform(-np.pi, np.pi, shape)
        self._goal = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
        return self._observation()

    def _observation(self) -> np.ndarray:
        robot = self._robot
        off, yaw = self._goal - robot.pose[..., :2], robot.pose[..., 2]
        ahead = np.cos(yaw) * off[..., 0] + np.sin(yaw) * off[..., 1]
        left = np.cos(yaw) * off[..., 1] - np.sin(yaw) * off[..., 0]
        parts = [np.stack([ahead, left], axis=-1), robot.twist / LIMITS, robot.commands[0] / LIMITS]
        return np.concatenate(parts, axis=-1).astype(np.float32)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        self._robot.step(np.clip(actions, -1.0, 1.0) * LIMITS)
        distance = np.linalg.norm(self._goal - self._robot.pose[..., :2], axis=-1)
        rewards = -distance - 0.01 * (np.clip(actions, -1.0, 1.0) ** 2).sum(axis=-1)
        return self._observation(), rewards.astype(np.float32), distance < NEAR
