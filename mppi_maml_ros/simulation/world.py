"""A robot in a simulated world: commands in, odometry out, the truth at hand.

A world stands still between calls of ``step``; it has no clock and starts no thread. Process
noise, odometry noise and all disturbances follow from the seed, so a run can be repeated to the
bit. Times are seconds since the start (or the last reset) of the world.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from typing import ClassVar

import attrs
import numpy as np
from numpy.typing import ArrayLike

from ..core.angles import wrap
from ..core.errors import InvalidValueError
from ..core.types import Array
from .batch import simulate_batch
from .disturbances import Disturbance, State, friction_at
from .parameters import (
    ACCELERATION_LIMIT,
    BATTERY,
    BATTERY_FLOOR,
    BATTERY_SAG,
    COMMAND_DELAY,
    DEFAULT_RANGES,
    NOISE_STEP,
    ODOMETRY_DELAY,
    ODOMETRY_NOISE,
    PARAMETER_BOUNDS,
    PARAMETER_HIGH,
    PARAMETER_LOW,
    PARAMETER_NAMES,
    PATCH_COVERAGE,
    PATCH_GRIP,
    PATCH_SIZE,
    PROCESS_NOISE,
    SLIP,
    SLOPE,
    SLOPE_DIRECTION,
    WorldParameters,
    randomize,
)
from .wheels import advance, lateral_velocity

__all__ = [
    "DEFAULT_RANGES",
    "FIRMWARE",
    "HELD",
    "PARAMETER_BOUNDS",
    "PARAMETER_NAMES",
    "SCALED",
    "WHEELS",
    "DynamicWorld",
    "Equations",
    "World",
    "WorldParameters",
    "advance",
    "lateral_velocity",
    "randomize",
    "simulate_batch",
]

WHEELS, HELD, SCALED, FIRMWARE = range(4)
"""Kinds of equations: ``wheels.advance``, ``seed_world.seed_step``, ``seed_world.scaled_step`` and
``firmware.advance``."""

_TIME_TOLERANCE = 1e-9  # [s]
_LONGEST_STEP = 1.0  # [s]
GRAVITY = 9.81  # [m/s^2]
_OLDEST_ODOMETRY = PARAMETER_BOUNDS["odometry_delay"][1]  # [s]


@attrs.frozen
class Equations:
    """What moves the robot at this instant, noise aside; all that an exact model needs.

    Attributes:
        kind: ``WHEELS``, ``HELD`` or ``SCALED``.
        vector: parameters of that kind, disturbances included. WHEELS and HELD: see
            :meth:`WorldParameters.as_vector`. SCALED: (bias_v, bias_omega, scale_v, scale_omega).
        acceleration_v, acceleration_omega: external, in the body frame [m/s^2, rad/s^2].
        command_delay: from the call of ``step`` to the motors [s].
    """

    kind: int
    vector: np.ndarray
    acceleration_v: float
    acceleration_omega: float
    command_delay: float


def _three_finite(value: ArrayLike, name: str) -> tuple[float, float, float]:
    array = np.asarray(value, dtype=float)
    if array.shape != (3,) or not np.isfinite(array).all():
        raise InvalidValueError(f"{name} must be three finite numbers (x, y, yaw), got {value!r}")
    return tuple(array.tolist())


class World(ABC):
    """What all worlds share: time, command delay, disturbances, noise and odometry.

    Disturbances act with the time and state at the beginning of a step, held over the step.

    Args:
        parameters: the robot and its floor.
        seed: integer >= 0, of process and odometry noise.
        disturbances: what changes while the world runs.
        start: pose (x, y, yaw) [m, m, rad]; the robot starts at rest.
    """

    kind: ClassVar[int]
    _time: float
    _state: State
    _acting: tuple[float, float]
    _observation: Array

    def __init__(
        self,
        parameters: WorldParameters,
        seed: int = 0,
        disturbances: Iterable[Disturbance] = (),
        start: ArrayLike = (0.0, 0.0, 0.0),
    ) -> None:
        self.name = type(self).__name__
        self._disturbances = tuple(disturbances)
        self._seed = int(seed)
        if self._seed < 0:
            raise InvalidValueError(f"seed must be an integer >= 0, got {seed}")
        self._start = _three_finite(start, "start")
        self.set_parameters(parameters)
        self.reset()

    # What the robot's software sees

    def step(self, command: Sequence[float] | np.ndarray, dt: float) -> np.ndarray:
        """Issue a command now and let ``dt`` pass; return the odometry at its end.

        Args:
            command: (v, omega) [m/s, rad/s], shape (2,). It reaches the motors
                ``command_delay`` later, wherever that falls between steps.
            dt: in (0, 1] [s].

        Returns:
            What :meth:`odometry` gives, shape (5,).

        Raises:
            InvalidValueError: a command that is not finite or ``dt`` out of range.
        """
        u_v, u_omega = float(command[0]), float(command[1])
        if not (abs(u_v) < np.inf and abs(u_omega) < np.inf):
            raise InvalidValueError(f"command must be finite, got ({u_v}, {u_omega})")
        if not (0.0 < dt <= _LONGEST_STEP):
            raise InvalidValueError(f"dt must be in (0, {_LONGEST_STEP:g}] s, got {dt}")
        vector, acceleration = self._current()
        self._issue(u_v, u_omega, vector[COMMAND_DELAY])
        now, end = self._time, self._time + dt
        state = self._state
        while end - now > _TIME_TOLERANCE:
            self._deliver(now)
            until = min(self._pending[0][0], end) if self._pending else end
            state = self._move(state, self._acting, until - now, vector, acceleration)
            now = until
        self._time = end
        self._deliver(end)
        self._state = self._disturbed(state, dt)
        self._remember()
        self._observe()
        return self._observation.copy()

    def odometry(self) -> np.ndarray:
        """What odometry reports now: the state ``odometry_delay`` ago plus noise, shape (5,).

        One sample a step: asking again gives the same one.
        """
        return self._observation.copy()

    @property
    def odometry_age(self) -> float:
        """How old the state is that odometry reports [s]; its stamp lies so far back."""
        return min(float(self._vector[ODOMETRY_DELAY]), self._time)

    # The truth

    @property
    def state(self) -> np.ndarray:
        """True (x, y, yaw, v, omega) [m, m, rad, m/s, rad/s], yaw in [-pi, pi), shape (5,)."""
        return np.array(self._state)

    @property
    def time(self) -> float:
        """Seconds since the start or the last reset."""
        return self._time

    @property
    def lateral_velocity(self) -> float:
        """True velocity to the left [m/s]."""
        return float(lateral_velocity(self._state[3], self._state[4], self._current()[0][SLIP]))

    @property
    def acting_command(self) -> np.ndarray:
        """The command (v, omega) that acts on the motors now, shape (2,)."""
        return np.array(self._acting)

    @property
    def pending_commands(self) -> np.ndarray:
        """Commands on their way to the motors, oldest first: (seconds until it acts, v, omega), (n, 3)."""
        return np.array([(due - self._time, v, omega) for due, v, omega in self._pending]).reshape(-1, 3)

    @property
    def parameters(self) -> WorldParameters:
        """The parameters before any disturbance."""
        return self._parameters

    @property
    def disturbances(self) -> tuple[Disturbance, ...]:
        """What changes while the world runs."""
        return self._disturbances

    def current_parameters(self) -> WorldParameters:
        """The parameters at this instant, disturbances and battery sag included."""
        return WorldParameters.from_vector(self._current()[0])

    def equations(self) -> Equations:
        """The exact equations at this instant."""
        vector, acceleration = self._current()
        return Equations(
            self.kind, vector, float(acceleration[0]), float(acceleration[1]), float(vector[COMMAND_DELAY])
        )

    # Changes from outside

    def set_parameters(self, parameters: WorldParameters) -> None:
        """Change the robot or its floor; commands on their way keep their time of arrival."""
        self._check(parameters)
        self._parameters = parameters
        self._vector = parameters.as_vector()
        process = self._vector[PROCESS_NOISE : PROCESS_NOISE + 5]
        odometry = self._vector[ODOMETRY_NOISE : ODOMETRY_NOISE + 5]
        self._process_noise = process if process.any() else None
        self._odometry_noise = odometry if odometry.any() else None

    def place(self, pose: ArrayLike) -> None:
        """Put the robot elsewhere, at rest; time and commands go on.

        Args:
            pose: (x, y, yaw) [m, m, rad].
        """
        x, y, yaw = _three_finite(pose, "pose")
        self._state = (x, y, float(wrap(yaw)), 0.0, 0.0)
        self._past.clear()
        self._remember()
        self._observe()

    def reset(self, start: ArrayLike | None = None, seed: int | None = None) -> np.ndarray:
        """Begin anew: time 0, at rest, no command given, noise from its first number.

        Args:
            start: pose (x, y, yaw); the last one given if None.
            seed: of the noise; the last one given if None.

        Returns:
            The first odometry, shape (5,).
        """
        if start is not None:
            self._start = _three_finite(start, "start")
        if seed is not None:
            if not (seed >= 0):
                raise InvalidValueError(f"seed must be an integer >= 0, got {seed}")
            self._seed = int(seed)
        self._process_rng = np.random.default_rng([self._seed, 1])
        self._odometry_rng = np.random.default_rng([self._seed, 2])
        self._time = 0.0
        self._acting = (0.0, 0.0)
        self._pending: deque[tuple[float, float, float]] = deque()
        self._past: deque[tuple[float, tuple]] = deque()
        self.place(self._start)
        return self.odometry()

    # Inside

    @abstractmethod
    def _move(
        self, state: State, command: tuple[float, float], dt: float, vector: Array, acceleration: Array
    ) -> tuple[float, float, float, float, float]:
        """The state after ``dt`` under one acting command, without noise."""

    def _check(self, parameters: WorldParameters) -> None:  # noqa: B027 - optional to override
        """Refuse parameters that these equations do not have."""

    def _current(self) -> tuple[np.ndarray, np.ndarray]:
        vector = self._vector.copy()
        acceleration = np.zeros(2)
        if vector[BATTERY_SAG] > 0.0:
            left = vector[BATTERY] * (1.0 - vector[BATTERY_SAG] * self._time)
            vector[BATTERY] = max(left, BATTERY_FLOOR)
        self._lie_of_the_floor(vector, acceleration)
        if self._disturbances:
            for disturbance in self._disturbances:
                disturbance.apply(self._time, self._state, vector, acceleration)
            np.clip(vector, PARAMETER_LOW, PARAMETER_HIGH, out=vector)
        return vector, acceleration

    def _lie_of_the_floor(self, vector: np.ndarray, acceleration: np.ndarray) -> None:
        """Add what slope and patches do where the robot stands."""
        x, y, yaw = self._state[:3]
        if vector[SLOPE] > 0.0:
            acceleration[0] -= GRAVITY * np.sin(vector[SLOPE]) * np.cos(vector[SLOPE_DIRECTION] - yaw)
        if vector[PATCH_GRIP] < 1.0:
            vector[ACCELERATION_LIMIT] *= self.grip_at(x, y)

    def grip_at(self, x: float, y: float) -> float:
        """Factor on the traction limit at (x, y) [m] by the patches of the floor."""
        p = self._vector
        grip = p[PATCH_GRIP]
        if grip >= 1.0:
            return 1.0
        return friction_at(x, y, self._seed, p[PATCH_SIZE], p[PATCH_COVERAGE], grip, grip)

    def _issue(self, v: float, omega: float, delay: float) -> None:
        newest = self._pending[-1] if self._pending else (self._time, *self._acting)
        if newest[1:] != (v, omega):
            # A command never overtakes an older one, even when the delay shrinks.
            self._pending.append((max(newest[0], self._time + delay), v, omega))

    def _deliver(self, now: float) -> None:
        while self._pending and self._pending[0][0] <= now + _TIME_TOLERANCE:
            _, v, omega = self._pending.popleft()
            self._acting = (v, omega)

    def _disturbed(self, state: State, dt: float) -> tuple[float, float, float, float, float]:
        if self._process_noise is None:
            x, y, yaw, v, omega = state
        else:
            scale = np.sqrt(dt / NOISE_STEP)
            noise = scale * self._process_noise * self._process_rng.standard_normal(5)
            x, y, yaw, v, omega = (np.array(state) + noise).tolist()
        return x, y, (yaw + np.pi) % (2.0 * np.pi) - np.pi, v, omega

    def _remember(self) -> None:
        self._past.append((self._time, self._state))
        while len(self._past) > 1 and self._past[1][0] <= self._time - _OLDEST_ODOMETRY:
            self._past.popleft()

    def _observe(self) -> None:
        delay = self._vector[ODOMETRY_DELAY]
        observation = np.array(self._state if delay <= 0.0 else self._state_at(self._time - delay))
        if self._odometry_noise is not None:
            observation += self._odometry_noise * self._odometry_rng.standard_normal(5)
            observation[2] = wrap(observation[2])
        self._observation = observation

    def _state_at(self, time: float) -> tuple:
        later_time, later = self._past[-1]
        for earlier_time, earlier in reversed(self._past):
            if earlier_time <= time:
                part = (time - earlier_time) / max(later_time - earlier_time, _TIME_TOLERANCE)
                x, y, yaw, v, omega = (a + part * (b - a) for a, b in zip(earlier, later, strict=True))
                yaw = wrap(earlier[2] + part * wrap(later[2] - earlier[2]))
                return x, y, yaw, v, omega
            later_time, later = earlier_time, earlier
        return later


class DynamicWorld(World):
    """A differential drive simulated at its wheels; see :mod:`.wheels` for the equations."""

    kind = WHEELS

    def __init__(
        self,
        parameters: WorldParameters | None = None,
        seed: int = 0,
        disturbances: Iterable[Disturbance] = (),
        start: ArrayLike = (0.0, 0.0, 0.0),
    ) -> None:
        super().__init__(parameters or WorldParameters(), seed, disturbances, start)

    def _move(
        self, state: State, command: tuple[float, float], dt: float, vector: Array, acceleration: Array
    ) -> State:
        return advance(*state, *command, dt, vector, 1.0, acceleration[0], acceleration[1])
