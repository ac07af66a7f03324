"""The doctor at a robot that is well, and at one that is not."""

import json
import sys
import time
from pathlib import Path

import pytest

from mppi_maml_ros.doctor.finding import Level
from mppi_maml_ros.doctor.topics import judge_topics
from mppi_maml_ros.system.doctor import listen
from mppi_maml_ros.system.processes import ProcessGroup, config_file, private_domain, ros_environment

ROBOT = Path(__file__).parent / "foreign_robot.py"


@pytest.fixture
def group(tmp_path, monkeypatch):
    """Processes in a domain where nobody else hears or speaks; this process is in it, too."""
    with private_domain() as domain:
        environment = ros_environment(domain, tmp_path)
        environment["FASTDDS_BUILTIN_TRANSPORTS"] = "UDPv4"
        for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTDDS_BUILTIN_TRANSPORTS"):
            monkeypatch.setenv(name, environment[name])
        monkeypatch.delenv("ROS_LOCALHOST_ONLY", raising=False)
        with ProcessGroup(environment, tmp_path) as found:
            yield found


def heard_until(group, condition, timeout=90.0):
    """Listen again and again until what is heard meets ``condition``."""
    end = time.monotonic() + timeout
    while not condition(listen(1.0, lambda passed: None)):
        group.check()
        assert time.monotonic() < end


@pytest.mark.slow
def test_a_robot_that_our_controller_drives_is_well(group):
    for node, parameters in (("dynamic_world", {}), ("mppi_controller", {"reference": "circle"})):
        group.start_node(node, [config_file(f"{node}.yaml")], parameters)
    heard_until(group, lambda heard: any(s.message.linear[0] > 0.1 for s in heard.odometry))
    found = judge_topics(listen(6.0, lambda passed: None))
    assert {finding.level for finding in found} == {Level.OK}, found
    about = {"odom", "rate", "frames", "stamps", "odometry", "twist", "cmd_vel", "commands", "clock"}
    assert {finding.about for finding in found} == about


@pytest.mark.slow
def test_two_sources_of_odometry_and_a_base_on_another_topic_are_named(group, start_command):
    for name in ("first", "second"):
        names = ("-r", f"__node:={name}", "-r", "cmd_vel:=base/cmd")
        group.start(name, [sys.executable, ROBOT, "--ros-args", *names])
    heard_until(group, lambda heard: len(heard.odom.publishers) == 2)
    process = start_command("doctor", "--duration", "4", "--json")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    report = json.loads(output[output.index("{\n") :])
    wrong = {row["about"]: row for row in report["findings"] if row["level"] == "wrong"}
    assert report["wrong"] and "/first, /second" in wrong["odom"]["says"]
    assert wrong["cmd_vel"]["says"] == "nobody listens to /cmd_vel"
    assert "cmd_vel_topic:=/base/cmd" in wrong["cmd_vel"]["do"]
