"""Arguments that ROS refuses, or takes in silence: each gets one sentence that names it."""

from __future__ import annotations

import os
import signal

import pytest
import rclpy

from mppi_maml_ros.ros.command_line import complaint, remarks
from mppi_maml_ros.ros.executor import run

WELL = "/**:\n  ros__parameters:\n"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("/**:\n\tros__parameters: 1\n", "bad.yaml, line 2 is no YAML: found character"),
        (f"{WELL}    circle: [1.0, 2.0\n", "bad.yaml, line 4 is no YAML"),
        ("\x00\x01", "bad.yaml is no YAML"),
        (b"\xff\xfe\xff", "bad.yaml cannot be read: it is no text"),
        ("vx_max: 0.5\n", "bad.yaml: vx_max must hold ros__parameters, and that the parameters"),
        ("/**:\n  vx_max: 0.5\n", "bad.yaml: /** must hold ros__parameters, and that the parameters"),
        ("/**:\n  ros__parameters:\n  vx_max: 0.5\n", "bad.yaml: /** must hold ros__parameters"),
        ("- vx_max\n", "bad.yaml must hold parameters below a node's name and ros__parameters"),
        (f"{WELL}    vx_max:\n", "bad.yaml: vx_max has no value"),
        (f"{WELL}    circle:\n      radius:\n", "bad.yaml: circle.radius has no value"),
        (f"{WELL}    critics: [goal, 3]\n", "bad.yaml: critics must be a list of one type"),
    ],
)
def test_a_file_that_rcl_cannot_take_is_named_with_what_is_wrong(tmp_path, content, sentence):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert sentence in refused("--params-file", str(path))


def test_a_file_that_is_not_there_and_a_folder_are_named(tmp_path):
    assert refused("--params-file", str(tmp_path / "x.yaml")).endswith(
        "x.yaml cannot be read: No such file or directory"
    )
    assert refused("--params-file", str(tmp_path)).endswith("cannot be read: Is a directory")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("-p", "vx_max=0.5"), "-p vx_max=0.5 must be name:=value"),
        (("-p", "vx_max:="), "-p vx_max:= must be name:=value"),
        (("--remap", "odom"), "--remap odom must be from:=to"),
        (("--parms-file", "x"), "unknown arguments after --ros-args: ['--parms-file', 'x']"),
    ],
)
def test_an_argument_that_rcl_cannot_take_is_named(arguments, sentence):
    assert refused(*arguments) == sentence


def test_what_is_not_known_here_is_said_in_the_words_of_rcl_without_lines_of_its_sources():
    said = refused("--log-level", "loud")
    assert said.startswith("Couldn't parse log level") and ", at " not in said


def refused(*arguments: str) -> str:
    context, args = rclpy.Context(), ["node", "--ros-args", *arguments]
    with pytest.raises(Exception) as caught:
        rclpy.init(args=args, context=context)
    return complaint(caught.value, args)


def test_files_that_cannot_be_meant_for_a_node_are_remarked_upon(tmp_path):
    files = {
        "empty": "# nothing\n",
        "misspelt": "mppi_contoller:\n  ros__parameters:\n    vx_max: 0.5\n",
        "all": f"{WELL}    vx_max: 0.5\n",
        "namespaced": "robot1:\n  mppi_controller:\n    ros__parameters:\n      vx_max: 0.5\n",
        "other": "/**/adaptation:\n  ros__parameters:\n    enabled: true\n",
    }
    paths = {}
    for name, content in files.items():
        paths[name] = tmp_path / f"{name}.yaml"
        paths[name].write_text(content)
    args = ["node", "--ros-args"]
    for path in (*paths.values(), tmp_path / "gone.yaml"):
        args += ["--params-file", str(path)]
    assert remarks(args, "mppi_controller") == [
        f"{paths['empty']} sets nothing: it is empty",
        f"{paths['misspelt']} has parameters of mppi_contoller, which is not the name of this node, "
        "mppi_controller",
    ]
    assert remarks(args, "dynamic_world", "mppi_controller") == remarks(args, "mppi_controller")


def test_a_parameter_of_every_node_with_a_wrong_type_ends_the_start_with_a_sentence(capfd):
    assert (
        run("node", lambda: rclpy.create_node("node"), ["node", "--ros-args", "-p", "use_sim_time:=1"]) == 2
    )
    said = capfd.readouterr().err
    assert "cannot start" in said and "use_sim_time" in said and "Traceback" not in said


def test_remarks_are_logged_at_the_start(tmp_path, capfd):
    path = tmp_path / "empty.yaml"
    path.touch()

    def make() -> rclpy.node.Node:
        node = rclpy.create_node("node")
        node.create_timer(0.0, lambda: os.kill(os.getpid(), signal.SIGINT))
        return node

    assert run("node", make, ["node", "--ros-args", "--params-file", str(path)]) == 0
    assert f"{path} sets nothing: it is empty" in capfd.readouterr().err
