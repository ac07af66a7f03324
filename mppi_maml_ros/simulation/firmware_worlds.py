"""Families of bases as firmware makes them: what is drawn in each, and what learning may see of them.

Every base is brisk and well tuned (natural frequencies U(9, 16) rad/s, damping U(.7, 1)) but for what its
family is named for, has realistic noise, and at U(.4, .6) of the run what the family draws is drawn anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs
import numpy as np

from ..core.errors import InvalidValueError
from .firmware_parameters import INDEX, FirmwareParameters
from .firmware_world import FirmwareChange, FirmwareWorld, half_time

Ranges = Mapping[str, tuple[float, float]]

BASE_RANGES: Ranges = {
    "frequency_v": (9.0, 16.0),
    "frequency_omega": (9.0, 16.0),
    "damping_v": (0.7, 1.0),
    "damping_omega": (0.7, 1.0),
    "odometry_noise_x": (0.0005, 0.003),
    "odometry_noise_y": (0.0005, 0.003),
    "odometry_noise_yaw": (0.0005, 0.003),
    "odometry_noise_v": (0.005, 0.02),
    "odometry_noise_omega": (0.005, 0.02),
}
"""What every base draws first."""

PROCESS_NOISE = {
    "process_noise_x": 0.0003,
    "process_noise_y": 0.0003,
    "process_noise_yaw": 0.0005,
    "process_noise_v": 0.003,
    "process_noise_omega": 0.005,
}
"""In 0.05 s, of every base [m, m, rad, m/s, rad/s]: a drift of about 1 cm and 1 degree in a minute."""

FIXED_IN_A_RUN = {"odometry_rate", "odometry_jitter", "odometry_late", "encoder_v", "encoder_omega", "echo",
                  "caster_start"}  # fmt: skip
WHOLE = {"odometry_late", "echo"}  # drawn as integers
EITHER_SIGN = {"axle_offset"}
COMBINED = (2, 4)  # families in a base of ``firmware``
MILD: Ranges = {
    "delay_v": (0.0, 0.25),
    "delay_omega": (0.0, 0.25),
    "gain_v": (0.6, 1.0),
    "gain_omega": (0.6, 1.0),
    "damping_v": (0.4, 1.0),
    "damping_omega": (0.4, 1.0),
    "dead_v": (0.02, 0.08),
    "dead_omega": (0.05, 0.4),
}
"""Where several effects meet, these are milder."""


@attrs.frozen
class Family:
    """Bases with one cause of trouble.

    Attributes:
        law: what it does, with its ranges.
        ranges: what is drawn, uniformly, by name of :class:`FirmwareParameters`.
        trainable: whether meta-training may draw from it; else it is kept for testing.
    """

    law: str
    ranges: Ranges
    trainable: bool = False


FAMILIES: dict[str, Family] = {
    "second_order": Family(
        "Speed loops with integrators: natural frequency U(3, 12) rad/s, damping U(.2, 1), by axis.",
        {
            "frequency_v": (3.0, 12.0),
            "frequency_omega": (3.0, 12.0),
            "damping_v": (0.2, 1.0),
            "damping_omega": (0.2, 1.0),
        },
        trainable=True,
    ),
    "ramped": Family(
        "Setpoints that speed up and slow down at limits of their own: U(.25, 1.5) m/s^2, U(.6, 4) rad/s^2.",
        {
            "speed_up_v": (0.25, 1.5),
            "slow_down_v": (0.25, 1.5),
            "speed_up_omega": (0.6, 4.0),
            "slow_down_omega": (0.6, 4.0),
        },
    ),
    "skid_steer": Family(
        "Yaw lost to curvature, U(30, 65) % at most, and to speed, U(0, .4) v^2; scrub that sticks up to "
        "U(.05, .25) rad/s; centre of rotation up to .1 m off.",
        {
            "turn_loss": (0.3, 0.65),
            "turn_knee": (0.4, 1.5),
            "understeer": (0.0, 0.4),
            "scrub": (0.05, 0.25),
            "icr": (-0.1, 0.1),
            "frequency_omega": (6.0, 12.0),
        },
    ),
    "stiction": Family(
        "Dead bands of U(.03, .13) m/s and U(.2, .85) rad/s; a moving axis loses U(30, 80) % of them, and "
        "stops below.",
        {"dead_v": (0.03, 0.13), "dead_omega": (0.2, 0.85), "hysteresis": (0.3, 0.8)},
        trainable=True,
    ),
    "weak": Family(
        "Reaches U(30, 90) % of the speed commanded, each axis its own.",
        {"gain_v": (0.3, 0.9), "gain_omega": (0.3, 0.9)},
        trainable=True,
    ),
    "heavy": Family(
        "Motors that give U(.3, 1) m/s^2 and U(.8, 2.5) rad/s^2 at most, a load U(5, 20) cm off the axle, "
        "slow loops: U(3, 8) rad/s, damping U(.5, 1).",
        {
            "torque_v": (0.3, 1.0),
            "torque_omega": (0.8, 2.5),
            "axle_offset": (0.05, 0.2),
            "frequency_v": (3.0, 8.0),
            "frequency_omega": (3.0, 8.0),
            "damping_v": (0.5, 1.0),
            "damping_omega": (0.5, 1.0),
        },
    ),
    "late": Family(
        "Delays of U(0, .8) s, each axis its own.",
        {"delay_v": (0.0, 0.8), "delay_omega": (0.0, 0.8)},
        trainable=True,
    ),
    "caster": Family(
        "A caster that stands anywhere at the start and swings round when the direction reverses: up to "
        "U(2, 8) rad/s^2 and U(.1, .6) m/s^2 against loops of U(4, 9) rad/s, damping U(.4, .9).",
        {
            "caster_kick": (2.0, 8.0),
            "caster_drag": (0.1, 0.6),
            "caster_trail": (0.03, 0.08),
            "caster_start": (-math.pi, math.pi),
            "frequency_v": (4.0, 9.0),
            "frequency_omega": (4.0, 9.0),
            "damping_v": (0.4, 0.9),
            "damping_omega": (0.4, 0.9),
        },
    ),
    "coarse": Family(
        "Commands in steps of U(.02, .08) m/s and U(.04, .2) rad/s, encoders of U(.005, .03) m/s and "
        "U(.01, .06) rad/s; odometry at U(10, 28) Hz with jitter, one or two samples late.",
        {
            "quantum_v": (0.02, 0.08),
            "quantum_omega": (0.04, 0.2),
            "encoder_v": (0.005, 0.03),
            "encoder_omega": (0.01, 0.06),
            "odometry_rate": (10.0, 28.0),
            "odometry_jitter": (0.05, 0.3),
            "odometry_late": (1.0, 2.0),
        },
        trainable=True,
    ),
    "echo": Family(
        "The twist of odometry repeats the command, only the pose is true: gains U(.6, 1.1), natural "
        "frequency U(5, 12) rad/s, damping U(.5, 1).",
        {
            "echo": (1.0, 1.0),
            "gain_v": (0.6, 1.1),
            "gain_omega": (0.6, 1.1),
            "frequency_v": (5.0, 12.0),
            "frequency_omega": (5.0, 12.0),
            "damping_v": (0.5, 1.0),
            "damping_omega": (0.5, 1.0),
        },
    ),
    "firmware": Family("Two to four of the other families at once, the harsher ones milder.", {}),
}
"""Those that may be trained on: linear loops, delay, gain, dead band and coarse measurement. Kept for testing
are effects of another structure (limits on rate and torque, yaw that depends on speed, a hidden caster, a
twist that lies) and whatever meets in ``firmware``."""

FIRMWARE_WORLDS: tuple[str, ...] = tuple(FAMILIES)
"""All of them are names of :func:`worlds.make_world`."""
TRAINING_FAMILIES: tuple[str, ...] = tuple(name for name, family in FAMILIES.items() if family.trainable)
TEST_FAMILIES: tuple[str, ...] = tuple(name for name in FAMILIES if name not in TRAINING_FAMILIES)


def ranges_of(family: str, rng: np.random.Generator) -> Ranges:
    """What a family draws; which ones meet in ``firmware`` is drawn, too.

    Raises:
        InvalidValueError: an unknown family; the message lists the known ones.
    """
    if family not in FAMILIES:
        raise InvalidValueError(f"unknown family {family!r}; known: {', '.join(FAMILIES)}")
    if family != "firmware":
        return FAMILIES[family].ranges
    single = [name for name in FAMILIES if name != "firmware"]
    count = rng.integers(COMBINED[0], COMBINED[1] + 1)
    chosen = sorted(rng.choice(len(single), count, replace=False))
    ranges: dict[str, tuple[float, float]] = {}
    for i in chosen:
        ranges.update(FAMILIES[single[i]].ranges)
    return {name: MILD.get(name, bounds) for name, bounds in ranges.items()}


def _drawn(rng: np.random.Generator, ranges: Ranges) -> dict[str, float]:
    values = {}
    for name, (low, high) in ranges.items():
        value = float(rng.integers(int(low), int(high) + 1)) if name in WHOLE else rng.uniform(low, high)
        values[name] = float(value * rng.choice((-1.0, 1.0))) if name in EITHER_SIGN else float(value)
    return values


def draw_change(rng: np.random.Generator, ranges: Ranges) -> dict[str, float]:
    """New values of all that can change while a base runs."""
    return _drawn(rng, {name: bounds for name, bounds in ranges.items() if name not in FIXED_IN_A_RUN})


def draw_base(rng: np.random.Generator, ranges: Ranges) -> FirmwareParameters:
    """A base with what is drawn in ``ranges``."""
    return FirmwareParameters(**{**PROCESS_NOISE, **_drawn(rng, BASE_RANGES), **_drawn(rng, ranges)})


def draw_bases(
    rng: np.random.Generator, families: tuple[str, ...], bases: int, phases: int = 1
) -> np.ndarray:
    """Bases for :func:`firmware.simulate_firmware`, the family of each drawn among ``families``.

    Args:
        phases: in each but the first, what the family draws is drawn anew.

    Returns:
        Shape (bases, phases, F).

    Raises:
        InvalidValueError: no family, or an unknown one.
    """
    if not families:
        raise InvalidValueError("at least one family must be given")
    rows = np.empty((bases, phases, len(INDEX)))
    for b in range(bases):
        ranges = ranges_of(families[rng.integers(len(families))], rng)
        rows[b] = draw_base(rng, ranges).as_vector()
        for n in range(1, phases):
            for name, value in draw_change(rng, ranges).items():
                rows[b, n, INDEX[name]] = value
    return rows


def firmware_world(family: str, rng: np.random.Generator, noise_seed: int, duration: float) -> FirmwareWorld:
    """A base of a family that changes near the middle of a run of ``duration`` [s]."""
    ranges = ranges_of(family, rng)
    parameters = draw_base(rng, ranges)
    change = FirmwareChange(half_time(rng, duration), draw_change(rng, ranges))
    return FirmwareWorld(parameters, noise_seed, (change,))
