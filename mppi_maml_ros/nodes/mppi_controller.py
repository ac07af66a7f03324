"""``mppi_controller``: odometry in, finite and limited velocity commands out.

One thread runs every callback. A steady timer ticks the control loop, also while simulated time
stands still, and each tick publishes a command. Weights offered by the service are installed
between two ticks.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import attrs
import numpy as np
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import OccupancyGrid, Odometry, Path
from rclpy.duration import Duration
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from ..control.config import MODELS, REFERENCES, ControlConfig
from ..control.loop import ControlLoop
from ..control.output import ControlOutput
from ..core.errors import InvalidPathError, InvalidValueError
from ..core.types import VelocityLimits
from ..dynamics.features import MAX_DELAY_TAPS, feature_size, input_size
from ..dynamics.residual import OUTPUTS, ResidualWeights
from ..mppi import MPPIConfig, MPPIController
from ..mppi.critics import CRITICS, Critic, make_critics
from ..mppi.rollouts.backends import rollout_on
from ..msg import ControllerStatus
from ..references.figures import FIGURES, Figure
from ..ros import conversions as to
from ..ros import qos
from ..ros.base import AUTOSTART, BaseNode
from ..ros.diagnostics import ERROR, OK, WARN, Report
from ..ros.executor import leave, run
from ..ros.parameters import Declared, ParameterError, Parameters
from ..ros.transforms import Transforms
from ..ros.weights import SwapError, check_corrections, read_weights
from ..safety.codes import Code, State
from ..safety.frames import FrameLatch
from ..safety.publishers import Allowance, LivePublishers
from ..srv import SwapWeights
from ..weights.slot import WeightsSlot

NAME = "mppi_controller"

_MPPI, _CONTROL, _LIMITS = MPPIConfig(), ControlConfig(), VelocityLimits()
_ODOMETRY_RATE, _ODOMETRY_BURST = 250.0, 10  # messages a second, and at once, that are looked at
_WAITING = (State.WAITING_FOR_ODOMETRY, State.WAITING_FOR_PLAN)


def _critic_parameters(name: str) -> tuple[Declared, ...]:
    return tuple(
        Declared(
            f"{name}.{field.name}",
            field.default,
            field.metadata["description"],
            field.metadata["unit"],
            field.metadata["low"],
            field.metadata["high"],
            dynamic=True,
        )
        for field in attrs.fields(CRITICS[name])
    )


def _mppi(name: str, description: str, low=None, high=None, unit: str = "", dynamic: bool = True) -> Declared:
    return Declared(name, getattr(_MPPI, name), description, unit, low, high, dynamic=dynamic)


def _control(name: str, description: str, low=None, high=None, unit: str = "", **options) -> Declared:
    options = {"dynamic": True} | options
    return Declared(name, getattr(_CONTROL, name), description, unit, low, high, **options)


def _limit(name: str, description: str, low: float, high: float, unit: str) -> Declared:
    return Declared(name, getattr(_LIMITS, name), description, unit, low, high, dynamic=True)


MPPI_TABLE = (
    _mppi("batch_size", "Command sequences sampled each step", 2, 100_000),
    _mppi("time_steps", "Steps of the horizon", 2, 500, dynamic=False),
    _mppi("model_dt", "Step of the rollouts, and of the weights", 0.005, 0.5, "s", dynamic=False),
    _mppi("iteration_count", "Sampling rounds a step", 1, 20),
    _mppi("temperature", "Smaller prefers the cheapest rollouts more strongly", 1e-4, 1e4),
    _mppi("vx_std", "Standard deviation of sampled forward velocities", 1e-4, 10.0, "m/s"),
    _mppi("wz_std", "Standard deviation of sampled yaw rates", 1e-4, 10.0, "rad/s"),
    _mppi("noise_knots", "Noise is drawn at so many knots over the horizon; 0: at every step", 0, 100),
    _mppi("position_weight", "Cost of a squared distance to the reference", 0.0, 1e6, "1/m^2"),
    _mppi("heading_weight", "Cost of a squared heading error", 0.0, 1e6, "1/rad^2"),
    _mppi("terminal_scale", "How much more the last step of the horizon costs", 0.0, 1e6),
    _mppi("vx_weight", "Cost of a squared forward velocity command", 0.0, 1e6, "s^2/m^2"),
    _mppi("wz_weight", "Cost of a squared yaw rate command", 0.0, 1e6, "s^2/rad^2"),
    _mppi("effort_about_reference", "Count commands from the reference's own velocity, not from zero"),
    _mppi("vx_rate_weight", "Cost of a squared change of forward velocity a step", 0.0, 1e6, "s^2/m^2"),
    _mppi("wz_rate_weight", "Cost of a squared change of yaw rate a step", 0.0, 1e6, "s^2/rad^2"),
)

LIMITS_TABLE = (
    _limit("vx_max", "Largest forward velocity", 1e-3, 20.0, "m/s"),
    _limit("vx_min", "Smallest forward velocity; below 0 allows driving in reverse", -20.0, 0.0, "m/s"),
    _limit("wz_max", "Largest yaw rate, either way", 1e-3, 20.0, "rad/s"),
    _limit("ax_max", "Largest acceleration, forward or in reverse", 1e-2, 100.0, "m/s^2"),
    _limit("ax_min", "Largest deceleration, as a negative acceleration", -100.0, -1e-2, "m/s^2"),
    _limit("az_max", "Largest yaw acceleration, either way", 1e-2, 100.0, "rad/s^2"),
)

CONTROL_TABLE = (
    _control("controller_frequency", "Control periods a second; at least 1 / model_dt", 2.0, 200.0, "Hz"),
    Declared("model", "residual", "Model to predict with; only residual takes weights", choices=MODELS),
    _control(
        "delay_taps",
        "Past commands handed to the model, and most that weights may use",
        1,
        MAX_DELAY_TAPS,
        dynamic=False,
    ),
    _control("open_loop", "Predict from the commanded velocity in place of the measured one"),
    _control("odom_timeout", "A stop begins within this time after the last good odometry", 0.05, 5.0, "s"),
    _control("max_odometry_age", "Oldest stamp of odometry at its arrival", 0.01, 5.0, "s"),
    _control("resume_after", "Good odometry messages in a row that end such a stop", 1, 100),
    _control("future_tolerance", "How far a stamp may lie ahead of the clock", 1e-3, 5.0, "s"),
    _control("teleport_margin", "Jump of the position that the limits do not explain", 1e-3, 10.0, "m"),
    _control("teleport_yaw_margin", "Jump of the heading likewise", 1e-3, 3.2, "rad"),
    _control("clock_jump", "The clock may run ahead by this at once", 0.05, 60.0, "s"),
    _control("clock_pause", "The clock may stand still for this long", 0.1, 60.0, "s"),
    _control("retry_attempt_limit", "Further tries in a period when no rollout is valid", 0, 10),
    _control(
        "exception_limit", "Control steps that may fail in a row before the robot stops for good", 1, 1000
    ),
    _control("overrun_limit", "Periods that may be missed in a row before the robot stops", 1, 1000),
    _control("overrun_recovery", "Periods on time in a row that end such a stop", 1, 10_000),
)

PATH_TABLE = (
    _control("desired_speed", "Speed along a path where nothing limits it", 1e-3, 20.0, "m/s"),
    Declared(
        "deceleration",
        0.0,
        "Towards the goal and cusps of a path; 0: half of ax_min",
        "m/s^2",
        0.0,
        100.0,
        dynamic=True,
    ),
    _control(
        "approach_time",
        "Towards them the speed is at most the distance left divided by this; 0: no bound",
        0.0,
        10.0,
        "s",
    ),
    _control("xy_goal_tolerance", "The goal is reached within this distance", 1e-3, 10.0, "m"),
    _control("yaw_goal_tolerance", "And within this angle", 1e-3, 3.2, "rad"),
    _control("stateful", "A position once reached need not be held while turning to the goal's heading"),
    _control("far_from_path", "A robot farther from its path is stopped", 1e-2, 1000.0, "m"),
    _control("movement_time_allowance", "Longest time without progress along a path", 0.5, 3600.0, "s"),
    _control("required_movement", "What counts as progress", 1e-3, 10.0, "m"),
)

CRITICS_TABLE = (
    Declared(
        "critics",
        ("obstacles",),
        "Critics at work, each a file in mppi/critics; their parameters are below their names",
        element=str,
        choices=tuple(CRITICS),
        dynamic=True,
    ),
    *(declared for name in CRITICS for declared in _critic_parameters(name)),
)

REFERENCE_TABLE = (
    Declared("reference", "plan", "Follow the topic plan, or track a figure", choices=REFERENCES),
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
    Declared("circle.radius", 5.0, "Radius of the circle", "m", 1e-2, 1000.0),
    Declared("circle.speed", 0.5, "Speed along the circle", "m/s", 1e-3, 20.0),
    Declared("figure8.size", 2.5, "Half the width of the figure of eight", "m", 1e-2, 1000.0),
    Declared("figure8.period", 20.0, "Time for the whole figure", "s", 1e-1, 10_000.0),
    Declared("sine.speed", 0.4, "Speed along the axis of the sine", "m/s", 1e-3, 20.0),
    Declared("sine.amplitude", 1.0, "Amplitude of the sine", "m", 1e-3, 1000.0),
    Declared("sine.period", 12.0, "Period of the sine", "s", 1e-1, 10_000.0),
    Declared("straight.speed", 0.5, "Speed along the straight line", "m/s", 1e-3, 20.0),
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


def _names(table) -> list[str]:
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
    def of(cls, values: Mapping) -> Settings:
        """Build the records.

        Raises:
            InvalidValueError: values that do not go together.
        """

        def pick(table) -> dict:
            return {name: values[name] for name in _names(table)}

        mppi = MPPIConfig(**pick(MPPI_TABLE))
        path = pick(PATH_TABLE)
        path["deceleration"] = path["deceleration"] or None
        control = ControlConfig(
            limits=VelocityLimits(**pick(LIMITS_TABLE)),
            reference=values["reference"],
            reference_origin=values["reference_origin"] or None,
            time_steps=mppi.time_steps,
            model_dt=mppi.model_dt,
            **pick(CONTROL_TABLE),
            **path,
        )
        figure = None
        if control.reference != "plan":
            prefix = control.reference + "."
            figure = FIGURES[control.reference](
                **{name.removeprefix(prefix): v for name, v in values.items() if name.startswith(prefix)}
            ).eased(values["reference_ramp_time"])
        initial = None
        if control.model == "dynamic":
            d = {name.removeprefix("dynamic."): values[name] for name in _names(DYNAMIC_TABLE)}
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


def _typical_weights(delay_taps: int, model_dt: float) -> ResidualWeights:
    """A small network that touches every branch of a rollout."""
    size = input_size(delay_taps)
    return ResidualWeights(
        linear=np.full((OUTPUTS, feature_size(delay_taps)), 1e-3),
        layers=((np.full((32, size), 1e-3), np.zeros(32)), (np.full((OUTPUTS, 32), 1e-3), np.zeros(OUTPUTS))),
        input_scale=np.ones(size),
        displacement_blend=1.0,
        activation="tanh",
        delay_taps=delay_taps,
        model_dt=model_dt,
    )


class MppiControllerNode(BaseNode):
    """See the module."""

    def __init__(self, **options):
        super().__init__(NAME, **options)
        self._values = Parameters(self, TABLE, Settings.of, self._reconfigure)
        self.thread_priority: int = self._values["thread_priority"]
        self.bring_up(self._values["autostart"])

    def set_up(self) -> None:
        """See :class:`BaseNode`."""
        settings = self._settings = Settings.of(self._values)
        control = settings.control
        self._slot = WeightsSlot(control.model_dt)
        if settings.initial is not None:
            self._slot.install(settings.initial)
        self._adapter = settings.initial.adapter if settings.initial is not None else "prior"
        self._installed_at: float | None = None
        self._expired = False
        self._refused = Counter()
        try:
            self._rollout = rollout_on(self._values["device"])
        except InvalidValueError as error:
            raise ParameterError(f"invalid parameter {error}") from error
        self._mppi = self._make_mppi()
        # Before anything is advertised: from the first period on each step is as fast as the rest.
        self._mppi.warm_up(_typical_weights(control.delay_taps, control.model_dt))
        self._frames = FrameLatch(self._values["odom_frame"], self._values["base_frame"])
        self._early_path: tuple[str, np.ndarray] | None = None
        self._plan_frame = ""
        self._loop = self._make_loop()
        self._output: ControlOutput | None = None
        self._window = _Window()
        self._warn_of_speed()

        stamped = self._values["enable_stamped_cmd_vel"]
        self._command_publisher = self.advertise(TwistStamped if stamped else Twist, "cmd_vel", qos.COMMAND)
        self._status_publisher = self.advertise(ControllerStatus, "~/status", qos.STATE)
        self._path_publisher = self.advertise(Path, "~/optimal_path", qos.STATE)
        self._candidates_publisher = self.advertise(MarkerArray, "~/candidate_trajectories", qos.STATE)
        self._odometry_subscription = self.subscribe(
            Odometry, "odom", self._on_odometry, qos.SENSOR, raw=True
        )
        self._sources = LivePublishers(silence=control.odom_timeout)
        self._allowance = Allowance(_ODOMETRY_RATE, _ODOMETRY_BURST)
        self._live = 0
        self.subscribe(Path, "plan", self._on_path, qos.STATE, raw=True)
        self.subscribe(OccupancyGrid, "costmap", self._on_costmap, qos.MAP)
        self._transforms = Transforms.of(self)
        self.serve(SwapWeights, "~/swap_weights", self._on_swap)
        self._swap_service = self.resolve_service_name("~/swap_weights")
        self._offering = 0  # clients of the service in the graph
        self.serve(Trigger, "~/reset", self._on_reset)
        self._diagnostics = self.diagnose(
            {
                "control": self._report_control,
                "odometry": self._report_odometry,
                "timing": self._report_timing,
                "weights": self._report_weights,
                "topics": self.report_topics,
                "callbacks": self.report_callbacks,
            },
        )
        self.every(1.0, self._count_publishers)
        self._ticker = self.every(control.period, self._tick)
        self.get_logger().info(
            f"{control.model} model, reference {control.reference}, {control.controller_frequency:g} Hz, "
            f"{settings.mppi.batch_size} x {settings.mppi.time_steps} rollouts"
        )

    def _make_mppi(self) -> MPPIController:
        s = self._settings
        return MPPIController(
            s.mppi, s.control.limits, self._values["seed"], critics=s.critics, rollout=self._rollout
        )

    def _make_loop(self) -> ControlLoop:
        frames = {"odom_frame": self._frames.odom_frame, "base_frame": self._frames.base_frame}
        config = attrs.evolve(self._settings.control, **frames)
        return ControlLoop(config, self._mppi, self._slot, self._settings.figure)

    def begin(self) -> None:
        """Control from now on."""
        self._loop.resume()

    def pause(self) -> None:
        """Ramp to zero, then publish no more commands."""
        self._loop.shutdown()

    def _reconfigure(self, changed: set[str]) -> None:
        if not self.configured:
            return
        self._settings = Settings.of(self._values)
        if changed & set(_names((*MPPI_TABLE, *LIMITS_TABLE))):
            self._mppi = self._make_mppi()
        self._mppi.critics = self._settings.critics
        self._loop.reconfigure(self._settings.control, self._mppi)
        if "controller_frequency" in changed:
            self.destroy_timer(self._ticker)
            self._ticker = self.every(self._settings.control.period, self._tick)
        self.get_logger().info(f"changed: {', '.join(sorted(changed))}")

    def _warn_of_speed(self) -> None:
        figure, limits = self._settings.figure, self._settings.control.limits
        if figure is None:
            return
        duration = self._values.get(f"{self._settings.control.reference}.period", 60.0)
        fastest, turn = np.abs(figure.twist_at(np.linspace(0.0, duration, 400))).max(axis=0)
        if fastest > limits.vx_max or turn > limits.wz_max:
            self.get_logger().warning(
                f"the reference asks for {fastest:.2f} m/s and {turn:.2f} rad/s, the limits are "
                f"{limits.vx_max:g} m/s and {limits.wz_max:g} rad/s: the robot will fall behind"
            )

    # What comes in

    def _on_odometry(self, data: bytes) -> None:
        steady = self.steady_now()
        if not self._allowance.take(steady):
            self._window.odometry("beyond_rate")
            return
        message = to.read_odometry(to.read(data, Odometry))
        self._sources.heard(steady)
        if self._frames.offer(message.frame_id, message.child_frame_id):
            self.get_logger().info(
                f"odometry is in {self._frames.odom_frame!r} of {self._frames.base_frame!r}, "
                "which is expected from now on"
            )
            self._loop = self._make_loop()
            self._loop.set_publisher_count(self._live)
            if self._early_path is not None:
                self._follow(*self._early_path)
        verdict = self._loop.handle_odometry(message, self.now(), steady)
        self._window.odometry(verdict.reason.value)
        if verdict.warning:
            self.get_logger().warning(verdict.warning)
        if not verdict.accepted:
            self.get_logger().warning(verdict.message, throttle_duration_sec=1.0)

    def _on_path(self, data: bytes) -> None:
        try:
            frame, poses = to.read_path(data)
        except InvalidPathError as error:
            self.get_logger().error(str(error), throttle_duration_sec=1.0)
            frame, poses = self._frames.odom_frame, np.zeros((0, 3))
        if self._frames.latched:
            self._follow(frame, poses)
        else:
            self._early_path = (frame, poses)

    def _follow(self, frame: str, poses: np.ndarray) -> None:
        self._early_path, self._plan_frame = None, frame
        self._follow_transform()
        rejected = self._loop.handle_path(frame, poses)
        if rejected:
            self.get_logger().error(f"plan refused: {rejected}", throttle_duration_sec=1.0)

    def _on_costmap(self, message: OccupancyGrid) -> None:
        try:
            costmap = to.read_costmap(message)
            origin = self._origin_of(message.header.frame_id)
            if origin is not None:
                costmap = costmap.moved(origin)
                rejected = self._loop.handle_costmap(self._frames.odom_frame, costmap)
            else:
                rejected = self._loop.handle_costmap(message.header.frame_id, costmap)
        except InvalidValueError as error:
            rejected = str(error)
        if rejected:
            self.get_logger().error(f"costmap refused: {rejected}", throttle_duration_sec=1.0)

    def _origin_of(self, frame: str) -> np.ndarray | None:
        """Pose of a frame in that of odometry by tf; None where tf does not know it, or is not there."""
        if not frame or frame == self._frames.odom_frame or self._transforms is None:
            return None
        return self._transforms.pose(self._frames.odom_frame, frame)

    def _follow_transform(self) -> None:
        """A path in another frame moves with that frame: map against odom, when localisation corrects."""
        origin = self._origin_of(self._plan_frame)
        if origin is not None:
            self._loop.set_path_origin(self._plan_frame, origin)

    def _on_swap(self, request: SwapWeights.Request, response: SwapWeights.Response) -> SwapWeights.Response:
        try:
            response.version = self._install(request.weights)
            response.success, response.code = True, response.OK
        except SwapError as error:
            response.code, response.message = error.code, str(error)
        except Exception as error:  # noqa: BLE001 - the offer must be answered
            self.guard.note("swap_weights", error)
            response.code, response.message = response.INTERNAL_ERROR, f"{type(error).__name__}: {error}"
        if not response.success:
            response.version = self._slot.current.version
            self._refused[response.code] += 1
            self.get_logger().warning(f"weights refused: {response.message}", throttle_duration_sec=1.0)
        return response

    def _install(self, message) -> int:
        config = self._settings.control
        wrong = SwapWeights.Response.WRONG_MODEL
        if config.model != "residual":
            raise SwapError(
                wrong, f"the controller runs the {config.model} model, only residual takes weights"
            )
        weights = read_weights(message)
        if abs(weights.model_dt - config.model_dt) > 1e-6:
            raise SwapError(wrong, f"model_dt must be {config.model_dt:g} s, got {weights.model_dt:g}")
        if weights.delay_taps > config.delay_taps:
            raise SwapError(
                wrong, f"delay_taps must be at most {config.delay_taps}, got {weights.delay_taps}"
            )
        check_corrections(weights, config.limits)
        snapshot = self._slot.install(weights)
        self._adapter, self._installed_at, self._expired = weights.adapter, self.steady_now(), False
        self.get_logger().debug(f"weights of {weights.adapter} serve as version {snapshot.version}")
        return snapshot.version

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._loop.request_reset()
        response.success = True
        response.message = "faults that hold, the warm start and the progress are forgotten; the weights stay"
        return response

    def _count_publishers(self) -> None:
        infos = self.get_publishers_info_by_topic(self._odometry_subscription.topic_name)
        identities = [bytes(info.endpoint_gid) for info in infos]
        self._live = self._sources.count(identities, self.steady_now())
        self._loop.set_publisher_count(self._live)
        self._offering = self.count_clients(self._swap_service)

    # What goes out

    def _tick(self) -> None:
        if not self.active and self._loop.at_rest:
            return
        now, steady = self.now(), self.steady_now()
        stamp = to.to_stamp(now)
        self._expire_weights(steady)
        self._follow_transform()
        try:
            output = self._loop.tick(now, steady, self._path_publisher.get_subscription_count() > 0)
        except Exception as error:  # noqa: BLE001 - whatever fails, a zero goes out in this period
            self.guard.note("tick", error)
            self._publish_command((0.0, 0.0), stamp)
            return
        self._publish_command(output.command, stamp)
        self._status_publisher.publish(self._status(output, stamp))
        self._window.tick(output)
        self._log_change(output)
        self._output = output
        if output.state is State.RUNNING:
            self._visualise(output, stamp)

    def _publish_command(self, command, stamp) -> None:
        frame = self._frames.base_frame if self._frames.latched else ""
        stamped = self._values["enable_stamped_cmd_vel"]
        self._command_publisher.publish(to.command_message(command, stamp, frame, stamped))

    def _status(self, output: ControlOutput, stamp) -> ControllerStatus:
        model = self._settings.control.model
        version = output.weights_version
        if output.state is not State.RUNNING and model != "kinematic":
            version = self._slot.current.version
        message = ControllerStatus(
            state=int(output.state),
            code=int(output.code),
            reason=output.reason,
            model=model,
            weights_version=version,
            command=to.twist_message(output.command),
            tracking_error=float(output.tracking_error),
            heading_error=float(output.heading_error),
            odometry_age=float(output.odometry_age),
            step_ms=float(output.step_ms),
            period_ms=float(output.period_ms),
            cycles=output.cycles,
            late_cycles=output.late_cycles,
            odometry_rejected=output.odometry_rejected,
        )
        message.header.stamp = stamp
        message.header.frame_id = self._frames.odom_frame if self._frames.latched else ""
        if output.reference is not None:
            message.reference = to.pose_message(output.reference)
        return message

    def _visualise(self, output: ControlOutput, stamp) -> None:
        frame = self._frames.odom_frame
        if output.trajectory is not None:
            self._path_publisher.publish(to.path_message(stamp, frame, output.trajectory))
        if self._candidates_publisher.get_subscription_count() > 0:
            poses, costs = self._mppi.candidates(output.predicted_pose, self._values["candidate_count"])
            self._candidates_publisher.publish(to.candidates_message(stamp, frame, poses, costs))

    def _expire_weights(self, steady: float) -> None:
        ttl = self._values["weights_ttl"]
        if ttl > 0.0 and self._installed_at is not None and steady - self._installed_at > ttl:
            self._slot.install(None)
            self._installed_at, self._adapter, self._expired = None, "prior", True
            self.get_logger().warning(f"no weights came for {ttl:g} s: back to the kinematic prior")

    def _log_change(self, output: ControlOutput) -> None:
        before = self._output
        if before is not None and (before.state, before.code) == (output.state, output.code):
            return
        text = output.state.name + (f" ({output.code.name}): {output.reason}" if output.code else "")
        logger = self.get_logger()
        if output.state in (State.STOPPING, State.STOPPED) and output.code not in (Code.NONE, Code.SHUTDOWN):
            logger.warning(text)
        else:
            logger.info(text)

    # The end

    def begin_shutdown(self) -> None:
        """Ramp to zero."""
        if self.configured:
            self._loop.shutdown()

    def is_stopped(self) -> bool:
        """The robot has been told to stand still."""
        return not self.configured or self._loop.at_rest

    def shutdown(self) -> None:
        """The last command is zero and the last status says why, and both arrive."""
        if not self.configured:
            return
        self._tick()
        self._publish_command((0.0, 0.0), to.to_stamp(self.now()))
        self._command_publisher.wait_for_all_acked(Duration(seconds=0.2))
        self._status_publisher.wait_for_all_acked(Duration(seconds=0.2))

    # Diagnostics

    def _report_control(self) -> Report:
        output = self._output
        if output is None:
            return Report(WARN, "no control period so far")
        if output.state in _WAITING:
            level = WARN
        else:
            level = ERROR if output.state in (State.STOPPING, State.STOPPED) else OK
        values = {
            "state": output.state.name,
            "code": output.code.name,
            "reference": self._settings.control.reference,
            "tracking_error": output.tracking_error,
            "heading_error": output.heading_error,
        }
        return Report(level, output.reason or output.state.name, values)

    def _report_odometry(self) -> Report:
        counts, seconds = self._window.take_odometry(self.steady_now())
        rate = counts["accepted"] / seconds
        age = self._output.odometry_age if self._output is not None else math.nan
        values = {
            "rate": rate,
            "age": age,
            "publishers": self._live,
            "odom_frame": self._frames.odom_frame,
            "base_frame": self._frames.base_frame,
            **self._loop.counters,
        }
        unread = counts.pop("beyond_rate", 0)
        values["unread"] = unread
        rejected = sum(counts.values()) - counts["accepted"]
        if self._live > 1:
            return Report(ERROR, f"{self._live} publishers, expected one", values)
        if not counts["accepted"]:
            return Report(ERROR, "nothing usable in the last second", values)
        if unread:
            return Report(
                WARN, f"{unread} messages in the last second were beyond {_ODOMETRY_RATE:g} Hz", values
            )
        if rejected:
            return Report(WARN, f"{rejected} messages rejected in the last second", values)
        return Report(OK, f"{rate:.0f} Hz", values)

    def _report_timing(self) -> Report:
        values, late = self._window.take_timing(self._settings.control.period)
        output = self._output
        if not values:
            return Report(WARN, "no control period in the last second")
        values["cycles"], values["late_cycles"] = output.cycles, output.late_cycles
        wanted = self._settings.control.controller_frequency
        if late:
            return Report(
                WARN, f"control runs at {values['frequency']:.1f} Hz, {wanted:g} Hz are wanted", values
            )
        return Report(OK, f"{values['frequency']:.1f} Hz", values)

    def _report_weights(self) -> Report:
        age = math.nan if self._installed_at is None else self.steady_now() - self._installed_at
        values = {
            "model": self._settings.control.model,
            "version": self._slot.current.version,
            "adapter": self._adapter,
            "age": age,
            "refused": sum(self._refused.values()),
        }
        if self._expired:
            return Report(WARN, "back to the kinematic prior: no weights came within weights_ttl", values)
        if self._installed_at is not None and not self._offering:
            return Report(WARN, f"nobody offers weights any more: those of {age:.0f} s ago stay", values)
        return Report(OK, self._adapter, values)


class _Window:
    """Figures since the last look, for diagnostics."""

    def __init__(self):
        self._odometry: Counter[str] = Counter()
        self._looked = MppiControllerNode.steady_now()
        self._steps: list[tuple[float, float]] = []

    def odometry(self, outcome: str) -> None:
        self._odometry[outcome] += 1

    def tick(self, output: ControlOutput) -> None:
        self._steps.append((output.step_ms, output.period_ms))

    def take_odometry(self, steady: float) -> tuple[Counter, float]:
        counts, seconds = self._odometry, max(steady - self._looked, 1e-3)
        self._odometry, self._looked = Counter(), steady
        return counts, seconds

    def take_timing(self, period: float) -> tuple[dict, bool]:
        """Step and period figures, and whether more than one period in twenty was late."""
        steps, self._steps = [pair for pair in self._steps if pair[1] > 0.0], []
        if not steps:
            return {}, False
        step, periods = np.array(steps).T
        values = {
            "frequency": 1e3 / float(periods.mean()),
            "step_ms_mean": float(step.mean()),
            "step_ms_max": float(step.max()),
            "period_ms_max": float(periods.max()),
        }
        return values, float(np.mean(periods > 1.2e3 * period)) > 0.05


def main(args: list[str] | None = None) -> int:
    """Run the node until a signal; returns the exit code."""
    return run(NAME, MppiControllerNode, args)


if __name__ == "__main__":
    leave(main())
