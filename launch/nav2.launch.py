"""This controller in place of nav2's: ``ros2 launch mppi_maml_ros nav2.launch.py map:=map.yaml``.

Planner and costmap of nav2 in, velocity smoother and collision monitor of nav2 out. Needs nav2.
"""

from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import Action, LaunchContext, LaunchDescription

PACKAGE = "mppi_maml_ros"
MANAGED = ["map_server", "planner_server", "velocity_smoother", "collision_monitor"]


def nodes(context: LaunchContext) -> list[Action]:
    """Nav2's part, then ours; each configured by file."""
    params_file = LaunchConfiguration("params_file").perform(context)

    def packaged(*path: str) -> PathJoinSubstitution:
        return PathJoinSubstitution([FindPackageShare(PACKAGE), *path])

    def nav2(package: str, executable: str, name: str, values: dict | None = None, **options) -> Node:
        parameters = [packaged("config", "nav2.yaml"), *([params_file] if params_file else []), values or {}]
        return Node(package=package, executable=executable, name=name, parameters=parameters, **options)

    return [
        nav2("nav2_map_server", "map_server", "map_server", {"yaml_filename": LaunchConfiguration("map")}),
        nav2("nav2_planner", "planner_server", "planner_server"),
        nav2("nav2_costmap_2d", "nav2_costmap_2d", "local_costmap"),
        nav2(
            "nav2_velocity_smoother",
            "velocity_smoother",
            "velocity_smoother",
            remappings=[("cmd_vel", "cmd_vel_nav")],
        ),
        nav2("nav2_collision_monitor", "collision_monitor", "collision_monitor"),
        nav2(
            "nav2_lifecycle_manager",
            "lifecycle_manager",
            "lifecycle_manager_navigation",
            {"autostart": True, "node_names": MANAGED},
        ),
        # A group keeps what is set here from a file that includes this one. Empty: as configured.
        GroupAction(
            [
                IncludeLaunchDescription(
                    PythonLaunchDescriptionSource(packaged("launch", "bringup.launch.py")),
                    launch_arguments={
                        "namespace": "",
                        "params_file": LaunchConfiguration("params_file"),
                        "path_following": "true",
                        "odom_topic": LaunchConfiguration("odom_topic"),
                        "cmd_vel_topic": "cmd_vel_nav",
                        "costmap_topic": "local_costmap/costmap",
                        "reference": "",
                        "model": "",
                        "adaptation": "",
                        "use_sim_time": "",
                        "cmd_vel_type": "twist_stamped",
                    }.items(),
                )
            ]
        ),
    ]


def generate_launch_description() -> LaunchDescription:
    """The arguments and the nodes."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("map", default_value="map.yaml", description="Map for nav2's map server."),
            DeclareLaunchArgument(
                "params_file",
                default_value="",
                description="YAML file laid over the packaged configuration of the nodes; empty: none.",
            ),
            DeclareLaunchArgument(
                "odom_topic", default_value="odom", description="The robot's nav_msgs/Odometry, 20 to 100 Hz."
            ),
            OpaqueFunction(function=nodes),
        ]
    )
