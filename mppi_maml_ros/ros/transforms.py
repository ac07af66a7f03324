"""Transforms by tf2, where tf2_ros is installed; ROS 2 from PyPI does not have it."""

from __future__ import annotations

from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.time import Time

from .conversions import yaw_of_quaternion


class Transforms:
    """Poses of frames in one another, in the plane.

    Args:
        node: that listens.
        tf2_ros: the module.
    """

    def __init__(self, node: Node, tf2_ros: Any) -> None:
        self._error = tf2_ros.TransformException
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node, spin_thread=False)

    @classmethod
    def of(cls, node: Node) -> Transforms | None:
        """Listens to tf; None, with a line in the log, where tf2_ros is missing."""
        try:
            import tf2_ros
        except ImportError:
            node.get_logger().info(
                "tf2_ros is not installed: plan and costmap are expected in the frame of odometry"
            )
            return None
        return cls(node, tf2_ros)

    def pose(self, target: str, source: str) -> np.ndarray | None:
        """Newest pose (x, y, yaw) of the frame ``source`` in ``target``, (3,); None when it is not known."""
        try:
            transform = self._buffer.lookup_transform(target, source, Time()).transform
        except self._error:
            return None
        return np.array(
            [transform.translation.x, transform.translation.y, yaw_of_quaternion(transform.rotation)]
        )
