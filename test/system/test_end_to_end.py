"""The whole system over DDS: each node a process of its own, as installed."""

import math
import signal
import statistics
import sys
from itertools import pairwise
from pathlib import Path

import attrs
import pytest
from mppi_maml_ros.msg import AdaptationStatus, ControllerStatus
from mppi_maml_ros.srv import MetaTrain
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters

from mppi_maml_ros.system.demo import FIGURES, draw_world
from mppi_maml_ros.weights.meta_model import MetaModel

START_TIMEOUT = 60.0  # [s]
STOP_WITHIN = 0.6  # [s] from the last odometry to an exact zero

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow, pytest.mark.timeout(300)]


def speed(message):
    return math.hypot(message.linear.x, message.angular.z)


def is_zero(message):
    return all(getattr(vector, axis) == 0.0 for vector in (message.linear, message.angular) for axis in "xyz")


def running(status):
    return status.state == ControllerStatus.RUNNING


def assert_safe(messages, limits):
    assert messages
    for message in messages:
        v, omega = message.linear.x, message.angular.z
        assert math.isfinite(v) and math.isfinite(omega)
        assert limits["vx_min"] <= v <= limits["vx_max"], v
        assert abs(omega) <= limits["wz_max"], omega


def driven(statuses, with_weights):
    """Control periods in which the robot tracked the reference, before or after the first swap."""
    return [s for s in statuses if running(s) and (s.weights_version >= 1) == with_weights]


def typical_error(statuses):
    """Median tracking error [m]."""
    assert len(statuses) >= 10, "too few control periods to compare"
    return statistics.median(status.tracking_error for status in statuses)


def drive(listener, group, periods, with_weights=True):
    """Wait until so many periods were driven, with swapped weights or without; all statuses so far."""

    def enough():
        return len(driven(listener.messages("mppi_controller/status"), with_weights)) >= periods

    what = f"{periods} control periods {'with' if with_weights else 'without'} weights"
    listener.wait_for(enough, 0.05 * periods + 20.0, what, group)
    return listener.messages("mppi_controller/status")


def stalls(listener, longest=0.2):
    """Times [s] until which nothing was sent for ``longest`` by the robot, or by the controller."""
    times = []
    for topic in ("odom", "cmd_vel"):
        sent = [at for at, _ in listener.heard(topic)]
        times += [after for before, after in pairwise(sent) if after - before > longest]
    return times


def stamp(message):
    return message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec


def test_four_processes_drive_adapt_and_stop(system, controller_limits):
    listener, group = system.listener, system.group
    figure = FIGURES["circle"]
    system.start("mppi_controller", reference="circle", prior="kinematic", seed=1, **figure)
    system.start("adaptation", enabled=False)
    system.start("meta_trainer", output_folder=str(system.folder / "artifacts"))

    # Without odometry the robot is told to stand still.
    for topic in ("cmd_vel", "mppi_controller/status", "adaptation/status"):
        listener.wait_for(lambda t=topic: listener.heard(t), START_TIMEOUT, f"{topic} before odometry", group)
    listener.wait_for(lambda: len(listener.heard("cmd_vel")) >= 10, 10.0, "commands", group)
    assert not any(map(running, listener.messages("mppi_controller/status")))
    assert all(map(is_zero, listener.messages("cmd_vel")))

    world = {f"world.{name}": value for name, value in attrs.asdict(draw_world(1)).items()}
    system.start("dynamic_world", seed=1, randomize_on_start=False, **world)
    listener.wait_for_message(
        "mppi_controller/status", running, START_TIMEOUT, "the reference is tracked", group
    )

    # Two seconds of driving by the kinematics alone, to compare with.
    drive(listener, group, periods=40, with_weights=False)
    value = ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=True)
    request = SetParameters.Request(parameters=[ParameterMessage(name="enabled", value=value)])
    (result,) = listener.call(SetParameters, "adaptation/set_parameters", request, 10.0).results
    assert result.successful, result.reason
    accepted = listener.wait_for_message(
        "adaptation/status", lambda status: status.swaps_accepted >= 1, 30.0, "a swap is accepted", group
    )
    assert accepted.decision == AdaptationStatus.ACCEPTED
    statuses = drive(listener, group, periods=120)
    before = typical_error(driven(statuses, with_weights=False)[-20:])
    after = typical_error(driven(statuses, with_weights=True)[-40:])
    assert after < 0.5 * before, f"{before:.3f} m before the first swap, {after:.3f} m after it"

    # The robot falls silent.
    assert speed(listener.messages("cmd_vel")[-1]) > 0.1
    group.members["dynamic_world"].send(signal.SIGKILL)
    group.members["dynamic_world"].wait(5.0)
    del group.members["dynamic_world"]
    listener.wait_for(lambda: is_zero(listener.messages("cmd_vel")[-1]), 5.0, "cmd_vel is zero", group)
    last_odometry = listener.heard("odom")[-1][0]
    moving = [sent for sent, message in listener.heard("cmd_vel") if not is_zero(message)]
    stopped = min(sent for sent, message in listener.heard("cmd_vel") if sent > moving[-1])
    assert stopped - last_odometry < STOP_WITHIN

    # The trainer has been beside all this; now it works.
    request = MetaTrain.Request(name="tiny", iterations=2, task_batch_size=2, inner_steps=1)
    answer = listener.call(MetaTrain, "meta_trainer/meta_train", request, 240.0)
    assert answer.success, answer.message
    MetaModel.load(answer.path)

    assert_safe(listener.messages("cmd_vel"), controller_limits)
    assert group.stop() == dict.fromkeys(("mppi_controller", "adaptation", "meta_trainer"), 0)


def test_robot_of_another_maker_is_driven_and_learned(system, controller_limits):
    listener, group = system.listener, system.group
    system.start("mppi_controller", reference="circle", **FIGURES["circle"])
    system.start("adaptation")
    for topic in ("mppi_controller/status", "adaptation/status"):
        listener.wait_for(lambda t=topic: listener.heard(t), START_TIMEOUT, f"{topic} before odometry", group)
    group.start("robot", [sys.executable, Path(__file__).with_name("foreign_robot.py")])

    started = stamp(
        listener.wait_for_message(
            "mppi_controller/status", running, START_TIMEOUT, "the reference is tracked", group
        )
    )
    listener.wait_for_message(
        "adaptation/status", lambda status: status.swaps_accepted >= 1, 30.0, "a swap is accepted", group
    )
    statuses = drive(listener, group, periods=100)
    # The only reason to stand still is a robot, or a machine, that stood still itself.
    excused = stalls(listener)
    for status in statuses:
        if stamp(status) >= started and not running(status):
            assert any(-0.5 <= stamp(status) - end <= 1.0 for end in excused), status.reason
    assert typical_error(driven(statuses, with_weights=True)[-40:]) < 0.05
    assert_safe(listener.messages("cmd_vel"), controller_limits)
    codes = group.stop()  # how the robot's own program takes an interrupt is its maker's affair
    assert codes["mppi_controller"] == codes["adaptation"] == 0
