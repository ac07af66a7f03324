"""``mppi_controller`` alone: what it commands, when it stops, and which weights it takes."""

from __future__ import annotations

import hashlib
import math
import signal
import time

import attrs
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped, PoseWithCovariance, Twist, TwistStamped
from mppi_maml_ros.msg import ControllerStatus
from mppi_maml_ros.srv import SwapWeights
from nav_msgs.msg import Odometry, Path
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from mppi_maml_ros.dynamics.features import feature_size, input_size
from mppi_maml_ros.dynamics.first_order import FirstOrderConfig
from mppi_maml_ros.dynamics.residual import ResidualWeights
from mppi_maml_ros.nodes.mppi_controller import MppiControllerNode
from mppi_maml_ros.ros import conversions as to
from mppi_maml_ros.ros.weights import weights_message
from mppi_maml_ros.safety.codes import Code, State

from .conftest import FakeRobot

CIRCLE = {"reference": "circle", "circle__radius": 2.0, "circle__speed": 0.5, "batch_size": 300}
CODE = SwapWeights.Response


class Watch:
    """Hears the status."""

    def __init__(self, bench):
        self.all: list[ControllerStatus] = []
        node = bench.probe("watch")
        node.create_subscription(ControllerStatus, "mppi_controller/status", self.all.append, 50)

    def state(self) -> int | None:
        return self.all[-1].state if self.all else None

    def code(self) -> int | None:
        return self.all[-1].code if self.all else None

    def running(self) -> bool:
        return self.state() == ControllerStatus.RUNNING


def level_of(reports: list[DiagnosticArray], concern: str, level: bytes) -> str:
    """What the newest report of a concern says at this level; empty at another."""
    told = [s for report in reports for s in report.status if s.name == f"mppi_controller: {concern}"]
    return told[-1].message if told and told[-1].level == level else ""


def within_limits(robot: FakeRobot) -> bool:
    values = np.array(robot.commands)[:, 1:]
    return bool(
        np.isfinite(values).all() and (values[:, 0] <= 1.0).all() and (np.abs(values[:, 1]) <= 1.9).all()
    )


@pytest.mark.fault(25)
def test_a_limit_that_is_lowered_while_it_drives_holds_and_is_braked_to_within_the_deceleration(bench):
    robot, watch = FakeRobot(bench), Watch(bench)
    controller = bench.start(MppiControllerNode, **CIRCLE)
    bench.until(lambda: robot.fastest > 0.45)
    bench.until(watch.running)
    (result,) = controller.set_parameters([Parameter("vx_max", value=0.2)])
    assert result.successful
    before = len(robot.commands)
    bench.until(lambda: robot.commands[-1][1] <= 0.2)
    slowest = len(robot.commands)
    bench.until(lambda: len(robot.commands) >= slowest + 20)
    v = np.array(robot.commands)[before - 1 :, 1]
    assert np.diff(v).min() >= -3.0 * 0.1 - 1e-9  # ax_min over two periods, what a late one may take
    assert slowest - before <= 8 and v[slowest - before :].max() <= 0.2
    assert v[-1] > 0.1 and watch.running()


@pytest.mark.fault(1)
def test_without_odometry_zero_is_commanded_every_period(bench):
    robot = FakeRobot(bench)
    robot.mute()
    watch = Watch(bench)
    bench.start(MppiControllerNode, **CIRCLE)
    bench.until(lambda: len(robot.commands) >= 10)
    assert all((v, omega) == (0.0, 0.0) for _, v, omega in robot.commands)
    bench.until(lambda: watch.all)
    assert {message.state for message in watch.all} == {ControllerStatus.WAITING_FOR_ODOMETRY}
    gaps = np.diff([at for at, _, _ in robot.commands])
    assert np.median(gaps) == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize(
    ("rate", "reliability"), [(20.0, ReliabilityPolicy.RELIABLE), (100.0, ReliabilityPolicy.BEST_EFFORT)]
)
def test_it_drives_a_robot_that_is_not_ours(bench, rate, reliability):
    robot, watch = FakeRobot(bench, rate, reliability), Watch(bench)
    bench.start(MppiControllerNode, **CIRCLE)
    bench.until(lambda: robot.fastest > 0.3)
    assert watch.running()
    message = watch.all[-1]
    assert message.header.frame_id == "fleet/odom"
    assert message.tracking_error < 1.0 and message.step_ms > 0.0
    assert within_limits(robot)


@pytest.mark.fault(2)
def test_it_is_at_zero_within_600_ms_when_odometry_stops_and_goes_on_when_it_returns(bench):
    robot, watch = FakeRobot(bench), Watch(bench)
    bench.start(MppiControllerNode, **CIRCLE)
    bench.until(lambda: robot.fastest > 0.4)
    robot.mute()
    silent_since = robot.sent_at
    bench.until(lambda: watch.state() == ControllerStatus.STOPPED and robot.commands[-1][1:] == (0.0, 0.0))
    assert watch.code() == ControllerStatus.ODOMETRY_TIMEOUT
    zero_at = next(
        at for i, (at, *_) in enumerate(robot.commands) if not np.any(np.array(robot.commands[i:])[:, 1:])
    )
    assert zero_at - silent_since < 0.6
    steps = np.diff([v for at, v, _ in robot.commands if at > silent_since])
    assert steps.min() >= -3.0 * 0.12  # braking deceleration, one late period allowed for
    before = len(robot.commands)
    bench.until(lambda: len(robot.commands) > before + 3)  # zero keeps being published
    robot._timer.reset()
    bench.until(watch.running)


@pytest.mark.fault(16)
def test_odometry_without_frame_ids_is_rejected_and_named(bench, capfd):
    robot, watch = FakeRobot(bench), Watch(bench)
    robot.mute()
    bench.start(MppiControllerNode, **CIRCLE)
    bench.until(lambda: watch.all)
    robot.publish(robot.state, header=Header(stamp=robot.node.get_clock().now().to_msg()))
    bench.until(lambda: watch.code() == ControllerStatus.ODOMETRY_FRAME)
    assert "''" in watch.all[-1].reason and watch.all[-1].odometry_rejected == 1
    assert robot.fastest == 0.0


@pytest.mark.fault(71)
def test_a_base_without_a_name_and_a_quaternion_a_little_off_is_driven_with_one_warning(bench, capfd):
    class Odd(FakeRobot):
        def publish(self, state, **fields):
            pose = PoseWithCovariance(pose=to.pose_message(state))
            pose.pose.orientation.z *= 1.0005
            pose.pose.orientation.w *= 1.0005
            super().publish(state, pose=pose, child_frame_id="", **fields)

    robot, watch = Odd(bench), Watch(bench)
    bench.start(MppiControllerNode, **CIRCLE)
    bench.until(lambda: watch.running() and robot.fastest > 0.3)
    told = capfd.readouterr().err
    assert told.count("it is normalised") == 1 and told.count("no child_frame_id") == 1


@pytest.mark.fault(70)
def test_a_robot_with_odometry_at_5_hz_stands_with_a_reason_until_the_lowest_rate_allows_it(bench):
    robot, watch = FakeRobot(bench, rate=5.0), Watch(bench)
    reports: list[DiagnosticArray] = []
    bench.probe("listener").create_subscription(DiagnosticArray, "/diagnostics", reports.append, 10)
    node = bench.start(MppiControllerNode, **CIRCLE)
    bench.until(lambda: watch.code() == ControllerStatus.ODOMETRY_TIMEOUT)
    assert "Hz are needed" in watch.all[-1].reason and robot.fastest == 0.0
    bench.until(lambda: "Hz are needed" in level_of(reports, "odometry", DiagnosticStatus.WARN))
    node.set_parameters([Parameter("min_odometry_rate", value=5.0)])
    bench.until(lambda: watch.running() and robot.fastest > 0.3)
    bench.until(lambda: level_of(reports, "odometry", DiagnosticStatus.OK))


def test_diagnostics_say_what_the_chosen_way_costs_and_who_says_so(bench):
    robot, reports = FakeRobot(bench), []
    bench.probe("listener").create_subscription(DiagnosticArray, "/diagnostics", reports.append, 10)
    bench.start(MppiControllerNode, critics=["twirling", "obstacles"], **CIRCLE)

    def told() -> dict[str, float]:
        statuses = [s for report in reports for s in report.status if s.name == "mppi_controller: critics"]
        return {pair.key: float(pair.value) for pair in statuses[-1].values} if statuses else {}

    bench.until(lambda: robot.fastest > 0.4 and told().get("twirling", 0.0) > 0.0)
    assert list(told()) == ["tracking", "commands", "twirling", "obstacles"]
    assert told()["obstacles"] == 0.0 < told()["tracking"]  # without a costmap


@pytest.mark.fault(16)
def test_configured_frames_are_the_only_ones_accepted(bench):
    robot, watch = FakeRobot(bench), Watch(bench)
    bench.start(MppiControllerNode, odom_frame="odom", base_frame="base_link", **CIRCLE)
    bench.until(lambda: watch.code() == ControllerStatus.ODOMETRY_FRAME)
    assert "'fleet/odom'" in watch.all[-1].reason and "'odom'" in watch.all[-1].reason
    assert robot.fastest == 0.0


@pytest.mark.fault(4)
def test_nan_in_odometry_is_dropped_and_stops_the_robot_when_it_persists(bench):
    robot, watch = FakeRobot(bench), Watch(bench)
    bench.start(MppiControllerNode, **CIRCLE)
    bench.until(lambda: robot.fastest > 0.3)
    robot.mute()
    bench.until(
        lambda: robot.publish([math.nan] * 5) or watch.state() == ControllerStatus.STOPPED,
    )
    assert watch.code() == ControllerStatus.ODOMETRY_INVALID
    assert within_limits(robot)


@pytest.mark.fault(17)
def test_a_second_odometry_publisher_stops_the_robot_with_an_error(bench):
    robot, watch = FakeRobot(bench), Watch(bench)
    reports: list[DiagnosticArray] = []
    bench.probe("listener").create_subscription(DiagnosticArray, "/diagnostics", reports.append, 10)
    bench.start(MppiControllerNode, **CIRCLE)
    bench.until(watch.running)
    intruder = bench.probe("intruder")
    intruder.create_publisher(Odometry, "odom", 10)
    bench.until(lambda: watch.code() == ControllerStatus.MULTIPLE_ODOMETRY_PUBLISHERS)
    bench.until(lambda: watch.state() == ControllerStatus.STOPPED)

    def told() -> bool:
        levels = {status.name: status.level for report in reports for status in report.status}
        return levels.get("mppi_controller: odometry") == DiagnosticStatus.ERROR

    bench.until(told)
    bench.stop(intruder)
    bench.until(watch.running)
    assert within_limits(robot)


@pytest.mark.fault(53)
def test_an_incompatible_subscriber_of_cmd_vel_is_an_error_not_silence(bench):
    reports: list[DiagnosticArray] = []
    probe = bench.probe("listener")
    probe.create_subscription(DiagnosticArray, "/diagnostics", reports.append, 10)
    wants_more = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    probe.create_subscription(Twist, "cmd_vel", lambda message: None, wants_more)
    bench.start(MppiControllerNode, batch_size=100)

    def told() -> DiagnosticStatus | None:
        statuses = [status for report in reports for status in report.status]
        return next(
            (s for s in statuses if s.name.endswith("topics") and s.level == DiagnosticStatus.ERROR), None
        )

    assert "cmd_vel" in bench.until(told).message


def plan(robot: FakeRobot, length: float = 2.0, frame: str = "fleet/odom") -> Path:
    x, y, yaw = robot.state[:3]
    along = np.linspace(0.0, length, 40)
    poses = [(x + s * math.cos(yaw), y + s * math.sin(yaw), yaw) for s in along]
    header = Header(frame_id=frame)
    return Path(
        header=header, poses=[PoseStamped(header=header, pose=to.pose_message(pose)) for pose in poses]
    )


def test_it_waits_for_a_plan_follows_it_and_tells_when_the_goal_is_reached(bench):
    robot, watch = FakeRobot(bench), Watch(bench)
    bench.start(MppiControllerNode, batch_size=300, desired_speed=1.0)
    publisher = robot.node.create_publisher(Path, "plan", 1)
    bench.until(lambda: watch.state() == ControllerStatus.WAITING_FOR_PLAN)
    assert robot.fastest == 0.0
    message = plan(robot, 1.0)
    goal = message.poses[-1].pose.position
    publisher.publish(message)
    bench.until(
        lambda: watch.state() == ControllerStatus.GOAL_REACHED and robot.commands[-1][1:] == (0.0, 0.0)
    )
    assert math.hypot(robot.state[0] - goal.x, robot.state[1] - goal.y) < 0.3


def test_a_plan_that_came_before_odometry_is_not_lost(bench):
    robot, watch = FakeRobot(bench), Watch(bench)
    robot.mute()
    node = bench.start(MppiControllerNode, batch_size=300)
    publisher = robot.node.create_publisher(Path, "plan", 1)
    bench.until(lambda: watch.all and publisher.get_subscription_count())
    publisher.publish(plan(robot))
    bench.until(lambda: node._course.early is not None)
    robot._timer.reset()
    bench.until(watch.running)


@pytest.mark.fault(22)
@pytest.mark.parametrize(("frame", "poses"), [("map", 40), ("fleet/odom", 0)])
def test_a_plan_in_another_frame_or_an_empty_one_is_refused(bench, frame, poses):
    robot, watch = FakeRobot(bench), Watch(bench)
    bench.start(MppiControllerNode, batch_size=300)
    publisher = robot.node.create_publisher(Path, "plan", 1)
    bench.until(lambda: watch.state() == ControllerStatus.WAITING_FOR_PLAN)
    message = plan(robot, frame=frame)
    message.poses = message.poses[:poses]
    publisher.publish(message)
    bench.until(lambda: watch.code() == ControllerStatus.INVALID_PATH)
    assert robot.fastest == 0.0


def test_a_plan_with_times_is_driven_by_them_and_one_whose_times_go_back_is_refused(bench):
    robot, watch = FakeRobot(bench), Watch(bench)
    bench.start(MppiControllerNode, batch_size=300, timing="clock")
    publisher = robot.node.create_publisher(Path, "plan", 1)
    bench.until(lambda: watch.state() == ControllerStatus.WAITING_FOR_PLAN)
    message = plan(robot, 1.0)
    for k, pose in enumerate(message.poses):
        pose.header = Header(frame_id="fleet/odom", stamp=to.to_stamp(0.1 * k))  # from the start on
    begun = to.now(robot.node.get_clock())
    publisher.publish(message)
    bench.until(lambda: watch.state() == ControllerStatus.GOAL_REACHED)
    assert to.now(robot.node.get_clock()) >= begun + 3.9
    message.poses[7].header.stamp = to.to_stamp(0.1)
    publisher.publish(message)
    bench.until(lambda: watch.code() == ControllerStatus.INVALID_PATH)
    assert "pose 7 of 40 is stamped -0.5 s after" in watch.all[-1].reason


def test_trajectories_are_published_for_whoever_listens(bench):
    FakeRobot(bench)
    paths, markers = [], []
    bench.start(MppiControllerNode, candidate_count=7, **CIRCLE)
    probe = bench.probe("viewer")
    probe.create_subscription(Path, "mppi_controller/optimal_path", paths.append, 10)
    probe.create_subscription(MarkerArray, "mppi_controller/candidate_trajectories", markers.append, 10)
    bench.until(lambda: paths and markers)
    assert paths[0].header.frame_id == "fleet/odom" and len(paths[0].poses) == 30
    times = [to.seconds(header.stamp) for header in (paths[0].header, *(p.header for p in paths[0].poses))]
    assert np.diff(times) == pytest.approx(0.05, abs=1e-5)  # when the robot is expected where
    assert len(markers[0].markers) == 7
    colours = sorted((marker.color.r, marker.color.g) for marker in markers[0].markers)
    assert colours[0] == (0.0, 1.0) and colours[-1] == (1.0, 0.0)


def test_stamped_commands_carry_stamp_and_frame(bench):
    FakeRobot(bench, listen=False)
    commands: list[TwistStamped] = []
    bench.probe("listener").create_subscription(TwistStamped, "cmd_vel", commands.append, 10)
    bench.start(MppiControllerNode, cmd_vel_type="twist_stamped", **CIRCLE)
    bench.until(lambda: commands and commands[-1].header.frame_id == "fleet/base")
    assert commands[-1].header.stamp.sec > 0


def test_everything_follows_the_namespace(bench):
    robot = FakeRobot(bench, topic_prefix="/robot7/")
    node = MppiControllerNode(context=bench.context, namespace="/robot7")
    bench.add(node)
    bench.until(lambda: len(robot.commands) > 2)
    assert node.resolve_topic_name("plan") == "/robot7/plan"


# -- weights


def some_weights(delay_taps: int = 3, model_dt: float = 0.05, linear=None) -> ResidualWeights:
    rng = np.random.default_rng(0)
    size = input_size(delay_taps)
    return ResidualWeights(
        linear=0.02 * rng.normal(size=(3, feature_size(delay_taps))) if linear is None else linear,
        layers=(
            (0.1 * rng.normal(size=(16, size)), np.zeros(16)),
            (0.05 * rng.normal(size=(3, 16)), np.zeros(3)),
        ),
        input_scale=np.ones(size),
        displacement_blend=1.0,
        activation="tanh",
        delay_taps=delay_taps,
        model_dt=model_dt,
        adapter="maml",
    )


def request(weights: ResidualWeights | None = None, **fields) -> SwapWeights.Request:
    message = weights_message(weights or some_weights(), to.to_stamp(1.0))
    for name, value in fields.items():
        setattr(message, name, value)
    return SwapWeights.Request(weights=message)


def poisoned(value: float) -> SwapWeights.Request:
    offer = request()
    offer.weights.data[0] = value
    data = np.asarray(offer.weights.data, dtype="<f4").tobytes()
    offer.weights.sha256 = hashlib.sha256(data).hexdigest()
    return offer


class Swapper:
    def __init__(self, bench):
        self.bench = bench
        self.node = bench.start(MppiControllerNode, batch_size=100)
        self.client_node = bench.probe("swapper")
        self._client = self.client_node.create_client(SwapWeights, "mppi_controller/swap_weights")

    def offer(self, offer: SwapWeights.Request) -> SwapWeights.Response:
        return self.bench.call(self._client, offer)


@pytest.fixture(scope="module")
def swapper(shared_bench):
    return Swapper(shared_bench)


def test_good_weights_are_installed_under_a_growing_version(swapper):
    first, second = swapper.offer(request()), swapper.offer(request())
    assert first.success and second.success, second.message
    assert (first.code, first.message) == (CODE.OK, "")
    assert second.version == first.version + 1
    assert swapper.node._slot.current.weights.digest() == some_weights().digest()


@pytest.mark.fault(33)
@pytest.mark.parametrize(
    ("offer", "code", "named"),
    [
        (poisoned(math.nan), CODE.NOT_FINITE, "linear"),
        (poisoned(1e8), CODE.TOO_LARGE, "linear"),
        (poisoned(300.0), CODE.TOO_LARGE, "forward velocity"),
        (request(sha256="0" * 64), CODE.INVALID_FORMAT, "sha256"),
        (request(delay_taps=2), CODE.INVALID_FORMAT, "linear"),
        (request(format_version=9), CODE.INVALID_FORMAT, "format_version"),
        (request(some_weights(model_dt=0.1)), CODE.WRONG_MODEL, "model_dt"),
        (SwapWeights.Request(), CODE.INVALID_FORMAT, "format_version"),
    ],
    ids=["nan", "huge", "wild", "checksum", "shape", "version", "model_dt", "empty"],
)
def test_bad_weights_are_refused_with_a_code_and_the_version_stays(swapper, offer, code, named):
    before = swapper.node._slot.current
    answer = swapper.offer(offer)
    assert (answer.success, answer.code) == (False, code), answer.message
    assert named in answer.message
    assert answer.version == before.version
    assert swapper.node._slot.current is before


@pytest.mark.parametrize("model", ["kinematic", "dynamic"])
def test_only_the_residual_model_takes_weights(bench, model):
    node = bench.start(MppiControllerNode, model=model, batch_size=100)
    answer = node._on_swap(request(), SwapWeights.Response())
    assert (answer.success, answer.code) == (False, CODE.WRONG_MODEL)
    assert model in answer.message


def test_the_status_tells_the_version_that_serves(bench):
    FakeRobot(bench)
    watch = Watch(bench)
    node = bench.start(MppiControllerNode, **CIRCLE)
    bench.until(watch.running)
    assert watch.all[-1].weights_version == 0
    node._on_swap(request(), SwapWeights.Response())
    bench.until(lambda: watch.running() and watch.all[-1].weights_version == 1)


@pytest.mark.fault(41)
def test_weights_expire_when_no_others_come(bench):
    watch = Watch(bench)
    node = bench.start(MppiControllerNode, weights_ttl=0.3, batch_size=100)
    node._on_swap(request(), SwapWeights.Response())
    bench.until(lambda: watch.all and watch.all[-1].weights_version == 2)
    assert node._slot.current.weights is None


@pytest.mark.fault(41)
def test_when_nobody_offers_weights_any_more_the_last_ones_stay_with_a_warning(bench):
    # In a namespace of its own: other tests of this file hold a client of the usual service.
    node = bench.add(MppiControllerNode(context=bench.context, namespace="/alone"))
    offerer = bench.probe("offerer")
    client = offerer.create_client(SwapWeights, "/alone/mppi_controller/swap_weights")
    assert bench.call(client, request(some_weights())).success
    bench.until(lambda: node._offering == 1)
    assert node._report_weights().level == DiagnosticStatus.OK
    bench.stop(offerer)
    bench.until(lambda: node._offering == 0)
    assert node._report_weights().level == DiagnosticStatus.OK  # fresh ones: the graph may be late
    node._installed_at -= 3.0
    report = node._report_weights()
    assert report.level == DiagnosticStatus.WARN and "nobody offers" in report.message
    assert node._slot.current.version == 1 and node._slot.current.weights is not None


def test_reset_answers_and_starts_the_figure_anew(bench):
    robot, watch = FakeRobot(bench), Watch(bench)
    bench.start(MppiControllerNode, **CIRCLE)
    bench.until(lambda: robot.fastest > 0.3)
    client = bench.probe("resetter").create_client(Trigger, "mppi_controller/reset")
    assert bench.call(client, Trigger.Request()).success
    count = len(watch.all)
    bench.until(lambda: len(watch.all) > count + 2)
    assert watch.running() and watch.all[-1].tracking_error < 0.1


@pytest.mark.fault(26)
def test_an_exception_in_a_callback_ends_nothing(bench, monkeypatch):
    robot = FakeRobot(bench)
    node = bench.start(MppiControllerNode, **CIRCLE)
    bench.until(lambda: robot.fastest > 0.1)
    monkeypatch.setattr(node._loop, "tick", lambda *_: 1 / 0)
    bench.until(lambda: robot.commands[-1][1:] == (0.0, 0.0))
    assert node.guard.errors["tick"] >= 1
    monkeypatch.undo()
    bench.until(lambda: robot.commands[-1][1] > 0.05)


class Faulty:
    """A control loop that says what it is told to."""

    def __init__(self, loop):
        self._loop, self.says = loop, (State.RUNNING, Code.NONE)

    def __getattr__(self, name):
        return getattr(self._loop, name)

    def tick(self, now, steady, with_trajectory=False):
        out = self._loop.tick(now, steady, with_trajectory)
        state, code = self.says
        return attrs.evolve(out, state=state, code=code, reason=f"because of {code.name}" if code else "")


@pytest.mark.fault(53)
def test_every_code_reaches_the_status_and_diagnostics_and_one_line_of_the_log(bench, capfd):
    watch = Watch(bench)
    node = bench.start(MppiControllerNode, batch_size=50)
    node._loop = Faulty(node._loop)
    for code in Code:
        if code is Code.NONE:
            continue
        node._loop.says = (State.STOPPED, code)
        for _ in range(5):
            node._tick()
        assert node._report_control().message == f"because of {code.name}"
        assert node._report_control().values["code"] == code.name
        assert node._report_control().level == DiagnosticStatus.ERROR
        bench.until(lambda code=code: watch.code() == code and watch.state() == State.STOPPED)
        node._loop.says = (State.RUNNING, Code.NONE)
        node._tick()
        assert node._report_control().level == DiagnosticStatus.OK
    log = capfd.readouterr().err
    for code in Code:
        if code is not Code.NONE:
            assert log.count(f"({code.name}): because of {code.name}") == 1, code.name


@pytest.mark.fault(57)
def test_a_flood_of_bad_messages_writes_one_line_a_second(bench, capfd):
    robot = FakeRobot(bench)
    robot.mute()
    node = bench.start(MppiControllerNode, batch_size=50)
    bad = to.odometry_message(robot.node.get_clock().now().to_msg(), "odom", "base_link", [math.nan] * 5)
    data = serialize_message(bad)
    capfd.readouterr()
    started = time.monotonic()
    for _ in range(100):
        node._on_odometry(data)
    node._read_odometry()
    lines = capfd.readouterr().err.count("NaN")
    assert lines <= 1 + (time.monotonic() - started)
    assert sum(node._loop.counters.values()) >= 10


@pytest.mark.fault(46)
def test_a_signal_ends_it_with_zero_and_exit_code_0(bench, node_process):
    signals = {"/a": (signal.SIGINT, signal.SIGINT), "/b": (signal.SIGTERM,)}
    robots = {name: FakeRobot(bench, topic_prefix=f"{name}/") for name in signals}
    statuses: dict[str, list[ControllerStatus]] = {name: [] for name in signals}
    arguments = ("-p", "reference:=circle", "-p", "circle.radius:=2.0", "-p", "batch_size:=300")
    processes = {}
    for name in signals:
        robots[name].node.create_subscription(
            ControllerStatus, f"{name}/mppi_controller/status", statuses[name].append, 50
        )
        processes[name] = node_process("mppi_controller", "-r", f"__ns:={name}", *arguments)
    bench.until(lambda: all(robot.fastest > 0.3 for robot in robots.values()), 30.0)
    sent = time.monotonic()
    for name, numbers in signals.items():
        for number in numbers:
            processes[name].process.send_signal(number)
    bench.until(lambda: all(process.process.poll() is not None for process in processes.values()))
    for name, robot in robots.items():
        bench.until(lambda robot=robot: robot.commands[-1][1:] == (0.0, 0.0), 2.0)
        code, output = processes[name].end()
        assert code == 0, output
        assert "Traceback" not in output
        assert "torch imported: False" in output
        bench.until(lambda heard=statuses[name]: heard[-1].code == ControllerStatus.SHUTDOWN, 2.0)
        ramp = np.array([v for at, v, _ in robot.commands if at > sent])
        assert np.diff(ramp).min() >= -3.0 * 0.12  # it ramps, it does not jump


@pytest.mark.parametrize("model", ["residual", "dynamic"])
def test_a_robot_known_beforehand_is_the_prior_or_the_model(bench, model):
    robot, watch = FakeRobot(bench), Watch(bench)
    settings = {"model": model, "prior": "dynamic", "dynamic__delay": 0.1, "dynamic__gain_v": 0.8}
    node = bench.start(MppiControllerNode, **CIRCLE, **settings)
    bench.until(lambda: robot.fastest > 0.1 and watch.running())
    known = FirstOrderConfig(delay=0.1, gain_v=0.8).weights(0.05)
    served = node._loop._snapshot()[0]
    assert served.digest() == known.digest()
    assert watch.all[-1].weights_version == (0 if model == "residual" else 1)
