"""The meta-training service: ``ros2 launch mppi_maml_ros meta_train.launch.py``."""

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchContext, LaunchDescription
from mppi_maml_ros.core.files import given_file

PACKAGE = "mppi_maml_ros"
NODE = "meta_trainer"


def nodes(context: LaunchContext) -> list[Node]:
    """The meta-trainer, configured by file, then ``params_file``, then argument."""
    params_file = given_file("params_file", LaunchConfiguration("params_file").perform(context))
    output_folder = LaunchConfiguration("output_folder").perform(context)
    return [
        Node(
            package=PACKAGE,
            executable=NODE,
            name=NODE,
            namespace=LaunchConfiguration("namespace"),
            parameters=[
                PathJoinSubstitution([FindPackageShare(PACKAGE), "config", f"{NODE}.yaml"]),
                *params_file,
                *([{"output_folder": output_folder}] if output_folder else []),
            ],
            ros_arguments=["--log-level", LaunchConfiguration("log_level")],
            output="screen",
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """The arguments and the node."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node."),
            DeclareLaunchArgument(
                "params_file",
                default_value="",
                description="YAML file laid over the packaged configuration of the node; empty: none.",
            ),
            DeclareLaunchArgument(
                "output_folder",
                default_value="",
                description="Folder that artifacts are saved in; empty: as configured.",
            ),
            DeclareLaunchArgument(
                "log_level", default_value="info", description="One of debug, info, warn, error, fatal."
            ),
            OpaqueFunction(function=nodes),
        ]
    )
