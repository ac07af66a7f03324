"""Listens to a running system and records it.

The executor spins in a thread of its own; callbacks append under a lock, everything else reads
copies, so a caller may look at any time.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TypeVar

import rclpy
from builtin_interfaces.msg import Time
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy

from ..core.angles import yaw_from_quaternion
from ..msg import AdaptationStatus, ControllerStatus, WorldState
from ..ros.qos import TRUTH
from .recording import AdaptationReport, ControlStep, Recording, Truth

_Item = TypeVar("_Item")

# Hears reliable and best-effort publishers alike.
QOS = QoSProfile(depth=200, reliability=ReliabilityPolicy.BEST_EFFORT)


def _seconds(stamp: Time) -> float:
    return stamp.sec + 1e-9 * stamp.nanosec


def _newest(items: list[_Item]) -> _Item | None:
    return items[-1] if items else None


class DemoMonitor:
    """A node that records ``world_state`` and both ``status`` topics.

    Args:
        domain: ROS domain to listen in.
    """

    def __init__(self, domain: int) -> None:
        self._lock = threading.Lock()
        self._recording = Recording()
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain, args=[])
        self._node = rclpy.create_node("demo_monitor", context=self._context, enable_rosout=False)
        for kind, topic, callback, profile in (
            (WorldState, "dynamic_world/world_state", self._on_world_state, TRUTH),
            (ControllerStatus, "mppi_controller/status", self._on_controller, QOS),
            (AdaptationStatus, "adaptation/status", self._on_adaptation, QOS),
        ):
            self._node.create_subscription(kind, topic, callback, profile)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="demo_monitor", daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def _on_world_state(self, message: WorldState) -> None:
        pose, twist = message.pose, message.twist
        q = pose.orientation
        truth = Truth(
            stamp=_seconds(message.header.stamp),
            x=pose.position.x,
            y=pose.position.y,
            yaw=yaw_from_quaternion(q.x, q.y, q.z, q.w),
            v=twist.linear.x,
            omega=twist.angular.z,
        )
        with self._lock:
            self._recording.truth.append(truth)
            if not self._recording.world:
                self._recording.world = dict(zip(message.names, message.values, strict=False))

    def _on_controller(self, message: ControllerStatus) -> None:
        step = ControlStep(
            stamp=_seconds(message.header.stamp),
            state=message.state,
            reference_x=message.reference.position.x,
            reference_y=message.reference.position.y,
            command_v=message.command.linear.x,
            command_omega=message.command.angular.z,
            tracking_error=message.tracking_error,
            weights_version=message.weights_version,
            step_ms=message.step_ms,
            period_ms=message.period_ms,
            cycles=message.cycles,
            late_cycles=message.late_cycles,
            reason=message.reason,
        )
        with self._lock:
            self._recording.steps.append(step)

    def _on_adaptation(self, message: AdaptationStatus) -> None:
        report = AdaptationReport(
            stamp=_seconds(message.header.stamp),
            decision=message.decision,
            reason=message.reason,
            adapt_ms=message.adapt_ms,
            swap_ms=message.swap_ms,
            swaps_accepted=message.swaps_accepted,
            swaps_rejected=message.swaps_rejected,
            changes_detected=message.changes_detected,
        )
        with self._lock:
            self._recording.reports.append(report)

    def recording(self) -> Recording:
        """A copy of everything heard so far."""
        with self._lock:
            r = self._recording
            return Recording(list(r.truth), list(r.steps), list(r.reports), dict(r.world))

    def latest(self) -> tuple[Truth | None, ControlStep | None, AdaptationReport | None]:
        """The newest of each kind, None where nothing came yet."""
        with self._lock:
            r = self._recording
            return _newest(r.truth), _newest(r.steps), _newest(r.reports)

    def close(self) -> None:
        """Leave the domain and end the thread."""
        self._executor.shutdown()
        self._thread.join(timeout=5.0)
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def __enter__(self) -> DemoMonitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
