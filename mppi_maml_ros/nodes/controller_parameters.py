"""The parameters of ``mppi_controller``, and the records that they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from ..control.config import ControlConfig
from ..core.errors import InvalidValueError
from ..core.types import VelocityLimits
from ..dynamics.residual import ResidualWeights
from ..mppi import MPPIConfig
from ..mppi.critics import CRITICS, Critic, make_critics
from ..references.figures import FIGURES, Figure
from ..ros.base import AUTOSTART
from ..ros.parameters import Declared, declared_from

# A figure for the floor of a laboratory; the classes have those of the literature.
_FIGURE_DEFAULTS = {
    "figure8": {"size": 2.5},
    "sine": {"speed": 0.4, "amplitude": 1.0, "period": 12.0},
    "straight": {"speed": 0.5},
}
_PATH = (
    "desired_speed",
    "deceleration",
    "approach_time",
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
    declared for declared in declared_from(ControlConfig) if declared.name not in (*_PATH, "reference")
)
PATH_TABLE = declared_from(ControlConfig, names=_PATH)

CRITICS_TABLE = (
    Declared(
        "critics",
        ("obstacles",),
        "Critics at work, each a file in mppi/critics; their parameters are below their names",
        element=str,
        choices=CRITICS,
        dynamic=True,
    ),
    *(declared for name, kind in CRITICS.items() for declared in declared_from(kind, f"{name}.")),
)

REFERENCE_TABLE = (
    *declared_from(ControlConfig, names=("reference",)),
    Declared(
        "reference_origin",
        (),
        "Pose (x, y, yaw) where a figure starts; empty: where the robot is when control starts",
        "m, m, rad",
        -1e6,
        1e6,
        lengths=(0, 3),
        element=float,
    ),
    Declared(
        "reference_ramp_time", 0.0, "A figure gains speed from standstill over this time", "s", 0.0, 60.0
    ),
    *(
        declared
        for name, figure in FIGURES.items()
        for declared in declared_from(figure, f"{name}.", defaults=_FIGURE_DEFAULTS.get(name))
    ),
)

DYNAMIC_TABLE = (
    Declared(
        "dynamic.time_constant_v", 0.2, "Lag of the forward velocity in the dynamic model", "s", 1e-2, 10.0
    ),
    Declared("dynamic.time_constant_omega", 0.2, "Lag of the yaw rate in the dynamic model", "s", 1e-2, 10.0),
    Declared("dynamic.gain_v", 1.0, "Forward velocity reached per commanded one", "", 0.05, 5.0),
    Declared("dynamic.gain_omega", 1.0, "Yaw rate reached per commanded one", "", 0.05, 5.0),
    Declared("dynamic.delay", 0.0, "Time from a command to its effect", "s", 0.0, 1.0),
)

INTERFACE_TABLE = (
    Declared("odom_frame", "", "Frame of odometry and paths; empty: that of the first odometry"),
    Declared("base_frame", "", "Child frame of odometry; empty: that of the first odometry"),
    Declared("enable_stamped_cmd_vel", False, "Publish TwistStamped in place of Twist"),
    Declared(
        "weights_ttl",
        0.0,
        "Go back to the kinematic prior when no weights came for so long; 0: never",
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
    Declared("seed", 0, "Seed of the sampler", "", 0, 2**63 - 1),
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

TABLE = (
    AUTOSTART,
    *CONTROL_TABLE,
    *REFERENCE_TABLE,
    *MPPI_TABLE,
    *CRITICS_TABLE,
    *LIMITS_TABLE,
    *PATH_TABLE,
    *DYNAMIC_TABLE,
    *INTERFACE_TABLE,
)


def names_of(table: Iterable[Declared]) -> list[str]:
    """Names of the parameters of a table."""
    return [declared.name for declared in table]


@attrs.frozen
class Settings:
    """The configuration records that parameters stand for."""

    control: ControlConfig
    mppi: MPPIConfig
    figure: Figure | None
    initial: ResidualWeights | None
    critics: tuple[Critic, ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Settings:
        """Build the records.

        Raises:
            InvalidValueError: values that do not go together.
        """

        def pick(table: Iterable[Declared]) -> dict[str, Any]:
            return {name: values[name] for name in names_of(table)}

        mppi = MPPIConfig(**pick(MPPI_TABLE))
        control = ControlConfig(
            limits=VelocityLimits(**pick(LIMITS_TABLE)),
            reference=values["reference"],
            reference_origin=values["reference_origin"] or None,
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
        initial = None
        if control.model == "dynamic":
            d = {name.removeprefix("dynamic."): values[name] for name in names_of(DYNAMIC_TABLE)}
            if d["delay"] > control.delay_taps * mppi.model_dt:
                raise InvalidValueError(
                    f"dynamic.delay must be at most delay_taps * model_dt = "
                    f"{control.delay_taps * mppi.model_dt:g} s, got {d['delay']:g}"
                )
            initial = ResidualWeights.first_order(
                time_constant=(d["time_constant_v"], d["time_constant_omega"]),
                gain=(d["gain_v"], d["gain_omega"]),
                delay=d["delay"],
                model_dt=mppi.model_dt,
            )
        return cls(control, mppi, figure, initial, make_critics(values["critics"], values))
