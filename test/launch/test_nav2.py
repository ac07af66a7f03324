"""``nav2.launch.py`` and ``config/nav2.yaml`` against what nav2 declares, name by name."""

import importlib.util
import sys
import types
from pathlib import Path

import attrs
import pytest
import yaml

from .nav2_facts import (
    COSTMAP_PARAMETERS,
    COSTMAPS,
    GRID,
    INSTANCES,
    LIFECYCLE_NODE,
    NODES,
    ODOMETRY,
    SEES_NOTHING_BY_DEFAULT,
    STAMPED,
    Fact,
)

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "mppi_maml_ros"
CONFIG = yaml.safe_load((ROOT / "config" / "nav2.yaml").read_text())
OURS = {
    "mppi_controller": Fact(
        *(PACKAGE, "mppi_controller", "mppi_controller"),
        publishes={"cmd_vel": STAMPED},
        hears={"odom": ODOMETRY, "costmap": GRID},
        serves={"follow_path", "mppi_controller/swap_weights"},
    ),
    "adaptation": Fact(
        *(PACKAGE, "adaptation", "adaptation"),
        hears={"odom": ODOMETRY, "cmd_vel": STAMPED},
        asks={"mppi_controller/swap_weights"},
    ),
}
FACTS = {**NODES, **OURS}
ROBOT = {"odom": ODOMETRY}  # what it publishes


@attrs.frozen
class Started:
    package: str
    executable: str
    name: str
    parameters: list
    namespace: str = ""
    remappings: list = []
    output: str = ""

    @property
    def fact(self):
        return FACTS[self.executable]

    @property
    def path(self) -> str:
        return "/".join(filter(None, (self.namespace, self.name)))

    @property
    def values(self) -> dict:
        return self.parameters[-1]

    def resolved(self, names):
        """Relative names as they are in the graph."""
        renamed = dict(self.remappings)
        return {"/".join(filter(None, (self.namespace, renamed.get(name, name)))) for name in names}


def launch_modules(arguments):
    """As much of launch and launch_ros as the file uses, so that it can be read without them."""

    class Configuration:
        def __init__(self, name):
            self.name = name

        def perform(self, context):
            return arguments.get(self.name, "")

    def module(name, **content):
        found = types.ModuleType(name)
        vars(found).update(content)
        return found

    def kept(*args, **options):
        return (args, options)

    return {
        "launch": module("launch", LaunchContext=object, LaunchDescription=kept),
        "launch.actions": module("launch.actions", DeclareLaunchArgument=kept, OpaqueFunction=kept),
        "launch.substitutions": module(
            "launch.substitutions",
            LaunchConfiguration=Configuration,
            PathJoinSubstitution=lambda parts: Path(*parts).stem,
        ),
        "launch_ros": module("launch_ros"),
        "launch_ros.actions": module("launch_ros.actions", Node=Started),
        "launch_ros.substitutions": module("launch_ros.substitutions", FindPackageShare=str),
    }


def launched(monkeypatch, **arguments):
    """Nodes that the file starts."""
    with monkeypatch.context() as patch:
        for name, module in launch_modules({"odom_topic": "odom", **arguments}).items():
            patch.setitem(sys.modules, name, module)
        spec = importlib.util.spec_from_file_location("nav2_launch", ROOT / "launch" / "nav2.launch.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.nodes(None)


@pytest.fixture
def nodes(monkeypatch):
    return launched(monkeypatch, map="house.yaml")


def test_each_node_is_one_that_nav2_or_we_have_under_its_own_name(nodes):
    assert {(node.package, node.executable) for node in nodes} == {
        (fact.package, fact.executable) for fact in FACTS.values()
    }
    renamed = {node.executable: node.path for node in nodes if node.name != node.fact.name}
    # The costmap is named as in nav2's controller server, in whose place it is; managers are several.
    assert renamed == {
        "nav2_costmap_2d": "local_costmap/local_costmap",
        "lifecycle_manager": "lifecycle_manager_navigation",
    }


def test_each_section_of_the_file_is_that_of_a_node_that_is_started(nodes):
    sections = {name for name in CONFIG if "ros__parameters" in CONFIG[name]}
    sections |= {f"{outer}/{name}" for outer in CONFIG.keys() - sections for name in CONFIG[outer]}
    assert sections <= {node.path for node in nodes} | set(COSTMAPS)


def declared(section: str) -> set:
    if section in COSTMAPS:
        return COSTMAP_PARAMETERS | LIFECYCLE_NODE
    return NODES[section].parameters | LIFECYCLE_NODE


def parameters(section: str) -> dict:
    found = CONFIG
    for part in section.split("/"):
        found = found[part]
    return found["ros__parameters"]


def flat(values: dict, prefix: str = ""):
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


NAV2_SECTIONS = [*(name for name in CONFIG if name in NODES), *COSTMAPS]


@pytest.mark.parametrize("section", NAV2_SECTIONS)
def test_each_parameter_is_declared_by_nav2(section):
    for name, value in parameters(section).items():
        if isinstance(value, dict):
            kind = value.get("plugin") or value["type"]
            inner = set(flat(value)) - {"plugin", "type"}
            assert inner <= INSTANCES[kind], f"{section}: {name}"
        else:
            assert name in declared(section), f"{section}: {name}"


@pytest.mark.parametrize("section", NAV2_SECTIONS)
def test_each_instance_is_named_in_a_list_and_each_that_is_named_is_there(section):
    values = parameters(section)
    lists = ("plugins", "planner_plugins", "behavior_plugins", "polygons", "observation_sources")
    named = {name for key in lists for name in values.get(key, [])}
    assert named == {name for name, value in values.items() if isinstance(value, dict)}


def test_our_nodes_wait_for_the_manager():
    assert all(parameters(name)["autostart"] is False for name in OURS)


def test_parameters_of_the_launch_file_are_declared(nodes):
    for node in nodes:
        if node.package != PACKAGE:
            assert node.values.keys() <= node.fact.parameters | LIFECYCLE_NODE, node.path


def test_each_lifecycle_node_has_one_manager_and_one_without_a_bond_has_a_manager_that_asks_for_none(nodes):
    managers = [node for node in nodes if node.executable == "lifecycle_manager"]
    assert len({manager.name for manager in managers}) == len(managers)
    assert all(manager.values["autostart"] for manager in managers)
    managed = {name: manager for manager in managers for name in manager.values["node_names"]}
    assert sum(len(manager.values["node_names"]) for manager in managers) == len(managed)
    lifecycle = {node.path: node for node in nodes if node.fact.lifecycle}
    assert managed.keys() == lifecycle.keys()
    for path, node in lifecycle.items():
        assert (managed[path].values.get("bond_timeout") != 0.0) == node.fact.bond, path


def test_a_map_server_is_started_for_a_map_alone(monkeypatch):
    without = launched(monkeypatch)
    assert "map_server" not in {node.name for node in without}
    assert all("map_server" not in node.values.get("node_names", ()) for node in without)


def test_what_asks_comes_up_after_what_answers(nodes):
    (managed,) = (node.values["node_names"] for node in nodes if node.name == "lifecycle_manager_navigation")
    assert managed[-1] == "bt_navigator"  # which waits for the others' actions when it is activated
    # and for the costmap, which another manager brings up meanwhile
    assert parameters("bt_navigator")["wait_for_service_timeout"] >= 5000


def test_every_topic_that_is_heard_is_published_with_its_type(nodes):
    published = {}
    for node in nodes:
        for topic, kind in node.fact.publishes.items():
            (name,) = node.resolved([topic])
            published.setdefault(name, set()).add(kind)
    published.update({topic: {kind} for topic, kind in ROBOT.items()})
    for node in nodes:
        for topic, kind in node.fact.hears.items():
            (name,) = node.resolved([topic])
            assert published.get(name) == {kind}, f"{node.path} hears {name}"


def test_every_action_and_service_that_is_asked_for_is_served(nodes):
    served = {name for node in nodes for name in node.resolved(node.fact.serves)}
    for node in nodes:
        assert node.resolved(node.fact.asks) <= served, node.path


def chain(nodes, topic: str):
    """Names of the nodes that publish and that hear a topic."""

    def ends(side):
        return {node.name for node in nodes if topic in node.resolved(getattr(node.fact, side))}

    return ends("publishes"), ends("hears")


def test_commands_go_through_smoother_and_monitor_and_what_reaches_the_robot_is_learned_from(nodes):
    drivers = {"mppi_controller", "behavior_server"}
    assert chain(nodes, "cmd_vel_nav") == (drivers, {"velocity_smoother"})
    assert chain(nodes, "cmd_vel_smoothed") == ({"velocity_smoother"}, {"collision_monitor"})
    assert chain(nodes, "cmd_vel") == ({"collision_monitor"}, {"adaptation"})
    monitor = parameters("collision_monitor")
    assert (monitor["cmd_vel_in_topic"], monitor["cmd_vel_out_topic"]) == ("cmd_vel_smoothed", "cmd_vel")
    stamped = ("behavior_server", "velocity_smoother", "collision_monitor")
    assert all(parameters(name)["enable_stamped_cmd_vel"] is True for name in stamped)


def test_between_goals_the_controller_leaves_the_robot_to_the_recoveries_and_takes_no_path_by_topic():
    values = parameters("mppi_controller")
    assert values["path_source"] == "action"
    assert values["controller_plugins"] == ["FollowPath"]  # the default of nav2's trees


def test_the_smoother_lets_pass_what_the_controller_may_command():
    limits = {}
    for file, section in (("mppi_controller", "/**"), ("path_following", "/**/mppi_controller")):
        limits |= yaml.safe_load((ROOT / "config" / f"{file}.yaml").read_text())[section]["ros__parameters"]
    smoother = parameters("velocity_smoother")
    assert smoother["max_velocity"] == [limits["vx_max"], 0.0, limits["wz_max"]]
    assert smoother["min_velocity"] == [limits["vx_min"], 0.0, -limits["wz_max"]]
    least = [limits["ax_max"], 0.0, limits["az_max"]]
    most = [limits["ax_min"], 0.0, -limits["az_max"]]
    assert all(a >= b for a, b in zip(smoother["max_accel"], least, strict=True))
    assert all(a <= b for a, b in zip(smoother["max_decel"], most, strict=True))
    assert smoother["smoothing_frequency"] > limits["controller_frequency"]  # it delays by half a period


def test_the_local_costmap_is_sent_whole_without_inflation_and_sees_what_stands_above_the_floor():
    values = parameters("local_costmap/local_costmap")
    assert values["always_send_full_costmap"] is True
    assert values["plugins"] == ["obstacle_layer"]
    assert values["obstacle_layer"]["scan"][SEES_NOTHING_BY_DEFAULT] > 0.0


def test_sizes_of_the_robot_agree():
    file = yaml.safe_load((ROOT / "config" / "path_following.yaml").read_text())
    radius = file["/**/mppi_controller"]["ros__parameters"]["obstacles"]["footprint_radius"]
    assert {parameters(section)["robot_radius"] for section in COSTMAPS} == {radius}


def test_arguments_reach_those_whom_they_concern(monkeypatch, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.touch()
    nodes = launched(monkeypatch, odom_topic="/wheels", params_file=str(mine), use_sim_time="true")
    for node in nodes:
        assert node.values["use_sim_time"] is True
        assert Path(node.parameters[-2]) == mine and node.parameters[-3] == "nav2"
    assert {n.name for n in nodes if n.values.get("odom_topic") == "/wheels"} == {
        *("bt_navigator", "velocity_smoother"),
    }
    assert {n.name for n in nodes if ("odom", "/wheels") in n.remappings} == set(OURS)
