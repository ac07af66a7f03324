"""Controller and adaptation in one process: ``ros2 launch mppi_maml_ros composed.launch.py``."""

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchContext, LaunchDescription
from mppi_maml_ros.core.files import given_file

PACKAGE = "mppi_maml_ros"


def nodes(context: LaunchContext) -> list[Node]:
    """One process, configured by the files of its nodes, then by ``params_file``."""
    params_file = given_file("params_file", LaunchConfiguration("params_file").perform(context))
    names = ["mppi_controller", "adaptation"]
    if LaunchConfiguration("world").perform(context) == "true":
        names.append("dynamic_world")
    return [
        Node(
            package=PACKAGE,
            executable="composed",
            namespace=LaunchConfiguration("namespace"),
            arguments=names,
            parameters=[
                PathJoinSubstitution([FindPackageShare(PACKAGE), "config", f"{name}.yaml"]) for name in names
            ]
            + params_file,
            remappings=[
                ("odom", LaunchConfiguration("odom_topic")),
                ("cmd_vel", LaunchConfiguration("cmd_vel_topic")),
            ],
            output="screen",
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """The arguments and the process."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "namespace", default_value="", description="Namespace of all nodes and topics."
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value="",
                description="YAML file laid over the packaged configuration of the nodes; empty: none.",
            ),
            DeclareLaunchArgument(
                "world",
                default_value="false",
                choices=["true", "false"],
                description="Whether the simulated robot runs in the process, too.",
            ),
            DeclareLaunchArgument(
                "odom_topic", default_value="odom", description="The robot's nav_msgs/Odometry."
            ),
            DeclareLaunchArgument(
                "cmd_vel_topic", default_value="cmd_vel", description="Where the robot takes its commands."
            ),
            OpaqueFunction(function=nodes),
        ]
    )
