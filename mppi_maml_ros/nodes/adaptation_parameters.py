"""The parameters of ``adaptation``, and the record that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import attrs

from ..adaptation.guard import GuardConfig
from ..adaptation.online import OnlineConfig
from ..adaptation.sgd import SGDConfig
from ..control.config import ControlConfig
from ..core.errors import InvalidValueError
from ..core.tunable import declarations
from ..core.types import VelocityLimits
from ..ros.base import AUTOSTART, BOND
from ..ros.parameters import Declared, declared_from
from ..ros.velocity import CMD_VEL_TYPE


def _limit(name: str, otherwise: str = "") -> Declared:
    """A limit of the robot that need not be known."""
    known = declarations(VelocityLimits)[name]
    return Declared.of(
        name,
        attrs.evolve(
            known,
            default=0.0,
            description=known.description + otherwise,
            low=min(known.low or 0.0, 0.0),
            dynamic=False,
        ),
    )


GROUPS = {
    "": (AUTOSTART,),
    "what and when": (
        Declared("enabled", True, "Adapt and offer weights; off, the installed ones stay", dynamic=True),
        *declared_from(OnlineConfig),
        Declared("weights_file", "", "Meta-learned artifact to start from; empty: the packaged one"),
    ),
    "the inner loop of the adapters with a network": declared_from(SGDConfig),
    "the acceptance test": declared_from(GuardConfig, "guard."),
    "the robot; its saturated commands are not learned from where the limits are known": (
        _limit("vx_max", "; 0: not known"),
        _limit("vx_min"),
        _limit("wz_max", "; 0: not known"),
        attrs.evolve(declared_from(ControlConfig, names=("max_odometry_age",))[0], dynamic=False),
    ),
    "interface": (
        Declared("odom_frame", "", "Frame of odometry; empty: that of the first odometry"),
        Declared("base_frame", "", "Child frame of odometry; empty: that of the first odometry"),
        CMD_VEL_TYPE,
        Declared("controller_name", "mppi_controller", "Node whose weights are swapped"),
        BOND,
        Declared("swap_timeout", 1.0, "How long to wait for the controller's answer", "s", 0.05, 60.0),
    ),
}
TABLE = tuple(chain.from_iterable(GROUPS.values()))


def online_config(values: Mapping[str, Any]) -> OnlineConfig:
    """The record that the parameters stand for.

    Raises:
        InvalidValueError: values that do not go together.
    """
    limits = None
    if values["vx_max"] > 0.0 and values["wz_max"] > 0.0:
        limits = VelocityLimits(vx_max=values["vx_max"], vx_min=values["vx_min"], wz_max=values["wz_max"])
    if not values["controller_name"]:
        raise InvalidValueError("controller_name must not be empty")
    return OnlineConfig(
        **{name: values[name] for name in declarations(OnlineConfig)},
        sgd=SGDConfig(**{name: values[name] for name in declarations(SGDConfig)}),
        guard=GuardConfig(**{name: values[f"guard.{name}"] for name in declarations(GuardConfig)}),
        limits=limits,
    )
