"""What a calibration found, and the YAML file of it: parameters of the nodes, and how sure they are.

The file is one that ROS reads: the controller and the adaptation find their parameters in it, and what else
is known stands below ``calibration``, which no node asks for.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import attrs
import yaml

from ..core.errors import InvalidValueError
from ..core.files import write_file
from ..core.tunable import declarations
from ..core.types import VelocityLimits
from ..dynamics.first_order import FirstOrderConfig
from .fit import AXES, UNITS, Axis
from .guided import DriveConfig
from .record import Record

SURE_DEAD_BAND = 1.0  # half widths of its interval that a dead band must be wide
NODES = ("mppi_controller", "adaptation", "calibration")


@attrs.frozen
class Response:
    """One axis in numbers; names and units as in :class:`.fit.Axis`.

    ``*_within`` is the half width of a 95 % interval, ``linear_*`` what a linear model takes.
    """

    gain: float
    gain_within: float
    time_constant: float
    time_constant_within: float
    delay: float
    delay_within: float
    dead_band: float
    dead_band_within: float
    lost: float
    acceleration: float
    deceleration: float
    explained: float
    noise: float
    linear_gain: float
    linear_time_constant: float
    linear_delay: float

    @classmethod
    def of(cls, axis: Axis) -> Response:
        """From a fit."""
        return cls(
            axis.gain.value, axis.gain.within, axis.time_constant.value, axis.time_constant.within,
            axis.delay.value, axis.delay.within, axis.dead.value, axis.dead.within, axis.lost,
            axis.acceleration, axis.deceleration, axis.explained, axis.noise, *axis.plain,
        )  # fmt: skip

    @property
    def has_dead_band(self) -> bool:
        """It is surely there."""
        return self.dead_band > max(SURE_DEAD_BAND * self.dead_band_within, 1e-3)

    def reach(self, command: float) -> float:
        """Speed that a command leads to."""
        return self.gain * max(abs(command) - self.lost, 0.0) if abs(command) > self.dead_band else 0.0


@attrs.frozen
class Calibration:
    """A robot in numbers.

    Attributes:
        v, omega: its axes.
        vx_max, vx_min, wz_max: the largest commands that it was, or may be, driven with.
        odometry_rate: [Hz]; seconds: of driving.
        prior: of the controller: dynamic where this robot is better driven by it, see :mod:`.verdict`.
    """

    v: Response
    omega: Response
    vx_max: float
    vx_min: float
    wz_max: float
    odometry_rate: float
    seconds: float
    prior: str = "dynamic"

    @classmethod
    def of(cls, axes: tuple[Axis, Axis], record: Record, config: DriveConfig) -> Calibration:
        """From a fit, and from how the robot was driven."""
        seconds = float(record.command_stamps[-1] - record.command_stamps[0])
        v, omega = map(Response.of, axes)
        return cls(v, omega, config.vx_max, config.vx_min, config.wz_max, 1.0 / record.period, seconds)

    @property
    def limits(self) -> VelocityLimits:
        """Of commands; accelerations where bounds of them were found, the defaults elsewhere."""
        found = {"vx_max": self.vx_max, "vx_min": self.vx_min, "wz_max": self.wz_max} | self._accelerations()
        return VelocityLimits(
            **{name: _allowed(VelocityLimits, name, value) for name, value in found.items()}
        )

    def _accelerations(self) -> dict[str, float]:
        """Those that the base can follow, as changes of the command."""
        found = {
            "ax_max": self.v.acceleration / self.v.gain,
            "ax_min": -self.v.deceleration / self.v.gain,
            "az_max": min(self.omega.acceleration, self.omega.deceleration) / self.omega.gain,
        }
        return {name: value for name, value in found.items() if math.isfinite(value)}

    @property
    def known(self) -> FirstOrderConfig:
        """The robot as the controller's prior ``dynamic`` has it."""
        values = {
            "time_constant_v": self.v.linear_time_constant,
            "time_constant_omega": self.omega.linear_time_constant,
            "gain_v": self.v.linear_gain,
            "gain_omega": self.omega.linear_gain,
            "delay": 0.5 * (self.v.linear_delay + self.omega.linear_delay),
        }
        return FirstOrderConfig(
            **{name: _allowed(FirstOrderConfig, name, value) for name, value in values.items()}
        )

    def parameters(self) -> dict[str, dict[str, Any]]:
        """Parameters by node."""
        limits = {name: _short(value) for name, value in attrs.asdict(self.limits).items()}
        speeds = {name: limits[name] for name in ("vx_max", "vx_min", "wz_max")}
        found = self._accelerations()
        controller: dict[str, Any] = speeds | {name: limits[name] for name in found}
        controller["prior"] = self.prior
        controller["dynamic"] = {name: _short(value) for name, value in attrs.asdict(self.known).items()}
        if self.v.has_dead_band or self.omega.has_dead_band:
            controller["critics"] = ["obstacles", "velocity_deadband"]
            controller["velocity_deadband"] = {
                "vx": _short(min(self.v.dead_band, 1.0) if self.v.has_dead_band else 0.0),
                "wz": _short(min(self.omega.dead_band, 2.0) if self.omega.has_dead_band else 0.0),
            }
        return {"mppi_controller": controller, "adaptation": speeds, "calibration": self._numbers()}

    def _numbers(self) -> dict[str, Any]:
        """All there is; an acceleration that was not bounded is -1, as YAML of ROS knows no infinity."""
        numbers: dict[str, Any] = attrs.asdict(self)
        for axis in AXES:
            numbers[axis] = {
                name: _short(value) if math.isfinite(value) else -1.0 for name, value in numbers[axis].items()
            }
        return {name: _short(value) if isinstance(value, float) else value for name, value in numbers.items()}

    def text(self) -> str:
        """The YAML file."""
        lines = [
            "# A robot, as `mppi-maml calibrate` found it: to be laid over the packaged configuration,",
            "#   ros2 launch mppi_maml_ros bringup.launch.py params_file:=THIS_FILE",
            "#",
        ]
        for name, unit, axis in zip(AXES, UNITS, (self.v, self.omega), strict=True):
            lines += [
                f"# {name}: gain {axis.gain:.3f} ± {axis.gain_within:.3f}, lag {axis.time_constant:.3f} ± "
                f"{axis.time_constant_within:.3f} s, delay {axis.delay:.3f} ± {axis.delay_within:.3f} s,",
                f"#   dead band {axis.dead_band:.3f} ± {axis.dead_band_within:.3f} {unit}; this explains "
                f"{axis.explained:.1%} of the drive (95 % intervals)",
            ]
        for node, parameters in self.parameters().items():
            content = {f"/**/{node}": {"ros__parameters": parameters}}
            lines.append(yaml.safe_dump(content, sort_keys=False, default_flow_style=False).rstrip())
        return "\n".join(lines) + "\n"

    def save(self, path: Path) -> Path:
        """Write :meth:`text`."""
        write_file(path, self.text().encode())
        return path

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read what :meth:`save` wrote.

        Raises:
            InvalidValueError: it is no file of a calibration.
        """
        try:
            numbers = yaml.safe_load(path.read_text(encoding="utf-8"))["/**/calibration"]["ros__parameters"]
            axes = {
                axis: Response(
                    **{
                        name: math.inf if name.endswith("celeration") and value < 0.0 else float(value)
                        for name, value in numbers[axis].items()
                    }
                )
                for axis in AXES
            }
            return cls(**{**numbers, **axes})
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
            raise InvalidValueError(f"{path} is not a file of mppi-maml calibrate: {error}") from error


def _allowed(record: type, name: str, value: float) -> float:
    """The value nearest to it that a parameter may have."""
    declared = declarations(record)[name]
    low = -math.inf if declared.low is None else declared.low
    high = math.inf if declared.high is None else declared.high
    return float(min(max(value, low), high))


def _short(value: float) -> float:
    """Four digits say more than was measured."""
    return float(f"{value:.4g}")
