"""What nav2 declares, of what ``nav2.launch.py`` starts: version 1.3.13 for Jazzy, read in its sources.

Topics, services and actions are relative to the namespace of their node.
"""

import attrs

TWIST, STAMPED = "geometry_msgs/Twist", "geometry_msgs/TwistStamped"
GRID, ODOMETRY, PATH = "nav_msgs/OccupancyGrid", "nav_msgs/Odometry", "nav_msgs/Path"
COSTMAP, POLYGON = "nav2_msgs/Costmap", "geometry_msgs/PolygonStamped"

LIFECYCLE_NODE = {"use_sim_time", "bond_heartbeat_period", "autostart_node"}


@attrs.frozen
class Fact:
    """A node. ``inner`` are parameters of instances that its own parameters name, by plug-in or type."""

    package: str
    executable: str
    name: str
    bond: bool = True
    lifecycle: bool = True
    parameters: set = attrs.Factory(set)
    publishes: dict = attrs.Factory(dict)
    hears: dict = attrs.Factory(dict)
    serves: set = attrs.Factory(set)  # services and actions
    asks: set = attrs.Factory(set)


COSTMAP_PARAMETERS = {
    *("always_send_full_costmap", "map_vis_z", "footprint_padding", "footprint", "global_frame", "height"),
    *(
        "width",
        "lethal_cost_threshold",
        "map_topic",
        "observation_sources",
        "origin_x",
        "origin_y",
        "plugins",
    ),
    *("filters", "publish_frequency", "resolution", "robot_base_frame", "robot_radius", "rolling_window"),
    *("track_unknown_space", "transform_tolerance", "initial_transform_timeout", "trinary_costmap"),
    *("unknown_cost_value", "update_frequency", "use_maximum"),
}
COSTMAP_TOPICS = {"costmap": GRID, "costmap_raw": COSTMAP, "published_footprint": POLYGON}
CLEARING = {"clear_entirely", "clear_except", "clear_around", "clear_around_pose", "get_cost"}

NODES = {
    fact.executable: fact
    for fact in (
        Fact(
            *("nav2_map_server", "map_server", "map_server"),
            parameters={"yaml_filename", "topic_name", "frame_id"},
            publishes={"map": GRID},
        ),
        Fact(
            *("nav2_planner", "planner_server", "planner_server"),
            parameters={
                *("planner_plugins", "expected_planner_frequency", "action_server_result_timeout"),
                *("costmap_update_timeout",),
            },
            publishes={"plan": PATH},
            hears={"map": GRID},  # its costmap's static layer
            serves={
                *("compute_path_to_pose", "compute_path_through_poses", "is_path_valid"),
                *(f"global_costmap/{service}_global_costmap" for service in CLEARING),
            },
        ),
        Fact(
            # Its services have the name of the class, `costmap`, whatever the node is called.
            *("nav2_costmap_2d", "nav2_costmap_2d", "costmap"),
            bond=False,
            parameters=COSTMAP_PARAMETERS,
            publishes=COSTMAP_TOPICS,
            serves={f"{service}_costmap" for service in CLEARING},
        ),
        Fact(
            *("nav2_behaviors", "behavior_server", "behavior_server"),
            parameters={
                *("local_costmap_topic", "global_costmap_topic", "local_footprint_topic"),
                *("global_footprint_topic", "cycle_frequency", "behavior_plugins", "local_frame"),
                *("global_frame", "robot_base_frame", "transform_tolerance", "action_server_result_timeout"),
                *("simulate_ahead_time", "max_rotational_vel", "min_rotational_vel", "rotational_acc_lim"),
                "enable_stamped_cmd_vel",
            },
            publishes={"cmd_vel": STAMPED},
            hears={"local_costmap/costmap_raw": COSTMAP, "local_costmap/published_footprint": POLYGON},
            serves={"spin", "backup", "drive_on_heading", "wait"},
        ),
        Fact(
            *("nav2_velocity_smoother", "velocity_smoother", "velocity_smoother"),
            parameters={
                *("smoothing_frequency", "feedback", "scale_velocities", "max_velocity", "min_velocity"),
                *("max_accel", "max_decel", "odom_topic", "odom_duration", "deadband_velocity"),
                *("velocity_timeout", "stamp_smoothed_velocity_with_smoothing_time", "use_realtime_priority"),
                "enable_stamped_cmd_vel",
            },
            publishes={"cmd_vel_smoothed": STAMPED},
            hears={"cmd_vel": STAMPED},
        ),
        Fact(
            *("nav2_collision_monitor", "collision_monitor", "collision_monitor"),
            parameters={
                *("cmd_vel_in_topic", "cmd_vel_out_topic", "state_topic", "base_frame_id", "odom_frame_id"),
                *("transform_tolerance", "source_timeout", "base_shift_correction", "stop_pub_timeout"),
                *("polygons", "observation_sources", "use_realtime_priority", "enable_stamped_cmd_vel"),
            },
            publishes={"cmd_vel": STAMPED},  # cmd_vel_out_topic
            hears={"cmd_vel_smoothed": STAMPED},  # cmd_vel_in_topic
        ),
        Fact(
            *("nav2_bt_navigator", "bt_navigator", "bt_navigator"),
            parameters={
                *("plugin_lib_names", "transform_tolerance", "global_frame", "robot_base_frame"),
                *("odom_topic", "navigators", "bt_loop_duration", "default_server_timeout"),
                *("default_cancel_timeout", "action_server_result_timeout", "always_reload_bt_xml"),
                *("wait_for_service_timeout", "error_code_names", "goal_blackboard_id"),
                *("goals_blackboard_id", "path_blackboard_id"),
                *("default_nav_to_pose_bt_xml", "default_nav_through_poses_bt_xml"),
            },
            serves={"navigate_to_pose", "navigate_through_poses"},
            # by its default trees
            asks={
                *("compute_path_to_pose", "compute_path_through_poses", "follow_path"),
                *("spin", "wait", "backup", "local_costmap/clear_entirely_local_costmap"),
                "global_costmap/clear_entirely_global_costmap",
            },
        ),
        Fact(
            *("nav2_lifecycle_manager", "lifecycle_manager", "lifecycle_manager"),
            lifecycle=False,
            bond=False,
            parameters={
                *("node_names", "autostart", "bond_timeout", "bond_respawn_max_duration"),
                "attempt_respawn_reconnection",
            },
        ),
    )
}

# Costmaps within the node of another process: where their parameters lie in a file.
COSTMAPS = ("global_costmap/global_costmap", "local_costmap/local_costmap")

# Parameters below the name of an instance, by the parameter `plugin` or `type` that says what it is.
_SCAN_LAYER = {
    *("topic", "sensor_frame", "observation_persistence", "expected_update_rate", "data_type"),
    *("min_obstacle_height", "max_obstacle_height", "inf_is_valid", "marking", "clearing"),
    *("obstacle_max_range", "obstacle_min_range", "raytrace_max_range", "raytrace_min_range"),
}
INSTANCES = {
    "nav2_navfn_planner::NavfnPlanner": {
        *("tolerance", "use_astar", "allow_unknown", "use_final_approach_orientation"),
    },
    "nav2_costmap_2d::StaticLayer": {
        *("enabled", "subscribe_to_updates", "map_subscribe_transient_local", "transform_tolerance"),
        *("map_topic", "footprint_clearing_enabled"),
    },
    "nav2_costmap_2d::InflationLayer": {
        *("enabled", "inflation_radius", "cost_scaling_factor", "inflate_unknown", "inflate_around_unknown"),
    },
    "nav2_costmap_2d::ObstacleLayer": {
        *("enabled", "footprint_clearing_enabled", "min_obstacle_height", "max_obstacle_height"),
        *("combination_method", "observation_sources"),
        *(f"scan.{name}" for name in _SCAN_LAYER),  # of each observation source
    },
    "nav2_behaviors::Spin": set(),
    "nav2_behaviors::BackUp": set(),
    "nav2_behaviors::DriveOnHeading": set(),
    "nav2_behaviors::Wait": set(),
    "circle": {
        *("radius", "action_type", "enabled", "min_points", "visualize", "polygon_pub_topic"),
        *("polygon_subscribe_transient_local", "polygon_sub_topic", "footprint_topic", "sources_names"),
    },
    "scan": {"topic", "enabled", "source_timeout"},
}
# A source of a layer is too low to see anything unless it says how high it looks.
SEES_NOTHING_BY_DEFAULT = "max_obstacle_height"
