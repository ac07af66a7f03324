"""Thresholds of the control loop."""

from __future__ import annotations

import attrs

from ..core.errors import InvalidValueError
from ..core.tunable import declarations, tunable
from ..core.types import VelocityLimits
from ..core.validators import above_zero, at_least
from ..dynamics.features import MAX_HISTORY
from ..mppi.config import MPPIConfig
from ..references.path import PathProfile
from ..safety.checks import OdometryTolerances
from ..safety.twist_source import SOURCES
from .timing import TIMINGS

MODELS = ("kinematic", "dynamic", "residual")
PRIORS = ("auto", "typical", "kinematic", "dynamic")
REFERENCES = ("plan", "circle", "figure8", "sine", "straight")


_MPPI = declarations(MPPIConfig)


@attrs.frozen(kw_only=True)
class ControlConfig:
    """Thresholds of the control loop. Times are in seconds, lengths in metres, angles in radians.

    Attributes:
        limits: what may be commanded.
        controller_frequency: ticks a second [Hz]; its period must not exceed ``model_dt``.
        model: kinematic uses no weights; dynamic and residual use those of the slot.
        prior: what the residual model predicts with while it has no weights; auto: see
            :mod:`..dynamics.prior_bank`.
        reference: plan follows the path that arrives; the others the figure handed in.
        reference_origin: pose (x, y, yaw) where a figure starts; empty: the robot's when control starts.
        time_steps, model_dt: length and step of the reference window.
        delay_taps: rows of the command history handed to the model.
        odom_frame, base_frame: accepted frames of odometry; paths must be in ``odom_frame``.
        twist_source: see :class:`..safety.twist_source.TwistSource`.
        odom_timeout: a stop begins within this time after the last good odometry.
        min_odometry_rate: slowest odometry to drive by; ``odom_timeout`` grows to two of its periods.
        max_odometry_age: oldest stamp at arrival.
        resume_after: good messages in a row that end such a stop.
        future_tolerance: how far a stamp may lie ahead of the clock.
        teleport_margin, teleport_yaw_margin: on top of what the limits allow between messages.
        clock_jump, clock_pause: the node clock may run ahead of the steady one at once, and stand
            still, for this long.
        timing: clock keeps a figure's own times and a path's speeds; progress slows both to what the robot
            reaches, see :mod:`.timing`; auto does so while the robot could not follow.
        lag_allowance: a figure slows for a robot farther behind, and waits at two and a half times that.
        break_loose: see :mod:`.breakaway`.
        learned_effort: see :attr:`..mppi.controller.MPPIController.command_per_speed`.
        desired_speed: on a path [m/s].
        deceleration: towards the goal and cusps of a path [m/s^2]; 0: half of the limit.
        approach_time: towards them the speed is at most the distance left divided by this [s]; 0: by lag and
            delay as they are learned.
        path_tolerance: noise is smoothed out of a path, moving no pose by more; 0: it is kept.
        open_loop: predict from the commanded velocity in place of the measured one.
        xy_goal_tolerance, yaw_goal_tolerance: the goal is reached within these.
        stateful: once the position was reached, turning to the goal's heading may leave it.
        far_from_path: a robot farther away is stopped.
        movement_time_allowance: longest time of trying without progress on a path, or motion on a figure.
        required_movement: what counts as progress along it.
        retry_attempt_limit: further tries within a period when no rollout is valid.
        exception_limit: failed steps in a row that stop the robot for good.
        overrun_limit: missed periods in a row up to which the robot may go on.
        overrun_recovery: periods on time in a row that end such a stop.

    Raises:
        InvalidValueError: names the field and what is allowed.
    """

    limits: VelocityLimits = attrs.field(factory=VelocityLimits)
    controller_frequency: float = tunable(
        20.0, 2.0, 200.0, "Control periods a second; at least 1 / model_dt", "Hz"
    )
    model: str = tunable(
        "residual",
        description="Model to predict with; only residual takes weights",
        choices=MODELS,
        dynamic=False,
    )
    prior: str = tunable(
        "auto",
        description="Robot to reckon with while no weights serve: the one of a bank that fits, the median "
        "one, kinematics, or dynamic.*",
        choices=PRIORS,
        dynamic=False,
    )
    reference: str = tunable(
        "plan", description="Follow the topic plan, or track a figure", choices=REFERENCES, dynamic=False
    )
    reference_origin: tuple[float, ...] = tunable(
        (),
        -1e6,
        1e6,
        "Pose (x, y, yaw) where a figure starts; empty: where the robot is when control starts",
        "m, m, rad",
        dynamic=False,
        lengths=(0, 3),
        element=float,
    )
    time_steps: int = attrs.field(default=_MPPI["time_steps"].default, converter=int, validator=at_least(1))
    model_dt: float = attrs.field(default=_MPPI["model_dt"].default, converter=float, validator=above_zero)
    delay_taps: int = tunable(
        MAX_HISTORY,
        1,
        MAX_HISTORY,
        "Past commands handed to the model, and most that weights may use",
        dynamic=False,
    )
    open_loop: bool = tunable(
        False, description="Predict from the commanded velocity in place of the measured one"
    )
    twist_source: str = tunable(
        "auto",
        description="Twist to go by: odom's, the pose's own rate, or that where odom contradicts it",
        choices=SOURCES,
    )
    odom_frame: str = "odom"
    base_frame: str = "base_link"
    odom_timeout: float = tunable(
        0.25, 0.05, 5.0, "A stop begins within this time after the last good odometry", "s"
    )
    min_odometry_rate: float = tunable(
        0.0,
        0.0,
        200.0,
        "Slowest odometry to drive by, for which odom_timeout grows to two periods; 0: it stays",
        "Hz",
    )
    max_odometry_age: float = tunable(0.25, 0.01, 5.0, "Oldest stamp of odometry at its arrival", "s")
    resume_after: int = tunable(5, 1, 100, "Good odometry messages in a row that end such a stop")
    future_tolerance: float = tunable(0.1, 1e-3, 5.0, "How far a stamp may lie ahead of the clock", "s")
    teleport_margin: float = tunable(
        0.25, 1e-3, 10.0, "Jump of the position that the limits do not explain", "m"
    )
    teleport_yaw_margin: float = tunable(0.5, 1e-3, 3.2, "Jump of the heading likewise", "rad")
    clock_jump: float = tunable(1.0, 0.05, 60.0, "The clock may run ahead by this at once", "s")
    clock_pause: float = tunable(0.5, 0.1, 60.0, "The clock may stand still for this long", "s")
    retry_attempt_limit: int = tunable(1, 0, 10, "Further tries in a period when no rollout is valid")
    exception_limit: int = tunable(
        3, 1, 1000, "Control steps that may fail in a row before the robot stops for good"
    )
    overrun_limit: int = tunable(3, 1, 1000, "Periods that may be missed in a row before the robot stops")
    overrun_recovery: int = tunable(20, 1, 10_000, "Periods on time in a row that end such a stop")
    timing: str = tunable(
        "auto",
        description="References by their clock, by the robot's progress, or by that while it cannot follow",
        choices=TIMINGS,
    )
    lag_allowance: float = tunable(
        0.1,
        1e-2,
        10.0,
        "A figure slows for a robot farther behind, and waits at 2.5 times that (timing: not clock)",
        "m",
    )
    break_loose: bool = tunable(
        True, description="Raise commands that do not move a standing robot, up to what does"
    )
    learned_effort: bool = tunable(
        True, description="Count effort from the command that makes the reference's velocity, as learned"
    )
    desired_speed: float = tunable(0.5, 1e-3, 20.0, "Speed along a path where nothing limits it", "m/s")
    deceleration: float = tunable(
        0.0, 0.0, 100.0, "Towards the goal and cusps of a path; 0: half of ax_min", "m/s^2"
    )
    approach_time: float = tunable(
        0.0,
        0.0,
        10.0,
        "Towards them the speed is at most the distance left divided by this; 0: by what is learned",
        "s",
    )
    path_tolerance: float = tunable(
        0.1, 0.0, 1.0, "Noise is smoothed out of a path, moving no pose by more; 0: it is kept", "m"
    )
    xy_goal_tolerance: float = tunable(0.25, 1e-3, 10.0, "The goal is reached within this distance", "m")
    yaw_goal_tolerance: float = tunable(0.25, 1e-3, 3.2, "And within this angle", "rad")
    stateful: bool = tunable(
        True, description="A position once reached need not be held while turning to the goal's heading"
    )
    far_from_path: float = tunable(2.0, 1e-2, 1000.0, "A robot farther from its path is stopped", "m")
    movement_time_allowance: float = tunable(
        10.0, 0.5, 3600.0, "Longest time without progress along a path, or without motion on a figure", "s"
    )
    required_movement: float = tunable(0.1, 1e-3, 10.0, "What counts as progress", "m")

    def __attrs_post_init__(self) -> None:
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

    @property
    def odometry_timeout(self) -> float:
        """``odom_timeout``, or two periods of ``min_odometry_rate`` where they are longer [s]."""
        return max(self.odom_timeout, 2.0 / self.min_odometry_rate if self.min_odometry_rate else 0.0)

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
            max_gap=self.odometry_timeout,
        )

    def path_profile(self) -> PathProfile:
        """How paths are driven."""
        limits = self.limits
        return PathProfile(
            desired_speed=min(self.desired_speed, limits.vx_max),
            reverse_speed=-limits.vx_min,
            wz_max=limits.wz_max,
            deceleration=-0.5 * limits.ax_min if self.deceleration == 0.0 else self.deceleration,
            approach_time=self.approach_time,
            tolerance=self.path_tolerance,
        )
