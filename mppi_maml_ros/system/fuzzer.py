"""The node between the nodes: passes things on as they are, or not, and sends what nobody should.

Holds of every command and report what was promised of it.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from nav_msgs.msg import Path as PathMessage
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterEvent, ParameterValue
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    ListParameters,
    SetParameters,
    SetParametersAtomically,
)
from std_srvs.srv import SetBool, Trigger

from ..core.errors import MppiMamlError
from ..msg import ControllerStatus
from ..ros import conversions as to
from ..ros.executor import make_executor
from ..ros.qos import COMMAND, ODOMETRY, RECORD, STATE
from ..safety.codes import Code, State
from ..srv import MetaTrain, RandomizeWorld, SwapWeights
from .fuzz_actions import FALSE_MODEL, Nonsense, straight
from .fuzz_limits import LIMITS, LimitsInForce

NODES = ("mppi_controller", "adaptation", "dynamic_world", "meta_trainer")
LONGEST_SILENCE = 2.0  # [s] between two commands; a busy machine is no fault
ANSWERED_WITHIN = 20.0  # [s]
LARGEST_LIMIT = 100.0  # [m/s, rad/s, m/s^2, rad/s^2] that a controller may be told


class FuzzError(MppiMamlError):
    """Something that was promised did not hold; the message says what, and when."""


class Fuzzer:
    """The node between the nodes; ``spin`` it from one thread.

    Args:
        domain: ROS domain.
        seed: of everything that is random.
        limits: of the controller, by parameter name.
    """

    def __init__(self, domain: int, seed: int, limits: dict[str, float]) -> None:
        self.random = np.random.default_rng(seed)
        self._nonsense = Nonsense(self.random)
        self.limits = LimitsInForce(limits)
        self.counts: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()
        self.commands = 0
        self.longest_silence = 0.0
        self.broken: str | None = None
        self.status: ControllerStatus | None = None
        self.nonsense = False
        self.storm = False
        self._checked_at = math.inf
        self._last_command: tuple[float, float, float] | None = None
        self._pose = np.zeros(3)
        self._frame = "odom"
        self._pending: dict = {}
        self._originals: dict[str, dict[str, ParameterValue]] = {}
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain, args=[])
        self.node = rclpy.create_node("fuzzer", context=self._context, enable_rosout=False)
        n = self.node
        # First, so that a new limit is known before the commands that follow it.
        n.create_subscription(ParameterEvent, "/parameter_events", self._on_parameters, 1000)
        n.create_subscription(Odometry, "robot/odom", self._on_odometry, RECORD)
        n.create_subscription(Twist, "controller/cmd_vel", self._on_command, 50)
        n.create_subscription(ControllerStatus, "mppi_controller/status", self._on_status, 50)
        self._odometry = n.create_publisher(Odometry, "odom", ODOMETRY)
        self._to_robot = n.create_publisher(Twist, "robot/cmd_vel", COMMAND)
        self._to_adaptation = n.create_publisher(Twist, "cmd_vel", COMMAND)
        self._plan = n.create_publisher(PathMessage, "plan", STATE)
        self._false_status = n.create_publisher(ControllerStatus, "mppi_controller/status", STATE)
        self._clients = {
            name: n.create_client(kind, name)
            for kind, name in (
                (SwapWeights, "mppi_controller/swap_weights"),
                (Trigger, "mppi_controller/reset"),
                (Trigger, "adaptation/adapt"),
                (SetBool, "adaptation/enable"),
                (RandomizeWorld, "dynamic_world/randomize"),
                (MetaTrain, "meta_trainer/meta_train"),
                (Trigger, "meta_trainer/cancel"),
            )
        }
        for node in NODES:
            for kind, name in (
                (SetParameters, "set_parameters"),
                (SetParametersAtomically, "set_parameters_atomically"),
                (GetParameters, "get_parameters"),
                (DescribeParameters, "describe_parameters"),
                (ListParameters, "list_parameters"),
            ):
                self._clients[f"{node}/{name}"] = n.create_client(kind, f"{node}/{name}")
        self._executor = make_executor(self._context)
        self._executor.add_node(n)
        self._actions: tuple[tuple[float, Callable[[], None]], ...] = (
            (6.0, self._send_odometry),
            (2.0, self._send_plan),
            (2.0, self._send_commands),
            (1.0, self._send_bytes),
            (2.0, self._offer_weights),
            (3.0, self._set_parameters),
            (1.0, self._ask_parameters),
            (1.0, self._call_services),
            (0.2, self._call_trainer),
            (0.3, self._send_status),
        )

    # What passes through

    def _fail(self, what: str) -> None:
        self.broken = self.broken or what

    def _on_odometry(self, message: Odometry) -> None:
        pose = message.pose.pose
        self._pose = np.array([pose.position.x, pose.position.y, to.yaw_of(pose)])
        self._frame = message.header.frame_id
        if self.nonsense and self.random.random() < 0.03:
            self.counts["odometry dropped or repeated"] += 1
            for _ in range(int(self.random.choice([0, 0, 2, 50]))):
                self._odometry.publish(message)
            return
        self._odometry.publish(message)

    def _on_command(self, message: Twist) -> None:
        now = time.monotonic()
        v, omega = message.linear.x, message.angular.z
        others = (message.linear.y, message.linear.z, message.angular.x, message.angular.y)
        if not (math.isfinite(v) and math.isfinite(omega)) or any(others):
            self._fail(f"command ({v}, {omega}) with {others}")
        if self._last_command is not None:
            self.longest_silence = max(self.longest_silence, now - self._last_command[0])
        last = self._last_command and self._last_command[1:]
        if complaint := self.limits.complaint((v, omega), last, now):
            self._fail(complaint)
        self._last_command = (now, v, omega)
        self.commands += 1
        if self.nonsense and self.random.random() < 0.02:
            self.counts["command dropped"] += 1
            return
        self._to_robot.publish(message)
        self._to_adaptation.publish(message)

    def _on_parameters(self, message: ParameterEvent) -> None:
        if not message.node.endswith("/mppi_controller"):
            return
        for parameter in message.changed_parameters:
            if parameter.name not in LIMITS:
                continue
            value = parameter.value.double_value
            if not abs(value) <= LARGEST_LIMIT:
                self._fail(f"{parameter.name} = {value} was accepted")
            self.counts["limits changed"] += 1
            self.limits.change(parameter.name, value, time.monotonic())

    def _on_status(self, message: ControllerStatus) -> None:
        if message.model == FALSE_MODEL:
            return
        if message.state not in State._value2member_map_ or message.code not in Code._value2member_map_:
            self._fail(f"status {message.state} with code {message.code} is not known")
        elif bool(message.reason) != bool(message.code):
            self._fail(f"code {message.code} with the reason {message.reason!r}")
        else:
            self.codes[f"{State(message.state).name} {Code(message.code).name}"] += 1
        self.status = message

    # Nonsense

    def act(self) -> None:
        """One random thing; odometry is spoilt in a storm only, so that the robot drives as well."""
        calm = () if self.storm else (self._send_odometry, self._send_bytes)
        weights = np.array([0.0 if action in calm else weight for weight, action in self._actions])
        index = int(self.random.choice(len(weights), p=weights / weights.sum()))
        action = self._actions[index][1]
        self.counts[action.__name__.strip("_").replace("_", " ")] += 1
        with contextlib.suppress(AssertionError, OverflowError):  # rclpy's own check of a field's range
            action()

    def _stamp(self) -> Time:
        return self.node.get_clock().now().to_msg()

    def _straight(self) -> PathMessage:
        return straight(self._pose, self._frame, self._stamp())

    def _some_odometry(self) -> Odometry:
        return self._nonsense.odometry(self._pose, self._frame, to.now(self.node.get_clock()))

    def _send_odometry(self) -> None:
        for _ in range(int(self.random.choice([1, 1, 1, 5, 200]))):
            self._odometry.publish(self._some_odometry())

    def _send_plan(self) -> None:
        if self._nonsense.chance(0.5 if self.storm else 0.95):
            self.send_good_plan()
        else:
            self._plan.publish(self._nonsense.plan(self._pose, self._frame))

    def _send_commands(self) -> None:
        message = self._nonsense.command()
        (self._to_robot if self._nonsense.chance(0.5) else self._to_adaptation).publish(message)

    def _send_bytes(self) -> None:
        kind = int(self.random.integers(3))
        publisher = (self._odometry, self._plan, self._to_adaptation)[kind]
        publisher.publish(self._nonsense.damaged((self._some_odometry, self._straight, Twist)[kind]()))

    def _offer_weights(self) -> None:
        weights = self._nonsense.weights(self._stamp())
        self._call("mppi_controller/swap_weights", SwapWeights.Request(weights=weights))

    def _set_parameters(self) -> None:
        node = str(self.random.choice(NODES))
        self._call(*self._nonsense.change(node, self._originals[node]))

    def _ask_parameters(self) -> None:
        self._call(*self._nonsense.question(str(self.random.choice(NODES))))

    def _call_services(self) -> None:
        self._call(*self._nonsense.service())

    def _call_trainer(self) -> None:
        name, request = self._nonsense.training()
        self._call(name, request, may_take=math.inf if name.endswith("/meta_train") else ANSWERED_WITHIN)

    def _send_status(self) -> None:
        self._false_status.publish(self._nonsense.status())

    # Parameters

    def learn_parameters(self) -> None:
        """Names and values of every node's parameters."""
        for node in NODES:
            names = self.ask(f"{node}/list_parameters", ListParameters.Request()).result.names
            values = self.ask(f"{node}/get_parameters", GetParameters.Request(names=names)).values
            self._originals[node] = dict(zip(names, values, strict=True))

    def restore_parameters(self) -> None:
        """Every parameter back to what it was."""
        for node, values in self._originals.items():
            parameters = [ParameterMessage(name=name, value=value) for name, value in values.items()]
            self.ask(f"{node}/set_parameters", SetParameters.Request(parameters=parameters))

    # Services

    def _call(self, name: str, request: Any, may_take: float = ANSWERED_WITHIN) -> None:
        if len(self._pending) > 40:  # let the services keep up
            return
        future = self._clients[name].call_async(request)
        self._pending[future] = (name, request, time.monotonic() + may_take)
        future.add_done_callback(lambda done: self._pending.pop(done, None))

    def ask(self, name: str, request: Any, timeout: float = ANSWERED_WITHIN) -> Any:
        """The answer of a service."""
        future = self._clients[name].call_async(request)
        deadline = time.monotonic() + timeout
        while not future.done():
            if time.monotonic() > deadline:
                raise FuzzError(f"{name} did not answer within {timeout:g} s: {str(request)[:300]}")
            self.spin(0.02)
        return future.result()

    # Time

    def spin(self, seconds: float) -> None:
        """Pass things on for so long [s]."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0.0:
            self._executor.spin_once(timeout_sec=left)

    def check(self) -> None:
        """Raises :class:`FuzzError` when something did not hold."""
        now = time.monotonic()
        if self.broken:
            raise FuzzError(self.broken)
        if (away := now - self._checked_at) > 1.0:
            # This process was suspended or starved, and the others with it: nobody could hear them.
            self._pending = {
                future: (name, request, at + away) for future, (name, request, at) in self._pending.items()
            }
            if self._last_command is not None:
                self._last_command = (self._last_command[0] + away, *self._last_command[1:])
        self._checked_at = now
        if self._last_command is not None and now - self._last_command[0] > LONGEST_SILENCE:
            self.spin(0.5)  # it may be this process that was slow
            if time.monotonic() - self._last_command[0] > LONGEST_SILENCE:
                raise FuzzError(f"no command for {now - self._last_command[0]:.2f} s")
        for future, (name, request, deadline) in list(self._pending.items()):
            if now > deadline:
                # The middleware may lose an answer on a busy machine; the node must still give one.
                self._pending.pop(future, None)
                self._clients[name].remove_pending_request(future)
                self.counts["answers lost"] += 1
                self.ask(name, request)

    def ready(self) -> bool:
        """Every service is there and commands come."""
        return self.commands > 5 and all(client.service_is_ready() for client in self._clients.values())

    def driving(self) -> bool:
        """The controller runs and moves the robot."""
        status = self.status
        return status is not None and status.state == State.RUNNING and abs(status.command.linear.x) > 0.05

    def send_good_plan(self) -> None:
        """Something to drive."""
        self._plan.publish(self._straight())

    def close(self) -> None:
        """Leave the domain."""
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)
