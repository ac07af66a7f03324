"""Launch files: every argument is explained and does what it says, and they start the nodes that they say."""

import ast
import importlib.util
import itertools
import sys
from collections import Counter
from pathlib import Path
from unittest.mock import MagicMock

import attrs
import pytest

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
OURS = ("mppi_controller", "adaptation")
NODES = {
    "sim.launch.py": {"dynamic_world", *OURS},
    "bringup.launch.py": {*OURS},
    "composed.launch.py": {"composed"},
    "gazebo.launch.py": {"parameter_bridge", *OURS},
    "meta_train.launch.py": {"meta_trainer"},
    "nav2.launch.py": {
        *("planner_server", "nav2_costmap_2d", "velocity_smoother", "collision_monitor", "behavior_server"),
        *("bt_navigator", "lifecycle_manager_costmap", "lifecycle_manager_navigation", *OURS),
    },
}
FILES = tuple(NODES)

FIGURES = ["plan", "circle", "figure8", "sine", "straight"]
SWITCH = ["true", "false"]
# Of each file: the default of each argument, and what it may be.
BRINGUP = {
    "namespace": ("", None),
    "params_file": ("", None),
    "path_following": ("false", SWITCH),
    "odom_topic": ("odom", None),
    "cmd_vel_topic": ("cmd_vel", None),
    "plan_topic": ("plan", None),
    "costmap_topic": ("costmap", None),
    "reference": ("plan", ["", *FIGURES]),
    "model": ("residual", ["", "kinematic", "dynamic", "residual"]),
    "adaptation": ("true", ["", *SWITCH]),
    "use_sim_time": ("false", ["", *SWITCH]),
    "cmd_vel_type": ("", ["", "auto", "twist", "twist_stamped"]),
    "log_level": ("info", None),
}
ARGUMENTS = {
    "bringup.launch.py": BRINGUP,
    "sim.launch.py": {
        **BRINGUP,
        "reference": ("circle", FIGURES),
        "use_sim_time": ("false", SWITCH),
        "seed": ("0", None),
    },
    "composed.launch.py": {
        **{name: BRINGUP[name] for name in ("namespace", "params_file", "odom_topic", "cmd_vel_topic")},
        "world": ("false", SWITCH),
    },
    "gazebo.launch.py": {
        "seed": ("0", None),
        "gui": ("false", SWITCH),
        "reference": ("circle", FIGURES),
        "params_file": ("", None),
    },
    "meta_train.launch.py": {
        **{name: BRINGUP[name] for name in ("namespace", "params_file", "log_level")},
        "output_folder": ("", None),
    },
    "nav2.launch.py": {
        "map": ("", None),
        "params_file": ("", None),
        "odom_topic": ("odom", None),
        "use_sim_time": ("", ["", *SWITCH]),
    },
}


def declared_arguments(name):
    tree = ast.parse((LAUNCH / name).read_text())
    return [
        call
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "DeclareLaunchArgument"
    ]


def test_no_launch_file_is_left_untested():
    assert sorted(path.name for path in LAUNCH.glob("*.py")) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
def test_file_compiles_and_has_its_function(name):
    source = (LAUNCH / name).read_text()
    compile(source, name, "exec")
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    entry = next(function for function in functions if function.name == "generate_launch_description")
    assert entry.returns.id == "LaunchDescription"


@pytest.mark.parametrize("name", FILES)
def test_every_argument_has_a_default_and_a_description(name):
    calls = declared_arguments(name)
    assert len(calls) >= 3
    for call in calls:
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        assert {"default_value", "description"} <= set(keywords), ast.unparse(call)
        assert len(ast.literal_eval(keywords["description"])) > 10


@pytest.mark.parametrize("name", FILES)
def test_every_argument_is_used(name):
    tree = ast.parse((LAUNCH / name).read_text())
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    for call in declared_arguments(name):
        assert texts.count(ast.literal_eval(call.args[0])) >= 2, ast.unparse(call)


@pytest.mark.parametrize("name", FILES)
def test_a_params_file_that_is_not_there_is_refused_not_left_out(name, monkeypatch, tmp_path):
    if name == "gazebo.launch.py":
        assert "bringup.launch.py" in (LAUNCH / name).read_text()  # which looks
        return
    parts = ("", ".actions", ".substitutions", ".launch_description_sources", ".parameter_descriptions")
    for module, part in itertools.product(("launch", "launch_ros"), parts):
        monkeypatch.setitem(sys.modules, module + part, MagicMock())
    arguments = {"params_file": str(tmp_path / "mine.yaml")}
    sys.modules["launch.substitutions"].LaunchConfiguration = lambda argument: MagicMock(
        perform=lambda context: arguments.get(argument, "")
    )
    spec = importlib.util.spec_from_file_location("launch_file", LAUNCH / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    nodes = getattr(module, "nodes", None) or module.world
    with pytest.raises(FileNotFoundError, match="params_file .*mine.yaml is no file"):
        nodes(MagicMock())
    (tmp_path / "mine.yaml").touch()
    assert nodes(MagicMock())


def launch_description(name):
    """What a launch file of the checkout describes. Needs ROS 2's launch."""
    pytest.importorskip("launch", reason="ROS 2's launch is not installed")
    pytest.importorskip("launch_ros", reason="ROS 2's launch_ros is not installed")
    spec = importlib.util.spec_from_file_location("launch_file", LAUNCH / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


@attrs.frozen
class Started:
    """A process that a launch file starts, as it is configured at that moment."""

    executable: str
    name: str = ""  # with the namespace
    command: list = []
    parameters: list = []  # names of files without suffix, and dictionaries
    remappings: dict = {}


def started(description, **arguments):
    """Processes by executable, and the launch configurations left behind. Includes are those installed.

    Where an executable is started more than once, its processes are found by the names of their nodes.
    """
    from launch.actions import ExecuteProcess
    from launch.substitutions import LocalSubstitution
    from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions
    from launch_ros.actions import Node
    from launch_ros.substitutions import ExecutableInPackage
    from launch_ros.utilities import evaluate_parameters

    from launch import LaunchContext

    context = LaunchContext()
    context.launch_configurations.update(arguments)
    found = []

    def command(process):
        """Without folders, temporary files, and what is not known here: the executable's place, the name."""
        parts = [normalize_to_list_of_substitutions(part) for part in process.cmd]
        words = [
            perform_substitutions(context, part)
            for part in parts
            if not isinstance(part[0], (ExecutableInPackage, LocalSubstitution))
        ]
        return [Path(word).name for word in words if "launch_params_" not in word]

    def visit(entity):
        if isinstance(entity, Node):
            parameters = evaluate_parameters(context, entity._Node__parameters or [])
            entity._perform_substitutions(context)
            found.append(
                Started(
                    executable=entity.node_executable,
                    name=entity.node_name,
                    command=command(entity),
                    parameters=[part if isinstance(part, dict) else part.stem for part in parameters],
                    remappings=dict(entity.expanded_remapping_rules or []),
                )
            )
        elif isinstance(entity, ExecuteProcess):
            found.append(Started("", command=command(entity)))
        else:
            for part in entity.visit(context) or []:
                visit(part)

    visit(description)
    counts = Counter(process.executable for process in found)
    executables = {p.executable if counts[p.executable] == 1 else Path(p.name).name: p for p in found}
    assert len(executables) == len(found)
    return executables, dict(context.launch_configurations)


def launched(name, **arguments):
    return started(launch_description(name), **arguments)[0]


@pytest.mark.parametrize("name", FILES)
def test_file_takes_its_arguments_and_those_of_what_it_includes(name):
    arguments = launch_description(name).get_launch_arguments()
    told = {
        argument.name: ("".join(part.text for part in argument.default_value), argument.choices)
        for argument in arguments
    }
    assert told == ARGUMENTS[name]
    assert all(len(argument.description) > 10 for argument in arguments)


@pytest.fixture
def params_file(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("/**:\n  ros__parameters: {}\n")
    return str(file)


OTHER = {
    "namespace": "robot",
    "reference": "sine",
    "model": "kinematic",
    "seed": "3",
    "adaptation": "false",
    "log_level": "debug",
    "cmd_vel_type": "twist",
}


@pytest.mark.parametrize(("name", "argument"), [(name, key) for name in FILES for key in ARGUMENTS[name]])
def test_every_argument_has_an_effect(name, argument, params_file):
    default, choices = ARGUMENTS[name][argument]
    other = OTHER.get(argument, "true" if choices else params_file)
    assert launched(name, **{argument: default}) == launched(name)
    assert launched(name, **{argument: other}) != launched(name)


@pytest.mark.parametrize("name", FILES)
def test_file_starts_its_nodes(name):
    assert set(launched(name)) - {""} == NODES[name]


@pytest.mark.parametrize("name", FILES)
def test_params_file_is_laid_over_the_configuration(name, params_file):
    plain = launched(name)
    laid_over = launched(name, params_file=params_file)
    for executable in NODES[name] - {"parameter_bridge"}:
        files = [part for part in plain[executable].parameters if isinstance(part, str)]
        values = [part for part in plain[executable].parameters if isinstance(part, dict)]
        assert laid_over[executable].parameters == [*files, "mine", *values]


@pytest.mark.parametrize("name", ["sim.launch.py", "bringup.launch.py"])
def test_arguments_reach_controller_and_adaptation(name):
    nodes = launched(
        name,
        namespace="robot",
        odom_topic="wheels",
        cmd_vel_topic="/motors",
        plan_topic="route",
        costmap_topic="grid",
        reference="sine",
        model="dynamic",
        adaptation="false",
        use_sim_time="true",
        cmd_vel_type="twist_stamped",
        path_following="true",
        log_level="debug",
    )
    both = {"use_sim_time": True, "cmd_vel_type": "twist_stamped"}
    values = {
        "mppi_controller": {"reference": "sine", "model": "dynamic", **both},
        "adaptation": {"enabled": False, **both},
    }
    for executable in OURS:
        node = nodes[executable]
        assert node.name == f"/robot/{executable}"
        assert node.parameters == [executable, "path_following", values[executable]]
        assert node.remappings == {
            "odom": "wheels",
            "cmd_vel": "/motors",
            "plan": "route",
            "costmap": "grid",
        }
        assert {"--log-level", "debug"} <= set(node.command)


@pytest.mark.parametrize(("name", "reference"), [("sim.launch.py", "circle"), ("bringup.launch.py", "plan")])
def test_defaults_of_controller_and_adaptation(name, reference):
    nodes = launched(name)
    sim_time = {"use_sim_time": False}
    values = {"reference": reference, "model": "residual", **sim_time}
    assert nodes["mppi_controller"].parameters == ["mppi_controller", values]
    assert nodes["adaptation"].parameters == ["adaptation", {"enabled": True, **sim_time}]


def test_empty_arguments_leave_parameters_as_configured():
    empty = dict.fromkeys(("reference", "model", "adaptation", "use_sim_time"), "")
    for node in launched("bringup.launch.py", **empty).values():
        assert node.parameters == [node.executable, {}]


def test_world_shares_the_arguments_of_bringup():
    arguments = {"namespace": "robot", "odom_topic": "wheels", "cmd_vel_topic": "motors"}
    node = launched("sim.launch.py", **arguments, seed="3", use_sim_time="true")["dynamic_world"]
    assert node.name == "/robot/dynamic_world"
    assert node.parameters == ["dynamic_world", {"seed": 3, "publish_clock": True}]
    assert node.remappings == {"odom": "wheels", "cmd_vel": "motors"}


# Launch configurations of a file around ours, none of which is an argument of ours.
AROUND = {
    "namespace": "robot",
    "cmd_vel_topic": "motors",
    "costmap_topic": "grid",
    "reference": "figure8",
    "model": "kinematic",
    "adaptation": "false",
    "use_sim_time": "false",
    "cmd_vel_type": "twist",
}


@pytest.mark.parametrize("around", [{}, AROUND])
def test_gazebo_drives_on_the_topics_and_the_clock_of_its_bridge(around):
    nodes = launched("gazebo.launch.py", path_following="true", **{**around, "reference": "sine"})
    values = {"mppi_controller": {"reference": "sine"}, "adaptation": {}}
    for executable in OURS:
        node = nodes[executable]
        assert node.name == f"/{executable}"
        assert node.parameters == [executable, {**values[executable], "use_sim_time": True}]
        assert node.remappings["odom"] == "/odom"
        assert node.remappings["cmd_vel"] == "/cmd_vel"


def test_nav2_has_the_controller_before_its_smoother_and_adaptation_behind_its_monitor():
    nodes = launched("nav2.launch.py", odom_topic="/wheels")
    controller, adaptation = (nodes[name] for name in OURS)
    assert controller.parameters == ["mppi_controller", "path_following", "nav2", {}]
    assert controller.remappings == {
        "odom": "/wheels",
        "cmd_vel": "cmd_vel_nav",
        "costmap": "local_costmap/costmap",
    }
    assert adaptation.parameters == ["adaptation", "nav2", {}]
    assert adaptation.remappings == {"odom": "/wheels"}
    assert nodes["nav2_costmap_2d"].name == "/local_costmap/local_costmap"


@pytest.mark.parametrize("name", ["gazebo.launch.py", "nav2.launch.py"])
def test_what_a_file_fixes_for_bringup_does_not_leave_it(name):
    _, left = started(launch_description(name))
    assert left.keys() == ARGUMENTS[name].keys()
