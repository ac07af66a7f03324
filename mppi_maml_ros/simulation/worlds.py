"""The named worlds of the benchmark, and one compiled step that covers all their equations.

``make_world(name, seed)`` draws the world's magnitudes and its noise from the seed. There are
three families. The guide's: the seed world, what disturbs it, and the perturbed world. And worlds
in which identification by a linear model is structurally wrong: wheel-level worlds, each with
one factor added to the same base (lag 0.2 s, c_v = 0.5 1/s, c_omega = 0.3 1/s: the seed world's
constants), and ``everything`` with all of them. And the bases of :mod:`.firmware_worlds`.

Process noise is the seed's in the guide's worlds and a fifth of it in the wheel-level ones,
where it would otherwise hide what is studied. ``noise_scale`` scales it; 0 takes it away.
"""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Callable

import attrs
import numpy as np
from numpy.typing import ArrayLike

from ..core.errors import InvalidValueError
from ..core.kernels.cache import njit
from ..core.registry import Registry
from ..core.types import Array
from .disturbances import (
    Combined,
    Disturbance,
    FrictionPatches,
    FrictionStep,
    Payload,
    Sinusoidal,
    State,
    TerrainChange,
    WindGusts,
)
from .firmware_worlds import FAMILIES, FIRMWARE_WORLDS, firmware_world
from .parameters import FRICTION_OMEGA, FRICTION_V, PARAMETER_NAMES, PROCESS_NOISE, WorldParameters
from .seed_world import SEED_NOISE, PerturbedWorld, SeedWorld, forced_seed_step, scaled_step
from .wheels import advance
from .world import HELD, WHEELS, DynamicWorld, World

WHEEL_NOISE = tuple(0.2 * std for std in SEED_NOISE)
"""Process noise of the wheel-level worlds in 0.05 s: x, y, yaw, v, omega [m, m, rad, m/s, rad/s]."""

BASE = WorldParameters(
    lag_v=0.2, lag_omega=0.2, friction_v=0.5, friction_omega=0.3, acceleration_limit=50.0
).with_process_noise(WHEEL_NOISE)
"""The wheel-level worlds without any added factor; its traction limit is never met in tracking."""


@njit(cache=True)
def propagate(
    kind: int,
    x: float,
    y: float,
    yaw: float,
    v: float,
    omega: float,
    command_v: float,
    command_omega: float,
    dt: float,
    vector: Array,
    acceleration_v: float,
    acceleration_omega: float,
) -> State:
    """Move the robot by ``dt`` by the equations of a world, without noise; an oracle's model.

    Args:
        kind, vector, acceleration_v, acceleration_omega: as in :class:`Equations`.
        x, y, yaw, v, omega: state [m, m, rad, m/s, rad/s].
        command_v, command_omega: command acting on the motors [m/s, rad/s].
        dt: duration [s]. Equations of kind HELD and SCALED take it as one step.

    Returns:
        (x, y, yaw, v, omega); yaw is not wrapped.
    """
    if kind == WHEELS:
        return advance(
            x,
            y,
            yaw,
            v,
            omega,
            command_v,
            command_omega,
            dt,
            vector,
            1.0,
            acceleration_v,
            acceleration_omega,
        )
    if kind == HELD:
        return forced_seed_step(
            x,
            y,
            yaw,
            v,
            omega,
            command_v,
            command_omega,
            vector[FRICTION_V],
            vector[FRICTION_OMEGA],
            acceleration_v,
            acceleration_omega,
            dt,
        )
    return scaled_step(x, y, yaw, command_v, command_omega, vector[0], vector[1], vector[2], vector[3], dt)


@njit(cache=True)
def propagate_delayed(
    kind: int,
    x: float,
    y: float,
    yaw: float,
    v: float,
    omega: float,
    older_v: float,
    older_omega: float,
    newer_v: float,
    newer_omega: float,
    late: float,
    dt: float,
    vector: Array,
    acceleration_v: float,
    acceleration_omega: float,
) -> State:
    """:func:`propagate` over a step within which, ``late`` seconds in, the newer command takes over.

    With commands issued every ``dt`` and a delay of ``n * dt + late``, 0 <= late < dt, the command
    that takes over during [t, t + dt) is the one issued at ``t - n * dt``.
    """
    if late > 1e-9 and (older_v != newer_v or older_omega != newer_omega):
        x, y, yaw, v, omega = propagate(
            kind, x, y, yaw, v, omega, older_v, older_omega, late, vector, acceleration_v, acceleration_omega
        )
        dt = dt - late
    return propagate(
        kind, x, y, yaw, v, omega, newer_v, newer_omega, dt, vector, acceleration_v, acceleration_omega
    )


def split_delay(delay: float, dt: float) -> tuple[int, float]:
    """Whole steps n and the rest ``late`` in [0, dt) of a command delay [s]."""
    whole = math.floor(delay / dt + 1e-9)
    return whole, max(delay - whole * dt, 0.0)


# A builder gets the generator of the world's magnitudes, a seed for noise, and the run's length.
Builder = Callable[[np.random.Generator, int, float], World]
WORLDS: Registry[Builder] = Registry("world", "mppi_maml_ros.worlds")
"""All worlds that :func:`make_world` knows; the docstring of a builder tells its law."""


def _wheels(seed: int, disturbances: tuple[Disturbance, ...] = (), **parameters: float) -> DynamicWorld:
    return DynamicWorld(attrs.evolve(BASE, **parameters), seed, disturbances)


def _signed(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high) * rng.choice((-1.0, 1.0)))


def _drawn_seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


@WORLDS.register("seed")
def _seed(rng: np.random.Generator, noise_seed: int, duration: float) -> World:
    """The seed world: c_v = 0.5, c_omega = 0.3 1/s, process noise; the seed draws the noise only."""
    return SeedWorld(seed=noise_seed)


@WORLDS.register("seed_noise_free")
def _seed_noise_free(rng: np.random.Generator, noise_seed: int, duration: float) -> World:
    """The seed world without process noise: the same for every seed."""
    return SeedWorld(noise=False, seed=noise_seed)


@WORLDS.register("friction_step")
def _friction_step(rng: np.random.Generator, noise_seed: int, duration: float) -> World:
    """The seed world; at 10 s friction jumps to c = (2.5, 1.5) 1/s."""
    return SeedWorld(seed=noise_seed, disturbances=(FrictionStep(10.0, 2.5, 1.5),))


@WORLDS.register("wind_gust")
def _wind_gust(rng: np.random.Generator, noise_seed: int, duration: float) -> World:
    """The seed world in gusts of intensity 0.7: eight of up to 2.1 m/s^2, see :class:`WindGusts`."""
    return SeedWorld(seed=noise_seed, disturbances=(WindGusts(0.7, _drawn_seed(rng), duration),))


@WORLDS.register("terrain_change")
def _terrain_change(rng: np.random.Generator, noise_seed: int, duration: float) -> World:
    """The seed world on a floor that changes three times, intensity 0.7, see :class:`TerrainChange`."""
    return SeedWorld(seed=noise_seed, disturbances=(TerrainChange(0.7, _drawn_seed(rng), duration),))


@WORLDS.register("sinusoidal")
def _sinusoidal(rng: np.random.Generator, noise_seed: int, duration: float) -> World:
    """The seed world under a periodic push, intensity 0.7 (1.4 m/s^2, 0.7 rad/s^2 at 0.3 Hz)."""
    return SeedWorld(seed=noise_seed, disturbances=(Sinusoidal(0.7, _drawn_seed(rng)),))


@WORLDS.register("combined_disturbance")
def _combined_disturbance(rng: np.random.Generator, noise_seed: int, duration: float) -> World:
    """The seed world with gusts, floor changes and a periodic push, intensity 0.7: :class:`Combined`."""
    return SeedWorld(seed=noise_seed, disturbances=(Combined(0.7, _drawn_seed(rng), duration),))


@WORLDS.register("seed_delayed")
def _seed_delayed(rng: np.random.Generator, noise_seed: int, duration: float) -> World:
    """The seed world with a command delay of 0.15 s, three steps of 0.05 s."""
    return SeedWorld(seed=noise_seed, command_delay=0.15)


@WORLDS.register("perturbed")
def _perturbed(rng: np.random.Generator, noise_seed: int, duration: float) -> World:
    """The guide's perturbed world: biased commands (.12, -.05), displacements scaled by (.55, .80)."""
    return PerturbedWorld(seed=noise_seed)


@WORLDS.register("coulomb")
def _coulomb(rng: np.random.Generator, noise_seed: int, duration: float) -> World:
    """Dry friction at each wheel, U(0.2, 0.8) m/s^2, on top of the viscous one."""
    return _wheels(noise_seed, coulomb=rng.uniform(0.2, 0.8))


@WORLDS.register("dead_zone")
def _dead_zone(rng: np.random.Generator, noise_seed: int, duration: float) -> World:
    """A dead zone of U(0.03, 0.12) m/s in each wheel's command."""
    return _wheels(noise_seed, dead_zone=rng.uniform(0.03, 0.12))


@WORLDS.register("motor_gain")
def _motor_gain(rng: np.random.Generator, noise_seed: int, duration: float) -> World:
    """Motor gains around a common U(0.6, 1.1), each wheel's own within 4 % of it."""
    common = rng.uniform(0.6, 1.1)
    left, right = common * rng.uniform(0.96, 1.04, 2)
    return _wheels(noise_seed, motor_gain_left=left, motor_gain_right=right)


@WORLDS.register("lag")
def _lag(rng: np.random.Generator, noise_seed: int, duration: float) -> World:
    """First-order lags of v and omega, each U(0.05, 0.5) s."""
    lag_v, lag_omega = rng.uniform(0.05, 0.5, 2)
    return _wheels(noise_seed, lag_v=lag_v, lag_omega=lag_omega)


@WORLDS.register("delay")
def _delay(rng: np.random.Generator, noise_seed: int, duration: float) -> World:
    """A command delay of U(0, 0.15) s: zero to three steps, not a whole number of them."""
    return _wheels(noise_seed, command_delay=rng.uniform(0.0, 0.15))


@WORLDS.register("lateral_slip")
def _lateral_slip(rng: np.random.Generator, noise_seed: int, duration: float) -> World:
    """Outward slip of U(0.1, 0.4) s times the lateral acceleration, see :mod:`.wheels`."""
    return _wheels(noise_seed, slip=rng.uniform(0.1, 0.4))


@WORLDS.register("radius_asymmetry")
def _radius_asymmetry(rng: np.random.Generator, noise_seed: int, duration: float) -> World:
    """Wheel radii that differ by U(2, 8) %, either way: a yaw drift in proportion to v."""
    return _wheels(noise_seed, radius_asymmetry=_signed(rng, 0.02, 0.08))


@WORLDS.register("payload")
def _payload(rng: np.random.Generator, noise_seed: int, duration: float) -> World:
    """At U(0.4, 0.6) of the run a load multiplies mass by U(1.4, 2.5) and inertia by U(1.3, 2.2)."""
    load = Payload(duration * rng.uniform(0.4, 0.6), rng.uniform(1.4, 2.5), rng.uniform(1.3, 2.2))
    return _wheels(noise_seed, (load,))


@WORLDS.register("battery_sag")
def _battery_sag(rng: np.random.Generator, noise_seed: int, duration: float) -> World:
    """The motor gain falls steadily, by U(15, 45) % until the end of the run."""
    return _wheels(noise_seed, battery_sag=min(rng.uniform(0.15, 0.45) / duration, 0.1))


@WORLDS.register("friction_patches")
def _friction_patches(rng: np.random.Generator, noise_seed: int, duration: float) -> World:
    """A floor of patches of U(1, 2) m, 60 % of them with friction factors 0.3 to 5, over 0.15 m/s^2 dry."""
    patches = FrictionPatches(_drawn_seed(rng), size=rng.uniform(1.0, 2.0))
    return _wheels(noise_seed, (patches,), coulomb=0.15)


@WORLDS.register("odometry_noise")
def _odometry_noise(rng: np.random.Generator, noise_seed: int, duration: float) -> World:
    """Odometry one or two samples of 0.05 s old, with noise.

    Standard deviations: position U(.005, .02) m, yaw U(.003, .015) rad, v U(.01, .05) m/s,
    omega U(.01, .05) rad/s.
    """
    world = _wheels(noise_seed)
    world.set_parameters(_with_drawn_odometry(rng, world.parameters, 0.05 * rng.integers(1, 3)))
    return world


@WORLDS.register("everything")
def _everything(rng: np.random.Generator, noise_seed: int, duration: float) -> World:
    """All factors together, each somewhat milder than alone.

    Dry friction U(.05, .3) m/s^2, dead zone U(.01, .05) m/s, gain U(.65, 1.1) within 3 % for each of the
    wheels, lags U(.05, .4) s, delay U(0, .15) s, slip U(.05, .25) s, radii U(1, 4) % apart, payload
    U(1.2, 1.8), battery U(5, 20) %, patches of factor 0.4 to 3, traction limit 6 m/s^2, odometry as
    in ``odometry_noise`` with one sample of delay.
    """
    common = rng.uniform(0.65, 1.1)
    left, right = common * rng.uniform(0.97, 1.03, 2)
    lag_v, lag_omega = rng.uniform(0.05, 0.4, 2)
    disturbances = (
        Payload(duration * rng.uniform(0.4, 0.6), rng.uniform(1.2, 1.8), rng.uniform(1.2, 1.8)),
        FrictionPatches(_drawn_seed(rng), size=rng.uniform(1.0, 2.0), low=0.4, high=3.0),
    )
    world = _wheels(
        noise_seed,
        disturbances,
        motor_gain_left=left,
        motor_gain_right=right,
        lag_v=lag_v,
        lag_omega=lag_omega,
        coulomb=rng.uniform(0.05, 0.3),
        dead_zone=rng.uniform(0.01, 0.05),
        command_delay=rng.uniform(0.0, 0.15),
        slip=rng.uniform(0.05, 0.25),
        radius_asymmetry=_signed(rng, 0.01, 0.04),
        battery_sag=min(rng.uniform(0.05, 0.2) / duration, 0.1),
        acceleration_limit=6.0,
    )
    world.set_parameters(_with_drawn_odometry(rng, world.parameters, 0.05))
    return world


def _with_drawn_odometry(
    rng: np.random.Generator, parameters: WorldParameters, age: float
) -> WorldParameters:
    position = rng.uniform(0.005, 0.02)
    stds = (
        position,
        position,
        rng.uniform(0.003, 0.015),
        rng.uniform(0.01, 0.05),
        rng.uniform(0.01, 0.05),
    )
    return parameters.with_odometry_noise(stds, float(age))


WORLD_NAMES: tuple[str, ...] = WORLDS.registered
"""The guide's worlds and the wheel-level ones, whose whole state odometry shows."""

for _name in FIRMWARE_WORLDS:
    WORLDS.register(_name, functools.partial(firmware_world, _name))

WORLD_GROUPS: dict[str, tuple[str, ...]] = {"all": WORLD_NAMES, "firmware_bases": FIRMWARE_WORLDS}
"""Names that stand for several worlds."""

WHEEL_WORLDS: tuple[str, ...] = WORLD_NAMES[WORLD_NAMES.index("coulomb") :]
"""The wheel-level worlds: one structural factor each, and all together."""

NONLINEAR_WORLDS: tuple[str, ...] = (
    "coulomb",
    "dead_zone",
    "lateral_slip",
    "friction_patches",
    "everything",
)
"""Those of them that are not linear in state and command at any moment."""


def describe_world(name: str) -> str:
    """The law of a world and the ranges of its magnitudes.

    Raises:
        InvalidValueError: no world has this name; the message lists those that exist.
    """
    return FAMILIES[name].law if name in FAMILIES else (WORLDS[name].__doc__ or "").strip()


def make_world(
    name: str,
    seed: int = 0,
    start: ArrayLike = (0.0, 0.0, 0.0),
    noise_scale: float = 1.0,
    duration: float = 20.0,
) -> World:
    """Make a named world.

    Args:
        name: one of ``WORLDS``; :func:`describe_world` tells what is in it.
        seed: of magnitudes and noise, integer >= 0. The magnitudes of one seed differ from world
            to world, the stream of the noise does not.
        start: pose (x, y, yaw) [m, m, rad]; the robot starts at rest.
        noise_scale: factor on the process noise, in [0, 10]; 0 for none.
        duration: of the run [s], at least 2; disturbances are spread over it.

    Raises:
        InvalidValueError: an unknown name, or an argument out of range.
    """
    builder = WORLDS[name]
    if not (seed >= 0):
        raise InvalidValueError(f"seed must be an integer >= 0, got {seed}")
    if not (0.0 <= noise_scale <= 10.0):
        raise InvalidValueError(f"noise_scale must be in [0, 10], got {noise_scale}")
    if not (2.0 <= duration < math.inf):
        raise InvalidValueError(f"duration must be finite and at least 2 s, got {duration}")
    rng = np.random.default_rng([int(seed), zlib.crc32(name.encode())])
    world = builder(rng, int(seed), float(duration))
    world.name = name
    names = PARAMETER_NAMES[PROCESS_NOISE : PROCESS_NOISE + 5]
    scaled = {key: noise_scale * getattr(world.parameters, key) for key in names}
    world.set_parameters(attrs.evolve(world.parameters, **scaled))
    world.reset(start=start)
    return world
