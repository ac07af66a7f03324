"""Simulated robot, controller and adaptation: ``ros2 launch mppi_maml_ros sim.launch.py``."""

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from launch import LaunchContext, LaunchDescription

PACKAGE = "mppi_maml_ros"


def nodes(context: LaunchContext) -> list[Node]:
    """World, controller and adaptation node, configured by file, then ``params_file``, then argument."""
    params_file = LaunchConfiguration("params_file").perform(context)
    sim_time = ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)
    arguments = {
        "dynamic_world": {
            "seed": ParameterValue(LaunchConfiguration("seed"), value_type=int),
            "publish_clock": sim_time,
        },
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
                "namespace", default_value="", description="Namespace of all nodes and topics."
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value="",
                description="YAML file laid over the packaged configuration of the nodes; empty: none.",
            ),
            DeclareLaunchArgument(
                "reference",
                default_value="circle",
                choices=["plan", "circle", "figure8", "sine", "straight"],
                description="What to drive; plan waits for nav_msgs/Path on the topic plan.",
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
                "seed", default_value="0", description="Of the world's parameters and noise, at least 0."
            ),
            DeclareLaunchArgument(
                "use_sim_time",
                default_value="false",
                choices=["true", "false"],
                description="Whether the nodes run on the world's /clock instead of the system clock.",
            ),
            DeclareLaunchArgument(
                "log_level", default_value="info", description="One of debug, info, warn, error, fatal."
            ),
            OpaqueFunction(function=nodes),
        ]
    )
