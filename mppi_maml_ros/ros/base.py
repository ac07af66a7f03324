"""What every node is made of: parameters, guarded callbacks, steady timers, orderly end."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.timer import Timer

from .conversions import now
from .diagnostics import ERROR, OK, WARN, Report
from .executor import CallbackGuard
from .qos import mismatches


class BaseNode(Node):
    """A node whose callbacks cannot end it.

    Attributes:
        guard: wraps every callback; counts exceptions.
    """

    def __init__(self, name: str, **options):
        super().__init__(name, **options)
        self.guard = CallbackGuard(self)
        self._endpoints = []
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)

    def now(self) -> float:
        """Time on the node's clock, which may be simulated [s]."""
        return now(self.get_clock())

    @staticmethod
    def steady_now() -> float:
        """Time on a clock that never jumps nor stands still [s]."""
        return time.monotonic()

    def subscribe(self, kind, topic: str, callback: Callable, profile, **options):
        """A subscription whose callback is guarded and whose QoS is watched."""
        subscription = self.create_subscription(kind, topic, self.guard(callback), profile, **options)
        self._endpoints.append(subscription)
        return subscription

    def advertise(self, kind, topic: str, profile):
        """A publisher whose QoS is watched."""
        publisher = self.create_publisher(kind, topic, profile)
        self._endpoints.append(publisher)
        return publisher

    def serve(self, kind, name: str, callback: Callable):
        """A service whose callback is guarded."""
        return self.create_service(kind, name, self.guard(callback))

    def every(self, period: float, callback: Callable) -> Timer:
        """A guarded timer on the steady clock, period in [s]."""
        return self.create_timer(period, self.guard(callback), clock=self._steady)

    def on_spin_error(self, error: Exception) -> None:
        """An exception that no callback of ours raised, such as a request that cannot be read."""
        self.guard.note("spin", error)

    def report_topics(self) -> Report:
        """Whether everyone on our topics can be talked to."""
        found = mismatches(self, self._endpoints)
        return Report(ERROR if found else OK, "; ".join(found) or "ok", {"incompatible": len(found)})

    def report_callbacks(self) -> Report:
        """Exceptions so far."""
        total = sum(self.guard.errors.values())
        return Report(WARN if total else OK, self.guard.last or "ok", dict(self.guard.errors))
