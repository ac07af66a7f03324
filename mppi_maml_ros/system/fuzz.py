"""Throws anything at all four nodes, as processes, and holds what they promise under it.

The fuzzer stands between the nodes: odometry reaches controller and adaptation through it, commands
reach robot and adaptation through it, and it calls every service and sets every parameter. Most of the
time it passes things on as they are, so that the robot drives; else it drops, repeats and spoils them.

Held all along: every process lives; each command of the controller is finite, within the limits of
velocity and, unless it is zero, of acceleration, and within the new ones where a limit was changed;
commands never fall silent; a request that is not a training run is answered. At the end the system must
drive again, and every process must end with code 0 and without a traceback.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np
import rclpy
import yaml
from geometry_msgs.msg import PoseStamped, Twist
from nav_msgs.msg import Odometry
from nav_msgs.msg import Path as PathMessage
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterEvent, ParameterType, ParameterValue
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    ListParameters,
    SetParameters,
    SetParametersAtomically,
)
from rclpy.serialization import serialize_message
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from std_srvs.srv import SetBool, Trigger

from ..core.errors import InvalidValueError, MppiMamlError
from ..dynamics.residual import ResidualWeights
from ..msg import ControllerStatus
from ..ros import conversions as to
from ..ros.executor import make_executor
from ..ros.qos import COMMAND, ODOMETRY, RECORD, STATE
from ..ros.weights import weights_message
from ..safety.codes import Code, State
from ..srv import MetaTrain, RandomizeWorld, SwapWeights
from .fuzz_limits import LIMITS, LimitsInForce
from .processes import ProcessGroup, config_file, executable, private_domain, ros_environment

NODES = ("mppi_controller", "adaptation", "dynamic_world", "meta_trainer")
NASTY = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    1e-320,
    1e-9,
    1e9,
    1e300,
    -1e300,
    math.inf,
    -math.inf,
    math.nan,
    0.5,
    -0.5,
    3.2,
)
TEXTS = (
    "",
    "odom",
    "base_link",
    "map",
    "../../etc/passwd",
    "/abs",
    "a" * 300,
    "\u00e4\u2603",
    "%s%n",
    "-",
    "nan",
)
START_TIMEOUT = 90.0  # [s]
LONGEST_SILENCE = 2.0  # [s] between two commands; a busy machine is no fault
ANSWERED_WITHIN = 20.0  # [s]
LARGEST_LIMIT = 100.0  # [m/s, rad/s, m/s^2, rad/s^2] that a controller may be told
RECOVERED_WITHIN = 30.0  # [s] from the last nonsense to driving
_CYCLE = 8.0  # [s] of calm and storm
_AT_ONCE = 3  # actions before what passes through is passed on


class FuzzError(MppiMamlError):
    """Something that was promised did not hold; the message says what, and when."""


@attrs.frozen
class FuzzSettings:
    """What to fuzz for how long.

    Attributes:
        duration: of the nonsense [s], in [1, 86400].
        seed: of everything that is random.
        rate: nonsense actions a second, in [1, 1000].
        out: folder for fuzz.json and the logs; None for none.
    """

    duration: float = 600.0
    seed: int = 0
    rate: float = 60.0
    out: Path | None = None

    def __attrs_post_init__(self):
        if not 1.0 <= self.duration <= 86400.0:
            raise InvalidValueError(f"duration must be in [1, 86400] s, got {self.duration}")
        if not 1.0 <= self.rate <= 1000.0:
            raise InvalidValueError(f"rate must be in [1, 1000] 1/s, got {self.rate}")


class Fuzzer:
    """The node between the nodes; ``spin`` it from one thread.

    Args:
        domain: ROS domain.
        seed: of everything that is random.
        limits: of the controller, by parameter name.
    """

    def __init__(self, domain: int, seed: int, limits: dict[str, float]):
        self.random = np.random.default_rng(seed)
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
        if message.model == "fuzzer":
            return
        if message.state not in State._value2member_map_ or message.code not in Code._value2member_map_:
            self._fail(f"status {message.state} with code {message.code} is not known")
        elif bool(message.reason) != bool(message.code):
            self._fail(f"code {message.code} with the reason {message.reason!r}")
        else:
            self.codes[f"{State(message.state).name} {Code(message.code).name}"] += 1
        self.status = message

    # Nonsense

    def _number(self) -> float:
        if self.random.random() < 0.5:
            return float(self.random.choice(NASTY))
        return float(self.random.normal() * 10.0 ** self.random.integers(-3, 4))

    def _text(self) -> str:
        return str(self.random.choice(TEXTS))

    def _chance(self, share: float) -> bool:
        return bool(self.random.random() < share)

    def act(self) -> None:
        """One random thing; odometry is spoilt in a storm only, so that the robot drives as well."""
        calm = () if self.storm else (self._send_odometry, self._send_bytes)
        weights = np.array([0.0 if action in calm else weight for weight, action in self._actions])
        index = int(self.random.choice(len(weights), p=weights / weights.sum()))
        action = self._actions[index][1]
        self.counts[action.__name__.strip("_").replace("_", " ")] += 1
        with contextlib.suppress(AssertionError, OverflowError):  # rclpy's own check of a field's range
            action()

    def _some_odometry(self) -> Odometry:
        stamp = to.now(self.node.get_clock())
        if self._chance(0.5):
            stamp += float(self.random.choice([-1e9, -5.0, -0.3, -0.05, 0.05, 0.2, 1e6]))
        if self._chance(0.1):
            stamp = 0.0
        message = to.odometry_message(
            to.to_stamp(stamp), self._frame, "base_link", np.r_[self._pose, 0.0, 0.0]
        )
        if self._chance(0.2):
            message.header.frame_id = self._text()
        if self._chance(0.2):
            message.child_frame_id = self._text()
        pose, twist = message.pose.pose, message.twist.twist
        targets = [
            (pose.position, "xyz"),
            (pose.orientation, "xyzw"),
            (twist.linear, "xyz"),
            (twist.angular, "xyz"),
        ]
        for target, axes in targets:
            for axis in axes:
                if self._chance(0.1):
                    setattr(target, axis, self._number())
        if self._chance(0.1):
            message.pose.covariance[:] = self._number()
        return message

    def _send_odometry(self) -> None:
        for _ in range(int(self.random.choice([1, 1, 1, 5, 200]))):
            self._odometry.publish(self._some_odometry())

    def straight(self) -> PathMessage:
        """A path that can be driven, from where the robot is."""
        x = np.linspace(0.0, 3.0, 61)
        cos, sin = np.cos(self._pose[2]), np.sin(self._pose[2])
        poses = np.column_stack(
            [self._pose[0] + cos * x, self._pose[1] + sin * x, np.full_like(x, self._pose[2])]
        )
        return to.path_message(self.node.get_clock().now().to_msg(), self._frame, poses)

    def _send_plan(self) -> None:
        if self._chance(0.5 if self.storm else 0.95):
            self._plan.publish(self.straight())
            return
        message = PathMessage()
        message.header.frame_id = self._frame if self._chance(0.7) else self._text()
        for _ in range(int(self.random.choice([0, 1, 2, 10, 500]))):
            pose = PoseStamped()
            pose.header.frame_id = self._text() if self._chance(0.1) else self._frame
            pose.pose.position.x, pose.pose.position.y = (
                float(self._pose[0] + self.random.normal()),
                self._number() if self._chance(0.1) else float(self._pose[1] + self.random.normal()),
            )
            pose.pose.orientation.w = self._number() if self._chance(0.1) else 1.0
            message.poses.append(pose)
        self._plan.publish(message)

    def _send_commands(self) -> None:
        message = Twist()
        message.linear.x, message.angular.z = self._number(), self._number()
        (self._to_robot if self._chance(0.5) else self._to_adaptation).publish(message)

    def _send_bytes(self) -> None:
        """A message that was cut off, or of which some bytes are others."""
        kind = int(self.random.integers(3))
        publisher = (self._odometry, self._plan, self._to_adaptation)[kind]
        message = (self._some_odometry, self.straight, Twist)[kind]()
        data = bytearray(serialize_message(message))
        if self._chance(0.5):
            data = data[: int(self.random.integers(5, len(data)))]
        for _ in range(int(self.random.integers(0, 6))):
            data[int(self.random.integers(4, len(data)))] = int(self.random.integers(256))
        publisher.publish(bytes(data))

    def _weights(self) -> ResidualWeights:
        tau, gain = self.random.uniform(0.05, 0.5, 2), self.random.uniform(0.5, 1.2, 2)
        return ResidualWeights.first_order(
            tuple(tau), tuple(gain), delay=float(self.random.choice([0.0, 0.1]))
        )

    def _offer_weights(self) -> None:
        message = weights_message(self._weights(), self.node.get_clock().now().to_msg())
        if self._chance(0.7):
            data = np.array(message.data)
            for _ in range(int(self.random.integers(0, 4))):
                data[int(self.random.integers(len(data)))] = np.float32(
                    np.clip(self._number(), -1e38, 1e38) if self._chance(0.7) else math.nan
                )
            message.data = data.astype(np.float32)
            if self._chance(0.7):
                import hashlib

                message.sha256 = hashlib.sha256(np.asarray(message.data, "<f4").tobytes()).hexdigest()
            if self._chance(0.2):
                message.tensor_rows = [int(value) for value in self.random.integers(0, 2**32, 3)]
            if self._chance(0.2):
                message.tensor_names = [self._text() for _ in range(int(self.random.integers(20)))]
            if self._chance(0.2):
                message.model_dt = self._number()
            if self._chance(0.2):
                message.delay_taps = int(self.random.choice([0, 1, 8, 255]))
            if self._chance(0.1):
                message.activation = self._text()
        self._call("mppi_controller/swap_weights", SwapWeights.Request(weights=message))

    # Parameters

    def learn_parameters(self) -> None:
        """Names and values of every node's parameters."""
        for node in NODES:
            names = self.ask(f"{node}/list_parameters", ListParameters.Request()).result.names
            values = self.ask(f"{node}/get_parameters", GetParameters.Request(names=names)).values
            self._originals[node] = dict(zip(names, values, strict=True))

    def _value_like(self, value: ParameterValue) -> ParameterValue:
        """Near the present value, or anything at all."""
        near = self._chance(0.4)
        if near and value.type == ParameterType.PARAMETER_DOUBLE:
            factor = float(self.random.uniform(0.7, 1.3))
            return ParameterValue(type=value.type, double_value=value.double_value * factor)
        if near:
            return value
        kind = int(self.random.integers(0, 10))
        return ParameterValue(
            type=kind,
            bool_value=self._chance(0.5),
            # Large, but valid, numbers would only make the computer slow.
            integer_value=int(self.random.choice([-(2**63), -1, 0, 2**62])),
            double_value=float(self.random.choice([math.nan, math.inf, -math.inf, -1e9, 1e300])),
            string_value=self._text(),
            double_array_value=[self._number() for _ in range(int(self.random.integers(5)))],
            integer_array_value=[-1, 0],
            string_array_value=[self._text()],
        )

    def _some_parameters(self, node: str) -> list[ParameterMessage]:
        known = self._originals[node]
        names = list(known)
        chosen = [str(name) for name in self.random.choice(names, int(self.random.integers(1, 4)))]
        parameters = [ParameterMessage(name=name, value=self._value_like(known[name])) for name in chosen]
        if self._chance(0.1):
            parameters.append(ParameterMessage(name=self._text(), value=ParameterValue(type=1)))
        return [parameter for parameter in parameters if parameter.name != "use_sim_time"]

    def _set_parameters(self) -> None:
        node = str(self.random.choice(NODES))
        parameters = self._some_parameters(node)
        if self._chance(0.5):
            self._call(f"{node}/set_parameters", SetParameters.Request(parameters=parameters))
        else:
            request = SetParametersAtomically.Request(parameters=parameters)
            self._call(f"{node}/set_parameters_atomically", request)

    def _ask_parameters(self) -> None:
        node = str(self.random.choice(NODES))
        names = [self._text() for _ in range(int(self.random.integers(4)))]
        if self._chance(0.5):
            self._call(f"{node}/get_parameters", GetParameters.Request(names=names))
        else:
            self._call(f"{node}/describe_parameters", DescribeParameters.Request(names=names))

    def restore_parameters(self) -> None:
        """Every parameter back to what it was."""
        for node, values in self._originals.items():
            parameters = [ParameterMessage(name=name, value=value) for name, value in values.items()]
            self.ask(f"{node}/set_parameters", SetParameters.Request(parameters=parameters))

    # Services

    def _call_services(self) -> None:
        name = str(
            self.random.choice(
                ["mppi_controller/reset", "adaptation/adapt", "adaptation/enable", "dynamic_world/randomize"]
            )
        )
        if name == "adaptation/enable":
            request = SetBool.Request(data=self._chance(0.7))
        elif name == "dynamic_world/randomize":
            request = RandomizeWorld.Request(
                seed=int(self.random.integers(0, 2**63)),
                names=[str(self.random.choice(["mass", "slip", "", "command_delay", "nothing"]))],
                low=[self._number() for _ in range(int(self.random.integers(3)))],
                high=[self._number()],
                reset_pose=self._chance(0.1),
            )
        else:
            request = Trigger.Request()
        self._call(name, request)

    def _call_trainer(self) -> None:
        if self._chance(0.3):
            self._call("meta_trainer/cancel", Trigger.Request())
            return
        request = MetaTrain.Request(
            name=self._text() if self._chance(0.7) else "fuzz",
            iterations=int(self.random.choice([0, 1, 2**32 - 1]) if self._chance(0.5) else 1),
            task_batch_size=int(self.random.choice([1, 2**31])),
            support_size=int(self.random.choice([2, 2**31])),
            query_size=2,
            inner_steps=1,
            inner_lr=self._number(),
            meta_lr=self._number(),
            seed=int(self.random.integers(0, 2**63)),
        )
        self._call("meta_trainer/meta_train", request, may_take=math.inf)

    def _send_status(self) -> None:
        message = ControllerStatus(model="fuzzer", weights_version=int(self.random.integers(0, 2**63)))
        message.state, message.code = int(self.random.integers(256)), int(self.random.integers(256))
        self._false_status.publish(message)

    def _call(self, name: str, request, may_take: float = ANSWERED_WITHIN) -> None:
        if len(self._pending) > 40:  # let the services keep up
            return
        future = self._clients[name].call_async(request)
        self._pending[future] = (name, request, time.monotonic() + may_take)
        future.add_done_callback(lambda done: self._pending.pop(done, None))

    def ask(self, name: str, request, timeout: float = ANSWERED_WITHIN):
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
        self._plan.publish(self.straight())

    def close(self) -> None:
        """Leave the domain."""
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)


REMAPS = {
    "mppi_controller": ("cmd_vel:=controller/cmd_vel",),
    "dynamic_world": ("cmd_vel:=robot/cmd_vel", "odom:=robot/odom"),
    "adaptation": (),
    "meta_trainer": (),
}


def _start(group: ProcessGroup, folder: Path) -> None:
    parameters = {
        "mppi_controller": {"reference": "plan", "batch_size": 300},
        "adaptation": {"adapt_interval": 0.5},
        "dynamic_world": {},
        "meta_trainer": {"output_folder": str(folder / "artifacts")},
    }
    for node in NODES:
        file = folder / f"{node}.yaml"
        file.write_text(yaml.safe_dump({f"/{node}": {"ros__parameters": parameters[node]}}))
        command = [executable(node), "--ros-args", "--params-file", config_file(f"{node}.yaml")]
        command += ["--params-file", file]
        for remap in REMAPS[node]:
            command += ["-r", remap]
        group.start(node, command)


def _limits() -> dict[str, float]:
    (parameters,) = yaml.safe_load(config_file("mppi_controller.yaml").read_text()).values()
    return {name: parameters["ros__parameters"][name] for name in LIMITS}


def _until(
    fuzzer: Fuzzer, group: ProcessGroup, condition: Callable[[], bool], timeout: float, what: str
) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        fuzzer.spin(0.1)
        group.check()
        if time.monotonic() > deadline:
            status = fuzzer.status
            told = "nothing" if status is None else f"{State(status.state).name}, {status.reason!r}"
            raise FuzzError(f"not within {timeout:g} s: {what}; the controller says {told}")


def _drive(fuzzer: Fuzzer, group: ProcessGroup, timeout: float) -> None:
    sent = [0.0]

    def condition() -> bool:
        if time.monotonic() - sent[0] > 3.0:
            fuzzer.send_good_plan()
            sent[0] = time.monotonic()
        return fuzzer.driving()

    _until(fuzzer, group, condition, timeout, "the robot is driven")


def run_fuzz(settings: FuzzSettings, console: Console) -> dict:
    """Fuzz, hold every promise, and report.

    Returns:
        What was done and seen.

    Raises:
        FuzzError: a promise did not hold; ProcessDiedError: a node ended.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mppi_maml_fuzz_")))
        if settings.out is not None:
            settings.out.mkdir(parents=True, exist_ok=True)
            folder = settings.out.resolve()
            for old in folder.glob("*.log"):
                old.unlink()
        domain = stack.enter_context(private_domain())
        environment = ros_environment(domain, folder)
        for name in ("ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOG_DIR"):
            stack.callback(_restore, name, os.environ.get(name))
            os.environ[name] = environment[name]
        group = stack.enter_context(ProcessGroup(environment, folder))
        fuzzer = Fuzzer(domain, settings.seed, _limits())
        stack.callback(fuzzer.close)
        progress = stack.enter_context(
            Progress(
                TextColumn("[bold]fuzz"), BarColumn(), TextColumn("{task.fields[line]}"), console=console
            )
        )
        task = progress.add_task("fuzz", total=settings.duration, line="starting")
        begun = time.monotonic()
        _start(group, folder)
        _until(fuzzer, group, fuzzer.ready, START_TIMEOUT, "all services are there")
        fuzzer.learn_parameters()
        _drive(fuzzer, group, START_TIMEOUT)

        fuzzer.nonsense = True
        started, actions = time.monotonic(), 0
        while (elapsed := time.monotonic() - started) < settings.duration:
            fuzzer.storm = elapsed % _CYCLE > 0.5 * _CYCLE
            for _ in range(min(int(settings.rate * elapsed) - actions, _AT_ONCE)):
                fuzzer.act()
                actions += 1
            fuzzer.spin(0.02)
            fuzzer.check()
            group.check()
            line = f"{elapsed:.0f}/{settings.duration:g} s, {actions} actions, {fuzzer.commands} commands"
            progress.update(task, completed=elapsed, line=line)
        fuzzer.nonsense = False

        progress.update(task, line="recovering")
        with contextlib.suppress(FuzzError):
            fuzzer.ask("meta_trainer/cancel", Trigger.Request())
        fuzzer.restore_parameters()
        fuzzer.ask("mppi_controller/reset", Trigger.Request())
        request = RandomizeWorld.Request(seed=1, reset_pose=True)
        fuzzer.ask("dynamic_world/randomize", request)
        recovering, fuzzer.status = time.monotonic(), None
        _drive(fuzzer, group, RECOVERED_WITHIN)
        recovered = time.monotonic() - recovering
        if fuzzer.broken:
            raise FuzzError(fuzzer.broken)
        exits = group.stop()
        for name, process in group.members.items():
            if exits[name] != 0:
                raise FuzzError(f"after SIGINT, {process.complaint()}")
            if "Traceback" in process.tail(10**6):
                raise FuzzError(f"{name} printed a traceback; the end of its log:\n{process.tail()}")
        left = sorted(path.name for path in (folder / "artifacts").glob("*")) if folder else []
        litter = [name for name in left if not name.endswith(".safetensors") or name.startswith(".")]
        if litter:
            raise FuzzError(f"files were left behind: {', '.join(litter)}")
        report = {
            "duration": settings.duration,
            "seed": settings.seed,
            "seconds": time.monotonic() - begun,
            "actions": dict(fuzzer.counts),
            "commands": fuzzer.commands,
            "longest_silence": fuzzer.longest_silence,
            "states": dict(fuzzer.codes),
            "recovered_after": recovered,
            "exit_codes": exits,
        }
    if settings.out is not None:
        (settings.out / "fuzz.json").write_text(json.dumps(report, indent=2) + "\n")
    return report


def _restore(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
