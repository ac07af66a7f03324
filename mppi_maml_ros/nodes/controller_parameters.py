"""The parameters of ``mppi_controller``, and the records that they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

import attrs

from ..control.config import ControlConfig
from ..control.follow_path import slowed
from ..core.errors import InvalidValueError
from ..core.tunable import declarations
from ..core.types import VelocityLimits
from ..dynamics.first_order import FirstOrderConfig
from ..dynamics.residual import ResidualWeights
from ..mppi import MPPIConfig
from ..mppi.critics import CRITICS, Critic, make_critics
from ..references.figures import FIGURES, Figure
from ..ros.base import AUTOSTART, BOND, seed_parameter
from ..ros.parameters import Declared, Value, declared_from
from ..ros.velocity import CMD_VEL_TYPE
from .follow_path import TABLE as NAV2_TABLE

# Of the node, on the floor of a laboratory; the defaults of the classes are the literature's benchmarks.
_FIGURE_DEFAULTS: dict[str, dict[str, Value]] = {
    "figure8": {"size": 2.5},
    "sine": {"speed": 0.4, "amplitude": 1.0, "period": 12.0},
    "straight": {"speed": 0.5},
}
_REFERENCE = ("reference", "reference_origin")
_PATH = (
    "desired_speed",
    "deceleration",
    "approach_time",
    "path_tolerance",
    "xy_goal_tolerance",
    "yaw_goal_tolerance",
    "stateful",
    "far_from_path",
    "movement_time_allowance",
    "required_movement",
)

MPPI_TABLE = declared_from(MPPIConfig)
LIMITS_TABLE = declared_from(VelocityLimits)
CONTROL_TABLE = tuple(
    declared for declared in declared_from(ControlConfig) if declared.name not in (*_PATH, *_REFERENCE)
)
PATH_TABLE = declared_from(ControlConfig, names=_PATH)

CRITICS_TABLE = (
    Declared(
        "critics",
        ("obstacles",),
        "Critics at work; their parameters are below their names",
        element=str,
        choices=lambda: CRITICS,
        dynamic=True,
    ),
    *(declared for name, kind in CRITICS.items() for declared in declared_from(kind, f"{name}.")),
)

REFERENCE_TABLE = (
    *declared_from(ControlConfig, names=_REFERENCE),
    Declared(
        "reference_ramp_time", 0.0, "A figure gains speed from standstill over this time", "s", 0.0, 60.0
    ),
    *(
        declared
        for name, figure in FIGURES.items()
        for declared in declared_from(figure, f"{name}.", defaults=_FIGURE_DEFAULTS.get(name))
    ),
)

DYNAMIC_TABLE = declared_from(FirstOrderConfig, "dynamic.")

INTERFACE_TABLE = (
    Declared("odom_frame", "", "Frame of odometry and paths; empty: that of the first odometry"),
    Declared("base_frame", "", "Child frame of odometry; empty: that of the first odometry"),
    CMD_VEL_TYPE,
    Declared(
        "weights_ttl",
        0.0,
        "Go back to the prior when no weights came for so long; 0: never",
        "s",
        0.0,
        1e6,
        dynamic=True,
    ),
    Declared(
        "candidate_count",
        50,
        "Rollouts shown to subscribers of candidate_trajectories",
        "",
        1,
        1000,
        dynamic=True,
    ),
    seed_parameter("Seed of the sampler"),
    Declared("device", "cpu", "Where networks are rolled out: cpu, cuda or cuda:N, which needs torch"),
    Declared(
        "thread_priority",
        50,
        "Real-time priority (SCHED_FIFO) of the process, where the system permits it; 0: none",
        "",
        0,
        99,
    ),
)

GROUPS = {
    "": (AUTOSTART,),
    "control loop and safety": CONTROL_TABLE,
    "what to track": REFERENCE_TABLE,
    "MPPI": MPPI_TABLE,
    "critics beside the distance to the reference, each costing (cost_weight * value) ** cost_power": (
        CRITICS_TABLE
    ),
    "limits of the robot": LIMITS_TABLE,
    "following a path (reference: plan)": PATH_TABLE,
    "the model or prior `dynamic`: a lag, a gain and a delay known beforehand": DYNAMIC_TABLE,
    "interface": INTERFACE_TABLE,
    "nav2": (*NAV2_TABLE, BOND),
}
TABLE = tuple(chain.from_iterable(GROUPS.values()))


def names_of(table: Iterable[Declared]) -> list[str]:
    """Names of the parameters of a table."""
    return [declared.name for declared in table]


@attrs.frozen
class Settings:
    """The configuration records that parameters stand for."""

    control: ControlConfig
    mppi: MPPIConfig
    figure: Figure | None
    known: ResidualWeights | None
    critics: tuple[Critic, ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, Any], share: float = 1.0) -> Settings:
        """Build the records.

        Args:
            share: of the velocities that the limits allow, see :func:`..control.follow_path.slowed`.

        Raises:
            InvalidValueError: values that do not go together.
        """

        def pick(table: Iterable[Declared]) -> dict[str, Any]:
            return {name: values[name] for name in names_of(table)}

        mppi = MPPIConfig(**pick(MPPI_TABLE))
        control = ControlConfig(
            limits=slowed(VelocityLimits(**pick(LIMITS_TABLE)), share),
            reference=values["reference"],
            reference_origin=values["reference_origin"],
            time_steps=mppi.time_steps,
            model_dt=mppi.model_dt,
            **pick(CONTROL_TABLE),
            **pick(PATH_TABLE),
        )
        figure = None
        if control.reference != "plan":
            prefix = control.reference + "."
            figure = FIGURES[control.reference](
                **{name.removeprefix(prefix): v for name, v in values.items() if name.startswith(prefix)}
            ).eased(values["reference_ramp_time"])
        known = None
        if "dynamic" in (control.model, control.prior):
            robot = FirstOrderConfig(
                **{name: values[f"dynamic.{name}"] for name in declarations(FirstOrderConfig)}
            )
            if robot.delay > control.delay_taps * mppi.model_dt:
                raise InvalidValueError(
                    f"dynamic.delay must be at most delay_taps * model_dt = "
                    f"{control.delay_taps * mppi.model_dt:g} s, got {robot.delay:g}"
                )
            known = robot.weights(mppi.model_dt)
        return cls(control, mppi, figure, known, make_critics(values["critics"], values))
