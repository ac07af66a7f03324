"""``mppi-maml live``: error, residual and adaptation events of a running robot, in the terminal."""

from __future__ import annotations

import time
from collections import deque

import numpy as np
import rclpy
from numpy.typing import ArrayLike
from rclpy.executors import SingleThreadedExecutor
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from ..msg import AdaptationStatus, ControllerStatus
from ..ros.qos import SENSOR
from .names import checked_namespace

_BARS = " ▁▂▃▄▅▆▇█"
STATES = ("WAITING FOR ODOMETRY", "WAITING FOR PLAN", "RUNNING", "STOPPING", "STOPPED", "GOAL REACHED")


def state_name(code: int, names: tuple[str, ...] = STATES) -> str:
    """Of a state; of one that a later version has, its number."""
    return names[code] if code < len(names) else f"STATE {code}"


def sparkline(values: ArrayLike, width: int) -> str:
    """The newest values as a line of bars from 0 to their maximum, ``width`` characters."""
    values = np.asarray(values, dtype=float)[-width:]
    if not np.isfinite(values).any():
        return ""
    top = max(float(np.nanmax(values)), 1e-9)
    steps = np.nan_to_num(values / top * (len(_BARS) - 1)).astype(int).clip(0, len(_BARS) - 1)
    return "".join(_BARS[step] for step in steps)


class LiveView:
    """What is shown; fed by the two status topics.

    Args:
        history: seconds that the plots reach back, at the controller's rate reduced to ten a second.
        events: the newest so many are kept.
    """

    def __init__(self, history: float = 60.0, events: int = 8) -> None:
        self.error: deque[float] = deque(maxlen=int(10 * history))
        self.residual: deque[float] = deque(maxlen=int(2 * history))
        self.events: deque[str] = deque(maxlen=events)
        self.controller: ControllerStatus | None = None
        self.adaptation: AdaptationStatus | None = None
        self._last, self._series, self._run = 0.0, "", 0

    def on_controller(self, message: ControllerStatus) -> None:
        """One status of the controller."""
        now, before = time.monotonic(), self.controller
        if before is not None and before.state != message.state:
            self.note(f"{state_name(message.state)} {message.reason}")
        self.controller = message
        if now - self._last >= 0.1:
            self._last = now
            self.error.append(message.tracking_error)

    def on_adaptation(self, message: AdaptationStatus) -> None:
        """One status of the adaptation."""
        before, self.adaptation = self.adaptation, message
        self.residual.append(np.sqrt(message.held_out_current))
        if before is None:
            return
        if message.swaps_accepted > before.swaps_accepted:
            self.note(f"swap accepted, version {message.weights_version}: {message.reason}")
        if message.swaps_rejected > before.swaps_rejected:
            self.note(f"rejected: {message.reason}", "rejected")
        if message.changes_detected > before.changes_detected:
            self.note("change detected")

    def note(self, text: str, series: str = "") -> None:
        """One more event; of a series without others between only the newest stays, with their number."""
        self._run = self._run + 1 if series and series == self._series else 1
        if self._run > 1:
            self.events.pop()
        self._series, count = series, f"{self._run} x " if self._run > 1 else ""
        self.events.append(f"{time.strftime('%H:%M:%S')}  {count}{text.strip()}")

    def render(self, width: int = 80) -> Group:
        """The present picture."""
        inner = max(width - 4, 10)
        c, a = self.controller, self.adaptation
        if c is None:
            head = "no status of a controller so far"
        else:
            head = f"{state_name(c.state)}   error {c.tracking_error:.3f} m   step {c.step_ms:.1f} ms   "
            head += f"weights {c.weights_version}"
        learned = "no status of an adaptation so far"
        if a is not None:
            learned = (
                f"{a.adapter}: {a.samples} samples, gain {a.gain[0]:.2f} / {a.gain[1]:.2f}, time constant "
                f"{a.time_constant[0]:.2f} / {a.time_constant[1]:.2f} s, delay {a.delay:.3f} s"
            )
        top = np.nanmax(self.error) if self.error and np.isfinite(self.error).any() else 0.0
        return Group(
            Panel(
                Text(sparkline(self.error, inner), style="red"),
                title=head,
                subtitle=f"tracking error, 0 to {top:.3f} m",
            ),
            Panel(
                Text(sparkline(self.residual, inner), style="green"),
                title=learned,
                subtitle="prediction error of what serves, on held-out data",
            ),
            Panel(Text("\n".join(self.events) or "no events so far"), title="events"),
        )


def run_live(namespace: str, console: Console, duration: float) -> None:
    """Show a robot until ``duration`` [s] is over, or Ctrl-C.

    Raises:
        InvalidValueError: the namespace is no name.
    """
    namespace = checked_namespace(namespace)
    context = rclpy.Context()
    rclpy.init(context=context, args=[])
    node = rclpy.create_node("live", context=context, namespace=namespace)
    view, executor = LiveView(), SingleThreadedExecutor(context=context)
    node.create_subscription(ControllerStatus, "mppi_controller/status", view.on_controller, SENSOR)
    node.create_subscription(AdaptationStatus, "adaptation/status", view.on_adaptation, SENSOR)
    executor.add_node(node)
    end = time.monotonic() + duration
    try:
        with Live(view.render(console.width), console=console, refresh_per_second=5) as live:
            while time.monotonic() < end:
                executor.spin_once(timeout_sec=0.1)
                live.update(view.render(console.width))
    except KeyboardInterrupt:
        pass
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown(context=context)
