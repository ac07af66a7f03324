"""Thresholds of the control loop."""

from __future__ import annotations

import math

import attrs

from ..core.errors import InvalidValueError
from ..core.types import VelocityLimits
from ..core.validators import above_zero, at_least
from ..dynamics.features import MAX_DELAY_TAPS
from ..references.path import PathProfile
from ..safety.checks import OdometryTolerances

MODELS = ("kinematic", "dynamic", "residual")
REFERENCES = ("plan", "circle", "figure8", "sine", "straight")


def _one_of(*choices):
    def validate(_, attribute, value):
        if value not in choices:
            raise InvalidValueError(f"{attribute.name} must be one of {', '.join(choices)}, got {value!r}")

    return validate


def _pose_or_none(_, attribute, value):
    if value is not None and not (len(value) == 3 and all(math.isfinite(number) for number in value)):
        raise InvalidValueError(f"{attribute.name} must be three finite numbers (x, y, yaw), got {value}")


def _seconds(default: float):
    return attrs.field(default=default, converter=float, validator=above_zero)


@attrs.frozen(kw_only=True)
class ControlConfig:
    """Thresholds of the control loop. Times are in seconds, lengths in metres, angles in radians.

    Attributes:
        limits: what may be commanded.
        controller_frequency: ticks a second [Hz]; its period must not exceed ``model_dt``.
        model: kinematic uses no weights; dynamic and residual use those of the slot.
        reference: plan follows the path that arrives; the others the figure handed in.
        reference_origin: pose where a figure starts; None: the robot's when control starts.
        time_steps, model_dt: length and step of the reference window.
        delay_taps: rows of the command history handed to the model.
        odom_frame, base_frame: accepted frames of odometry; paths must be in ``odom_frame``.
        odom_timeout: a stop begins within this time after the last good odometry.
        max_odometry_age: oldest stamp at arrival.
        resume_after: good messages in a row that end such a stop.
        future_tolerance: how far a stamp may lie ahead of the clock.
        teleport_margin, teleport_yaw_margin: on top of what the limits allow between messages.
        clock_jump, clock_pause: the node clock may run ahead of the steady one at once, and stand
            still, for this long.
        desired_speed: on a path [m/s].
        deceleration: towards the goal and cusps of a path [m/s^2]; None: half of the limit.
        approach_time: towards them the speed is at most the distance left divided by this [s].
        open_loop: predict from the commanded velocity in place of the measured one.
        xy_goal_tolerance, yaw_goal_tolerance: the goal is reached within these.
        stateful: once the position was reached, turning to the goal's heading may leave it.
        far_from_path: a robot farther away is stopped.
        movement_time_allowance: longest time of trying without progress on a path.
        required_movement: what counts as progress along it.
        retry_attempt_limit: further tries within a period when no rollout is valid.
        exception_limit: failed steps in a row that stop the robot for good.
        overrun_limit: missed periods in a row up to which the robot may go on.
        overrun_recovery: periods on time in a row that end such a stop.

    Raises:
        InvalidValueError: names the field and what is allowed.
    """

    limits: VelocityLimits = attrs.field(factory=VelocityLimits)
    controller_frequency: float = attrs.field(default=20.0, converter=float, validator=above_zero)
    model: str = attrs.field(default="residual", validator=_one_of(*MODELS))
    reference: str = attrs.field(default="plan", validator=_one_of(*REFERENCES))
    reference_origin: tuple[float, float, float] | None = attrs.field(default=None, validator=_pose_or_none)
    time_steps: int = attrs.field(default=30, converter=int, validator=at_least(1))
    model_dt: float = _seconds(0.05)
    delay_taps: int = attrs.field(default=MAX_DELAY_TAPS, converter=int, validator=at_least(1))
    odom_frame: str = "odom"
    base_frame: str = "base_link"
    odom_timeout: float = _seconds(0.25)
    max_odometry_age: float = _seconds(0.25)
    resume_after: int = attrs.field(default=5, converter=int, validator=at_least(1))
    future_tolerance: float = _seconds(0.1)
    teleport_margin: float = _seconds(0.25)
    teleport_yaw_margin: float = _seconds(0.5)
    clock_jump: float = _seconds(1.0)
    clock_pause: float = _seconds(0.5)
    desired_speed: float = _seconds(0.5)
    deceleration: float | None = None
    approach_time: float = 0.0
    open_loop: bool = False
    stateful: bool = True
    xy_goal_tolerance: float = _seconds(0.25)
    yaw_goal_tolerance: float = _seconds(0.25)
    far_from_path: float = _seconds(2.0)
    movement_time_allowance: float = _seconds(10.0)
    required_movement: float = _seconds(0.1)
    retry_attempt_limit: int = attrs.field(default=1, converter=int, validator=at_least(0))
    exception_limit: int = attrs.field(default=3, converter=int, validator=at_least(1))
    overrun_limit: int = attrs.field(default=3, converter=int, validator=at_least(1))
    overrun_recovery: int = attrs.field(default=20, converter=int, validator=at_least(1))

    def __attrs_post_init__(self):
        if not self.period <= self.model_dt * (1.0 + 1e-6):
            raise InvalidValueError(
                f"controller_frequency must be at least 1 / model_dt = {1.0 / self.model_dt:g} Hz, "
                f"got {self.controller_frequency:g}"
            )
        self.tolerances()
        self.path_profile()

    @property
    def period(self) -> float:
        """Nominal time between two ticks [s]."""
        return 1.0 / self.controller_frequency

    def tolerances(self) -> OdometryTolerances:
        """What the odometry checks let pass."""
        return OdometryTolerances(
            odom_frame=self.odom_frame,
            base_frame=self.base_frame,
            max_speed=max(self.limits.vx_max, -self.limits.vx_min),
            max_yaw_rate=self.limits.wz_max,
            teleport_margin=self.teleport_margin,
            teleport_yaw_margin=self.teleport_yaw_margin,
            future_tolerance=self.future_tolerance,
            max_age=self.max_odometry_age,
            max_gap=self.odom_timeout,
        )

    def path_profile(self) -> PathProfile:
        """How paths are driven."""
        limits = self.limits
        return PathProfile(
            desired_speed=min(self.desired_speed, limits.vx_max),
            reverse_speed=-limits.vx_min,
            wz_max=limits.wz_max,
            deceleration=-0.5 * limits.ax_min if self.deceleration is None else self.deceleration,
            approach_time=self.approach_time,
        )
