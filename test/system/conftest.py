"""A private domain, processes in it, and a listener that hears what they say."""

import contextlib
import threading
import time
from collections import defaultdict

import pytest
import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist
from mppi_maml_ros.msg import AdaptationStatus, ControllerStatus, WorldState
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import GetParameters
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy

from mppi_maml_ros.system.processes import ProcessGroup, config_file, private_domain, ros_environment

TOPICS = {
    "cmd_vel": Twist,
    "odom": Odometry,
    "mppi_controller/status": ControllerStatus,
    "adaptation/status": AdaptationStatus,
    "dynamic_world/world_state": WorldState,
    "/diagnostics": DiagnosticArray,
}


class Listener:
    """Keeps every message of ``TOPICS`` with the time at which it was sent [s, system clock]."""

    def __init__(self, domain: int):
        self._changed = threading.Condition()
        self._heard = defaultdict(list)
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain, args=[])
        self.node = rclpy.create_node("listener", context=self._context, enable_rosout=False)
        qos = QoSProfile(depth=500, reliability=ReliabilityPolicy.BEST_EFFORT)
        for topic, kind in TOPICS.items():
            self.node.create_subscription(kind, topic, self._recorder(topic), qos)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self):
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def _recorder(self, topic):
        def record(message, info):
            with self._changed:
                self._heard[topic].append((1e-9 * info["source_timestamp"], message))
                self._changed.notify_all()

        return record

    def heard(self, topic):
        """(time sent, message) so far."""
        with self._changed:
            return list(self._heard[topic])

    def messages(self, topic):
        """Messages so far."""
        return [message for _, message in self.heard(topic)]

    def wait_for(self, condition, timeout, what, group=None):
        """Wait until ``condition()`` holds; fails the test after ``timeout`` [s] or when a process dies."""
        deadline = time.monotonic() + timeout
        while not condition():
            if group is not None:
                group.check()
            assert time.monotonic() < deadline, f"not within {timeout:g} s: {what}"
            with self._changed:
                self._changed.wait(0.2)

    def wait_for_message(self, topic, condition, timeout, what, group=None):
        """Wait for a message that meets ``condition``, heard already or not, and return the first."""
        found = []
        seen = 0

        def look():
            nonlocal seen
            messages = self.messages(topic)
            found.extend(message for message in messages[seen:] if condition(message))
            seen = len(messages)
            return bool(found)

        self.wait_for(look, timeout, what, group)
        return found[0]

    def call(self, kind, name, request, timeout):
        """Call a service and return its answer."""
        client = self.node.create_client(kind, name)
        # Made later, so that whoever knows it knows the other: a response to one that is not known is lost.
        later = self.node.create_client(GetParameters, f"{name.rpartition('/')[0]}/get_parameters")
        try:
            assert client.wait_for_service(15.0) and later.wait_for_service(15.0), f"no service {name}"
            deadline = time.monotonic() + timeout
            while self._ask(later, GetParameters.Request(), 1.0) is None:
                assert time.monotonic() < deadline, f"{name} does not know us within {timeout:g} s"
            answer = self._ask(client, request, timeout)
            assert answer is not None, f"no answer from {name} within {timeout:g} s"
            return answer
        finally:
            self.node.destroy_client(client)
            self.node.destroy_client(later)

    @staticmethod
    def _ask(client, request, timeout):
        """The answer; None where there is none within ``timeout`` [s]."""
        done = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        return future.result() if done.wait(timeout) else None

    def close(self):
        self._executor.shutdown()
        self._thread.join(5.0)
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)


class System:
    """Processes and a listener in one private domain."""

    def __init__(self, group, listener, folder):
        self.group, self.listener, self.folder = group, listener, folder

    def start(self, node, **parameters):
        """Start an installed node with its configuration file; ``parameters`` win over it."""
        file = self.folder / f"{node}.yaml"
        file.write_text(yaml.safe_dump({f"/{node}": {"ros__parameters": parameters}}))
        return self.group.start_node(node, [config_file(f"{node}.yaml"), *([file] if parameters else [])])


@pytest.fixture
def system(tmp_path, monkeypatch):
    with private_domain() as domain:
        environment = ros_environment(domain, tmp_path)
        # A world that is killed must not leave shared memory behind.
        environment["FASTDDS_BUILTIN_TRANSPORTS"] = "UDPv4"
        for name in ("ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOG_DIR", "FASTDDS_BUILTIN_TRANSPORTS"):
            monkeypatch.setenv(name, environment[name])
        monkeypatch.delenv("ROS_LOCALHOST_ONLY", raising=False)
        listener = Listener(domain)
        try:
            with ProcessGroup(environment, tmp_path) as group:
                yield System(group, listener, tmp_path)
        finally:
            listener.close()


@pytest.fixture
def controller_limits():
    """Velocity limits of the packaged configuration."""
    (parameters,) = yaml.safe_load(config_file("mppi_controller.yaml").read_text()).values()
    return {name: parameters["ros__parameters"][name] for name in ("vx_max", "vx_min", "wz_max")}
