"""Who is on cmd_vel, and in which type: found, told, and learned from only if the robot obeys."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Twist, TwistStamped
from mppi_maml_ros.msg import ControllerStatus
from rclpy.qos import QoSProfile

from mppi_maml_ros.nodes.adaptation import AdaptationNode
from mppi_maml_ros.nodes.dynamic_world import DynamicWorldNode
from mppi_maml_ros.nodes.meta_trainer import MetaTrainerNode
from mppi_maml_ros.nodes.mppi_controller import MppiControllerNode
from mppi_maml_ros.ros.velocity import chosen, convention
from mppi_maml_ros.weights.meta_model import PACKAGED

from .conftest import Bench, FakeRobot
from .test_adaptation import QUICK, FakeController

QUIET = {"reference": "circle", "circle__radius": 2.0, "circle__speed": 0.5, "batch_size": 100}
KINDS = {"twist": Twist, "twist_stamped": TwistStamped}
learns = pytest.mark.skipif(not PACKAGED.exists(), reason="the packaged artifact is not there")


class Diagnosis:
    """The newest status of each concern of each node."""

    def __init__(self, bench):
        self.newest: dict[str, DiagnosticStatus] = {}
        bench.probe("listener").create_subscription(DiagnosticArray, "/diagnostics", self._on_array, 50)

    def _on_array(self, message: DiagnosticArray) -> None:
        self.newest |= {status.name: status for status in message.status}

    def at(self, level: bytes, concern: str, text: str = "") -> bool:
        """Whether a concern is at this level now, and says this."""
        status = self.newest.get(concern)
        return status is not None and status.level == level and text in status.message


@pytest.fixture
def far():
    """A process of its own, as far as the middleware can tell."""
    far = Bench()
    yield far
    far.close()


class Base:
    """Obeys commands of one type in another process."""

    def __init__(self, far: Bench, kind: type, name: str = "base"):
        self.heard: list = []
        self.executor = far.executor
        self.node = far.probe(name)
        self.node.create_subscription(kind, "cmd_vel", self.heard.append, 10)

    def has_heard(self) -> bool:
        self.executor.spin_once(timeout_sec=0.0)
        return len(self.heard) > 3


@pytest.mark.parametrize(
    "distribution, kind",
    [("humble", Twist), ("iron", Twist), ("", Twist)]
    + [(name, TwistStamped) for name in ("jazzy", "kilted", "rolling")],
)
def test_from_jazzy_on_commands_are_stamped_by_convention(monkeypatch, distribution, kind):
    assert convention(distribution) is kind
    monkeypatch.setenv("ROS_DISTRO", distribution)
    assert convention() is kind


@pytest.mark.fault(76)
@pytest.mark.parametrize(
    "others, current, wanted",
    [
        ([], None, None),
        ([], Twist, Twist),
        (["Twist"], None, Twist),
        (["Twist", "Twist"], TwistStamped, Twist),
        (["Twist", "TwistStamped"], Twist, Twist),
        (["Twist", "TwistStamped"], TwistStamped, TwistStamped),
        (["Twist", "TwistStamped"], None, TwistStamped),
        (["String"], None, None),
    ],
)
def test_where_the_others_do_not_agree_the_type_stays(monkeypatch, others, current, wanted):
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    infos = [SimpleNamespace(topic_type=f"geometry_msgs/msg/{name}") for name in others]
    assert chosen(infos, current) is wanted


@pytest.mark.fault(76)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("distribution", ["humble", "jazzy"])
def test_the_type_of_the_base_is_found_whoever_comes_first(bench, far, monkeypatch, kind, distribution):
    monkeypatch.setenv("ROS_DISTRO", distribution)
    bench.start(MppiControllerNode, **QUIET)
    bench.spin_for(2.2)  # long enough for the convention to hold
    base = Base(far, kind)
    bench.until(base.has_heard)
    assert all(isinstance(message, kind) for message in base.heard)


@pytest.mark.fault(76)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_without_a_base_the_convention_holds(bench, far, monkeypatch, kind):
    monkeypatch.setenv("ROS_DISTRO", "jazzy" if kind is TwistStamped else "humble")
    bench.start(MppiControllerNode, **QUIET)
    probe = bench.probe()
    kinds = bench.until(lambda: [i.topic_type for i in probe.get_publishers_info_by_topic("cmd_vel")])
    assert kinds == [f"geometry_msgs/msg/{kind.__name__}"]


@pytest.mark.fault(77)
def test_a_base_that_hears_the_status_is_a_base(bench, monkeypatch):
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    robot, diagnosis = FakeRobot(bench), Diagnosis(bench)
    robot.node.create_subscription(ControllerStatus, "mppi_controller/status", lambda message: None, 10)
    bench.start(MppiControllerNode, **QUIET)
    bench.until(lambda: robot.fastest > 0.1)
    bench.until(lambda: diagnosis.at(DiagnosticStatus.OK, "mppi_controller: commands", "/fake_robot"))


@learns
@pytest.mark.fault(76)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_controller_and_adaptation_in_one_process_find_the_type_of_the_base(bench, far, monkeypatch, kind):
    monkeypatch.setenv("ROS_DISTRO", "humble" if kind is TwistStamped else "jazzy")
    bench.start(MppiControllerNode, **QUIET)
    adaptation = bench.start(AdaptationNode, **QUICK)
    bench.spin_for(3.0)
    base = Base(far, kind)
    bench.until(base.has_heard, 15.0)
    before = adaptation._command_seen
    adaptation._command_seen = False
    bench.until(lambda: adaptation._command_seen, 5.0)
    assert before is not None and isinstance(base.heard[-1], kind)


@pytest.mark.fault(76)
@pytest.mark.parametrize("configured", KINDS)
def test_a_base_that_wants_another_type_is_told_of_within_two_seconds(bench, far, configured, capfd):
    other = next(kind for name, kind in KINDS.items() if name != configured)
    diagnosis = Diagnosis(bench)
    bench.start(MppiControllerNode, cmd_vel_type=configured, **QUIET)
    bench.until(lambda: diagnosis.at(DiagnosticStatus.OK, "mppi_controller: topics"))
    bench.spin_for(1.0)
    Base(far, other, "stubborn_base")
    appeared = time.monotonic()
    text = f"stubborn_base takes geometry_msgs/msg/{other.__name__}"
    bench.until(lambda: diagnosis.at(DiagnosticStatus.ERROR, "mppi_controller: topics", text))
    bench.until(lambda: diagnosis.at(DiagnosticStatus.WARN, "mppi_controller: commands", text))
    assert time.monotonic() - appeared < 2.5, "of which discovery may take half a second"
    bench.until(lambda: text in capfd.readouterr().err)


@learns
@pytest.mark.fault(77)
def test_a_command_that_nobody_hears_is_a_warning_and_who_only_learns_is_nobody(bench, capfd):
    diagnosis = Diagnosis(bench)
    bench.start(MppiControllerNode, **QUIET)
    text = "nobody listens to /cmd_vel"
    bench.until(lambda: diagnosis.at(DiagnosticStatus.WARN, "mppi_controller: commands", text))
    bench.start(AdaptationNode, **QUICK)
    bench.until(lambda: "/adaptation" in str(diagnosis.newest["mppi_controller: commands"].values))
    assert diagnosis.at(DiagnosticStatus.WARN, "mppi_controller: commands", text)
    FakeRobot(bench)
    bench.until(lambda: diagnosis.at(DiagnosticStatus.OK, "mppi_controller: commands", "/fake_robot"))
    assert capfd.readouterr().err.count(text) == 1


@pytest.mark.fault(78)
def test_a_second_publisher_of_commands_is_a_warning_with_its_name(bench):
    diagnosis = Diagnosis(bench)
    FakeRobot(bench)
    bench.start(MppiControllerNode, **QUIET)
    bench.until(lambda: diagnosis.at(DiagnosticStatus.OK, "mppi_controller: commands"))
    joystick = bench.probe("joystick")
    joystick.create_publisher(Twist, "cmd_vel", 1)
    bench.until(lambda: diagnosis.at(DiagnosticStatus.WARN, "mppi_controller: commands", "/joystick"))
    bench.stop(joystick)
    bench.until(lambda: diagnosis.at(DiagnosticStatus.OK, "mppi_controller: commands"))


@pytest.mark.fault(78)
def test_a_second_controller_of_the_same_name_is_a_warning_too(bench, far):
    diagnosis = Diagnosis(bench)
    FakeRobot(bench)
    bench.start(MppiControllerNode, **QUIET)
    bench.until(lambda: diagnosis.at(DiagnosticStatus.OK, "mppi_controller: commands"))
    far.probe("mppi_controller").create_publisher(Twist, "cmd_vel", 1)
    text = "also published by /mppi_controller"
    bench.until(lambda: diagnosis.at(DiagnosticStatus.WARN, "mppi_controller: commands", text))


@learns
@pytest.mark.fault(78)
def test_under_two_publishers_nothing_is_learned_and_a_silent_one_changes_nothing(bench):
    controller, diagnosis = FakeController(bench), Diagnosis(bench)
    FakeRobot(bench)
    adaptation = bench.start(AdaptationNode, **QUICK)
    joystick = bench.probe("joystick")
    zeros = joystick.create_publisher(Twist, "cmd_vel", QoSProfile(depth=1))
    text = "/joystick, /mppi_controller"
    bench.until(lambda: diagnosis.at(DiagnosticStatus.WARN, "adaptation: adaptation", text))
    buffer = adaptation._online.buffer
    bench.until(lambda: buffer.total > 20)
    timer = joystick.create_timer(0.05, lambda: zeros.publish(Twist()))
    bench.until(lambda: buffer.excluded["command in doubt"] > 5)
    learned = buffer.total
    bench.until(lambda: buffer.excluded["command in doubt"] > 40)
    assert buffer.total == learned and controller.status is not None
    timer.cancel()
    bench.until(lambda: buffer.total > learned + 10)


@learns
@pytest.mark.fault(76)
def test_commands_that_the_base_cannot_take_are_not_learned_from(bench, far):
    FakeController(bench)
    FakeRobot(bench, listen=False)
    Base(far, TwistStamped)
    diagnosis = Diagnosis(bench)
    adaptation = bench.start(AdaptationNode, **QUICK)
    text = "nobody takes the geometry_msgs/msg/Twist"
    bench.until(lambda: diagnosis.at(DiagnosticStatus.WARN, "adaptation: adaptation", text))
    buffer = adaptation._online.buffer
    total = buffer.total
    bench.spin_for(1.5)
    assert buffer.total == total


@learns
@pytest.mark.fault(79)
def test_all_is_well_with_the_four_nodes_alone(bench, tmp_path):
    diagnosis = Diagnosis(bench)
    bench.start(DynamicWorldNode)
    bench.start(MppiControllerNode, controller_frequency=20.0, **QUIET)
    bench.start(AdaptationNode)
    bench.start(MetaTrainerNode, output_folder=str(tmp_path))
    nodes = ("dynamic_world", "mppi_controller", "adaptation", "meta_trainer")

    def bad() -> list[str]:
        return [
            f"{status.name}: {status.message}"
            for status in diagnosis.newest.values()
            # Whether the period holds is a matter of the machine, and what serves one of time.
            if status.level != DiagnosticStatus.OK and not status.name.endswith("timing")
        ]

    bench.until(lambda: all(f"{name}: topics" in diagnosis.newest for name in nodes))
    well_since = time.monotonic()

    def well_for_two_seconds() -> bool:
        nonlocal well_since
        if bad():  # such as odometry that a machine at its limit brings late
            well_since = time.monotonic()
        return time.monotonic() - well_since > 2.0

    bench.until(well_for_two_seconds)
