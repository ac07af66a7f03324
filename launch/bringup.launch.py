"""Controller and adaptation for a robot: ``ros2 launch mppi_maml_ros bringup.launch.py``."""

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from launch import LaunchContext, LaunchDescription

PACKAGE = "mppi_maml_ros"


def nodes(context: LaunchContext) -> list[Node]:
    """Controller and adaptation node, configured by file, then ``params_file``, then argument."""
    params_file = LaunchConfiguration("params_file").perform(context)
    sim_time = ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)
    arguments = {
        "mppi_controller": {
            "reference": LaunchConfiguration("reference"),
            "model": LaunchConfiguration("model"),
            "use_sim_time": sim_time,
        },
        "adaptation": {
            "enabled": ParameterValue(LaunchConfiguration("adaptation"), value_type=bool),
            "use_sim_time": sim_time,
        },
    }
    return [
        Node(
            package=PACKAGE,
            executable=name,
            name=name,
            namespace=LaunchConfiguration("namespace"),
            parameters=[
                PathJoinSubstitution([FindPackageShare(PACKAGE), "config", f"{name}.yaml"]),
                *([params_file] if params_file else []),
                values,
            ],
            remappings=[
                ("odom", LaunchConfiguration("odom_topic")),
                ("cmd_vel", LaunchConfiguration("cmd_vel_topic")),
                ("plan", LaunchConfiguration("plan_topic")),
            ],
            ros_arguments=["--log-level", LaunchConfiguration("log_level")],
            output="screen",
        )
        for name, values in arguments.items()
    ]


def generate_launch_description() -> LaunchDescription:
    """The arguments and the nodes."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "namespace", default_value="", description="Namespace of both nodes and of their topics."
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value="",
                description="YAML file laid over the packaged configuration of the nodes; empty: none.",
            ),
            DeclareLaunchArgument(
                "odom_topic",
                default_value="odom",
                description="The robot's nav_msgs/Odometry, 20 to 100 Hz; relative to the namespace.",
            ),
            DeclareLaunchArgument(
                "cmd_vel_topic",
                default_value="cmd_vel",
                description="Where the robot takes its velocity commands; relative to the namespace.",
            ),
            DeclareLaunchArgument(
                "plan_topic",
                default_value="plan",
                description="nav_msgs/Path to follow, in the odometry's frame; relative to the namespace.",
            ),
            DeclareLaunchArgument(
                "reference",
                default_value="plan",
                choices=["plan", "circle", "figure8", "sine", "straight"],
                description="What to drive; a figure starts at the robot's pose AS SOON AS odometry arrives.",
            ),
            DeclareLaunchArgument(
                "model",
                default_value="residual",
                choices=["kinematic", "dynamic", "residual"],
                description="Model that the controller predicts with; only residual can be adapted.",
            ),
            DeclareLaunchArgument(
                "adaptation",
                default_value="true",
                choices=["true", "false"],
                description="Whether the model is adapted while driving.",
            ),
            DeclareLaunchArgument(
                "use_sim_time",
                default_value="false",
                choices=["true", "false"],
                description="Whether the nodes run on /clock, as with a simulator or a bag.",
            ),
            DeclareLaunchArgument(
                "log_level", default_value="info", description="One of debug, info, warn, error, fatal."
            ),
            OpaqueFunction(function=nodes),
        ]
    )
