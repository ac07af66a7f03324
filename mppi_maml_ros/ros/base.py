"""What every node is made of: a life cycle, guarded callbacks, steady timers, orderly end.

Nodes are managed (``configure``, ``activate``, ``deactivate``, ``cleanup``; REP-2002's states) and bring
themselves up with the parameter ``autostart``. Parameters are there from the beginning; everything
else comes with ``configure`` and goes with ``cleanup``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rclpy.client import Client
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.service import Service
from rclpy.subscription import Subscription
from rclpy.timer import Timer

from .bond import Bond
from .conversions import now
from .diagnostics import ERROR, OK, WARN, Diagnostics, Report
from .executor import CallbackGuard
from .parameters import LARGEST_INTEGER, Declared
from .qos import mismatches

AUTOSTART = Declared("autostart", True, "Configure and activate at the start, without being told")
BOND = Declared(
    "bond_heartbeat_period", 0.1, "Between signs of life to nav2's lifecycle manager; 0: none", "s", 0.0, 2.0
)


def seed_parameter(description: str) -> Declared:
    """The parameter ``seed`` of a node."""
    return Declared("seed", 0, description, "", 0, LARGEST_INTEGER)


class BaseNode(LifecycleNode):
    """A managed node whose callbacks cannot end it.

    A node of this kind overrides :meth:`set_up`, and what else of its life it needs.

    Attributes:
        guard: wraps every callback; counts exceptions.
        configured: between ``configure`` and ``cleanup``.
        active: between ``activate`` and ``deactivate``.
    """

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self.guard = CallbackGuard(self)
        self.configured = self.active = False
        self._endpoints: list[Publisher | Subscription] = []
        self._owned: list[Callable[[], object]] = []
        self._trouble: Exception | None = None
        self._bond: Bond | None = None
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)

    # Life cycle

    def set_up(self) -> None:
        """Make publishers, subscriptions, services and timers; raises to refuse."""

    def begin(self) -> None:
        """The node was activated."""

    def pause(self) -> None:
        """The node was deactivated."""

    @contextmanager
    def whole(self) -> Iterator[None]:
        """For what a constructor does: a node that cannot be made is destroyed, not left to the collector.

        Until that came, others would find it in the graph, and its middleware would go on.
        """
        try:
            yield
        except BaseException:
            self.destroy_node()
            raise

    def bring_up(self, autostart: bool) -> None:
        """To be called last in the constructor, within :meth:`whole`.

        Raises:
            Exception: what :meth:`set_up` raised.
        """
        if not autostart:
            self.get_logger().info("unconfigured: waiting for lifecycle transitions")
            return
        self.trigger_configure()
        if self._trouble is not None:
            raise self._trouble
        self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See :class:`rclpy.lifecycle.LifecycleNode`."""
        try:
            self._trouble = None
            self.set_up()
        except Exception as error:  # noqa: BLE001 - the node stays unconfigured, and says why
            self._trouble = error
            self.get_logger().error(f"cannot be configured: {error}")
            self._tear_down()
            return TransitionCallbackReturn.FAILURE
        self.configured = True
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See :class:`rclpy.lifecycle.LifecycleNode`."""
        self.active = True
        self.begin()
        if self._bond is None and self.has_parameter(BOND.name):
            self._bond = Bond.of(self, self.get_parameter(BOND.name).value)
        if self._bond is not None:
            self._bond.begin()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See :class:`rclpy.lifecycle.LifecycleNode`."""
        self._halt()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See :class:`rclpy.lifecycle.LifecycleNode`."""
        self._tear_down()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See :class:`rclpy.lifecycle.LifecycleNode`."""
        if self.active:
            self._halt()
        return TransitionCallbackReturn.SUCCESS

    def _halt(self) -> None:
        self.active = False
        self.pause()
        if self._bond is not None:
            self._bond.end()

    def destroy_node(self) -> None:
        """See :class:`rclpy.node.Node`."""
        if self._bond is not None:
            self._bond.destroy()
            self._bond = None
        super().destroy_node()

    def _tear_down(self) -> None:
        self.configured = self.active = False
        for destroy in reversed(self._owned):
            destroy()
        self._owned.clear()
        self._endpoints.clear()

    # Parts

    def now(self) -> float:
        """Time on the node's clock, which may be simulated [s]."""
        return now(self.get_clock())

    @staticmethod
    def steady_now() -> float:
        """Time on a clock that never jumps nor stands still [s]."""
        return time.monotonic()

    def subscribe(
        self, kind: type, topic: str, callback: Callable, profile: QoSProfile, **options: Any
    ) -> Subscription:
        """A subscription whose callback is guarded and whose QoS is watched."""
        subscription = self.create_subscription(kind, topic, self.guard(callback), profile, **options)
        self._endpoints.append(subscription)
        self._owned.append(lambda: self.destroy_subscription(subscription))
        return subscription

    def advertise(self, kind: type, topic: str, profile: QoSProfile) -> Publisher:
        """A publisher whose QoS is watched."""
        publisher = self.create_publisher(kind, topic, profile)
        self._endpoints.append(publisher)
        self._owned.append(lambda: self.destroy_publisher(publisher))
        return publisher

    def withdraw(self, endpoint: Publisher | Subscription) -> None:
        """End a publisher or subscription before the node is cleaned up."""
        self._endpoints.remove(endpoint)
        if isinstance(endpoint, Publisher):
            self.destroy_publisher(endpoint)
        else:
            self.destroy_subscription(endpoint)

    def serve(self, kind: type, name: str, callback: Callable) -> Service:
        """A service whose callback is guarded."""
        service = self.create_service(kind, name, self.guard(callback))
        self._owned.append(lambda: self.destroy_service(service))
        return service

    def client_of(self, kind: type, name: str) -> Client:
        """A client of a service."""
        client = self.create_client(kind, name)
        self._owned.append(lambda: self.destroy_client(client))
        return client

    def diagnose(self, unheard: Callable[[], None] = lambda: None, **concerns: Callable[[], Report]) -> None:
        """Report on these concerns, on our topics and on callbacks; see :class:`Diagnostics`."""
        common = {"topics": self.report_topics, "callbacks": self.report_callbacks}
        self._owned.append(Diagnostics(self, concerns | common, unheard).destroy)

    def every(self, period: float, callback: Callable) -> Timer:
        """A guarded timer on the steady clock, period in [s]."""
        timer = self.create_timer(period, self.guard(callback), clock=self._steady)
        self._owned.append(lambda: self.destroy_timer(timer))
        return timer

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
