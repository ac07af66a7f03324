"""A context, an executor and counterparts for nodes under test; nothing sleeps, everything is awaited."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

rclpy = pytest.importorskip("rclpy")

from geometry_msgs.msg import Twist  # noqa: E402
from nav_msgs.msg import Odometry  # noqa: E402
from rcl_interfaces.srv import GetParameters  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402

from mppi_maml_ros.ros import conversions as to  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


class Bench:
    """Nodes in one process that are spun until something is true; ``args`` as on a command line."""

    def __init__(self, *args: str):
        self.context = rclpy.Context()
        rclpy.init(context=self.context, args=list(args))
        self.executor = SingleThreadedExecutor(context=self.context)
        self._nodes = []
        self._ready = []  # clients whose server was found

    def start(self, kind: type, **parameters):
        """A node under test; ``__`` in a keyword stands for a dot."""
        overrides = [Parameter(name.replace("__", "."), value=value) for name, value in parameters.items()]
        return self.add(kind(context=self.context, parameter_overrides=overrides))

    def add(self, node):
        self._nodes.append(node)
        self.executor.add_node(node)
        return node

    def probe(self, name: str = "probe"):
        """A bare node."""
        return self.add(rclpy.create_node(name, context=self.context, start_parameter_services=False))

    def until(self, condition: Callable[[], object], timeout: float = 30.0):
        """Spin until ``condition`` holds and return its value; fail after ``timeout`` [s]."""
        deadline = time.monotonic() + timeout
        while not (value := condition()):
            assert time.monotonic() < deadline, f"not within {timeout} s"
            self.executor.spin_once(timeout_sec=0.02)
        return value

    def spin_for(self, duration: float):
        """Spin for ``duration`` [s], to see what does not happen."""
        deadline = time.monotonic() + duration
        while time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.02)

    def call(self, client, request, timeout: float = 30.0):
        """The answer of a service, whose server is awaited once: the graph may lose sight of it."""
        if client not in self._ready:
            self.until(client.service_is_ready, timeout)
            self._introduce(client, timeout)
            self._ready.append(client)
        future = client.call_async(request)
        self.until(future.done, timeout)
        return future.result()

    def _introduce(self, client, timeout: float) -> None:
        """Wait until a server in another process knows the client too: a response before that is lost.

        Clients are announced in the order in which they are made: it does once it has answered a later one.
        """
        if client.service_name in {service.service_name for node in self._nodes for service in node.services}:
            return
        name = f"{client.service_name.rpartition('/')[0]}/get_parameters"
        later = self._nodes[0].create_client(GetParameters, name)
        self.until(later.service_is_ready, timeout)
        asked = future = None

        def answered() -> bool:
            nonlocal asked, future
            if future is None or (not future.done() and time.monotonic() - asked > 1.0):
                asked, future = time.monotonic(), later.call_async(GetParameters.Request())
            return future.done()

        self.until(answered, timeout)
        self._nodes[0].destroy_client(later)

    def stop(self, node) -> None:
        """Take one node away."""
        self._nodes.remove(node)
        self.executor.remove_node(node)
        node.destroy_node()

    def close(self) -> None:
        for node in list(self._nodes):
            self.stop(node)
        self.executor.shutdown()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def bench():
    bench = Bench()
    yield bench
    bench.close()


@pytest.fixture(scope="module")
def shared_bench():
    """For tests that leave no trace."""
    bench = Bench()
    yield bench
    bench.close()


class FakeRobot:
    """A robot that is not ours: a lagging unicycle with frame ids of its own.

    Attributes:
        commands: (steady time, v, omega) as heard.
    """

    LAG, GAIN = 0.25, 0.7

    def __init__(
        self,
        bench: Bench,
        rate: float = 50.0,
        reliability=ReliabilityPolicy.RELIABLE,
        topic_prefix: str = "",
        listen: bool = True,
    ):
        self.node = bench.probe("fake_robot")
        self.state = [1.0, -2.0, 0.5, 0.0, 0.0]
        self.commands: list[tuple[float, float, float]] = []
        self.dt = 1.0 / rate
        self.sent_at = 0.0
        profile = QoSProfile(depth=10, reliability=reliability)
        self._publisher = self.node.create_publisher(Odometry, f"{topic_prefix}odom", profile)
        if listen:
            self.node.create_subscription(Twist, f"{topic_prefix}cmd_vel", self._on_command, 10)
        self._timer = self.node.create_timer(self.dt, self.step)

    def _on_command(self, message: Twist) -> None:
        self.commands.append((time.monotonic(), message.linear.x, message.angular.z))

    def step(self) -> None:
        x, y, yaw, v, omega = self.state
        _, v_cmd, omega_cmd = self.commands[-1] if self.commands else (0.0, 0.0, 0.0)
        keep = math.exp(-self.dt / self.LAG)
        v = keep * v + (1.0 - keep) * self.GAIN * v_cmd
        omega = keep * omega + (1.0 - keep) * self.GAIN * omega_cmd
        yaw += 0.5 * omega * self.dt
        self.state = [x + v * math.cos(yaw) * self.dt, y + v * math.sin(yaw) * self.dt, 0.0, v, omega]
        self.state[2] = math.remainder(yaw + 0.5 * omega * self.dt, 2.0 * math.pi)
        self.publish(self.state)

    def publish(self, state, **fields) -> None:
        message = to.odometry_message(self.node.get_clock().now().to_msg(), "fleet/odom", "fleet/base", state)
        for name, value in fields.items():
            setattr(message, name, value)
        self.sent_at = time.monotonic()
        self._publisher.publish(message)

    def mute(self) -> None:
        """No odometry from now on."""
        self._timer.cancel()

    @property
    def fastest(self) -> float:
        """Largest forward command so far."""
        return max((v for _, v, _ in self.commands), default=0.0)


class NodeProcess:
    """A node as a process of its own, in a session of its own."""

    def __init__(self, module: str, *arguments: str, before: tuple[str, ...] = ()):
        code = (
            "import sys\n"
            f"from mppi_maml_ros.nodes.{module} import main\n"
            "code = main(sys.argv)\n"
            "print('torch imported:', 'torch' in sys.modules)\n"
            "sys.exit(code)\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *before, "--ros-args", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def end(self, *signals: int, timeout: float = 10.0) -> tuple[int, str]:
        """Send signals, wait; returns exit code and output."""
        for number in signals:
            self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=timeout)
        return self.process.returncode, output

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


@pytest.fixture
def node_process():
    """Starts nodes as processes and leaves none behind."""
    started = []

    def start(module: str, *arguments: str, before: tuple[str, ...] = ()) -> NodeProcess:
        started.append(NodeProcess(module, *arguments, before=before))
        return started[-1]

    yield start
    for process in started:
        process.kill()
