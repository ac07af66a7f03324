"""Launch files: every argument is explained, and they start the nodes that they say."""

import ast
import importlib.util
from pathlib import Path

import pytest

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
FILES = (
    "sim.launch.py",
    "bringup.launch.py",
    "composed.launch.py",
    "gazebo.launch.py",
    "meta_train.launch.py",
    "nav2.launch.py",
)
NODES = {
    "sim.launch.py": {"dynamic_world", "mppi_controller", "adaptation"},
    "bringup.launch.py": {"mppi_controller", "adaptation"},
    "composed.launch.py": {"composed"},
    "gazebo.launch.py": {"parameter_bridge", "mppi_controller", "adaptation"},
    "meta_train.launch.py": {"meta_trainer"},
    "nav2.launch.py": {
        *("map_server", "planner_server", "nav2_costmap_2d", "velocity_smoother", "collision_monitor"),
        *("lifecycle_manager", "mppi_controller", "adaptation"),
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
    source = (LAUNCH / name).read_text()
    for call in declared_arguments(name):
        assert f'LaunchConfiguration("{ast.literal_eval(call.args[0])}")' in source


def launched_nodes(name, **arguments):
    """Nodes that a launch file describes. Needs ROS 2's launch."""
    pytest.importorskip("launch", reason="ROS 2's launch is not installed")
    pytest.importorskip("launch_ros", reason="ROS 2's launch_ros is not installed")
    from launch.actions import DeclareLaunchArgument

    from launch import LaunchContext

    spec = importlib.util.spec_from_file_location("launch_file", LAUNCH / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    nodes = []
    for entity in module.generate_launch_description().entities:
        found = entity.visit(context) or []
        if not isinstance(entity, DeclareLaunchArgument):
            nodes += found
    return nodes


@pytest.mark.parametrize("name", FILES)
def test_file_starts_its_nodes(name):
    nodes = [action for action in launched_nodes(name) if hasattr(action, "node_executable")]
    assert {node.node_executable for node in nodes} == NODES[name]


@pytest.mark.parametrize("name", FILES)
def test_params_file_is_laid_over_the_configuration(name, tmp_path):
    plain = [action for action in launched_nodes(name) if hasattr(action, "node_executable")]
    file = tmp_path / "mine.yaml"
    file.write_text("/**:\n  ros__parameters: {}\n")
    laid_over = launched_nodes(name, params_file=str(file))
    laid_over = [action for action in laid_over if hasattr(action, "node_executable")]
    for before, after in zip(plain, laid_over, strict=True):
        if before.node_executable in ("parameter_bridge",):
            continue
        assert len(after._Node__parameters) == len(before._Node__parameters) + 1
