"""Gazebo's physics in place of ours: ``ros2 launch mppi_maml_ros gazebo.launch.py seed:=3``. Needs ros_gz."""

import tempfile
from pathlib import Path

import numpy as np
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchContext, LaunchDescription
from mppi_maml_ros.simulation.gazebo_model import sdf
from mppi_maml_ros.simulation.parameters import DEFAULT_RANGES, randomize

PACKAGE = "mppi_maml_ros"
BRIDGED = (
    "/clock@rosgraph_msgs/msg/Clock[gz.msgs.Clock",
    "/odom@nav_msgs/msg/Odometry[gz.msgs.Odometry",
    "/cmd_vel@geometry_msgs/msg/Twist]gz.msgs.Twist",
)


def nodes(context: LaunchContext) -> list:
    """Gazebo with a robot drawn from the seed, the bridge, controller and adaptation on its clock."""
    seed = int(LaunchConfiguration("seed").perform(context))
    world = Path(tempfile.mkdtemp(prefix="mppi_maml_ros_gazebo_")) / f"world_{seed}.sdf"
    world.write_text(sdf(randomize(np.random.default_rng(seed), DEFAULT_RANGES)))
    command = ["gz", "sim", "-r", *([] if LaunchConfiguration("gui").perform(context) == "true" else ["-s"])]
    bringup = PathJoinSubstitution([FindPackageShare(PACKAGE), "launch", "bringup.launch.py"])
    return [
        ExecuteProcess(cmd=[*command, str(world)], output="screen"),
        Node(
            package="ros_gz_bridge",
            executable="parameter_bridge",
            arguments=list(BRIDGED),
            output="screen",
        ),
        # A group keeps what is set here from a file that includes this one. Empty: as configured.
        GroupAction(
            [
                IncludeLaunchDescription(
                    PythonLaunchDescriptionSource(bringup),
                    launch_arguments={
                        "namespace": "",
                        "params_file": LaunchConfiguration("params_file"),
                        "path_following": "false",
                        "odom_topic": "/odom",
                        "cmd_vel_topic": "/cmd_vel",
                        "reference": LaunchConfiguration("reference"),
                        "model": "",
                        "adaptation": "",
                        "use_sim_time": "true",
                        "cmd_vel_type": "",
                    }.items(),
                )
            ]
        ),
    ]


def generate_launch_description() -> LaunchDescription:
    """The arguments, Gazebo and the nodes."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "seed",
                default_value="0",
                description="Of mass, inertia and friction, drawn as by the service randomize.",
            ),
            DeclareLaunchArgument(
                "gui",
                default_value="false",
                choices=["true", "false"],
                description="Whether Gazebo shows a window.",
            ),
            DeclareLaunchArgument(
                "reference",
                default_value="circle",
                choices=["plan", "circle", "figure8", "sine", "straight"],
                description="What to drive; plan waits for nav_msgs/Path on the topic plan.",
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value="",
                description="YAML file laid over the packaged configuration of the nodes; empty: none.",
            ),
            OpaqueFunction(function=nodes),
        ]
    )
