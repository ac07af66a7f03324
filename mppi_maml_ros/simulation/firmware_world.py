"""One base with firmware as a :class:`World`, and what changes its firmware while it runs."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import ArrayLike

from ..core.angles import wrap
from ..core.errors import InvalidValueError
from ..core.types import Array
from .disturbances import Disturbance, State
from .firmware import CASTER, STATES, advance, disturb, measure, stamp_of
from .firmware_parameters import (
    CASTER_START,
    DELAY,
    FIRMWARE_HIGH,
    FIRMWARE_LOW,
    ICR,
    INDEX,
    ODOMETRY_LATE,
    ODOMETRY_RATE,
    FirmwareParameters,
)
from .parameters import NOISE_STEP
from .world import FIRMWARE, Equations, World, _three_finite

_TOLERANCE = 1e-9  # [s]
_LONGEST_STEP = 1.0  # [s]
_REMEMBERED = 2.5  # [s] of states and commands: the longest delay and step, the oldest message


@attrs.frozen
class FirmwareChange(Disturbance):
    """Parameters of the firmware become others: a load, another battery, a reconfigured drive.

    Attributes:
        at: time of the change [s].
        values: from then on, by name of :class:`FirmwareParameters`; not those of odometry.
    """

    at: float
    values: Mapping[str, float]

    def apply(self, time: float, state: State, vector: Array, acceleration: Array) -> None:
        if time >= self.at - _TOLERANCE:
            for name, value in self.values.items():
                vector[INDEX[name]] = value


@attrs.frozen
class FirmwareEquations(Equations):
    """As :class:`Equations`, of kind ``FIRMWARE``.

    Attributes:
        hidden: the whole state, shape (STATES,), see :mod:`.firmware`.
        log: commands issued until now, oldest first: (time before now >= 0 [s], v, omega), shape (n, 3).
    """

    hidden: np.ndarray
    log: np.ndarray

    def past(self, dt: float, count: int) -> np.ndarray:
        """The commands in force during the last ``count`` steps of ``dt``, newest first, shape (count, 2)."""
        ages = dt * np.arange(1, count + 1)
        rows = np.searchsorted(-self.log[:, 0], -ages + _TOLERANCE, side="right") - 1
        return np.where(rows[:, None] >= 0, self.log[np.maximum(rows, 0), 1:], 0.0)


class FirmwareWorld(World):
    """A base simulated by the equations of :mod:`.firmware`.

    Args:
        parameters: the base.
        seed: integer >= 0, of process noise, odometry noise and jitter.
        disturbances: what changes while it runs; their vectors are those of :class:`FirmwareParameters`.
        start: pose (x, y, yaw) [m, m, rad]; the base starts at rest.
    """

    kind = FIRMWARE

    def __init__(
        self,
        parameters: FirmwareParameters | None = None,
        seed: int = 0,
        disturbances: Iterable[Disturbance] = (),
        start: ArrayLike = (0.0, 0.0, 0.0),
    ) -> None:
        super().__init__(parameters or FirmwareParameters(), seed, disturbances, start)  # type: ignore[arg-type]  # see set_parameters

    def step(self, command: Sequence[float] | np.ndarray, dt: float) -> np.ndarray:
        """As :meth:`World.step`; a command reaches each axis after that axis's own delay."""
        u = float(command[0]), float(command[1])
        if not (abs(u[0]) < np.inf and abs(u[1]) < np.inf):
            raise InvalidValueError(f"command must be finite, got {u}")
        if not (0.0 < dt <= _LONGEST_STEP):
            raise InvalidValueError(f"dt must be in (0, {_LONGEST_STEP:g}] s, got {dt}")
        vector, _ = self._current()
        now, end = self._time, self._time + dt
        if u != self._log[-1][1:]:
            self._log.append((now, *u))
        delays = vector[DELAY : DELAY + 2].tolist()
        for until in self._arrivals(now, end, delays):
            self._acting = (self._issued(now - delays[0])[0], self._issued(now - delays[1])[1])
            advance(self._hidden, *self._acting, until - now, vector)
            now = until
        disturb(self._hidden, vector, self._key, self._steps, dt)
        self._time = end
        self._steps += 1
        self._state = tuple(self._hidden[:5].tolist())
        self._remember()
        self._observe()
        return self._observation.copy()

    def _arrivals(self, now: float, end: float, delays: list[float]) -> list[float]:
        """Moments in (now, end] until which the commands that act stay the same."""
        moments = {end}
        before = None
        for entry in self._log:
            for axis, delay in enumerate(delays):
                at = entry[0] + delay
                if now + _TOLERANCE < at < end - _TOLERANCE and (
                    before is None or entry[1 + axis] != before[1 + axis]
                ):
                    moments.add(at)
            before = entry
        return sorted(moments)

    def _issued(self, time: float) -> tuple[float, float]:
        """The command in force at ``time`` [s]."""
        for at, v, omega in reversed(self._log):
            if at <= time + _TOLERANCE:
                return v, omega
        return 0.0, 0.0

    @property
    def hidden(self) -> np.ndarray:
        """The whole true state, shape (STATES,), see :mod:`.firmware`."""
        return self._hidden.copy()

    @property
    def odometry_age(self) -> float:
        """How old the state is that odometry reports [s]; its stamp lies so far back."""
        return max(self._time - self._stamp, 0.0)

    @property
    def lateral_velocity(self) -> float:
        """True velocity to the left [m/s]."""
        return float(-self._current()[0][ICR] * self._state[4])

    @property
    def pending_commands(self) -> np.ndarray:
        """Commands on their way to an axis, oldest first: (seconds until both have it, v, omega), (n, 3)."""
        delay = self._current()[0][DELAY : DELAY + 2].max()
        rows = [(at + delay - self._time, v, omega) for at, v, omega in self._log]
        return np.array([row for row in rows if row[0] > _TOLERANCE]).reshape(-1, 3)

    def current_parameters(self) -> FirmwareParameters:  # type: ignore[override]  # see set_parameters
        """The parameters at this instant, disturbances included."""
        return FirmwareParameters.from_vector(self._current()[0])

    def equations(self) -> FirmwareEquations:
        """The exact equations at this instant, with the state that no odometry shows."""
        log = np.array(self._log)
        log[:, 0] = self._time - log[:, 0]
        vector = self._current()[0]
        delay = float(vector[DELAY : DELAY + 2].max())
        return FirmwareEquations(self.kind, vector, 0.0, 0.0, delay, self._hidden.copy(), log)

    # a base has other parameters than the worlds that are simulated at their wheels
    def set_parameters(self, parameters: FirmwareParameters) -> None:  # type: ignore[override]
        """Change the base; its state stays."""
        self._parameters = parameters  # type: ignore[assignment]
        self._vector = parameters.as_vector()

    def place(self, pose: ArrayLike) -> None:
        """As :meth:`World.place`; the caster turns to where it starts."""
        x, y, yaw = _three_finite(pose, "pose")
        self._hidden = np.zeros(STATES)
        self._hidden[:3] = x, y, wrap(yaw)
        self._hidden[CASTER] = self._vector[CASTER_START]
        self._state = tuple(self._hidden[:5].tolist())
        self._past.clear()
        self._remember()
        self._stamp = self._time
        self._observe()

    def reset(self, start: ArrayLike | None = None, seed: int | None = None) -> np.ndarray:
        """As :meth:`World.reset`."""
        seed = self._seed if seed is None else seed
        if not (seed >= 0):
            raise InvalidValueError(f"seed must be an integer >= 0, got {seed}")
        self._key = np.uint64(seed)
        self._steps = self._message = 0
        self._log: deque[tuple[float, float, float]] = deque([(-_REMEMBERED, 0.0, 0.0)])
        return super().reset(start, seed)

    def _move(
        self, state: State, command: tuple[float, float], dt: float, vector: Array, acceleration: Array
    ) -> State:
        raise NotImplementedError("a base with firmware has more state than odometry shows")

    def _current(self) -> tuple[np.ndarray, np.ndarray]:
        vector, acceleration = self._vector.copy(), np.zeros(2)
        for disturbance in self._disturbances:
            disturbance.apply(self._time, self._state, vector, acceleration)
        np.clip(vector, FIRMWARE_LOW, FIRMWARE_HIGH, out=vector)
        return vector, acceleration

    def _remember(self) -> None:
        self._past.append((self._time, self._state))
        oldest = self._time - _REMEMBERED
        while len(self._past) > 1 and self._past[1][0] <= oldest:
            self._past.popleft()
        while len(self._log) > 1 and self._log[1][0] <= oldest:
            self._log.popleft()

    def _observe(self) -> None:
        p, index = self._vector, self._steps
        if p[ODOMETRY_RATE] > 0.0:
            period = 1.0 / p[ODOMETRY_RATE]
            arrived = self._time - p[ODOMETRY_LATE] * period + _TOLERANCE
            while stamp_of(self._message + 1, p, self._key) <= arrived:
                self._message += 1
            index = self._message
            stamp = max(stamp_of(index, p, self._key), self._past[0][0])
        else:
            stamp = max(self._time - p[ODOMETRY_LATE] * NOISE_STEP, self._past[0][0])
        self._stamp = min(stamp, self._time)
        issued = self._issued(self._stamp - 2.0 * _TOLERANCE)
        self._observation = np.empty(5)
        state = np.array(self._state_at(self._stamp))
        measure(state, *issued, p, self._key, index, self._observation)


def half_time(rng: np.random.Generator, duration: float) -> float:
    """When a base changes during a run of ``duration`` [s]."""
    return math.floor(duration * rng.uniform(0.4, 0.6) / NOISE_STEP) * NOISE_STEP
