"""Three robots in namespaces of their own on one machine: each keeps its rate, and none hears another."""

import math
from statistics import median

import attrs
import pytest
import yaml
from geometry_msgs.msg import Twist
from mppi_maml_ros.msg import AdaptationStatus, ControllerStatus
from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile, ReliabilityPolicy

from mppi_maml_ros.system.demo import FIGURES, draw_world
from mppi_maml_ros.system.processes import config_file, executable

START_TIMEOUT = 120.0  # [s] for nine processes
ROBOTS = ("alpha", "beta", "gamma")
PERIODS = 200  # ten seconds
HEARD = {
    "cmd_vel": Twist,
    "odom": Odometry,
    "mppi_controller/status": ControllerStatus,
    "adaptation/status": AdaptationStatus,
}

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow, pytest.mark.timeout(300)]


def start(system, robot, node, **parameters):
    file = system.folder / f"{robot}_{node}.yaml"
    file.write_text(yaml.safe_dump({f"/{robot}/{node}": {"ros__parameters": parameters}}))
    files = ["--params-file", config_file(f"{node}.yaml"), "--params-file", file]
    system.group.start(f"{robot} {node}", [executable(node), "--ros-args", "-r", f"__ns:=/{robot}", *files])


def test_three_robots_drive_side_by_side_at_their_rate(system):
    listener, group = system.listener, system.group
    heard = {(robot, topic): [] for robot in ROBOTS for topic in HEARD}
    qos = QoSProfile(depth=500, reliability=ReliabilityPolicy.BEST_EFFORT)
    for (robot, topic), messages in heard.items():
        listener.node.create_subscription(HEARD[topic], f"/{robot}/{topic}", messages.append, qos)

    for i, robot in enumerate(ROBOTS):
        origin = {"reference_origin": [10.0 * i, 0.0, 0.0]}
        start(system, robot, "mppi_controller", reference="circle", seed=i, **FIGURES["circle"], **origin)
        start(system, robot, "adaptation")
    for robot in ROBOTS:
        topic = heard[robot, "adaptation/status"]
        listener.wait_for(lambda t=topic: t, START_TIMEOUT, f"{robot}'s adaptation node listens", group)
    for i, robot in enumerate(ROBOTS):
        world = {f"world.{name}": value for name, value in attrs.asdict(draw_world(i)).items()}
        world |= {"start_pose": [10.0 * i, 0.0, 0.0], "randomize_on_start": False}
        start(system, robot, "dynamic_world", seed=i, **world)

    def driven(robot):
        statuses = heard[robot, "mppi_controller/status"]
        return [s for s in statuses if s.state == ControllerStatus.RUNNING and s.weights_version > 0]

    def enough():
        return all(len(driven(robot)) >= PERIODS for robot in ROBOTS)

    listener.wait_for(enough, START_TIMEOUT, f"{PERIODS} control periods of each with swapped weights", group)
    for i, robot in enumerate(ROBOTS):
        statuses = driven(robot)
        assert median(s.period_ms for s in statuses) == pytest.approx(50.0, rel=0.02), robot
        assert median(s.tracking_error for s in statuses[-100:]) < 0.06, robot
        # Each drives its own circle, from where it stands itself.
        poses = [message.pose.pose.position for message in heard[robot, "odom"]]
        assert all(math.hypot(p.x - 10.0 * i, p.y - 1.5) < 4.0 for p in poses), robot
