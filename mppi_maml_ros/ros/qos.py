"""Quality of service of every topic, and whether the other side's fits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

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
from rclpy.topic_endpoint_info import TopicEndpointInfo


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


def type_name(kind: Any) -> str:
    """Of messages, as the graph names it."""
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"


def mismatches(node: Node, endpoints: Iterable[Publisher | Subscription]) -> list[str]:
    """Endpoints on our topics that can never talk to ours, one sentence each.

    Type and QoS are compared as they were discovered, on both sides: what was asked for leaves things open.

    Args:
        node: ours.
        endpoints: our publishers and subscriptions.
    """
    found = []
    for endpoint in endpoints:
        topic, own_type = endpoint.topic_name, type_name(endpoint.msg_type)
        sides = node.get_publishers_info_by_topic(topic), node.get_subscriptions_info_by_topic(topic)
        publishes = isinstance(endpoint, Publisher)
        ours, others = sides if publishes else sides[::-1]
        own = next((info for info in ours if _is_of(node, info) and info.topic_type == own_type), None)
        for other in others:
            if other.topic_type != own_type:
                does = "takes" if publishes else "sends"
                found.append(f"{topic}: {other.node_name} {does} {other.topic_type}, we have {own_type}")
            elif own is not None:
                pair = (own, other) if publishes else (other, own)
                verdict, reason = qos_check_compatible(*(info.qos_profile for info in pair))
                if verdict == QoSCompatibility.ERROR:
                    text = reason.strip().rstrip(";")
                    found.append(f"{topic}: {other.node_name} has another QoS ({text})")
    return found


def _is_of(node: Node, info: TopicEndpointInfo) -> bool:
    return (info.node_name, info.node_namespace) == (node.get_name(), node.get_namespace())
