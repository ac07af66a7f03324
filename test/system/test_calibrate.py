"""``mppi-maml calibrate`` on a base over DDS, and the controller with the file that it wrote."""

import runpy
import signal
import sys
from pathlib import Path

import pytest
import yaml
from geometry_msgs.msg import Twist
from mppi_maml_ros.msg import ControllerStatus
from rcl_interfaces.srv import GetParameters

from mppi_maml_ros.calibration.result import Calibration
from mppi_maml_ros.system.processes import config_file

PATH = Path(__file__).with_name("measured_robot.py")
GAIN, LAG, DELAY, DEAD = (runpy.run_path(str(PATH))[name] for name in ("GAIN", "LAG", "DELAY", "DEAD"))
ROBOT = [sys.executable, PATH]
CALIBRATE = [sys.executable, "-m", "mppi_maml_ros.cli", "calibrate", "--yes", "--no-verdict"]


def moving(message):
    return message.linear.x != 0.0 or message.angular.z != 0.0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_base_is_calibrated_and_the_controller_takes_its_file(system):
    listener, group = system.listener, system.group
    group.start("robot", ROBOT)
    calibrate = group.start("calibrate", [*CALIBRATE, "--out", str(system.folder)])
    assert calibrate.wait(200.0) == 0, calibrate.tail()
    del group.members["calibrate"]
    commands = listener.messages("cmd_vel")
    assert not any(map(moving, commands[-5:]))
    assert max(abs(m.linear.x) for m in commands) <= 0.5 and max(abs(m.angular.z) for m in commands) <= 1.5

    found = Calibration.load(system.folder / "calibration.yaml")
    for i, axis in enumerate((found.v, found.omega)):
        assert axis.gain == pytest.approx(GAIN[i], rel=0.05)
        assert axis.time_constant == pytest.approx(LAG[i], rel=0.10)
        # to the delay come the ways of messages, and those of a busy machine
        assert DELAY - 0.01 <= axis.delay <= DELAY + 0.05
        assert axis.dead_band == pytest.approx(DEAD[i], abs=0.05 * (0.5, 1.5)[i])

    files = [config_file("mppi_controller.yaml"), system.folder / "calibration.yaml"]
    group.start_node("mppi_controller", files, {"reference": "circle"})
    listener.wait_for_message(
        "mppi_controller/status", lambda m: m.state == ControllerStatus.RUNNING, 60.0, "it drives", group
    )
    written = yaml.safe_load(files[1].read_text())["/**/mppi_controller"]["ros__parameters"]
    names = ["vx_max", "prior", "dynamic.gain_v", "dynamic.delay", "velocity_deadband.wz"]
    answer = listener.call(
        GetParameters, "mppi_controller/get_parameters", GetParameters.Request(names=names), 10.0
    )
    vx_max, prior, gain, delay, dead = answer.values
    assert prior.string_value == "dynamic" == written["prior"]
    assert (vx_max.double_value, gain.double_value) == (0.5, written["dynamic"]["gain_v"])
    assert delay.double_value == written["dynamic"]["delay"]
    assert dead.double_value == written["velocity_deadband"]["wz"]


@pytest.mark.slow
def test_ctrl_c_stops_the_base(system):
    listener, group = system.listener, system.group
    group.start("robot", ROBOT)
    calibrate = group.start("calibrate", [*CALIBRATE, "--out", str(system.folder)])
    listener.wait_for_message("cmd_vel", moving, 60.0, "it drives", group)
    calibrate.send(signal.SIGINT)
    assert calibrate.wait(20.0) == 130, calibrate.tail()
    assert not any(map(moving, listener.messages("cmd_vel")[-5:]))
    del group.members["calibrate"]


@pytest.mark.slow
def test_a_base_that_somebody_else_drives_is_not_driven(system):
    group = system.group
    group.start("robot", ROBOT)
    other = system.listener.node.create_publisher(Twist, "cmd_vel", 1)
    calibrate = group.start("calibrate", [*CALIBRATE, "--out", str(system.folder)])
    assert calibrate.wait(110.0) == 1
    assert "cmd_vel is also published by /listener" in " ".join(calibrate.tail().split())
    system.listener.node.destroy_publisher(other)
    del group.members["calibrate"]


@pytest.mark.slow
def test_without_a_base_nothing_is_sent(system):
    calibrate = system.group.start("calibrate", [*CALIBRATE, "--out", str(system.folder)])
    assert calibrate.wait(110.0) == 1
    assert "no odometry on /odom" in calibrate.tail()
    del system.group.members["calibrate"]
    assert not system.listener.messages("cmd_vel")
