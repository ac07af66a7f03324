"""``mppi_controller``: odometry in, finite and limited velocity commands out.

One thread runs every callback. A steady timer ticks the control loop, also while simulated time
stands still, and each tick publishes a command. Weights offered by the service are installed
between two ticks.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import attrs
import numpy as np
from builtin_interfaces.msg import Time
from nav_msgs.msg import Odometry, Path
from rclpy.duration import Duration
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from ..control.loop import ControlLoop
from ..control.output import ControlOutput
from ..core.errors import InvalidValueError
from ..core.types import OdometryMessage
from ..dynamics.features import MAX_DELAY_TAPS
from ..dynamics.residual import small_weights
from ..mppi import MPPIController
from ..mppi.rollouts.backends import rollout_on
from ..msg import ControllerStatus
from ..msg import ResidualWeights as ResidualWeightsMessage
from ..ros import cdr, qos
from ..ros import conversions as to
from ..ros.base import BaseNode
from ..ros.diagnostics import Report
from ..ros.executor import leave, run
from ..ros.parameters import ParameterError, Parameters
from ..ros.velocity import CommandPublisher
from ..ros.weights import code_of, read_weights
from ..safety.codes import Code, State
from ..safety.frames import FrameLatch
from ..safety.publishers import Allowance, LivePublishers
from ..srv import SwapWeights
from ..weights.admission import SwapError, check_fit, check_model, expired
from ..weights.slot import WeightsSlot
from . import controller_reports as reports
from . import follow_path
from .controller_parameters import LIMITS_TABLE, MPPI_TABLE, TABLE, Settings, names_of
from .course import Course

NAME = "mppi_controller"

_ODOMETRY_RATE, _ODOMETRY_BURST = 250.0, 10  # messages a second, and at once, that are looked at


class MppiControllerNode(BaseNode):
    """See the module."""

    def __init__(self, **options: Any) -> None:
        super().__init__(NAME, **options)
        with self.whole():
            self._values = Parameters(self, TABLE, Settings.of, self._reconfigure)
            self.thread_priority: int = self._values["thread_priority"]
            self.bring_up(self._values["autostart"])

    def set_up(self) -> None:
        """See :class:`BaseNode`."""
        self._speed_share = 1.0  # see _slow
        settings = self._settings = Settings.of(self._values)
        control = settings.control
        self._slot = WeightsSlot(control.model_dt)
        if control.model == "dynamic":
            self._slot.install(settings.known)
        self._adapter = control.model if control.model == "dynamic" else "prior"
        self._installed_at: float | None = None
        self._expired = False
        self._refused: Counter[int] = Counter()
        try:
            self._rollout = rollout_on(self._values["device"])
        except InvalidValueError as error:
            raise ParameterError(f"invalid parameter {error}") from error
        self._mppi = self._make_mppi()
        # Before anything is advertised: from the first period on each step is as fast as the rest.
        self._mppi.warm_up(small_weights(min(control.delay_taps, MAX_DELAY_TAPS), control.model_dt, (32,)))
        self._frames = FrameLatch(self._values["odom_frame"], self._values["base_frame"])
        self._loop = self._make_loop()
        self._output: ControlOutput | None = None
        self._window = reports.Window(self.steady_now())
        self._warn_of_speed()

        self._status_publisher = self.advertise(ControllerStatus, "~/status", qos.STATE)
        self._path_publisher = self.advertise(Path, "~/optimal_path", qos.STATE)
        self._candidates_publisher = self.advertise(MarkerArray, "~/candidate_trajectories", qos.STATE)
        self._odometry_subscription = self.subscribe(
            Odometry, "odom", self._on_odometry, qos.SENSOR, raw=True
        )
        self._unread: list[tuple[bytes, float, float]] = []  # odometry, and when it came: see _on_odometry
        self._sources = LivePublishers(silence=control.odometry_timeout)
        self._allowance = Allowance(_ODOMETRY_RATE, _ODOMETRY_BURST)
        self._live = 0
        self._shared = self._values["path_source"] == "action"  # others drive the robot, too
        self._course = Course(
            self, self._frames, self._loop, by_topic=not self._shared, busy=lambda: self._busy
        )
        take, drop = self._course.take_goal, self._course.drop
        self._goals = follow_path.offer(self, self._values, take, drop, self._slow)
        if self._goals is not None:
            self._owned.append(self._goals.destroy)
        self._pressed = False
        self.subscribe(Bool, "estop", self._on_emergency_stop, qos.STATE)
        self.serve(SwapWeights, "~/swap_weights", self._on_swap)
        self._swap_service = self.resolve_service_name("~/swap_weights")
        self._commands = CommandPublisher(
            self, self._values["cmd_vel_type"], "~/status", alone=not self._shared
        )
        self._offering = 0  # clients of the service in the graph
        self.serve(Trigger, "~/reset", self._on_reset)
        self.diagnose(
            unheard=lambda: self._window.forget(self.steady_now()),
            control=self._report_control,
            commands=self._commands.report,
            odometry=self._report_odometry,
            timing=self._report_timing,
            weights=self._report_weights,
            critics=lambda: reports.critics_report(self._mppi.terms(), self._values["critics"]),
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
        config = attrs.evolve(
            self._settings.control, odom_frame=self._frames.odom_frame, base_frame=self._frames.base_frame
        )
        return ControlLoop(config, self._mppi, self._slot, self._settings.figure, known=self._settings.known)

    def begin(self) -> None:
        """Control from now on."""
        self._loop.resume()

    def pause(self) -> None:
        """Ramp to zero, then publish no more commands."""
        if self._goals is not None:
            self._goals.terminate()
        self._loop.shutdown()

    def _reconfigure(self, changed: set[str]) -> None:
        if self.configured:
            self._apply(changed)
            self.get_logger().info(f"changed: {', '.join(sorted(changed))}")

    def _apply(self, changed: set[str]) -> None:
        self._settings = Settings.of(self._values, self._speed_share)
        if changed & set(names_of((*MPPI_TABLE, *LIMITS_TABLE))):
            self._mppi = self._make_mppi()
        self._mppi.critics = self._settings.critics
        self._loop.reconfigure(self._settings.control, self._mppi)
        if "controller_frequency" in changed:
            self.destroy_timer(self._ticker)
            self._ticker = self.every(self._settings.control.period, self._tick)

    def _warn_of_speed(self) -> None:
        figure, limits = self._settings.figure, self._settings.control.limits
        if figure is None:
            return
        duration = self._values.get(f"{self._settings.control.reference}.period", 60.0)
        fastest, turn = np.abs(figure.twist_at(np.linspace(0.0, duration, 400))).max(axis=0)
        if fastest > limits.vx_max or turn > limits.wz_max:
            clock = self._settings.control.timing == "clock"
            then = "the robot will fall behind" if clock else "it will be slowed"
            self.get_logger().warning(
                f"the reference asks for {fastest:.2f} m/s and {turn:.2f} rad/s, the limits are "
                f"{limits.vx_max:g} m/s and {limits.wz_max:g} rad/s: {then}"
            )

    # What comes in

    def _on_odometry(self, data: bytes) -> None:
        steady = self.steady_now()
        if not self._allowance.take(steady):
            self._window.odometry(reports.BEYOND_RATE)
            return
        self._sources.heard(steady)
        # Until a tick needs it: what is looked at together costs a fraction of what it costs one by one.
        self._unread.append((data, self.now(), steady))

    def _read_odometry(self) -> None:
        unread, self._unread = self._unread, []
        for data, now, steady in unread:
            try:
                self._take_odometry(cdr.odometry(data), now, steady)
            except Exception as error:  # noqa: BLE001 - a message must not keep the others from being read
                self.guard.note("odometry", error)

    def _take_odometry(self, message: OdometryMessage, now: float, steady: float) -> None:
        if self._frames.offer(message.frame_id, message.child_frame_id):
            self.get_logger().info(
                f"odometry is in {self._frames.odom_frame!r} of {self._frames.base_frame!r}, "
                "which is expected from now on"
            )
            self._loop = self._make_loop()
            self._loop.set_publisher_count(self._live)
            self._loop.set_emergency_stop(self._pressed)
            self._course.lead(self._loop)
        verdict = self._loop.handle_odometry(message, now, steady)
        self._window.odometry(verdict.reason.value)
        if verdict.warning:
            self.get_logger().warning(verdict.warning)
        if not verdict.accepted:
            self.get_logger().warning(verdict.message, throttle_duration_sec=1.0)

    def _on_emergency_stop(self, message: Bool) -> None:
        self._pressed = message.data
        self._loop.set_emergency_stop(message.data)

    def _slow(self, share: float) -> None:
        if share != self._speed_share:
            self._speed_share = share
            self._apply({"vx_max"})
            self.get_logger().info(f"velocities are limited to {100.0 * share:.0f} % of what is configured")

    def _on_swap(self, request: SwapWeights.Request, response: SwapWeights.Response) -> SwapWeights.Response:
        try:
            response.version = self._install(request.weights)
            response.success, response.code = True, response.OK
        except SwapError as error:
            response.code, response.message = code_of(error), str(error)
        except Exception as error:  # noqa: BLE001 - the offer must be answered
            self.guard.note("swap_weights", error)
            response.code, response.message = response.INTERNAL_ERROR, f"{type(error).__name__}: {error}"
        if not response.success:
            response.version = self._slot.current.version
            self._refused[response.code] += 1
            self.get_logger().warning(f"weights refused: {response.message}", throttle_duration_sec=1.0)
        return response

    def _install(self, message: ResidualWeightsMessage) -> int:
        config = self._settings.control
        check_model(config.model)
        weights = read_weights(message)
        check_fit(weights, config.model_dt, config.delay_taps, config.limits)
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
        self._commands.look()

    # What goes out

    def _tick(self) -> None:
        self._read_odometry()
        if not self.active and self._loop.at_rest:
            self._loop.let_go()
            return
        now, steady = self.now(), self.steady_now()
        stamp = to.to_stamp(now)
        self._expire_weights(steady)
        self._course.move()
        try:
            output = self._loop.tick(now, steady, self._path_publisher.get_subscription_count() > 0)
        except Exception as error:  # noqa: BLE001 - whatever fails, a zero goes out in this period
            self.guard.note("tick", error)
            self._publish_command((0.0, 0.0), stamp)
            return
        if self._driving or output.command.any():
            self._publish_command(output.command, stamp)
        else:
            self._loop.let_go()
        if self._goals is not None:
            self._goals.tick(output)
        if self._status_publisher.get_subscription_count():
            self._status_publisher.publish(self._status(output, stamp))
        self._window.tick(output)
        self._log_change(output)
        self._output = output
        if output.state is State.RUNNING:
            self._visualise(output, stamp)

    @property
    def _busy(self) -> bool:
        """A goal of follow_path is followed."""
        return self._goals is not None and self._goals.busy

    @property
    def _driving(self) -> bool:
        """The robot is ours to command: between goals of follow_path others may drive it."""
        if not self._shared or self._busy:
            return True
        return self._output is not None and bool(self._output.command.any())  # a zero follows at last

    def _publish_command(self, command: tuple[float, float] | np.ndarray, stamp: Time) -> None:
        frame = self._frames.base_frame if self._frames.latched else ""
        self._commands.publish(command, stamp, frame)

    def _status(self, output: ControlOutput, stamp: Time) -> ControllerStatus:
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

    def _visualise(self, output: ControlOutput, stamp: Time) -> None:
        frame = self._frames.odom_frame
        if output.trajectory is not None:
            step = self._settings.control.model_dt
            self._path_publisher.publish(to.path_message(stamp, frame, output.trajectory, step))
        if output.predicted_pose is not None and self._candidates_publisher.get_subscription_count() > 0:
            poses, costs = self._mppi.candidates(output.predicted_pose, self._values["candidate_count"])
            self._candidates_publisher.publish(to.candidates_message(stamp, frame, poses, costs))

    def _expire_weights(self, steady: float) -> None:
        ttl = self._values["weights_ttl"]
        if expired(steady, self._installed_at, ttl):
            self._slot.install(None)
            self._installed_at, self._adapter, self._expired = None, "prior", True
            self.get_logger().warning(f"no weights came for {ttl:g} s: back to the prior")

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
            self.pause()

    def is_stopped(self) -> bool:
        """The robot has been told to stand still."""
        return not self.configured or self._loop.at_rest

    def shutdown(self) -> None:
        """The last command is zero and the last status says why, and both arrive."""
        if not self.configured:
            return
        self._tick()
        self._publish_command((0.0, 0.0), to.to_stamp(self.now()))
        self._commands.flush(0.2)
        self._status_publisher.wait_for_all_acked(Duration(seconds=0.2))

    # Diagnostics

    def _report_control(self) -> Report:
        return reports.control_report(self._output, self._settings.control.reference)

    def _report_odometry(self) -> Report:
        counts, seconds = self._window.take_odometry(self.steady_now())
        report = reports.odometry_report(
            counts, seconds, self._output, self._live, self._frames, self._loop.counters, _ODOMETRY_RATE
        )
        return reports.with_remark(report, self._loop.remark)

    def _report_timing(self) -> Report:
        return reports.timing_report(self._window, self._output, self._settings.control)

    def _report_weights(self) -> Report:
        return reports.weights_report(
            self._settings.control.model,
            self._slot.current.version,
            self._adapter,
            math.nan if self._installed_at is None else self.steady_now() - self._installed_at,
            sum(self._refused.values()),
            self._expired,
            self._offering,
        )


def main(args: list[str] | None = None) -> int:
    """Run the node until a signal; returns the exit code."""
    return run(NAME, MppiControllerNode, args)


if __name__ == "__main__":
    leave(main())
