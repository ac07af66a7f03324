"""``/diagnostics`` once a second while somebody listens, one status per concern."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from .qos import STATE

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


@attrs.frozen
class Report:
    """State of one concern: OK, WARN or ERROR, one sentence, and figures by name."""

    level: bytes = OK
    message: str = "ok"
    values: Mapping[str, object] = attrs.field(factory=dict)


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


class Diagnostics:
    """Asks each concern for its report and publishes them together, also while simulated time stands still.

    Args:
        node: whose diagnostics these are.
        concerns: name -> function that returns a :class:`Report`.
        unheard: called in place of them while nobody listens.
        period: [s].
    """

    def __init__(
        self,
        node: Node,
        concerns: Mapping[str, Callable[[], Report]],
        unheard: Callable[[], None] = lambda: None,
        period: float = 1.0,
    ) -> None:
        self._node, self._concerns, self._unheard = node, dict(concerns), unheard
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", STATE)
        self._timer = node.create_timer(period, self.publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def destroy(self) -> None:
        """No more reports."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)

    def publish(self) -> None:
        """Publish now, if anybody listens."""
        if not self._publisher.get_subscription_count():
            self._unheard()
            return
        message = DiagnosticArray(status=[self._status(name, ask) for name, ask in self._concerns.items()])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)

    def _status(self, name: str, ask: Callable[[], Report]) -> DiagnosticStatus:
        try:
            report = ask()
        except Exception as error:  # noqa: BLE001 - one concern that fails must not silence the others
            report = Report(ERROR, f"{type(error).__name__}: {error}")
        return DiagnosticStatus(
            level=report.level,
            name=f"{self._node.get_fully_qualified_name().lstrip('/')}: {name}",
            message=report.message,
            values=[KeyValue(key=key, value=_text(value)) for key, value in report.values.items()],
        )
