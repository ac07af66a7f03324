"""``mppi-maml live --web``: a running robot as a page in the browser, with its parameters to be set."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import rclpy
from nav_msgs.msg import Odometry, Path
from rcl_interfaces.msg import ParameterEvent
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from rich.console import Console
from visualization_msgs.msg import MarkerArray

from ..core.angles import yaw_from_quaternion
from ..core.errors import InvalidPathError
from ..msg import AdaptationStatus, ControllerStatus
from ..ros import qos
from ..ros.conversions import read_odometry, read_path
from .live import LiveView, state_name
from .live_parameters import ParameterDesk
from .live_server import LiveServer
from .names import checked_namespace, checked_topic

PERIOD = 0.2  # [s] between states of the page
NODES = ("mppi_controller", "adaptation")
_BACK = 60.0  # [s] that the page reaches back
_TRAIL_POINTS = 800
_STEP = 0.05  # [m] between points of a trail
_CANDIDATES, _POINTS = 24, 16  # lines and points of each that a page is shown
_PLAN = 400  # points
_ADAPTATION = ("disabled", "waiting for data", "warming up", "active")
_LOCAL = ("localhost", "127.0.0.1", "::1")


class WebView(LiveView):
    """What the page shows; fed by topics, sampled by :meth:`tick`.

    Args:
        steady: time of a steady clock [s].
    """

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        super().__init__(_BACK, events=60)
        self._steady, self._began, self._heard = steady, steady(), -math.inf
        self._rows: deque[tuple[float, ...]] = deque(maxlen=round(_BACK / PERIOD))
        self._held: deque[tuple[float, float, float]] = deque(maxlen=300)
        self._trail: deque[tuple[float, float]] = deque(maxlen=_TRAIL_POINTS)
        self._reference: deque[tuple[float, float]] = deque(maxlen=_TRAIL_POINTS)
        self._frame, self._pose, self._twist = "", [math.nan] * 3, [math.nan] * 2
        self._newest: dict[str, bytes] = {}
        self.changes = 0  # of parameters

    def keep(self, name: str) -> Callable[[bytes], None]:
        """A callback that keeps the newest message of a topic as it came; it is read when it is shown."""
        return lambda data: self._newest.update({name: data})

    def on_controller(self, message: ControllerStatus) -> None:
        super().on_controller(message)
        self._heard = self._steady()
        if message.state == ControllerStatus.RUNNING:
            _extend(self._reference, message.reference.position.x, message.reference.position.y)

    def on_adaptation(self, message: AdaptationStatus) -> None:
        super().on_adaptation(message)
        self._held.append((self._now(), message.held_out_prior, message.held_out_current))

    def on_odometry(self, message: Odometry) -> None:
        """One odometry; a pose far from the last begins the trail anew."""
        o = read_odometry(message)
        self._frame, self._twist = o.frame_id, [o.linear[0], o.angular[2]]
        self._pose = [*o.position[:2], yaw_from_quaternion(*o.orientation)]
        _extend(self._trail, *self._pose[:2])

    def on_parameters(self, event: ParameterEvent) -> None:
        """A node was started, or a parameter set."""
        self.changes += event.node.rsplit("/", 1)[-1] in NODES

    def tick(self) -> dict[str, Any]:
        """Sample the plots; the state for the page. Lines are pairs of x and y [m, frame of odometry]."""
        c, a = self.controller, self.adaptation
        silent = self._steady() - self._heard
        error = c.tracking_error if c and c.state == ControllerStatus.RUNNING and silent < 1.0 else math.nan
        command = (c.command.linear.x, c.command.angular.z) if c else (math.nan, math.nan)
        self._rows.append((self._now(), error, self._twist[0], command[0], self._twist[1], command[1]))
        columns = ("t", "error", "v", "v_command", "omega", "omega_command")
        running = c is not None and c.state == ControllerStatus.RUNNING
        return {
            **dict(zip(columns, zip(*self._rows, strict=True), strict=True)),
            **dict(zip(("held_t", "held_prior", "held_current"), _columns(self._held, 3), strict=True)),
            "silent": silent,
            "controller": _controller(c),
            "adaptation": _adaptation(a),
            "pose": None if math.isnan(self._pose[0]) else self._pose,
            "trail": _columns(self._trail),
            "reference": _columns(self._reference),
            "plan": self._path("plan"),
            "best": self._path("best") if running else [[], []],
            "candidates": self._candidates() if running else [],
            "events": list(self.events),
            "changes": self.changes,
        }

    def _now(self) -> float:
        return self._steady() - self._began

    def _path(self, name: str) -> list:
        """The newest path of a topic, thinned; nothing of one that is none, or in another frame."""
        if name not in self._newest:
            return [[], []]
        try:
            frame, poses, *_ = read_path(self._newest[name])
        except InvalidPathError:  # the controller says why
            return [[], []]
        if frame != self._frame or not len(poses):
            return [[], []]
        return poses[_spread(len(poses), _PLAN), :2].T.tolist()

    def _candidates(self) -> list:
        """Some of the newest candidates: x, y, and their rank from 0, the cheapest, to 1."""
        if "candidates" not in self._newest:
            return []
        markers = deserialize_message(self._newest["candidates"], MarkerArray).markers
        found = []
        for marker in (markers[k] for k in _spread(len(markers), _CANDIDATES)):
            points = [marker.points[k] for k in _spread(len(marker.points), _POINTS)]
            found.append([[p.x for p in points], [p.y for p in points], marker.color.r])
        return sorted(found, key=lambda line: line[2])


def _spread(count: int, most: int) -> list[int]:
    """Indices of ``count``, at most ``most`` of them, with the first and the last."""
    return list(range(count)) if count <= most else np.linspace(0, count - 1, most).astype(int).tolist()


def _extend(trail: deque[tuple[float, float]], x: float, y: float) -> None:
    if not (math.isfinite(x) and math.isfinite(y)):
        return
    far = math.dist(trail[-1], (x, y)) if trail else math.inf
    if far > 1.0:
        trail.clear()
    if far >= _STEP:
        trail.append((x, y))


def _columns(rows: Iterable[tuple[float, ...]], width: int = 2) -> list:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


def _controller(m: ControllerStatus | None) -> dict[str, Any] | None:
    if m is None:
        return None
    fields = (
        "tracking_error",
        "heading_error",
        "step_ms",
        "cycles",
        "late_cycles",
        "weights_version",
        "reason",
    )
    command = [m.command.linear.x, m.command.angular.z]
    return {field: getattr(m, field) for field in fields} | {
        "state": state_name(m.state).lower(),
        "command": command,
    }


def _adaptation(m: AdaptationStatus | None) -> dict[str, Any] | None:
    if m is None:
        return None
    fields = ("adapter", "reason", "samples", "delay", "swaps_accepted", "swaps_rejected", "changes_detected")
    lists = {field: list(getattr(m, field)) for field in ("gain", "time_constant")}
    return (
        {field: getattr(m, field) for field in fields}
        | {"state": state_name(m.state, _ADAPTATION).lower()}
        | lists
    )


class _Topics:
    """Subscriptions; that to the candidates, which cost the controller time, only while a page is open."""

    def __init__(self, node: Node, view: WebView) -> None:
        self._node, self._view = node, view
        self._candidates: Subscription | None = None
        make = node.create_subscription
        make(ControllerStatus, "mppi_controller/status", view.on_controller, qos.SENSOR)
        make(AdaptationStatus, "adaptation/status", view.on_adaptation, qos.SENSOR)
        make(Odometry, "odom", view.on_odometry, qos.SENSOR)
        make(Path, "plan", view.keep("plan"), qos.SENSOR, raw=True)
        make(Path, "mppi_controller/optimal_path", view.keep("best"), qos.SENSOR, raw=True)
        make(ParameterEvent, "/parameter_events", view.on_parameters, qos.RECORD)

    def watch(self, watched: bool) -> None:
        """A page is open, or none is any more."""
        if watched and self._candidates is None:
            topic = "mppi_controller/candidate_trajectories"
            keep = self._view.keep("candidates")
            self._candidates = self._node.create_subscription(MarkerArray, topic, keep, qos.SENSOR, raw=True)
        elif not watched and self._candidates is not None:
            self._node.destroy_subscription(self._candidates)
            self._candidates = None


def run_web(
    namespace: str, odom_topic: str, host: str, port: int, console: Console, duration: float = math.inf
) -> None:
    """Serve the page until ``duration`` [s] is over, or Ctrl-C.

    Args:
        host, port: to listen on; beyond this machine anybody who reaches them may set parameters.

    Raises:
        InvalidValueError: a name that is none, or host and port that cannot be bound to.
    """
    remap = ["--ros-args", "-r", f"odom:={checked_topic(odom_topic)}"]
    namespace = checked_namespace(namespace)
    context = rclpy.Context()
    rclpy.init(context=context, args=[])
    executor = SingleThreadedExecutor(context=context)
    node = rclpy.create_node("live", context=context, namespace=namespace, cli_args=remap)
    executor.add_node(node)
    try:
        view = WebView()
        topics = _Topics(node, view)
        with LiveServer(ParameterDesk(node, NODES), host, port) as server:
            console.print(f"{server.url}   Ctrl-C ends", highlight=False)
            if host not in _LOCAL:
                console.print("[yellow]whoever reaches this address may set the robot's parameters[/]")
            due = time.monotonic()
            end = due + duration
            while due < end:
                executor.spin_once(timeout_sec=max(due - time.monotonic(), 0.0))
                if time.monotonic() >= due:
                    due = max(due + PERIOD, time.monotonic())
                    topics.watch(server.watchers > 0)
                    server.publish(view.tick())
    except KeyboardInterrupt:
        pass
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown(context=context)
