"""What the live page shows of a robot, and parameters set over the services of its nodes."""

import contextlib
import json
import signal
import subprocess
import sys
import threading
import urllib.request

import numpy as np
import pytest
import rclpy
from mppi_maml_ros.msg import AdaptationStatus, ControllerStatus
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import ParameterEvent
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.serialization import serialize_message

from mppi_maml_ros import cli
from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.ros.conversions import candidates_message, path_message, to_stamp
from mppi_maml_ros.ros.parameters import Declared, Parameters
from mppi_maml_ros.system.live_parameters import ParameterDesk
from mppi_maml_ros.system.live_server import UnreachableError
from mppi_maml_ros.system.live_web import WebView


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def view(clock):
    return WebView(clock)


def odometry(x, y=0.0, frame="odom"):
    message = Odometry()
    message.header.frame_id = frame
    message.pose.pose.position.x, message.pose.pose.position.y = x, y
    message.pose.pose.orientation.w = 1.0
    message.twist.twist.linear.x = 0.4
    return message


def status(state=ControllerStatus.RUNNING, **fields):
    return ControllerStatus(state=state, **fields)


def test_a_page_opened_before_the_robot_shows_nothing(view):
    state = view.tick()
    assert state["controller"] is state["adaptation"] is state["pose"] is None
    assert state["trail"] == state["plan"] == state["best"] == [[], []] and state["candidates"] == []
    assert np.isnan(state["error"]).all() and state["silent"] == np.inf


def test_the_plots_are_sampled_and_a_silent_controller_has_no_error(view, clock):
    view.on_odometry(odometry(1.0))
    view.on_controller(status(tracking_error=0.2))
    first = view.tick()
    clock.now += 0.5
    state = view.tick()
    assert first["controller"]["state"] == "running"
    assert state["t"] == (0.0, 0.5) and state["error"] == (0.2, 0.2) and state["v"] == (0.4, 0.4)
    clock.now += 2.0
    state = view.tick()
    assert state["silent"] == 2.5 and np.isnan(state["error"][-1])


def test_a_trail_follows_the_robot_and_begins_anew_where_it_was_put_elsewhere(view):
    for x in (0.0, 0.001, 0.1, 0.2):
        view.on_odometry(odometry(x))
    assert view.tick()["trail"] == [[0.0, 0.1, 0.2], [0.0, 0.0, 0.0]]
    view.on_odometry(odometry(50.0))
    view.on_odometry(odometry(float("nan")))
    assert view.tick()["trail"] == [[50.0], [0.0]]


def test_candidates_and_the_chosen_way_are_those_of_a_running_robot(view):
    view.on_odometry(odometry(0.0))
    poses = np.zeros((50, 56, 3))
    poses[:, :, 0] = np.linspace(0.0, 1.0, 56)
    poses[:, :, 1] = np.arange(50)[:, None]
    costs = np.arange(50)[::-1].astype(float)
    view.keep("candidates")(serialize_message(candidates_message(to_stamp(1.0), "odom", poses, costs)))
    view.keep("best")(serialize_message(path_message(to_stamp(1.0), "odom", poses[3])))
    view.on_controller(status())
    state = view.tick()
    xs, ys, rank = state["candidates"][0]
    assert len(state["candidates"]) == 24 and len(xs) == 16 and (xs[0], xs[-1]) == (0.0, 1.0)
    assert rank == 0.0 and ys[0] == 49.0 and state["candidates"][-1][1][0] == 0.0
    assert state["best"][1] == [3.0] * 56
    view.on_controller(status(ControllerStatus.STOPPED, reason="told to"))
    state = view.tick()
    assert state["candidates"] == [] and state["best"] == [[], []]
    assert state["events"][-1].endswith("STOPPED told to")


@pytest.mark.parametrize("frame, points", [("odom", 400), ("map", 0)])
def test_a_plan_is_thinned_and_shown_in_the_frame_of_odometry_alone(view, frame, points):
    view.on_odometry(odometry(0.0))
    poses = np.linspace(0.0, 1.0, 3000)[:, None] * np.array([1.0, 2.0, 0.0])
    view.keep("plan")(serialize_message(path_message(to_stamp(1.0), frame, poses)))
    xs, ys = view.tick()["plan"]
    assert len(xs) == len(ys) == points and (not points or (xs[-1], ys[-1]) == (1.0, 2.0))


def test_what_is_out_of_the_ordinary_ends_nothing(view):
    view.on_odometry(odometry(0.0))
    view.on_controller(status(200))
    view.on_controller(status(201))
    view.on_adaptation(AdaptationStatus(state=77, held_out_current=float("nan")))
    view.keep("plan")(b"\0\1\0\0no path")
    state = view.tick()
    assert state["controller"]["state"] == "state 201" and state["adaptation"]["state"] == "state 77"
    assert state["plan"] == [[], []] and state["events"][-1].endswith("STATE 201")


def test_rejections_in_a_row_are_one_event(view):
    view.on_adaptation(AdaptationStatus())
    for k in range(1, 4):
        view.on_adaptation(AdaptationStatus(swaps_rejected=k, reason=f"no better, {k}"))
    view.on_adaptation(AdaptationStatus(swaps_rejected=3, swaps_accepted=1, reason="better"))
    view.on_adaptation(AdaptationStatus(swaps_rejected=4, swaps_accepted=1, reason="worse"))
    events = [event.split("  ")[1] for event in view.tick()["events"]]
    assert events == ["3 x rejected: no better, 3", "swap accepted, version 0: better", "rejected: worse"]
    assert view.tick()["adaptation"]["state"] == "disabled"


def test_a_parameter_that_somebody_set_is_noticed(view):
    view.on_parameters(ParameterEvent(node="/robot1/mppi_controller"))
    view.on_parameters(ParameterEvent(node="/rviz"))
    assert view.tick()["changes"] == 1


TABLE = (
    Declared("speed", 0.5, "Of the robot", "m/s", 0.0, 2.0, dynamic=True),
    Declared("count", 10, "Of rollouts", "", 1, 100, dynamic=True),
    Declared("learn", True, "Or not", dynamic=True),
    Declared("timing", "auto", "How", choices=("auto", "clock"), dynamic=True),
    Declared("file", "", "A name without choices", dynamic=True),
    Declared("weights", (1.0, 2.0), "A list", dynamic=True),
    Declared("unbounded", 1.0, "Without an end", "", 0.0, None, dynamic=True),
    Declared("fixed", 0.5, "At the start alone", "", 0.0, 1.0),
)


def forbid(values):
    if values["speed"] > 1.0 and values["count"] > 50:
        raise InvalidValueError("no more than 50 at such a speed")


@pytest.fixture
def robot():
    """A node with parameters, and a desk whose executor runs on a thread, as that of the page does."""
    context = rclpy.Context()
    rclpy.init(context=context, args=[])
    node = rclpy.create_node("mppi_controller", context=context, namespace="tested")
    parameters = Parameters(node, TABLE, forbid)
    asking = rclpy.create_node("live", context=context, namespace="tested", start_parameter_services=False)
    desk = ParameterDesk(asking, ("mppi_controller", "adaptation"))
    executor = SingleThreadedExecutor(context=context)
    for each in (node, asking):
        executor.add_node(each)

    def spin():
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    assert desk._clients["mppi_controller"].wait_for_services(10.0)
    yield desk, parameters
    executor.shutdown()
    thread.join(5.0)
    rclpy.try_shutdown(context=context)


def test_what_can_be_set_is_offered_with_the_ranges_of_its_descriptor(robot):
    desk, _ = robot
    offered = {one.pop("name"): one for one in desk.parameters()}
    assert set(offered) == {"speed", "count", "learn", "timing"}
    common = {"node": "mppi_controller"}
    assert offered["speed"] == common | {
        "type": "float",
        "value": 0.5,
        "low": 0.0,
        "high": 2.0,
        "description": "Of the robot [m/s]",
    }
    assert offered["count"] == common | {
        "type": "int",
        "value": 10,
        "low": 1,
        "high": 100,
        "description": "Of rollouts",
    }
    assert offered["learn"] == common | {"type": "bool", "value": True, "description": "Or not"}
    assert offered["timing"]["choices"] == ["auto", "clock"]


@pytest.mark.parametrize(
    "name, value", [("speed", 2), ("count", 20.0), ("learn", False), ("timing", "clock")]
)
def test_a_value_that_is_allowed_is_set(robot, name, value):
    desk, parameters = robot
    assert desk.set_parameter("mppi_controller", name, value) == value
    assert parameters[name] == value


@pytest.mark.parametrize(
    "name, value, says",
    [
        ("speed", 2.5, r"speed must be in \[0, 2\], got 2.5"),
        ("speed", "fast", "speed must be a number, got 'fast'"),
        ("speed", True, "speed must be a number, got True"),
        ("speed", float("nan"), "speed must be a number, got nan"),
        ("count", 0, r"count must be in \[1, 100\], got 0"),
        ("count", 2.5, "count must be an integer, got 2.5"),
        ("learn", 1, "learn must be true or false, got 1"),
        ("timing", "never", "timing stays at auto: timing must be one of auto, clock, got 'never'"),
        ("fixed", 0.7, "mppi_controller offers no parameter 'fixed'"),
        ("file", "x", "mppi_controller offers no parameter 'file'"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_with_what_is(robot, name, value, says):
    desk, parameters = robot
    before = dict(parameters)
    with pytest.raises(InvalidValueError, match=says):
        desk.set_parameter("mppi_controller", name, value)
    assert dict(parameters) == before


def test_values_that_do_not_go_together_are_refused_by_the_node_itself(robot):
    desk, parameters = robot
    desk.set_parameter("mppi_controller", "speed", 1.5)
    with pytest.raises(InvalidValueError, match="count stays at 10: no more than 50 at such a speed"):
        desk.set_parameter("mppi_controller", "count", 60)
    assert parameters["count"] == 10


def test_a_node_that_is_not_there_is_told(robot, monkeypatch):
    desk, _ = robot
    with pytest.raises(
        InvalidValueError, match="node must be one of mppi_controller, adaptation, got 'rviz'"
    ):
        desk.set_parameter("rviz", "speed", 1.0)
    with pytest.raises(InvalidValueError, match="adaptation offers no parameter 'enabled'"):
        desk.set_parameter("adaptation", "enabled", True)
    desk._offered["adaptation", "enabled"] = {"name": "enabled", "type": "bool", "value": True}
    monkeypatch.setattr("mppi_maml_ros.system.live_parameters._TAKES", 0.2)
    with pytest.raises(UnreachableError, match="adaptation does not answer"):
        desk.set_parameter("adaptation", "enabled", False)


def test_the_command_serves_a_page_until_it_is_interrupted(root):
    command = [sys.executable, "-m", "mppi_maml_ros.cli", "live", "--web", "--port", "0"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().split()[0]
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{url}events", timeout=10) as events:
            states = [json.loads(line[6:]) for line, _ in zip(events, range(4), strict=False) if line.strip()]
        assert states[1]["t"][-1] > states[0]["t"][-1] and states[1]["controller"] is None
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_a_page_for_others_is_served_with_a_warning_and_names_are_checked(capsys):
    web = ["live", "--web", "--port", "0", "--duration", "0.2"]
    assert cli.main([*web, "--host", "0.0.0.0"]) == 0
    assert "whoever reaches this address may set the robot's parameters" in capsys.readouterr().out
    assert cli.main(web) == 0
    assert "whoever" not in capsys.readouterr().out
    assert cli.main([*web, "--namespace", "a b"]) == 1 and "a namespace has" in capsys.readouterr().err
    assert cli.main([*web, "--odom-topic", "a b"]) == 1 and "a topic has" in capsys.readouterr().err
