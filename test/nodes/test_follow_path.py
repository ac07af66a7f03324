"""``follow_path``, ``speed_limit`` and ``bond`` of a controller in a process of its own, as nav2 uses them.

The interfaces are generated for the session where nav2 is not installed.
"""

from __future__ import annotations

import importlib.util
import math
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Twist, Vector3
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from mppi_maml_ros.msg import ControllerStatus
from nav_msgs.msg import OccupancyGrid, Path
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_msgs.msg import Header

from mppi_maml_ros.control.output import ControlOutput
from mppi_maml_ros.core.errors import InvalidPathError
from mppi_maml_ros.nodes.follow_path import feedback, fill
from mppi_maml_ros.nodes.mppi_controller import MppiControllerNode
from mppi_maml_ros.ros import conversions as to
from mppi_maml_ros.ros import qos
from mppi_maml_ros.ros.parameters import ParameterError

from .conftest import ROOT, Bench, FakeRobot
from .nav2_interfaces import PACKAGES, generate

pytestmark = pytest.mark.timeout(300)  # the interfaces are built before the first test

SUCCEEDED = GoalStatus.STATUS_SUCCEEDED
CANCELED = GoalStatus.STATUS_CANCELED
ABORTED = GoalStatus.STATUS_ABORTED
# The robot lives in the process of the test, which others may keep from running.
LENIENT = {"odom_timeout": 1.0, "max_odometry_age": 1.0, "overrun_limit": 20}
PARAMETERS = {**LENIENT, "path_source": "action", "batch_size": 300, "bond_heartbeat_period": 0.05}


@pytest.fixture(scope="session")
def interfaces(tmp_path_factory):
    """Nav2's interfaces, generated once; None where they are installed."""
    if all(importlib.util.find_spec(name) for name in PACKAGES):
        return None
    if not shutil.which("cc"):
        pytest.skip("a compiler is needed to generate nav2's interfaces")
    return generate(tmp_path_factory.mktemp("nav2"))


@pytest.fixture(scope="module")
def nav2(interfaces):
    """The environment of a process that finds nav2_msgs and bond, which this one finds too meanwhile."""
    if interfaces is None:
        yield None
        return
    interfaces.load()
    yield interfaces.environment()
    interfaces.unload()


class Controller:
    """A controller that runs as a process, and what a client of it needs."""

    def __init__(self, environment, before: str = "", namespace: str = "", files=(), **values):
        code = f"import sys\nfrom mppi_maml_ros.nodes import mppi_controller as node\n{before}\n"
        code += "sys.exit(node.main(sys.argv))"
        arguments = [word for name in files for word in ("--params-file", f"config/{name}.yaml")]
        ours = "mppi_controller:" if files else ""  # what is said of a node goes before what is said of all
        arguments += [word for name, value in values.items() for word in ("-p", f"{ours}{name}:={value}")]
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "--ros-args", "-r", f"__ns:=/{namespace}", *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def end(self) -> str:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.communicate(timeout=15.0)[0]
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


class Client:
    """What bt_navigator does with ``follow_path``."""

    def __init__(self, bench: Bench, robot: FakeRobot, prefix: str = ""):
        from nav2_msgs.action import FollowPath
        from nav2_msgs.msg import SpeedLimit
        from rclpy.action import ActionClient

        self.bench, self.robot, self.kind, self.prefix = bench, robot, FollowPath, prefix
        self.node = bench.probe("bt_navigator")
        self.action = ActionClient(self.node, FollowPath, f"{prefix}follow_path")
        self.feedback = []
        self.limit = self.node.create_publisher(SpeedLimit, f"{prefix}speed_limit", 10)
        self.grid = self.node.create_publisher(OccupancyGrid, f"{prefix}costmap", qos.MAP)
        self.status: list[ControllerStatus] = []
        self.node.create_subscription(
            ControllerStatus, f"{prefix}mppi_controller/status", self.status.append, 50
        )
        self.parameters = self.node.create_client(SetParameters, f"{prefix}mppi_controller/set_parameters")

    def discovered(self) -> None:
        """Both sides know each other: a response to a client that the server does not know yet is lost.

        It knows the action's client when it knows the status' subscription, which was announced later.
        """
        self.bench.until(self.action.server_is_ready, 60.0)
        self.bench.until(lambda: self.status and self.robot.node.count_publishers(f"{self.prefix}odom"), 60.0)

    def ready(self) -> None:
        self.discovered()
        assert self.status[-1].state in (
            ControllerStatus.WAITING_FOR_PLAN,
            ControllerStatus.WAITING_FOR_ODOMETRY,
        )
        self.bench.until(lambda: self.status[-1].state == ControllerStatus.WAITING_FOR_PLAN)

    def now(self) -> float:
        """On the clock of nodes [s]."""
        return to.now(self.node.get_clock())

    def path(self, length: float = 2.0, frame: str = "fleet/odom") -> Path:
        """Straight ahead of the robot."""
        x, y, yaw = self.robot.state[:3]
        s = np.linspace(0.0, length, 40)
        poses = np.column_stack([x + s * math.cos(yaw), y + s * math.sin(yaw), np.full_like(s, yaw)])
        return to.path_message(self.node.get_clock().now().to_msg(), frame, poses)

    def send(self, path: Path, controller: str = "FollowPath"):
        goal = self.kind.Goal(path=path, controller_id=controller, goal_checker_id="general_goal_checker")
        goal.progress_checker_id = "progress_checker"
        future = self.action.send_goal_async(goal, lambda message: self.feedback.append(message.feedback))
        self.bench.until(future.done)
        return future.result()

    def result(self, handle, timeout: float = 20.0):
        """Status and result."""
        future = handle.get_result_async()
        self.bench.until(future.done, timeout)
        return future.result().status, future.result().result

    def failure(self, path: Path, **options) -> str:
        """Name of the error by which a goal is aborted."""
        handle = self.send(path, **options)
        assert handle.accepted
        status, result = self.result(handle)
        assert status == ABORTED and result.error_msg
        self.bench.until(self.stopped, 0.5)
        self.reason = result.error_msg
        names = [name for name in dir(self.kind.Result) if name.isupper()]
        return next(name for name in names if getattr(self.kind.Result, name) == result.error_code)

    def stopped(self) -> bool:
        """The robot was told last to stand still, or never to move."""
        return not self.robot.commands or self.robot.commands[-1][1:] == (0.0, 0.0)

    def set(self, **values) -> None:
        request = SetParameters.Request()
        request.parameters = [
            Parameter(name, value=value).to_parameter_msg() for name, value in values.items()
        ]
        answer = self.bench.call(self.parameters, request)
        assert all(result.successful for result in answer.results), answer

    def fill_costmap(self, value: int) -> None:
        """All around the robot."""
        grid = OccupancyGrid(header=Header(frame_id="fleet/odom"), data=[value] * 3600)
        grid.info.resolution, grid.info.width, grid.info.height = 0.1, 60, 60
        grid.info.origin.position.x, grid.info.origin.position.y = (a - 3.0 for a in self.robot.state[:2])
        self.grid.publish(grid)


def message(*fields):
    """One that has these fields, as messages of other distributions than Jazzy have them."""

    class Message:
        __slots__ = fields

        @classmethod
        def get_fields_and_field_types(cls):
            return dict.fromkeys(fields, "")

    return Message


@pytest.mark.parametrize(
    ("fields", "inner", "told"),
    [
        (("distance_to_goal", "speed"), (), {"distance_to_goal": 3.0, "speed": 0.4}),  # up to Kilted
        (
            ("tracking_feedback",),  # from Lyrical on
            ("position_tracking_error", "heading_tracking_error", "current_path_index", "speed"),
            {"position_tracking_error": 0.2, "heading_tracking_error": -0.1, "speed": 0.4},
        ),
    ],
)
def test_feedback_is_that_of_the_distribution(fields, inner, told):
    made = message(*fields)()
    if inner:
        made.tracking_feedback = message(*inner)()
    output = ControlOutput(
        command=np.array([0.4, 0.0]),
        state=1,
        reference=np.zeros(3),
        predicted_pose=np.array([0.0, 0.2, 0.1]),
        heading_error=-0.1,
        remaining=3.0,
    )
    filled = feedback(made, output)
    part = filled.tracking_feedback if inner else filled
    found = {name: getattr(part, name) for name in part.__slots__ if hasattr(part, name)}
    assert found == pytest.approx(told)


def test_a_result_without_an_error_code_as_in_humble_is_filled_as_far_as_it_goes():
    assert not hasattr(fill(message("result")(), {"error_code": 105, "error_msg": "why"}), "error_code")
    assert fill(message("error_code")(), {"error_code": 105, "error_msg": "why"}).error_code == 105


@pytest.mark.parametrize("source", ["auto", "topic"])
def test_without_nav2_msgs_the_topic_plan_is_all_there_is_and_the_log_says_so(bench, capfd, source):
    if importlib.util.find_spec("nav2_msgs"):
        pytest.skip("nav2_msgs is installed")
    node = bench.start(MppiControllerNode, path_source=source, batch_size=50)
    assert [s.topic_name for s in node.subscriptions if s.topic_name == "/plan"] == ["/plan"]
    told = capfd.readouterr().err
    assert ("nav2_msgs is not installed: paths come by the topic plan alone" in told) == (source == "auto")


def test_with_the_action_alone_a_controller_refuses_to_start_without_nav2_msgs_or_for_a_figure(bench):
    if not importlib.util.find_spec("nav2_msgs"):
        with pytest.raises(
            ParameterError, match="path_source action needs nav2_msgs, which is not installed"
        ):
            bench.start(MppiControllerNode, path_source="action", batch_size=50)
    with pytest.raises(ParameterError, match="path_source action needs reference plan, got circle"):
        bench.start(MppiControllerNode, path_source="action", reference="circle", batch_size=50)


@pytest.fixture(scope="module")
def driven(nav2):
    """One controller, configured as by nav2.launch.py, for the tests that leave no trace: (client, robot)."""
    bench = Bench()
    robot = FakeRobot(bench)
    files = ("mppi_controller", "path_following", "nav2")
    controller = Controller(nav2, files=files, autostart="true", **LENIENT)
    client = Client(bench, robot)
    try:
        client.ready()
        yield client, robot
    finally:
        bench.close()
        output = controller.end()
    assert "Traceback" not in output, output


@pytest.fixture
def launched(nav2, bench):
    """Controllers of one test: (client, robot)."""
    started = []

    def start(before: str = "", **parameters):
        robot = FakeRobot(bench, topic_prefix="alone/")  # beside the shared one
        started.append(Controller(nav2, before, "alone", **{**PARAMETERS, **parameters}))
        return Client(bench, robot, "alone/"), robot

    yield start
    for controller in started:
        controller.end()


def test_a_goal_is_reached_with_feedback_and_then_there_is_silence(driven):
    client, robot = driven
    client.feedback.clear()
    status, result = client.result(client.send(client.path(1.5)))
    assert status == SUCCEEDED
    assert result.error_code == client.kind.Result.NONE and result.error_msg == ""
    client.bench.until(client.stopped, 0.5)
    ways, speeds = zip(*((f.distance_to_goal, f.speed) for f in client.feedback))
    assert 1.3 < ways[0] <= 1.51 and ways[-1] < 0.3 and np.diff(ways).max() < 0.01
    assert 0.3 < max(speeds) <= 1.0 and min(speeds) >= 0.0
    before = len(robot.commands)
    seen = len(client.status)
    client.bench.until(lambda: len(client.status) > seen + 10)  # ten periods
    assert len(robot.commands) <= before + 1  # others may command the robot


def test_between_goals_others_may_drive_the_robot(driven):
    client, robot = driven
    reports: list[DiagnosticStatus] = []
    client.node.create_subscription(
        DiagnosticArray, "/diagnostics", lambda message: reports.extend(message.status), 10
    )
    behavior = client.node.create_publisher(Twist, "cmd_vel", 1)
    client.bench.until(lambda: behavior.get_subscription_count() > 0)
    before = len(robot.commands)
    while len(robot.commands) < before + 20:
        behavior.publish(Twist(angular=Vector3(z=0.5)))
        client.bench.executor.spin_once(timeout_sec=0.05)
    assert {(v, omega) for _, v, omega in robot.commands[before:]} == {(0.0, 0.5)}
    reports.clear()
    told = lambda: [r for r in reports if r.name == "mppi_controller: commands"]  # noqa: E731
    client.bench.until(told)
    assert told()[0].level == DiagnosticStatus.OK
    client.node.destroy_publisher(behavior)
    assert client.result(client.send(client.path(0.5)))[0] == SUCCEEDED


def test_a_goal_that_is_canceled_ends_when_the_robot_was_told_to_stand(driven):
    client, robot = driven
    handle = client.send(client.path(5.0))
    client.bench.until(lambda: robot.commands[-1][1] > 0.3)
    future = handle.cancel_goal_async()
    client.bench.until(future.done)
    assert len(future.result().goals_canceling) == 1
    status, result = client.result(handle)
    assert status == CANCELED and result.error_code == client.kind.Result.NONE
    client.bench.until(client.stopped, 0.5)


def test_another_goal_takes_the_place_of_the_first_without_a_stop(driven):
    client, robot = driven
    first = client.send(client.path(4.0))
    client.bench.until(lambda: robot.commands[-1][1] > 0.4)
    before = len(robot.commands)
    second = client.send(client.path(1.5))
    status, result = client.result(first)
    assert status == ABORTED and result.error_code == client.kind.Result.NONE
    client.bench.until(lambda: len(robot.commands) > before + 10)
    assert min(v for _, v, _ in robot.commands[before : before + 10]) > 0.3
    assert client.result(second)[0] == SUCCEEDED


def test_an_empty_path_one_that_is_not_finite_and_one_far_away_are_invalid(driven):
    client, _ = driven
    far = client.path()
    for pose in far.poses:
        pose.pose.position.y += 50.0
    broken = client.path()
    broken.poses[3].pose.position.x = math.nan
    for path in (Path(header=far.header), broken, far):
        assert client.failure(path) == "INVALID_PATH"


def test_a_path_with_times_is_driven_by_them_and_times_that_go_back_are_invalid(driven):
    client, _ = driven
    path = client.path(1.0)
    begun = to.seconds(path.header.stamp) + 0.5
    for k, pose in enumerate(path.poses):
        pose.header.stamp = to.to_stamp(begun + 0.1 * k)
    client.feedback.clear()
    status, result = client.result(client.send(path))
    assert status == SUCCEEDED and result.error_code == client.kind.Result.NONE
    assert client.now() >= begun + 3.9, "the path lasts until then"
    assert np.median([feedback.speed for feedback in client.feedback]) < 0.4  # .26 m/s are asked for, not .5
    path.poses[7].header.stamp = path.poses[5].header.stamp
    path.poses[-1].header.stamp = to.to_stamp(client.now() + 60.0)
    assert client.failure(path) == "INVALID_PATH" and "pose 7 of 40" in client.reason


def test_a_path_in_a_frame_without_a_transform_is_an_error_of_tf(driven):
    client, _ = driven
    assert client.failure(client.path(frame="map")) == "TF_ERROR"


def test_a_controller_of_another_name_is_invalid_and_no_name_is_ours(driven):
    client, _ = driven
    assert client.failure(client.path(), controller="Other") == "INVALID_CONTROLLER"
    assert client.result(client.send(client.path(0.5), controller=""))[0] == SUCCEEDED


def test_a_robot_amid_obstacles_has_no_valid_control_or_patience_ends(driven):
    client, _ = driven
    client.fill_costmap(100)
    costs = {"obstacles.cost_weight": 1e6, "obstacles.collision_cost": 1e6, "obstacles.cost_power": 4}
    try:
        client.set(failure_tolerance=0.0, **costs)  # a contact costs more than a number can hold
        assert client.failure(client.path()) == "NO_VALID_CONTROL", client.reason
        client.set(failure_tolerance=0.3)
        started = time.monotonic()
        assert client.failure(client.path()) == "PATIENCE_EXCEEDED", client.reason
        assert time.monotonic() - started > 0.3
    finally:
        client.fill_costmap(0)
        usual = {"obstacles.cost_weight": 10.0, "obstacles.collision_cost": 1000.0, "obstacles.cost_power": 1}
        client.set(failure_tolerance=0.3, **usual)
    assert client.result(client.send(client.path(0.5)))[0] == SUCCEEDED


def test_a_robot_that_does_not_come_on_fails_to_make_progress(driven):
    client, robot = driven
    client.set(movement_time_allowance=0.6)
    try:
        robot.GAIN = 0.0
        assert client.failure(client.path()) == "FAILED_TO_MAKE_PROGRESS", client.reason
    finally:
        robot.GAIN = FakeRobot.GAIN
        client.set(movement_time_allowance=10.0)
    assert client.result(client.send(client.path(0.5)))[0] == SUCCEEDED


def test_odometry_that_stops_is_an_error_of_tf(driven):
    client, robot = driven
    handle = client.send(client.path(5.0))
    client.bench.until(lambda: robot.commands[-1][1] > 0.3)
    robot.mute()
    status, result = client.result(handle)
    robot._timer.reset()
    assert status == ABORTED and result.error_code == client.kind.Result.TF_ERROR
    client.bench.until(lambda: client.status[-1].state == ControllerStatus.WAITING_FOR_PLAN)


def test_a_speed_limit_holds_in_per_cent_and_in_metres_a_second_until_it_is_lifted(driven):
    from nav2_msgs.msg import SpeedLimit

    client, robot = driven

    def fastest() -> float:
        before = len(robot.commands)
        assert client.result(client.send(client.path(0.9)))[0] == SUCCEEDED
        return max(v for _, v, _ in robot.commands[before:])

    try:
        for limit, bound in (
            (SpeedLimit(percentage=True, speed_limit=20.0), 0.2),
            (SpeedLimit(percentage=False, speed_limit=0.3), 0.3),
            (SpeedLimit(percentage=False, speed_limit=math.nan), 0.3),  # refused: the one before holds
        ):
            client.limit.publish(limit)
            assert 0.7 * bound < fastest() <= bound + 1e-6
    finally:
        client.limit.publish(SpeedLimit(speed_limit=0.0))
    assert fastest() > 0.4


def test_a_limit_that_comes_while_it_drives_is_braked_to(driven):
    from nav2_msgs.msg import SpeedLimit

    client, robot = driven
    handle = client.send(client.path(3.0))
    client.bench.until(lambda: robot.commands[-1][1] > 0.45)
    client.limit.publish(SpeedLimit(percentage=True, speed_limit=20.0))
    client.bench.until(lambda: robot.commands[-1][1] <= 0.2)
    client.limit.publish(SpeedLimit())
    client.bench.until(lambda: robot.commands[-1][1] > 0.45)
    assert client.result(handle)[0] == SUCCEEDED


def test_a_controller_that_cannot_keep_its_rate_times_out(launched):
    slow = """
import time
from mppi_maml_ros.control.step import ControlStep
step = ControlStep.run
def run(self, *given, **named):
    time.sleep(0.2)
    return step(self, *given, **named)
ControlStep.run = run
"""
    client, _ = launched(
        before=slow, overrun_limit=1, overrun_recovery=10000, retry_attempt_limit=0, odom_timeout=5.0
    )
    client.ready()
    assert client.failure(client.path()) == "CONTROLLER_TIMED_OUT", client.reason


def test_an_exception_in_the_control_step_is_an_unknown_error(launched):
    client, _ = launched(before="from mppi_maml_ros.control.step import ControlStep\nControlStep.run = None")
    client.ready()
    assert client.failure(client.path()) == "UNKNOWN", client.reason


def test_goals_are_refused_while_the_controller_is_not_active_and_end_when_it_is_deactivated(launched):
    client, robot = launched(autostart="false")
    change = client.node.create_client(ChangeState, f"{client.prefix}mppi_controller/change_state")

    def to_state(transition: int) -> None:
        answer = client.bench.call(change, ChangeState.Request(transition=Transition(id=transition)), 60.0)
        assert answer.success

    to_state(Transition.TRANSITION_CONFIGURE)
    client.bench.until(client.action.server_is_ready)
    assert not client.send(client.path()).accepted
    to_state(Transition.TRANSITION_ACTIVATE)
    client.ready()
    handle = client.send(client.path(5.0))
    client.bench.until(lambda: robot.fastest > 0.3)
    to_state(Transition.TRANSITION_DEACTIVATE)
    status, result = client.result(handle)
    assert status == ABORTED and result.error_code == client.kind.Result.NONE
    client.bench.until(client.stopped)
    state = client.node.create_client(GetState, f"{client.prefix}mppi_controller/get_state")
    answer = client.bench.call(state, GetState.Request())
    assert answer.current_state.id == State.PRIMARY_STATE_INACTIVE


def test_a_bond_is_held_while_the_controller_is_active_with_another_instance_each_time(launched):
    from bond.msg import Status

    client, _ = launched(autostart="false")
    heard: list[Status] = []
    client.node.create_subscription(Status, f"{client.prefix}bond", heard.append, 10)
    change = client.node.create_client(ChangeState, f"{client.prefix}mppi_controller/change_state")
    instances = set()
    for transition in ("CONFIGURE", "ACTIVATE", "DEACTIVATE", "ACTIVATE", "DEACTIVATE"):
        heard.clear()
        request = ChangeState.Request(
            transition=Transition(id=getattr(Transition, f"TRANSITION_{transition}"))
        )
        assert client.bench.call(change, request, 60.0).success
        if transition == "ACTIVATE":
            client.bench.until(lambda: len(heard) > 5, 2.0)  # the manager waits for two seconds
            assert all(status.active and status.id == "mppi_controller" for status in heard)
            instances |= {status.instance_id for status in heard}
        elif transition == "DEACTIVATE":
            client.bench.until(lambda: heard and not heard[-1].active, 2.0)
    assert len(instances) == 2


def test_the_topic_plan_and_goals_share_a_controller_by_default(launched):
    client, robot = launched(path_source="auto")
    plan = client.node.create_publisher(Path, f"{client.prefix}plan", 10)
    client.bench.until(lambda: plan.get_subscription_count() > 0, 60.0)
    client.ready()
    plan.publish(client.path(5.0))
    client.bench.until(lambda: robot.fastest > 0.3)
    x, y, yaw = robot.state[:3]
    handle = client.send(client.path(1.0))
    client.bench.until(lambda: client.feedback)
    plan.publish(client.path(9.0))  # not now
    assert client.result(handle)[0] == SUCCEEDED
    assert math.hypot(robot.state[0] - x, robot.state[1] - y) < 1.6
    plan.publish(client.path(2.0))
    before = len(robot.commands)
    client.bench.until(lambda: max((v for _, v, _ in robot.commands[before:]), default=0.0) > 0.3)


def test_a_goal_that_comes_before_odometry_is_followed_from_its_coming_on(launched):
    client, robot = launched(failure_tolerance=-1.0)
    robot.mute()
    client.discovered()
    handle = client.send(client.path(1.0))
    robot._timer.reset()
    assert client.result(handle)[0] == SUCCEEDED


def trajectory(client, length: float, seconds: float, start: float = 0.0):
    """Straight ahead of the robot, its points the same time apart; no stamp without a start."""
    from builtin_interfaces.msg import Duration
    from geometry_msgs.msg import Transform
    from trajectory_msgs.msg import MultiDOFJointTrajectory, MultiDOFJointTrajectoryPoint

    made = MultiDOFJointTrajectory(joint_names=["base"])
    made.header = Header(stamp=to.to_stamp(start), frame_id="fleet/odom")
    for k, stamped in enumerate(client.path(length).poses):
        at = Transform(rotation=stamped.pose.orientation)
        at.translation.x, at.translation.y = stamped.pose.position.x, stamped.pose.position.y
        stamp = to.to_stamp(k * seconds / 39)
        since = Duration(sec=stamp.sec, nanosec=stamp.nanosec)
        made.points.append(MultiDOFJointTrajectoryPoint(transforms=[at], time_from_start=since))
    return made


def test_a_trajectory_is_read_as_poses_and_times(driven):
    client, _ = driven
    read = to.read_trajectory(trajectory(client, 2.0, 3.9))
    assert (read.frame_id, read.headed, read.timed) == ("fleet/odom", True, True)
    np.testing.assert_allclose(read.stamps, np.arange(40) * 0.1, atol=1e-8)
    x, y, yaw = client.robot.state[:3]
    np.testing.assert_allclose(read.poses[-1], [x + 2 * math.cos(yaw), y + 2 * math.sin(yaw), yaw], atol=1e-3)
    later = to.read_trajectory(trajectory(client, 2.0, 3.9, start=1000.0))
    np.testing.assert_allclose(later.stamps, 1000.0 + np.arange(40) * 0.1)
    arm = trajectory(client, 2.0, 3.9)
    arm.joint_names.append("arm")
    with pytest.raises(InvalidPathError, match="one joint, the robot's base, got 2"):
        to.read_trajectory(arm)


def test_a_trajectory_is_driven_by_its_times_and_one_that_is_over_is_refused(launched):
    client, robot = launched(path_source="auto")
    client.ready()
    kind = type(trajectory(client, 1.0, 1.0))
    publisher = client.node.create_publisher(kind, "alone/trajectory", qos.STATE)
    client.bench.until(publisher.get_subscription_count)
    begun = client.now() + 0.5
    x, y, yaw = robot.state[:3]
    publisher.publish(trajectory(client, 1.0, 4.0, begun))
    client.bench.until(lambda: client.status[-1].state == ControllerStatus.GOAL_REACHED)
    assert client.now() >= begun + 4.0, "the trajectory lasts until then"
    assert math.hypot(robot.state[0] - x - math.cos(yaw), robot.state[1] - y - math.sin(yaw)) < 0.25
    publisher.publish(trajectory(client, 1.0, 4.0, begun - 60.0))
    client.bench.until(lambda: client.status[-1].code == ControllerStatus.INVALID_PATH)
    assert "the last of its times was" in client.status[-1].reason
