"""Navigation with this controller in place of nav2's: ``ros2 launch mppi_maml_ros nav2.launch.py``.

Nav2's behaviour tree, planner, recoveries and costmaps around ours; velocity smoother and collision monitor
of nav2 between ours and the robot. Needs nav2, and what tells where the robot is on the map.
"""

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchContext, LaunchDescription
from mppi_maml_ros.core.files import given_file

PACKAGE = "mppi_maml_ros"
COSTMAP = "local_costmap"  # name and namespace, as nav2's controller server has it
CLEARING = ("clear_entirely", "clear_except", "clear_around", "clear_around_pose", "get_cost")


def nodes(context: LaunchContext) -> list[Node]:
    """Nav2's nodes and ours, configured by file, then ``params_file``, then argument; and their managers."""

    def value(argument: str) -> str:
        return LaunchConfiguration(argument).perform(context)

    def packaged(name: str) -> PathJoinSubstitution:
        return PathJoinSubstitution([FindPackageShare(PACKAGE), "config", f"{name}.yaml"])

    clock = {"use_sim_time": value("use_sim_time") == "true"} if value("use_sim_time") else {}

    def node(package: str, executable: str, values: dict | None = None, files: tuple = (), **options) -> Node:
        laid_over = given_file("params_file", value("params_file"))
        files = [packaged(name) for name in (*files, "nav2")]
        return Node(
            package=package,
            executable=executable,
            name=options.pop("name", executable),
            parameters=[*files, *laid_over, {**clock, **(values or {})}],
            output="screen",
            **options,
        )

    def manager(name: str, managed: list[str], **values) -> Node:
        values = {"autostart": True, "node_names": managed, **values}
        return node("nav2_lifecycle_manager", "lifecycle_manager", values, name=name)

    odometry = {"odom_topic": value("odom_topic")}
    commands = [("cmd_vel", "cmd_vel_nav")]  # of whoever drives; cmd_vel is what reaches the robot
    ours = [("odom", value("odom_topic"))]
    map_server = []
    if value("map"):
        map_server = [node("nav2_map_server", "map_server", {"yaml_filename": value("map")})]
    managed = [
        *map_server,
        node(
            PACKAGE,
            "mppi_controller",
            files=("mppi_controller", "path_following"),
            remappings=[*ours, *commands, ("costmap", f"{COSTMAP}/costmap")],
        ),
        node(PACKAGE, "adaptation", files=("adaptation",), remappings=ours),
        node("nav2_planner", "planner_server"),
        node("nav2_behaviors", "behavior_server", remappings=commands),
        node("nav2_velocity_smoother", "velocity_smoother", odometry, remappings=commands),
        node("nav2_collision_monitor", "collision_monitor"),
        node("nav2_bt_navigator", "bt_navigator", odometry),
    ]
    names = ["mppi_controller", "adaptation", "planner_server", "behavior_server"]
    names += ["velocity_smoother", "collision_monitor", "bt_navigator"]
    return [
        # In a process of its own its services are named otherwise than in nav2's controller server.
        node(
            "nav2_costmap_2d",
            "nav2_costmap_2d",
            name=COSTMAP,
            namespace=COSTMAP,
            remappings=[(f"{service}_costmap", f"{service}_{COSTMAP}") for service in CLEARING],
        ),
        # It has no bond.
        manager("lifecycle_manager_costmap", [f"{COSTMAP}/{COSTMAP}"], bond_timeout=0.0),
        *managed,
        manager("lifecycle_manager_navigation", [*(["map_server"] if map_server else []), *names]),
    ]


def generate_launch_description() -> LaunchDescription:
    """The arguments and the nodes."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "map",
                default_value="",
                description="Map for nav2's map server; empty: the topic map is published by others.",
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value="",
                description="YAML file laid over the packaged configuration of the nodes; empty: none.",
            ),
            DeclareLaunchArgument(
                "odom_topic", default_value="odom", description="The robot's nav_msgs/Odometry, 20 to 100 Hz."
            ),
            DeclareLaunchArgument(
                "use_sim_time",
                default_value="",
                choices=["", "true", "false"],
                description="Whether the nodes run on /clock; empty: as configured.",
            ),
            OpaqueFunction(function=nodes),
        ]
    )
