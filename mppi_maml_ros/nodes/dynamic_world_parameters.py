"""The parameters of ``dynamic_world``, and what they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import attrs

from ..core.errors import InvalidValueError
from ..ros.base import AUTOSTART, seed_parameter
from ..ros.parameters import Declared, declared_from
from ..ros.velocity import KINDS
from ..simulation import faults
from ..simulation.mujoco_world import MuJoCoWorld
from ..simulation.parameters import (
    DEFAULT_RANGES,
    MOTOR_GAIN,
    PARAMETER_NAMES,
    PARAMETERS,
    WorldParameters,
    validate_ranges,
)
from ..simulation.world import DynamicWorld

BACKENDS: dict[str, type[DynamicWorld] | type[MuJoCoWorld]] = {
    "simulated": DynamicWorld,
    "mujoco": MuJoCoWorld,
}

_NOMINAL = WorldParameters()
_BOTH_WHEELS = attrs.evolve(
    PARAMETERS["motor_gain_left"],
    description="Speed reached per commanded speed, one draw for both wheels",
)


def _range(name: str) -> Declared:
    drawn = _BOTH_WHEELS if name == MOTOR_GAIN else PARAMETERS[name]
    meaning = f"Range to draw from: {drawn.description[0].lower()}{drawn.description[1:]}"
    return Declared.of(
        f"ranges.{name}",
        attrs.evolve(drawn, default=DEFAULT_RANGES[name], description=meaning, lengths=(2,)),
    )


GROUPS = {
    "": (AUTOSTART,),
    "what simulates": (
        Declared(
            "backend",
            "simulated",
            "Equations of a wheeled robot, or rigid bodies with tyres and a caster (needs mujoco)",
            choices=tuple(BACKENDS),
        ),
    ),
    "when the world is drawn": (
        seed_parameter("Seed of the world that is drawn at the start, and of its noise"),
        Declared("randomize_on_start", True, "Draw the world at the start"),
        Declared("randomize_period", 0.0, "Draw another world every so often; 0: never", "s", 0.0, 1e6),
    ),
    "interface": (
        Declared("odom_rate", 50.0, "Odometry messages a second", "Hz", 1.0, 500.0),
        Declared(
            "cmd_vel_timeout", 0.5, "The motors are held at zero when cmd_vel is older", "s", 0.05, 10.0
        ),
        Declared("cmd_vel_type", "twist", "Type of cmd_vel that it obeys", choices=tuple(KINDS)),
        Declared("publish_clock", False, "Publish the world's time on /clock, for nodes with use_sim_time"),
        Declared(
            "faults",
            "",
            "Faults on odometry, commands, base and clock, such as odom_stop@10; empty: none. "
            "Names: mppi-maml demo --help",
        ),
        Declared("odom_frame", "odom", "Frame of the odometry's poses"),
        Declared("base_frame", "base_link", "Frame of the odometry's twists"),
        Declared(
            "start_pose",
            (0.0, 0.0, 0.0),
            "Pose (x, y, yaw) at the start",
            "m, m, rad",
            -1e6,
            1e6,
            lengths=(3,),
        ),
    ),
    "the nominal robot; a parameter with another value than here keeps it and is not drawn": declared_from(
        WorldParameters, "world."
    ),
    "ranges to draw from, [low, high]; equal bounds set an exact value": tuple(map(_range, DEFAULT_RANGES)),
}
TABLE = tuple(chain.from_iterable(GROUPS.values()))


def check(values: Mapping[str, Any]) -> None:
    """Judge all values together.

    Raises:
        InvalidValueError: values that do not go together.
    """
    exact_world(values)
    for fault in faults.parse(values["faults"]):
        if fault.target is faults.Target.PROCESS:
            raise InvalidValueError(f"faults: {fault.kind} happens to a process, which a node cannot do")
        if fault.target is faults.Target.CLOCK and not values["publish_clock"]:
            raise InvalidValueError(f"faults: {fault.kind} needs publish_clock")
    for name in DEFAULT_RANGES:
        try:
            validate_ranges({name: values[f"ranges.{name}"]})
        except InvalidValueError as error:
            raise InvalidValueError(f"ranges.{name}: {error}") from error


def exact_world(values: Mapping[str, Any]) -> WorldParameters:
    """The world that is given exactly."""
    return WorldParameters(**{name: values[f"world.{name}"] for name in PARAMETER_NAMES})


def drawn_ranges(values: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Ranges of what is drawn: a parameter with another value than the nominal one keeps that value."""
    drawn = {}
    for name in DEFAULT_RANGES:
        parts = ("motor_gain_left", "motor_gain_right") if name == MOTOR_GAIN else (name,)
        if all(values[f"world.{part}"] == getattr(_NOMINAL, part) for part in parts):
            drawn[name] = tuple(values[f"ranges.{name}"])
    return drawn
