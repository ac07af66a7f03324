"""What changes a world while it runs: floor, wind, load and battery.

A disturbance is an immutable function of time and state. ``apply`` writes its part into the
current parameter vector and the current external acceleration, after which the world clips the
vector to the allowed ranges. Any number of them compose, applied in the order given:
:class:`FrictionStep` sets values, :class:`TerrainChange` and external accelerations add, the
rest multiply.

What is drawn at random is drawn from ``seed`` when the object is made. ``intensity`` scales a
profile from 0 (nothing) to 1 (very hard).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import attrs
import numpy as np

from ..core.errors import InvalidValueError
from ..core.kernels.cache import njit
from ..core.types import Array
from .parameters import BATTERY, COULOMB, FRICTION_OMEGA, FRICTION_V, INERTIA, MASS
from .random_bits import mix, uniform

State = tuple[float, float, float, float, float]  # true (x, y, yaw, v, omega)

_TIME_TOLERANCE = 1e-9  # [s]


def _number(
    default: float | None = None, low: float = 0.0, high: float = math.inf, above: bool = False
) -> float:
    """A finite float in [low, high], or above ``low``."""

    def in_range(_: object, attribute: attrs.Attribute[float], value: float) -> None:
        if not (low <= value <= high and math.isfinite(value)) or (above and value <= low):
            allowed = f"above {low:g}" if above else f"in [{low:g}, {high:g}]"
            raise InvalidValueError(f"{attribute.name} must be finite and {allowed}, got {value}")

    required: Any = attrs.NOTHING if default is None else default
    return attrs.field(default=required, converter=float, validator=in_range)


def _integer(default: int, high: int) -> int:
    """An integer in [0, high]."""

    def in_range(_: object, attribute: attrs.Attribute[int], value: int) -> None:
        if not (0 <= value <= high):
            raise InvalidValueError(f"{attribute.name} must be an integer in [0, {high}], got {value}")

    return attrs.field(default=default, converter=int, validator=in_range)


def _seed() -> int:
    return _integer(0, 2**63 - 1)


class Disturbance(ABC):
    """One cause of change."""

    @abstractmethod
    def apply(self, time: float, state: State, vector: np.ndarray, acceleration: np.ndarray) -> None:
        """Add this disturbance's effect.

        Args:
            time: since the start of the world [s].
            state: true (x, y, yaw, v, omega), five floats.
            vector: current parameters, shape (P,), changed in place.
            acceleration: external (forward, yaw) acceleration in the body frame [m/s^2, rad/s^2],
                shape (2,), changed in place.
        """


@attrs.frozen
class FrictionStep(Disturbance):
    """Viscous friction jumps to new values.

    Attributes:
        at: time of the jump [s].
        friction_v, friction_omega: values from then on [1/s].
    """

    at: float = _number(10.0)
    friction_v: float = _number(2.5)
    friction_omega: float = _number(1.5)

    def apply(self, time: float, state: State, vector: Array, acceleration: Array) -> None:
        if time >= self.at - _TIME_TOLERANCE:
            vector[FRICTION_V] = self.friction_v
            vector[FRICTION_OMEGA] = self.friction_omega


@attrs.frozen
class Payload(Disturbance):
    """A load is picked up: mass and inertia jump by a factor.

    Attributes:
        at: time of the pick-up [s].
        mass, inertia: factors from then on.
    """

    at: float = _number(10.0)
    mass: float = _number(1.8, above=True)
    inertia: float = _number(1.6, above=True)

    def apply(self, time: float, state: State, vector: Array, acceleration: Array) -> None:
        if time >= self.at - _TIME_TOLERANCE:
            vector[MASS] *= self.mass
            vector[INERTIA] *= self.inertia


@attrs.frozen
class BatterySag(Disturbance):
    """The motor gain falls linearly.

    Attributes:
        rate: fraction of the gain lost per second [1/s].
        at: when the fall begins [s].
    """

    rate: float = _number(0.01, high=1.0)
    at: float = _number(0.0)

    def apply(self, time: float, state: State, vector: Array, acceleration: Array) -> None:
        vector[BATTERY] *= max(1.0 - self.rate * max(time - self.at, 0.0), 0.0)


@njit(cache=True)
def friction_at(
    x: float, y: float, seed: int, size: float, coverage: float, low: float, high: float
) -> float:
    """Friction factor of the floor at (x, y): see :class:`FrictionPatches`.

    Args:
        x, y: position [m].
        seed: of the floor, uint64 or non-negative integer.
        size: edge of a patch [m].
        coverage: share of the floor that is patched.
        low, high: range of the factors, drawn with a uniform logarithm.
    """
    key = mix(seed)
    column = math.floor(x / size + uniform(key, 0))
    row = math.floor(y / size + uniform(key, 1))
    cell = mix(mix(key ^ np.uint64(np.int64(column))) ^ np.uint64(np.int64(row)))
    if uniform(cell, 0) >= coverage:
        return 1.0
    return low * (high / low) ** uniform(cell, 1)


@attrs.frozen
class FrictionPatches(Disturbance):
    """A floor of square patches, each with its own factor on viscous and dry friction.

    The patches cover the whole plane, so they lie under whatever path is driven.

    Attributes:
        seed: of the floor.
        size: edge of a patch [m].
        coverage: share of the floor that differs from factor 1.
        low, high: range of the factors, uniform in their logarithm.
    """

    seed: int = _seed()
    size: float = _number(1.5, above=True)
    coverage: float = _number(0.6, high=1.0)
    low: float = _number(0.3, above=True)
    high: float = _number(5.0, above=True)

    def __attrs_post_init__(self) -> None:
        if self.low > self.high:
            raise InvalidValueError(f"low must be at most high, got {self.low} > {self.high}")

    def factor(self, x: float, y: float) -> float:
        """Friction factor at (x, y) [m]."""
        return friction_at(x, y, self.seed, self.size, self.coverage, self.low, self.high)

    def apply(self, time: float, state: State, vector: Array, acceleration: Array) -> None:
        factor = self.factor(state[0], state[1])
        vector[FRICTION_V] *= factor
        vector[FRICTION_OMEGA] *= factor
        vector[COULOMB] *= factor


class Gust(NamedTuple):
    """One gust of wind."""

    onset: float  # [s]
    duration: float  # [s]
    direction: float  # in which it blows, in the world frame [rad]
    acceleration: float  # at its peak [m/s^2]
    turning: float  # yaw acceleration per acceleration [rad/m]


@attrs.frozen
class WindGusts(Disturbance):
    """Gusts, each half a sine in time, blowing along a direction fixed in the world.

    ``a = A sin(pi (t - onset) / duration)``; forward ``a cos(direction - yaw)``, yaw ``a * turning``.
    Drawn: onset U(0.5, span - 1) s, duration U(0.5, 2.5) s, direction U(0, 2 pi), peak A =
    intensity * peak * U(0.5, 1), turning U(-0.5, 0.5) rad/m. Magnitudes are the guide's.

    Attributes:
        intensity: in [0, 1].
        seed: of the draws.
        span: duration of the run that the gusts are spread over [s].
        count: number of gusts.
        peak: largest acceleration at intensity 1 [m/s^2].
    """

    intensity: float = _number(0.3, high=1.0)
    seed: int = _seed()
    span: float = _number(20.0, low=2.0)
    count: int = _integer(8, 1000)
    peak: float = _number(3.0)
    gusts: tuple[Gust, ...] = attrs.field(init=False)

    @gusts.default
    def _draw(self) -> tuple[Gust, ...]:
        rng = np.random.default_rng(self.seed)
        return tuple(
            Gust(
                rng.uniform(0.5, self.span - 1.0),
                rng.uniform(0.5, 2.5),
                rng.uniform(0.0, 2.0 * math.pi),
                self.intensity * self.peak * rng.uniform(0.5, 1.0),
                rng.uniform(-0.5, 0.5),
            )
            for _ in range(self.count)
        )

    def apply(self, time: float, state: State, vector: Array, acceleration: Array) -> None:
        for gust in self.gusts:
            phase = (time - gust.onset) / gust.duration
            if 0.0 <= phase <= 1.0:
                a = gust.acceleration * math.sin(math.pi * phase)
                acceleration[0] += a * math.cos(gust.direction - state[2])
                acceleration[1] += a * gust.turning


class FloorChange(NamedTuple):
    """One change of the floor."""

    at: float  # [s]
    friction_v: float  # added [1/s]
    friction_omega: float  # added [1/s]


@attrs.frozen
class TerrainChange(Disturbance):
    """Viscous friction changes several times, each within about a second.

    At equal intervals of the span the floor adds ``intensity * dc / (1 + exp(-3 (t - at)))``.
    Drawn: dc_v = friction_v U(0.5, 1), dc_omega = friction_omega U(0.3, 1); every second change
    takes 0.3 of its draw away instead. Magnitudes are the guide's.

    Attributes:
        intensity: in [0, 1].
        seed: of the draws.
        span: duration of the run that the changes are spread over [s].
        count: number of changes.
        friction_v, friction_omega: largest change at intensity 1 [1/s].
    """

    intensity: float = _number(0.3, high=1.0)
    seed: int = _seed()
    span: float = _number(20.0, above=True)
    count: int = _integer(3, 1000)
    friction_v: float = _number(1.5)
    friction_omega: float = _number(0.8)
    changes: tuple[FloorChange, ...] = attrs.field(init=False)

    @changes.default
    def _draw(self) -> tuple[FloorChange, ...]:
        rng = np.random.default_rng(self.seed)
        changes = []
        for i in range(self.count):
            sign = self.intensity * (1.0 if i % 2 == 0 else -0.3)
            changes.append(
                FloorChange(
                    self.span * (i + 1) / (self.count + 1),
                    sign * self.friction_v * rng.uniform(0.5, 1.0),
                    sign * self.friction_omega * rng.uniform(0.3, 1.0),
                )
            )
        return tuple(changes)

    def apply(self, time: float, state: State, vector: Array, acceleration: Array) -> None:
        for change in self.changes:
            done = 1.0 / (1.0 + math.exp(min(max(-3.0 * (time - change.at), -50.0), 50.0)))
            vector[FRICTION_V] += change.friction_v * done
            vector[FRICTION_OMEGA] += change.friction_omega * done


@attrs.frozen
class Sinusoidal(Disturbance):
    """A periodic push, of independent phases drawn from U(0, 2 pi).

    Attributes:
        intensity: in [0, 1].
        seed: of the phases.
        amplitude_v, amplitude_omega: at intensity 1 [m/s^2, rad/s^2].
        frequency: [Hz].
    """

    intensity: float = _number(0.3, high=1.0)
    seed: int = _seed()
    amplitude_v: float = _number(2.0)
    amplitude_omega: float = _number(1.0)
    frequency: float = _number(0.3)
    phases: tuple[float, float] = attrs.field(init=False)

    @phases.default
    def _draw(self) -> tuple[float, ...]:
        return tuple(np.random.default_rng(self.seed).uniform(0.0, 2.0 * math.pi, 2).tolist())

    def apply(self, time: float, state: State, vector: Array, acceleration: Array) -> None:
        angle = 2.0 * math.pi * self.frequency * time
        acceleration[0] += self.intensity * self.amplitude_v * math.sin(angle + self.phases[0])
        acceleration[1] += self.intensity * self.amplitude_omega * math.sin(angle + self.phases[1])


@attrs.frozen
class Combined(Disturbance):
    """Wind gusts, a changing floor and a periodic push (1.5 m/s^2, 0.8 rad/s^2, 0.25 Hz) at once.

    Attributes:
        intensity: in [0, 1], of each part.
        seed: of all draws.
        span: duration of the run [s].
    """

    intensity: float = _number(0.3, high=1.0)
    seed: int = _seed()
    span: float = _number(20.0, low=2.0)
    parts: tuple[Disturbance, ...] = attrs.field(init=False)

    @parts.default
    def _draw(self) -> tuple[Disturbance, ...]:
        seeds = np.random.default_rng(self.seed).integers(0, 2**31, 3).tolist()
        return (
            WindGusts(self.intensity, seeds[0], self.span),
            TerrainChange(self.intensity, seeds[1], self.span),
            Sinusoidal(self.intensity, seeds[2], amplitude_v=1.5, amplitude_omega=0.8, frequency=0.25),
        )

    def apply(self, time: float, state: State, vector: Array, acceleration: Array) -> None:
        for part in self.parts:
            part.apply(time, state, vector, acceleration)
