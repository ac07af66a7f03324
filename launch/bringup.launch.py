"""Controller and adaptation for a robot: ``ros2 launch mppi_maml_ros bringup.launch.py``."""

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchContext, LaunchDescription
from mppi_maml_ros.core.files import given_file

PACKAGE = "mppi_maml_ros"


def nodes(context: LaunchContext) -> list[Node]:
    """Controller and adaptation node, configured by file, then ``params_file``, then argument."""

    def packaged(name: str) -> PathJoinSubstitution:
        return PathJoinSubstitution([FindPackageShare(PACKAGE), "config", f"{name}.yaml"])

    def given(**arguments: str) -> dict[str, LaunchConfiguration]:
        """Parameters by their arguments, without those whose argument is empty."""
        return {
            parameter: LaunchConfiguration(argument)
            for parameter, argument in arguments.items()
            if LaunchConfiguration(argument).perform(context)
        }

    following = LaunchConfiguration("path_following").perform(context) == "true"
    params_file = given_file("params_file", LaunchConfiguration("params_file").perform(context))
    laid_over = [
        *([packaged("path_following")] if following else []),
        *params_file,
    ]
    both = given(use_sim_time="use_sim_time", cmd_vel_type="cmd_vel_type")
    values = {
        "mppi_controller": given(reference="reference", model="model") | both,
        "adaptation": given(enabled="adaptation") | both,
    }
    return [
        Node(
            package=PACKAGE,
            executable=name,
            name=name,
            namespace=LaunchConfiguration("namespace"),
            parameters=[packaged(name), *laid_over, values[name]],
            remappings=[
                ("odom", LaunchConfiguration("odom_topic")),
                ("cmd_vel", LaunchConfiguration("cmd_vel_topic")),
                ("plan", LaunchConfiguration("plan_topic")),
                ("costmap", LaunchConfiguration("costmap_topic")),
            ],
            ros_arguments=["--log-level", LaunchConfiguration("log_level")],
            output="screen",
        )
        for name in values
    ]


def generate_launch_description() -> LaunchDescription:
    """The arguments and the nodes."""
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
                "path_following",
                default_value="false",
                choices=["true", "false"],
                description="Whether the packaged path_following.yaml is laid under params_file.",
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
                "costmap_topic",
                default_value="costmap",
                description="nav_msgs/OccupancyGrid of obstacles; relative to the namespace.",
            ),
            DeclareLaunchArgument(
                "reference",
                default_value="plan",
                choices=["", "plan", "circle", "figure8", "sine", "straight"],
                description="What to drive; a figure starts at the robot's pose AS SOON AS odometry arrives. "
                "Empty: as configured.",
            ),
            DeclareLaunchArgument(
                "model",
                default_value="residual",
                choices=["", "kinematic", "dynamic", "residual"],
                description="Model that the controller predicts with; only residual can be adapted. "
                "Empty: as configured.",
            ),
            DeclareLaunchArgument(
                "adaptation",
                default_value="true",
                choices=["", "true", "false"],
                description="Whether the model is adapted while driving; empty: as configured.",
            ),
            DeclareLaunchArgument(
                "use_sim_time",
                default_value="false",
                choices=["", "true", "false"],
                description="Whether the nodes run on /clock, as with a simulator or a bag; "
                "empty: as configured.",
            ),
            DeclareLaunchArgument(
                "cmd_vel_type",
                default_value="",
                choices=["", "auto", "twist", "twist_stamped"],
                description="Type of the commands; auto: what the robot takes. Empty: as configured.",
            ),
            DeclareLaunchArgument(
                "log_level", default_value="info", description="One of debug, info, warn, error, fatal."
            ),
            OpaqueFunction(function=nodes),
        ]
    )
