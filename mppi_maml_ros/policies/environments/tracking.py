"""A differential drive that has to follow a reference in time, with gains, lags and a delay not told."""

from __future__ import annotations

import numpy as np

from ...core.angles import wrap
from ...core.se2 import to_body
from .robot import Drive, drawn_robots

DT = 0.05  # [s]
LIMIT = 2.0  # of a command [m/s, rad/s], either way
AHEAD = (0, 4, 10)  # steps, of the poses of the reference that are seen
WINDOW = AHEAD[-1] + 1
OFF = (0.2, 0.2, 0.3)  # how far a robot may be off at the start [m, m, rad]
HEADING, EFFORT, FARTHEST = 0.3, 0.01, 2.0
OBSERVATIONS = 3 * len(AHEAD) + 6


def observe(state: np.ndarray, window: np.ndarray, last: np.ndarray) -> np.ndarray:
    """What a policy sees: the reference in the robot's frame, its twist, the robot's, and the last command.

    Args:
        state: (x, y, yaw, v, omega), (..., 5).
        window: wanted poses 0, 1, ... steps ahead, (..., at least WINDOW, 3).
        last: command in force, (..., 2).

    Returns:
        (..., OBSERVATIONS) float32.
    """
    poses = to_body(window[..., AHEAD, :], state[..., None, :3])
    parts = [poses.reshape(*poses.shape[:-2], -1), wanted_twist(window), state[..., 3:], last]
    return np.concatenate(parts, axis=-1).astype(np.float32)


def wanted_twist(window: np.ndarray) -> np.ndarray:
    """(v, omega) of the reference now, (..., 2), of poses (..., at least 2, 3)."""
    ahead = to_body(window[..., 1, :], window[..., 0, :])
    return np.stack([np.hypot(ahead[..., 0], ahead[..., 1]) * np.sign(ahead[..., 0]), ahead[..., 2]], -1) / DT


def command(action: np.ndarray, window: np.ndarray) -> np.ndarray:
    """An action (..., 2) corrects the reference's own twist; within the limits."""
    return np.clip(wanted_twist(window) + action, -LIMIT, LIMIT)


def reward(state: np.ndarray, wanted: np.ndarray, action: np.ndarray) -> np.ndarray:
    """Distance and heading error with a minus, and a little for effort, (...)."""
    distance = np.hypot(*np.moveaxis(wanted[..., :2] - state[..., :2], -1, 0))
    turn = np.abs(wrap(wanted[..., 2] - state[..., 2]))
    effort = np.clip(action, -LIMIT, LIMIT) ** 2
    paid: np.ndarray = -np.minimum(distance, FARTHEST) - HEADING * turn - EFFORT * effort.sum(axis=-1)
    return paid


class ReferenceTracking:
    """References of .2 to 1.6 m/s that swing; a task is a robot, see :func:`.robot.drawn_robots`.

    The robot starts up to .2 m and .3 rad off, at a share of the reference's twist.

    Args:
        horizon: steps of an episode.
    """

    observations, actions = OBSERVATIONS, 2
    discrete = False

    def __init__(self, horizon: int = 100) -> None:
        self.horizon = horizon

    def sample_tasks(self, rng: np.random.Generator, tasks: int) -> np.ndarray:
        """Gains, lags [s] and delay [steps], (T, 5)."""
        return drawn_robots(rng, tasks)

    def reset(self, tasks: np.ndarray, trajectories: int, rng: np.random.Generator) -> np.ndarray:
        shape = (len(tasks), trajectories)
        self._reference, self._at = references(rng, shape, self.horizon + WINDOW), 0
        self._robot = Drive(tasks, trajectories, DT)
        self._robot.pose += rng.uniform(-1.0, 1.0, (*shape, 3)) * OFF
        self._robot.twist += rng.uniform(0.0, 1.0, (*shape, 1)) * wanted_twist(self._reference)
        return self._observation()

    @property
    def _window(self) -> np.ndarray:
        return self._reference[:, :, self._at : self._at + WINDOW]

    @property
    def _state(self) -> np.ndarray:
        return np.concatenate([self._robot.pose, self._robot.twist], axis=-1)

    def _observation(self) -> np.ndarray:
        return observe(self._state, self._window, self._robot.commands[0])

    def _drive(self, commands: np.ndarray) -> None:
        self._robot.step(commands)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        self._drive(command(actions, self._window))
        self._at += 1
        paid = reward(self._state, self._window[:, :, 0], actions).astype(np.float32)
        return self._observation(), paid, np.zeros(paid.shape, dtype=bool)


def references(rng: np.random.Generator, shape: tuple[int, ...], steps: int) -> np.ndarray:
    """Poses of smooth references from the origin, ``shape`` and (steps, 3)."""
    t = DT * np.arange(steps)

    def swinging(low: float, high: float, swing: float) -> np.ndarray:
        middle, reach = rng.uniform(low, high, (*shape, 1)), rng.uniform(0.0, swing, (*shape, 1))
        rate, phase = rng.uniform(0.3, 1.5, (*shape, 1)), rng.uniform(0.0, 2.0 * np.pi, (*shape, 1))
        found: np.ndarray = middle + reach * np.sin(rate * t + phase)
        return found

    v, omega = swinging(0.2, 1.6, 0.3), swinging(-0.5, 0.5, 0.5)
    yaw = np.cumsum(omega, axis=-1) * DT - omega * DT
    middle = yaw + 0.5 * omega * DT
    moved = DT * v[..., None] * np.stack([np.cos(middle), np.sin(middle)], axis=-1)
    position = np.cumsum(moved, axis=-2) - moved
    return np.concatenate([position, wrap(yaw)[..., None]], axis=-1)
