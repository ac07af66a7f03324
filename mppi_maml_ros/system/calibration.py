"""The robot as a guided drive sees it: a node that sends commands and hears odometry."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType

import rclpy
from nav_msgs.msg import Odometry as OdometryMessage
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter

from ..calibration.guided import Driver, DriveStoppedError
from ..core.types import Array, Odometry, VelocityLimits
from ..ros import qos
from ..ros.base import BaseNode
from ..ros.conversions import read_odometry, to_stamp
from ..ros.velocity import CommandPublisher, full_name
from ..safety.checks import OdometryChecks, OdometryTolerances
from .names import checked_namespace, checked_topic

PERIOD = 0.02  # [s] between commands
FOUND_WITHIN = 3.0  # [s] for which the robot and its odometry are looked for
LOOKED_FOR = 1.0  # [s] at least, and from time to time: others are not discovered at once
FASTER = 2.0  # times the limits of the commands that odometry may report


class RosDriver(Driver):
    """Drives what listens to ``cmd_vel``, and hears ``odom``.

    Use it as a context: at its end the node is gone.

    Args:
        limits: of the commands.
        namespace, odom_topic, cmd_topic: where the robot is.
        cmd_vel_type: auto, twist or twist_stamped.
        use_sim_time: stamps are those of ``/clock``.

    Raises:
        InvalidValueError: a name that is none.
    """

    period = PERIOD

    def __init__(
        self,
        limits: VelocityLimits,
        namespace: str = "",
        odom_topic: str = "odom",
        cmd_topic: str = "cmd_vel",
        cmd_vel_type: str = "auto",
        use_sim_time: bool = False,
    ) -> None:
        names = [f"odom:={checked_topic(odom_topic)}", f"cmd_vel:={checked_topic(cmd_topic)}"]
        self._limits = limits
        self._checks: OdometryChecks | None = None
        self._heard: list[Odometry] = []
        self.trouble, self._jump, self._base = "", "", "base_link"
        self._context = rclpy.Context()
        rclpy.init(context=self._context, args=[])
        self._node = BaseNode(
            "calibrate",
            context=self._context,
            namespace=checked_namespace(namespace),
            cli_args=["--ros-args", *(part for name in names for part in ("-r", name))],
            parameter_overrides=[Parameter("use_sim_time", value=use_sim_time)],
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._node.subscribe(OdometryMessage, "odom", self._on_odometry, qos.SENSOR)
        self._publisher = CommandPublisher(self._node, cmd_vel_type, "~/status")
        self._due = self._looked = self.steady

    def __enter__(self) -> RosDriver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._publisher.flush(0.5)
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    @property
    def now(self) -> float:
        return self._node.now()

    @property
    def steady(self) -> float:
        return time.monotonic()

    def find(self) -> None:
        """Wait until odometry comes and somebody takes commands; nothing is sent.

        Raises:
            DriveStoppedError: nobody does, or somebody else commands the robot: the message says what.
        """
        begin, heard = self.steady, False
        while (waited := self.steady - begin) < FOUND_WITHIN and not (
            heard and self._takers() and waited >= LOOKED_FOR
        ):
            self._executor.spin_once(timeout_sec=0.1)
            self._publisher.look()
            heard = heard or bool(self._heard)
        odom, command = map(self._node.resolve_topic_name, ("odom", "cmd_vel"))
        if not heard:
            raise DriveStoppedError(
                f"no odometry on {odom}" + (f" that can be used: {self.trouble}" if self.trouble else "")
            )
        if not self._takers():
            raise DriveStoppedError(f"nobody listens to {command}: is the base switched on?")
        self._look_for_others()
        self._heard.clear()

    def _look_for_others(self) -> None:
        self._looked = self.steady
        command = self._node.resolve_topic_name("cmd_vel")
        own = self._node.get_fully_qualified_name()
        others = {full_name(info) for info in self._node.get_publishers_info_by_topic(command)} - {own}
        if others:
            raise DriveStoppedError(
                f"{command} is also published by {', '.join(sorted(others))}: stop that first, "
                "only one may drive the robot"
            )

    def _takers(self) -> int:
        return self._node.count_subscribers(self._node.resolve_topic_name("cmd_vel"))

    def drive(self, command: Array) -> Sequence[Odometry]:
        self._publisher.publish(command, to_stamp(self.now), self._base)
        self._due = max(self._due + self.period, self.steady)
        while (left := self._due - self.steady) > 0.0:
            self._executor.spin_once(timeout_sec=left)
        heard, self._heard = self._heard, []
        if self.steady - self._looked > LOOKED_FOR:
            self._look_for_others()
        if jump := self._jump:  # said once: the zeros that follow go out
            self._jump = ""
            raise DriveStoppedError(jump)
        return heard

    def _on_odometry(self, message: OdometryMessage) -> None:
        record = read_odometry(message)
        if self._checks is None:
            limits, self._base = self._limits, record.child_frame_id or self._base
            self._checks = OdometryChecks(
                OdometryTolerances(
                    odom_frame=record.frame_id or "odom",
                    base_frame=record.child_frame_id or "base_link",
                    max_speed=FASTER * max(limits.vx_max, -limits.vx_min),
                    max_yaw_rate=FASTER * limits.wz_max,
                )
            )
        verdict = self._checks.check(record, self.now, believe_twist=False)
        if verdict.odometry is None:
            self.trouble = verdict.message
        else:
            if verdict.relocated:
                self._jump = "the pose of odometry jumped"
            self.trouble = ""
            self._heard.append(verdict.odometry)
