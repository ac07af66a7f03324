"""A world in which the robot is the one that a calibration found."""

from __future__ import annotations

import math
from collections import deque
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from ..core.types import Array
from ..simulation.disturbances import State
from ..simulation.parameters import PARAMETER_BOUNDS, WorldParameters
from ..simulation.world import WHEELS, World
from .response import advance, effective
from .result import Calibration, Response

SUBSTEP = 0.01  # [s] over which the heading is taken for that of its middle
POSE_NOISE = 0.001  # [m, rad] of odometry
NEVER = 1e3  # [m/s^2, rad/s^2] acceleration that is not bounded


class CalibratedWorld(World):
    """Each axis answers as it was found to: delay, dead band, gain, lag, bounded acceleration.

    Args:
        found: the robot.
        seed: of the noise of its odometry.
        start: pose [m, m, rad].
    """

    kind: ClassVar[int] = WHEELS  # nobody asks for its equations

    def __init__(self, found: Calibration, seed: int = 0, start: ArrayLike = (0.0, 0.0, 0.0)) -> None:
        self._axes = (found.v, found.omega)
        self._late: tuple[deque[tuple[float, float]], ...] = (deque(), deque())
        self._delayed = [0.0, 0.0]
        self._moved = 0.0
        most = PARAMETER_BOUNDS["odometry_noise_v"][1]
        noise = [POSE_NOISE] * 3 + [min(axis.noise, most) for axis in self._axes]
        super().__init__(WorldParameters().with_odometry_noise(noise), seed, (), start)

    def reset(self, start: ArrayLike | None = None, seed: int | None = None) -> np.ndarray:
        self._moved, self._delayed = 0.0, [0.0, 0.0]
        for queue in self._late:
            queue.clear()
        return super().reset(start, seed)

    def _move(
        self, state: State, command: tuple[float, float], dt: float, vector: Array, acceleration: Array
    ) -> State:
        for axis, queue, value in zip(self._axes, self._late, command, strict=True):
            queue.append((self._moved + axis.delay, value))
        end = self._moved + dt
        while end - self._moved > 1e-9:
            for i, queue in enumerate(self._late):
                while queue and queue[0][0] <= self._moved + 1e-9:
                    self._delayed[i] = queue.popleft()[1]
            changes = [queue[0][0] for queue in self._late if queue]
            h = min([end, self._moved + SUBSTEP, *changes]) - self._moved
            state = self._step(state, h)
            self._moved += h
        return state

    def _step(self, state: State, h: float) -> State:
        x, y, yaw, v, omega = state
        v, ahead = _answer(self._axes[0], v, self._delayed[0], h)
        omega, turned = _answer(self._axes[1], omega, self._delayed[1], h)
        middle = yaw + 0.5 * turned
        return x + ahead * math.cos(middle), y + ahead * math.sin(middle), yaw + turned, v, omega


def _answer(axis: Response, speed: float, command: float, h: float) -> tuple[float, float]:
    target = axis.gain * effective(command, axis.lost, axis.dead_band)
    up, down = min(axis.acceleration, NEVER), min(axis.deceleration, NEVER)
    return advance(speed, target, h, axis.time_constant, up, down)
