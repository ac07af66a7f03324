"""``cmd_vel`` in the type that the robot takes: Twist or TwistStamped.

A topic has one type within a process (some middleware refuses a second one), so that a publisher or a
subscription of the other type takes the place of the one before.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Twist, TwistStamped
from rclpy.duration import Duration
from rclpy.publisher import Publisher
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo

from . import qos
from .base import BaseNode
from .conversions import command_message
from .diagnostics import OK, WARN, Report
from .executor import with_info
from .parameters import Declared

KINDS = {"twist": Twist, "twist_stamped": TwistStamped}
CMD_VEL_TYPE = Declared(
    "cmd_vel_type",
    "auto",
    "Type of cmd_vel; auto: that of the others on it, or the distribution's (TwistStamped from Jazzy on)",
    choices=("auto", *KINDS),
)

_PATIENCE = 2.0  # [s] for which others are waited for before the type is that of the distribution
_NAMES = {qos.type_name(kind): kind for kind in KINDS.values()}

_Kind = type[Twist] | type[TwistStamped]


def convention(distribution: str | None = None) -> _Kind:
    """Type of cmd_vel in a distribution; that of the environment if None, Twist where it is not known."""
    # Distributions are named in the order of the alphabet.
    name = os.environ.get("ROS_DISTRO", "") if distribution is None else distribution
    return TwistStamped if name >= "jazzy" else Twist


def chosen(others: Iterable[TopicEndpointInfo], current: _Kind | None) -> _Kind | None:
    """What most can be heard by, or heard of, given the type in use; None where nothing tells.

    Where the others do not agree, it stays, or is that of the distribution.
    """
    kinds = {_NAMES[other.topic_type] for other in others if other.topic_type in _NAMES}
    if len(kinds) == 1:
        return kinds.pop()
    return current or (convention() if kinds else None)


def full_name(info: TopicEndpointInfo) -> str:
    """Of the node of an endpoint."""
    return f"{info.node_namespace.rstrip('/')}/{info.node_name}"


def _own(node: BaseNode, info: TopicEndpointInfo) -> bool:
    return full_name(info) == node.get_fully_qualified_name()


class _Endpoint:
    """A publisher or subscription of cmd_vel that is made anew when the type turns out to be another."""

    def __init__(self, node: BaseNode, how: str, open_: Callable[[_Kind], Publisher | Subscription]) -> None:
        self._node, self._open = node, open_
        self._auto = how == "auto"
        self._topic = node.resolve_topic_name("cmd_vel")
        self._since = node.steady_now()
        self._kind: _Kind | None = None
        self._endpoint: Publisher | Subscription | None = None
        if not self._auto:
            self._become(KINDS[how])

    @property
    def _type(self) -> str:
        return "" if self._kind is None else qos.type_name(self._kind)

    def _follow(self, others: Iterable[TopicEndpointInfo]) -> None:
        """Be of the type of the others."""
        if not self._auto:
            return
        wanted = chosen(others, self._kind)
        if wanted is None and self._node.steady_now() - self._since > _PATIENCE:
            wanted = convention()
        if wanted is not None and (wanted is not self._kind or self._endpoint is None):
            self._become(wanted)

    def _become(self, kind: _Kind) -> None:
        if self._endpoint is not None:
            self._node.withdraw(self._endpoint)
            self._node.get_logger().info(f"{self._topic} is {qos.type_name(kind)} from now on")
        self._kind, self._endpoint = kind, None
        try:
            self._endpoint = self._open(kind)
        except Exception as error:
            # Another node of this process has the other type, maybe until it looks again.
            if not self._auto:
                raise
            self._node.get_logger().warning(f"{self._topic} cannot be {self._type} yet: {error}", once=True)


class CommandPublisher(_Endpoint):
    """Publishes commands, and says who hears them and who else publishes them.

    Args:
        node: whose publisher it is.
        how: value of ``cmd_vel_type``.
        status: topic of ours; who hears it watches or learns, and does not count as the robot unless
            it sends odometry.
        alone: nobody else is to publish commands.
    """

    def __init__(self, node: BaseNode, how: str, status: str, alone: bool = True) -> None:
        super().__init__(node, how, lambda kind: node.advertise(kind, "cmd_vel", qos.COMMAND))
        self._status, self._odometry = map(node.resolve_topic_name, (status, "odom"))
        self._told, self._alone = "", alone
        self.look()

    def publish(self, command: tuple[float, float] | np.ndarray, stamp: Time, frame: str) -> None:
        """(v [m/s], omega [rad/s])."""
        if self._kind is None:
            self._follow(self._robots() or self._listeners())
        if isinstance(self._endpoint, Publisher):
            self._endpoint.publish(command_message(command, stamp, frame, self._kind is TwistStamped))

    def flush(self, timeout: float) -> None:
        """Wait for what was published to arrive, for at most ``timeout`` [s]."""
        if isinstance(self._endpoint, Publisher):
            self._endpoint.wait_for_all_acked(Duration(seconds=timeout))

    def look(self) -> None:
        """Look who is there; to be called about once a second."""
        self._follow(self._robots() or self._listeners())
        trouble = self._trouble()
        if trouble != self._told and self._node.steady_now() - self._since > _PATIENCE / 2.0:
            self._told = trouble
            if trouble:
                self._node.get_logger().warning(trouble)

    def _listeners(self) -> list[TopicEndpointInfo]:
        return self._node.get_subscriptions_info_by_topic(self._topic)

    def _robots(self) -> list[TopicEndpointInfo]:
        node = self._node
        watching = {full_name(info) for info in node.get_subscriptions_info_by_topic(self._status)}
        watching -= {full_name(info) for info in node.get_publishers_info_by_topic(self._odometry)}
        return [info for info in self._listeners() if full_name(info) not in watching]

    def _trouble(self) -> str:
        found = []
        if not self._robots():
            found.append(f"nobody listens to {self._topic}")
        if self._endpoint is not None:
            found += qos.mismatches(self._node, [self._endpoint])
        publishers = self._node.get_publishers_info_by_topic(self._topic)
        own = [info for info in publishers if _own(self._node, info)]
        others = [info for info in publishers if not _own(self._node, info)] + own[1:]
        if others and self._alone:
            found.append(f"{self._topic} is also published by {_names(others)}")
        return "; ".join(found)

    def report(self) -> Report:
        """Who hears, and who else commands."""
        trouble = self._trouble()
        values = {"type": self._type, "listeners": _names(self._listeners())}
        return Report(WARN if trouble else OK, trouble or f"heard by {_names(self._robots())}", values)


class CommandSubscription(_Endpoint):
    """Hears commands in the type in which they come.

    Args:
        node: whose subscription it is.
        how: value of ``cmd_vel_type``.
        callback: takes the message as its bytes, and info.

    Attributes:
        publishers: names of their nodes at the last look.
        obeyed: somebody takes commands of the type that is heard, or nobody takes any.
    """

    def __init__(self, node: BaseNode, how: str, callback: Callable[[bytes, dict], None]) -> None:
        self._callback = with_info(callback)
        super().__init__(node, how, self._subscribe)
        self.look()

    def look(self) -> None:
        """Look who is there; to be called about once a second."""
        node = self._node
        publishers = node.get_publishers_info_by_topic(self._topic)
        listeners = [i for i in node.get_subscriptions_info_by_topic(self._topic) if not _own(node, i)]
        self._follow(publishers or listeners)
        kinds = {info.topic_type for info in listeners}
        self.publishers = [full_name(info) for info in publishers]
        self.obeyed = not kinds or not self._type or self._type in kinds

    def _subscribe(self, kind: _Kind) -> Subscription:
        return self._node.subscribe(kind, "cmd_vel", self._callback, qos.RECORD, raw=True)

    @property
    def stamped(self) -> bool:
        """Commands come as TwistStamped."""
        return self._kind is TwistStamped

    @property
    def trouble(self) -> str:
        """Why what is heard may not be what the robot obeys; empty when it is."""
        if not self.obeyed:
            return f"nobody takes the {self._type} on {self._topic}"
        if len(self.publishers) > 1:
            return f"{self._topic} is published by {', '.join(sorted(self.publishers))}"
        return ""


def _names(infos: Iterable[TopicEndpointInfo]) -> str:
    return ", ".join(sorted({full_name(info) for info in infos}))
