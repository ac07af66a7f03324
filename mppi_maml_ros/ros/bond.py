"""The heartbeat by which nav2's lifecycle manager knows that a node is alive (bond/Status on ``bond``)."""

from __future__ import annotations

import uuid
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.timer import Timer

from .conversions import now, to_stamp

TIMEOUT = 4.0  # [s] as nav2's nodes tell it; the manager has its own


class Bond:
    """One side of a bond between :meth:`begin` and :meth:`end`; the other may come and go.

    Args:
        node: whose name is that of the bond.
        kind: type bond/Status.
        period: between heartbeats [s].
    """

    def __init__(self, node: Node, kind: Any, period: float) -> None:
        self._node, self._kind, self._period = node, kind, period
        self._instance = ""
        self._timer: Timer | None = None
        # Outlives a bond, whose last word would be lost with it.
        self._publisher = node.create_publisher(kind, "bond", QoSProfile(depth=5))

    @classmethod
    def of(cls, node: Node, period: float) -> Bond | None:
        """A bond; None where the package bond is not installed, or the period is 0."""
        if period <= 0.0:
            return None
        try:
            from bond.msg import Status
        except ImportError:
            node.get_logger().info(
                "bond is not installed: a lifecycle manager of nav2 needs bond_timeout: 0.0", once=True
            )
            return None
        return cls(node, Status, period)

    def _beat(self, active: bool = True) -> None:
        if self._publisher.get_subscription_count() > 0:
            message = self._kind(id=self._node.get_name(), instance_id=self._instance, active=active)
            message.header.stamp = to_stamp(now(self._node.get_clock()))
            message.heartbeat_timeout, message.heartbeat_period = TIMEOUT, self._period
            self._publisher.publish(message)

    def begin(self) -> None:
        """Another bond."""
        self._instance = str(uuid.uuid4())
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self._node.create_timer(self._period, self._beat, clock=steady)

    def end(self) -> None:
        """Tell the other side that this one is gone."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None
            self._beat(active=False)

    def destroy(self) -> None:
        """There will be no more."""
        self.end()
        self._node.destroy_publisher(self._publisher)
