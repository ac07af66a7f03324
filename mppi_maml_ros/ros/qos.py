"""Quality of service of every topic, and whether the other side's fits."""

from __future__ import annotations

from collections.abc import Iterable

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from rclpy.subscription import Subscription


def _profile(
    depth: int,
    reliability: ReliabilityPolicy,
    durability: DurabilityPolicy = DurabilityPolicy.VOLATILE,
) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=reliability,
        durability=durability,
    )


SENSOR = _profile(5, ReliabilityPolicy.BEST_EFFORT)
"""Odometry to control by: heard from reliable and best-effort publishers alike, only the newest count."""

RECORD = _profile(100, ReliabilityPolicy.BEST_EFFORT)
"""Odometry and commands to learn from: what comes during an adaptation waits."""

COMMAND = _profile(1, ReliabilityPolicy.RELIABLE)
"""cmd_vel as published: an old command is worth nothing."""

ODOMETRY = _profile(10, ReliabilityPolicy.RELIABLE)
"""odom as published."""

STATE = _profile(10, ReliabilityPolicy.RELIABLE)
"""Status, diagnostics, progress, paths and markers."""

TRUTH = _profile(500, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)
"""The simulated truth: who finds the world late still gets its first seconds, by asking for
transient local durability; nobody has to."""


MAP = _profile(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)
"""Maps and costmaps, of which the newest waits for who comes late."""


def mismatches(node: Node, endpoints: Iterable[Publisher | Subscription]) -> list[str]:
    """Endpoints on our topics that can never talk to ours, one sentence each.

    Args:
        node: ours.
        endpoints: our publishers and subscriptions.
    """
    found = []
    for endpoint in endpoints:
        if isinstance(endpoint, Publisher):
            topic, others = endpoint.topic_name, node.get_subscriptions_info_by_topic(endpoint.topic_name)
        else:
            topic, others = endpoint.topic_name, node.get_publishers_info_by_topic(endpoint.topic_name)
        for other in others:
            if isinstance(endpoint, Publisher):
                verdict, reason = qos_check_compatible(endpoint.qos_profile, other.qos_profile)
            else:
                verdict, reason = qos_check_compatible(other.qos_profile, endpoint.qos_profile)
            if verdict == QoSCompatibility.ERROR:
                found.append(f"{topic}: {other.node_name} has another QoS ({reason.strip().rstrip(';')})")
    return found
