"""Simulated robot, controller and adaptation: ``ros2 launch mppi_maml_ros sim.launch.py``.

Takes the arguments of ``bringup.launch.py``, of which some are declared here with values of their own.
"""

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from launch import LaunchContext, LaunchDescription
from mppi_maml_ros.core.files import given_file

PACKAGE = "mppi_maml_ros"


def world(context: LaunchContext) -> list[Node]:
    """The simulated robot, configured by file, then ``params_file``, then argument."""
    params_file = given_file("params_file", LaunchConfiguration("params_file").perform(context))
    kind = LaunchConfiguration("cmd_vel_type").perform(context)
    return [
        Node(
            package=PACKAGE,
            executable="dynamic_world",
            name="dynamic_world",
            namespace=LaunchConfiguration("namespace"),
            parameters=[
                PathJoinSubstitution([FindPackageShare(PACKAGE), "config", "dynamic_world.yaml"]),
                *params_file,
                {
                    "seed": ParameterValue(LaunchConfiguration("seed"), value_type=int),
                    "publish_clock": ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool),
                    **({"cmd_vel_type": kind} if kind.startswith("twist") else {}),
                },
            ],
            remappings=[
                ("odom", LaunchConfiguration("odom_topic")),
                ("cmd_vel", LaunchConfiguration("cmd_vel_topic")),
            ],
            ros_arguments=["--log-level", LaunchConfiguration("log_level")],
            output="screen",
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """The arguments, controller and adaptation, and the world."""
    bringup = PathJoinSubstitution([FindPackageShare(PACKAGE), "launch", "bringup.launch.py"])
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "reference",
                default_value="circle",
                choices=["plan", "circle", "figure8", "sine", "straight"],
                description="What to drive; plan waits for nav_msgs/Path on the topic plan.",
            ),
            DeclareLaunchArgument(
                "seed", default_value="0", description="Of the world's parameters and noise, at least 0."
            ),
            DeclareLaunchArgument(
                "use_sim_time",
                default_value="false",
                choices=["true", "false"],
                description="Whether the nodes run on the world's /clock instead of the system clock.",
            ),
            # In no group, and before the world: what bringup declares holds for the world as well.
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(bringup),
                launch_arguments={
                    "reference": LaunchConfiguration("reference"),
                    "use_sim_time": LaunchConfiguration("use_sim_time"),
                }.items(),
            ),
            OpaqueFunction(function=world),
        ]
    )
