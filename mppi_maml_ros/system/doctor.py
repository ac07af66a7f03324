"""Listens to a robot for the doctor: who is on its topics, and what comes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import rclpy
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo
from rosgraph_msgs.msg import Clock

from ..doctor.topics import COMMANDS, ODOMETRY, Command, Endpoint, Listened, Sample, Topic
from ..ros import qos
from ..ros.conversions import read_odometry, seconds
from ..ros.velocity import KINDS, full_name
from .names import checked_namespace, checked_topic

_POLL = 0.1  # [s]


class _Ear:
    """Keeps what comes on the robot's topics."""

    def __init__(self, node: Node, odom: str, cmd_vel: str) -> None:
        self.node = node
        self.odom, self.cmd_vel = node.resolve_topic_name(odom), node.resolve_topic_name(cmd_vel)
        self.odometry: list[Sample] = []
        self.commands: list[Command] = []
        self._simulated, self._hears_commands = math.nan, False
        node.create_subscription(Odometry, self.odom, self._on_odometry, qos.RECORD)
        node.create_subscription(Clock, "/clock", self._on_clock, qos.SENSOR)

    def look(self) -> None:
        """Hear commands as soon as somebody sends some, in the type in which they come."""
        kinds = {info.topic_type for info in self.node.get_publishers_info_by_topic(self.cmd_vel)}
        known = sorted(kinds & COMMANDS.keys())
        if known and not self._hears_commands:
            self._hears_commands = True
            kind = KINDS[COMMANDS[known[0]]]
            self.node.create_subscription(kind, self.cmd_vel, self._on_command, qos.RECORD)

    def topic(self, name: str) -> Topic:
        """Who is on a topic."""
        node = self.node
        return Topic(
            name,
            self._endpoints(node.get_publishers_info_by_topic(name)),
            self._endpoints(node.get_subscriptions_info_by_topic(name)),
        )

    def _endpoints(self, infos: list[TopicEndpointInfo]) -> tuple[Endpoint, ...]:
        own = self.node.get_fully_qualified_name()
        return tuple(
            Endpoint(
                full_name(info),
                info.topic_type,
                info.qos_profile.reliability == ReliabilityPolicy.RELIABLE,
                info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL,
            )
            for info in infos
            if full_name(info) != own
        )

    def elsewhere(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Other topics with odometry that somebody sends, and with velocities that somebody takes."""
        found: tuple[list[str], list[str]] = ([], [])
        for name, kinds in self.node.get_topic_names_and_types():
            topic = self.topic(name)
            if ODOMETRY in kinds and topic.publishers and name != self.odom:
                found[0].append(name)
            if COMMANDS.keys() & set(kinds) and topic.subscribers and name != self.cmd_vel:
                found[1].append(name)
        return tuple(sorted(found[0])), tuple(sorted(found[1]))

    def _on_clock(self, message: Clock) -> None:
        self._simulated = seconds(message.clock)

    def _on_odometry(self, message: Odometry) -> None:
        self.odometry.append(Sample(time.monotonic(), time.time(), self._simulated, read_odometry(message)))

    def _on_command(self, message: Any) -> None:
        twist = getattr(message, "twist", message)
        values = float(twist.linear.x), float(twist.angular.z)
        self.commands.append(Command(time.monotonic(), time.time(), self._simulated, values))


def listen(
    duration: float,
    show: Callable[[float], None],
    namespace: str = "",
    odom_topic: str = "odom",
    cmd_topic: str = "cmd_vel",
) -> Listened:
    """Listen to a robot for ``duration`` [s]; nothing is sent.

    Args:
        show: told the time that has passed [s].
        namespace, odom_topic, cmd_topic: where the robot is.

    Raises:
        InvalidValueError: a name that is none.
    """
    topics = checked_topic(odom_topic), checked_topic(cmd_topic)
    context = rclpy.Context()
    rclpy.init(context=context, args=[])
    node = rclpy.create_node(
        "doctor", context=context, namespace=checked_namespace(namespace), enable_rosout=False
    )
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        ear = _Ear(node, *topics)
        begin, system = time.monotonic(), time.time()
        look = begin
        while (passed := time.monotonic() - begin) < duration:
            executor.spin_once(timeout_sec=min(_POLL, duration - passed))
            if time.monotonic() >= look:
                look += _POLL
                ear.look()
                show(passed)
        show(duration)
        jump = time.time() - system - (time.monotonic() - begin)
        names = (f"{space.rstrip('/')}/{name}" for name, space in node.get_node_names_and_namespaces())
        own = node.get_fully_qualified_name()
        return Listened(
            duration,
            ear.topic(ear.odom),
            ear.topic(ear.cmd_vel),
            ear.odometry,
            ear.commands,
            ear.elsewhere(),
            tuple(sorted(name for name in names if name != own)),
            jump,
        )
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown(context=context)
