"""What makes one simulated robot differ from another: the parameters of the wheel-level world.

All are normalised to a nominal robot, so the default record is that robot. Kernels read the
flat vector of :meth:`WorldParameters.as_vector`; the module constants (``LAG_V``, ``MASS``, ...)
are indices into it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

import attrs
import numpy as np
from numpy.typing import ArrayLike

from ..core.errors import InvalidValueError
from ..core.tunable import declarations, tunable

_parameter = partial(tunable, dynamic=False)


@attrs.frozen
class WorldParameters:
    """One robot on one floor. With the defaults it is linear, noise-free and free of delay.

    Body velocities v (forward) and omega (left positive) follow from the surface speeds of the
    wheels, ``w = v -/+ omega * track / 2`` (left, right); u is the commanded wheel speed. See
    :func:`~mppi_maml_ros.simulation.wheels.advance` for the equations.

    Attributes:
        lag_v, lag_omega: time constants of v and omega at nominal mass and inertia [s].
        mass, inertia: factors on the nominal robot's; the lags grow with them.
        motor_gain_left, motor_gain_right: wheel speed reached per commanded wheel speed.
        friction_v, friction_omega: viscous friction c_v, c_omega [1/s].
        coulomb: dry friction at each wheel, as the deceleration it causes [m/s^2].
        dead_zone: part of a wheel's command that is lost [m/s].
        command_delay: time from command to motors [s].
        slip: outward lateral velocity per lateral acceleration v * omega in hard turns [s].
        radius_asymmetry: (right - left) / mean wheel radius; positive drifts to the left.
        acceleration_limit: traction limit of each wheel [m/s^2].
        track: distance between the wheels [m].
        battery: motor gain left at time 0, as a fraction.
        battery_sag: fraction of the motor gain lost per second [1/s].
        process_noise_*: standard deviation added to the state in a step of 0.05 s; grows with
            the square root of the step [m, m, rad, m/s, rad/s].
        odometry_noise_*: standard deviation of a measurement [m, m, rad, m/s, rad/s].
        odometry_delay: age of the state that odometry reports [s].
        slope: of the floor [rad]; slope_direction: heading that leads uphill [rad].
        patch_grip: factor on the traction limit on patches of the floor; 1: there are none.
        patch_size: edge of a patch [m]; patch_coverage: share of the floor that is patched.

    Raises:
        InvalidValueError: a field is NaN or out of its range; the message gives the range.
    """

    lag_v: float = _parameter(0.1, 0.02, 1.0, "Time constant of the forward velocity at nominal mass", "s")
    lag_omega: float = _parameter(0.1, 0.02, 1.0, "Time constant of the yaw rate at nominal inertia", "s")
    mass: float = _parameter(1.0, 0.3, 4.0, "Mass, as a factor on the nominal robot's", "of nominal")
    inertia: float = _parameter(1.0, 0.3, 4.0, "Inertia, as a factor on the nominal robot's", "of nominal")
    motor_gain_left: float = _parameter(
        1.0, 0.3, 1.5, "Speed that the left wheel reaches per commanded speed"
    )
    motor_gain_right: float = _parameter(
        1.0, 0.3, 1.5, "Speed that the right wheel reaches per commanded speed"
    )
    friction_v: float = _parameter(0.0, 0.0, 20.0, "Viscous friction of the forward motion", "1/s")
    friction_omega: float = _parameter(0.0, 0.0, 20.0, "Viscous friction of the yaw motion", "1/s")
    coulomb: float = _parameter(0.0, 0.0, 5.0, "Dry friction at each wheel", "m/s^2")
    dead_zone: float = _parameter(0.0, 0.0, 0.5, "Part of a wheel's command that is lost", "m/s")
    command_delay: float = _parameter(0.0, 0.0, 0.3, "Time from a command to the motors", "s")
    slip: float = _parameter(0.0, 0.0, 1.0, "Outward lateral velocity per lateral acceleration", "s")
    radius_asymmetry: float = _parameter(
        0.0, -0.2, 0.2, "(right - left) / mean wheel radius; above 0 the robot drifts to the left"
    )
    acceleration_limit: float = _parameter(10.0, 0.2, 100.0, "Traction limit of each wheel", "m/s^2")
    track: float = _parameter(0.4, 0.1, 2.0, "Distance between the wheels", "m")
    battery: float = _parameter(1.0, 0.2, 1.0, "Motor gain at the start, as a fraction")
    battery_sag: float = _parameter(
        0.0, 0.0, 0.1, "Fraction of the motor gain that is lost every second", "1/s"
    )
    process_noise_x: float = _parameter(
        0.0, 0.0, 0.5, "Standard deviation of what is added to x in 0.05 s", "m"
    )
    process_noise_y: float = _parameter(
        0.0, 0.0, 0.5, "Standard deviation of what is added to y in 0.05 s", "m"
    )
    process_noise_yaw: float = _parameter(
        0.0, 0.0, 0.5, "Standard deviation of what is added to the heading in 0.05 s", "rad"
    )
    process_noise_v: float = _parameter(
        0.0, 0.0, 0.5, "Standard deviation of what is added to the forward velocity in 0.05 s", "m/s"
    )
    process_noise_omega: float = _parameter(
        0.0, 0.0, 0.5, "Standard deviation of what is added to the yaw rate in 0.05 s", "rad/s"
    )
    odometry_noise_x: float = _parameter(0.0, 0.0, 0.5, "Standard deviation of measurements of x", "m")
    odometry_noise_y: float = _parameter(0.0, 0.0, 0.5, "Standard deviation of measurements of y", "m")
    odometry_noise_yaw: float = _parameter(
        0.0, 0.0, 0.5, "Standard deviation of measurements of the heading", "rad"
    )
    odometry_noise_v: float = _parameter(
        0.0, 0.0, 0.5, "Standard deviation of measurements of the forward velocity", "m/s"
    )
    odometry_noise_omega: float = _parameter(
        0.0, 0.0, 0.5, "Standard deviation of measurements of the yaw rate", "rad/s"
    )
    odometry_delay: float = _parameter(0.0, 0.0, 0.3, "Age of the state that odometry reports", "s")
    slope: float = _parameter(0.0, 0.0, 0.3, "Slope of the floor", "rad")
    slope_direction: float = _parameter(0.0, -3.2, 3.2, "Heading that leads uphill", "rad")
    patch_grip: float = _parameter(
        1.0, 0.02, 1.0, "Factor on the traction limit on patches of the floor; 1: there are none"
    )
    patch_size: float = _parameter(1.0, 0.1, 100.0, "Edge of such a patch", "m")
    patch_coverage: float = _parameter(0.3, 0.0, 1.0, "Share of the floor that is patched")

    def as_vector(self) -> np.ndarray:
        """All parameters in the order of ``PARAMETER_NAMES``, shape (P,), float64."""
        return np.array([getattr(self, name) for name in PARAMETER_NAMES])

    @classmethod
    def from_vector(cls, vector: ArrayLike) -> WorldParameters:
        """The record whose :meth:`as_vector` is ``vector``, shape (P,).

        Raises:
            InvalidValueError: wrong shape, or a value out of its range.
        """
        values = np.asarray(vector, dtype=float)
        if values.shape != (len(PARAMETER_NAMES),):
            raise InvalidValueError(
                f"a parameter vector must have shape ({len(PARAMETER_NAMES)},), got {values.shape}"
            )
        return cls(*values.tolist())

    def with_process_noise(self, stds: Iterable[float]) -> WorldParameters:
        """A copy with the five process noise deviations (x, y, yaw, v, omega)."""
        names = PARAMETER_NAMES[PROCESS_NOISE : PROCESS_NOISE + 5]
        return attrs.evolve(self, **dict(zip(names, stds, strict=True)))

    def with_odometry_noise(self, stds: Iterable[float], delay: float = 0.0) -> WorldParameters:
        """A copy with the five odometry noise deviations (x, y, yaw, v, omega) and its delay [s]."""
        names = PARAMETER_NAMES[ODOMETRY_NOISE : ODOMETRY_NOISE + 5]
        return attrs.evolve(self, odometry_delay=delay, **dict(zip(names, stds, strict=True)))


PARAMETERS = declarations(WorldParameters)
PARAMETER_NAMES: tuple[str, ...] = tuple(PARAMETERS)
PARAMETER_UNITS: dict[str, str] = {name: declared.unit for name, declared in PARAMETERS.items()}
PARAMETER_BOUNDS: dict[str, tuple[float, float]] = {
    name: (
        -np.inf if declared.low is None else declared.low,
        np.inf if declared.high is None else declared.high,
    )
    for name, declared in PARAMETERS.items()
}
PARAMETER_LOW = np.array([low for low, _ in PARAMETER_BOUNDS.values()])
PARAMETER_HIGH = np.array([high for _, high in PARAMETER_BOUNDS.values()])

(
    LAG_V,
    LAG_OMEGA,
    MASS,
    INERTIA,
    MOTOR_GAIN_LEFT,
    MOTOR_GAIN_RIGHT,
    FRICTION_V,
    FRICTION_OMEGA,
    COULOMB,
    DEAD_ZONE,
    COMMAND_DELAY,
    SLIP,
    RADIUS_ASYMMETRY,
    ACCELERATION_LIMIT,
    TRACK,
    BATTERY,
    BATTERY_SAG,
    PROCESS_NOISE,
) = range(18)
# The first of five each: x, y, yaw, v, omega.
ODOMETRY_NOISE = PROCESS_NOISE + 5
ODOMETRY_DELAY = ODOMETRY_NOISE + 5
SLOPE, SLOPE_DIRECTION, PATCH_GRIP, PATCH_SIZE, PATCH_COVERAGE = range(ODOMETRY_DELAY + 1, ODOMETRY_DELAY + 6)

NOISE_STEP = 0.05
"""Step to which the process noise deviations refer [s]."""

BATTERY_FLOOR = PARAMETER_BOUNDS["battery"][0]
"""No battery sags below this fraction of the nominal motor gain."""

MOTOR_GAIN = "motor_gain"
"""In ranges: one draw for both wheels."""

DEFAULT_RANGES: dict[str, tuple[float, float]] = {
    "lag_v": (0.05, 0.5),
    "lag_omega": (0.05, 0.5),
    "mass": (0.8, 1.6),
    "inertia": (0.7, 1.8),
    MOTOR_GAIN: (0.6, 1.1),
    "friction_v": (0.0, 1.5),
    "friction_omega": (0.0, 1.0),
    "coulomb": (0.0, 0.4),
    "dead_zone": (0.0, 0.05),
    "command_delay": (0.0, 0.15),
    "slip": (0.0, 0.25),
    "radius_asymmetry": (-0.03, 0.03),
}
"""Wide but realistic: what a small wheeled robot may turn out to be on an unknown floor."""


def validate_ranges(ranges: Mapping[str, tuple[float, float]]) -> None:
    """Check ranges to draw parameters from.

    Raises:
        InvalidValueError: an unknown name, low above high, NaN, or outside the parameter's own
            range; the message names the parameter.
    """
    for name, bounds in ranges.items():
        if name != MOTOR_GAIN and name not in PARAMETER_BOUNDS:
            known = ", ".join((MOTOR_GAIN, *PARAMETER_NAMES))
            raise InvalidValueError(f"unknown world parameter {name!r}; known: {known}")
        try:
            low, high = (float(bound) for bound in bounds)
        except (TypeError, ValueError):
            raise InvalidValueError(f"the range of {name} must be two numbers, got {bounds!r}") from None
        if not (low <= high):
            raise InvalidValueError(f"the range of {name} must be low <= high, got [{low}, {high}]")
        least, most = PARAMETER_BOUNDS["motor_gain_left" if name == MOTOR_GAIN else name]
        if not (least <= low and high <= most):
            raise InvalidValueError(
                f"the range of {name} must lie in [{least:g}, {most:g}], got [{low}, {high}]"
            )


def randomize(
    rng: np.random.Generator,
    ranges: Mapping[str, tuple[float, float]] = DEFAULT_RANGES,
    base: WorldParameters | None = None,
) -> WorldParameters:
    """Draw parameters uniformly, each on its own.

    Args:
        rng: source of the draws; the outcome does not depend on the order of ``ranges``.
        ranges: (low, high) by name; equal bounds set an exact value. ``motor_gain`` is one draw
            for both wheels, which ``motor_gain_left`` and ``motor_gain_right`` override.
        base: what is not drawn; the nominal robot if None.

    Raises:
        InvalidValueError: see :func:`validate_ranges`.
    """
    validate_ranges(ranges)
    drawn: dict[str, float] = {}
    for name in (MOTOR_GAIN, *PARAMETER_NAMES):
        if name not in ranges:
            continue
        low, high = (float(bound) for bound in ranges[name])
        # low + (high - low) * u can exceed high by an ulp.
        value = min(low + (high - low) * rng.random(), high)
        if name == MOTOR_GAIN:
            drawn["motor_gain_left"] = drawn["motor_gain_right"] = value
        else:
            drawn[name] = value
    return attrs.evolve(base or WorldParameters(), **drawn)


def randomize_batch(
    rng: np.random.Generator,
    worlds: int,
    ranges: Mapping[str, tuple[float, float]] = DEFAULT_RANGES,
    base: WorldParameters | None = None,
) -> np.ndarray:
    """The same draws as ``worlds`` calls of :func:`randomize`, as a matrix.

    Returns:
        Shape (worlds, len(PARAMETER_NAMES)), rows as of :meth:`WorldParameters.as_vector`.

    Raises:
        InvalidValueError: see :func:`validate_ranges`.
    """
    validate_ranges(ranges)
    names = [name for name in (MOTOR_GAIN, *PARAMETER_NAMES) if name in ranges]
    low, high = np.array([ranges[name] for name in names], dtype=float).reshape(-1, 2).T
    drawn = np.minimum(low + (high - low) * rng.random((worlds, len(names))), high)
    matrix = np.tile((base or WorldParameters()).as_vector(), (worlds, 1))
    for name, values in zip(names, drawn.T, strict=True):
        columns = (
            (MOTOR_GAIN_LEFT, MOTOR_GAIN_RIGHT) if name == MOTOR_GAIN else (PARAMETER_NAMES.index(name),)
        )
        matrix[:, columns] = values[:, None]
    return matrix
