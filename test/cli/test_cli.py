"""The command line: quick, helpful, and clean when it is interrupted."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import attrs
import click
import pytest
from click.testing import CliRunner

from mppi_maml_ros import cli
from mppi_maml_ros.cli.main import cli as commands
from mppi_maml_ros.cli.options import REFERENCES
from mppi_maml_ros.weights.meta_model import MetaModel

ROOT = Path(__file__).resolve().parents[2]


def invoke(*arguments):
    return CliRunner().invoke(commands, arguments)


def test_help_names_the_commands():
    result = invoke("--help")
    assert result.exit_code == 0
    assert "demo" in result.output and "meta-train" in result.output


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from mppi_maml_ros.cli import main; main(['--help']); "
        "print([m for m in ('torch', 'numba', 'rclpy', 'matplotlib') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == "[]"


def test_every_setting_of_the_training_is_an_option():
    from mppi_maml_ros.core.tunable import declarations
    from mppi_maml_ros.meta.config import TrainingConfig

    output = invoke("meta-train", "--help").output
    for field in attrs.fields(TrainingConfig):
        assert f"--{field.name.replace('_', '-')}" in output
        assert declarations(TrainingConfig)[field.name].description


def test_references_of_the_demo_are_those_it_knows():
    from mppi_maml_ros.system.demo import FIGURES

    assert tuple(FIGURES) == REFERENCES


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["meta-train", "--iterations", "0"], 1, "iterations"),
        (["meta-train", "--hidden", "8,x"], 2, "--hidden"),
        (["demo", "--duration", "1"], 2, "--duration"),
        (["demo", "--reference", "square"], 2, "--reference"),
        (["demo", "--fault", "odom_gone@3"], 2, "odom_stop"),
        (["demo", "--fault", "clock_back@3"], 1, "clock_back"),
        (["no-such-command"], 2, "no-such-command"),
    ],
)
def test_wrong_usage_is_named(arguments, code, named, capsys):
    assert cli.main(arguments) == code
    assert named in capsys.readouterr().err


def test_the_faults_of_the_demo_are_listed():
    from mppi_maml_ros.simulation.faults import KINDS

    result = invoke("demo", "--fault", "list")
    assert result.exit_code == 0 and all(name in result.output for name in KINDS)


def small(folder):
    return [
        "meta-train", "--iterations", "2", "--task-batch-size", "2", "--inner-steps", "1", "--hidden", "4",
        "--out", str(folder / "a.safetensors"), "--plot", str(folder / "a.png"),
        "--checkpoint", str(folder / "state"), "--networks", "maml,anil",
    ]  # fmt: skip


@pytest.fixture
def few_worlds(monkeypatch):
    from mppi_maml_ros.meta import recipe

    for name, count in (("PHYSICS_TASKS", 200), ("POOL_TASKS", 20), ("HELD_OUT_TASKS", 5)):
        monkeypatch.setattr(recipe, name, count)


def test_meta_train_writes_an_artifact_that_loads_and_its_curve(tmp_path, few_worlds):
    assert cli.main(small(tmp_path)) == 0
    assert MetaModel.load(tmp_path / "a.safetensors").inner_steps == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.safetensors"]


def test_meta_train_that_cannot_write_says_so(tmp_path, few_worlds, capsys):
    (tmp_path / "a.safetensors").mkdir()
    arguments = small(tmp_path)
    assert cli.main(arguments) != 0
    (tmp_path / "file").write_text("")
    arguments[arguments.index("--out") + 1] = str(tmp_path / "file" / "a.safetensors")
    assert cli.main(arguments) == 1
    assert "cannot be saved" in capsys.readouterr().err


def test_a_yaml_file_gives_values_and_the_command_line_goes_before(tmp_path, few_worlds):
    (tmp_path / "training.yaml").write_text("iterations: 3\nhidden: [5]\nnetworks: [mb]\ninner-lr: 0.02\n")
    out = tmp_path / "a.safetensors"
    arguments = ["meta-train", "--config", str(tmp_path / "training.yaml"), "--iterations", "2", "--out",
                 str(out), "--task-batch-size", "2", "--checkpoint", str(tmp_path / "state")]  # fmt: skip
    assert cli.main(arguments) == 0
    provenance = MetaModel.load(out).provenance
    assert provenance["config"]["iterations"] == 2 and provenance["config"]["hidden"] == [5]
    assert provenance["config"]["inner_lr"] == 0.02 and list(provenance["networks"]) == ["mb"]


@pytest.mark.parametrize(
    "text, named", [("iteration: 3", "iteration"), ("[1", "cannot be read"), ("3", "names")]
)
def test_a_yaml_file_with_an_unknown_name_is_refused(tmp_path, capsys, text, named):
    (tmp_path / "training.yaml").write_text(text)
    assert cli.main(["meta-train", "--config", str(tmp_path / "training.yaml")]) == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["--networks", "maml,kalman"], "networks"),
        (["--device", "tpu9"], "device"),
        (["--bags", "nowhere"], "nowhere"),
        (["--tensorboard", "events"], "tensorboard"),
    ],
)
def test_what_meta_train_cannot_do_is_refused_before_it_starts(
    tmp_path, capsys, arguments, named, monkeypatch
):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["meta-train", "--iterations", "1", *arguments]) in (1, 2)
    assert named in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_interrupted_meta_train_saves_its_state(start_command, tmp_path):
    arguments = small(tmp_path)
    arguments[arguments.index("--iterations") + 1] = "1000000"
    process = start_command(*arguments)
    deadline = time.monotonic() + 90.0
    seen = ""
    while "loss" not in seen and time.monotonic() < deadline and process.poll() is None:
        seen += process.stdout.readline()
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output
    assert "interrupted" in output
    assert [path.name for path in tmp_path.iterdir()] == ["state"]  # no artifact
    assert "--resume" in output


def test_worlds_are_listed_with_what_is_drawn_and_what_may_be_trained_on():
    from mppi_maml_ros.simulation.worlds import WORLDS

    output = invoke("worlds").output
    assert all(f"  {name}" in output for name in WORLDS)
    assert "late [training]" in output and "heavy [training]" not in output


def test_step_responses_are_drawn(tmp_path):
    result = invoke("worlds", "--picture", str(tmp_path / "responses.png"))
    assert result.exit_code == 0 and (tmp_path / "responses.png").read_bytes().startswith(b"\x89PNG")


def kinds_of(option):
    return getattr(option.type, "types", [option.type])


NUMBERS = [
    (name, option)
    for name, command in commands.commands.items()
    for option in command.params
    if isinstance(option, click.Option)
    and any(
        kind.name.startswith(("float", "int", "number"))
        for kind in getattr(option.type, "types", [option.type])
    )
]


@pytest.mark.parametrize(("name", "option"), NUMBERS, ids=lambda part: getattr(part, "name", part))
@pytest.mark.parametrize("given", ["nan", "banana", ""])
def test_what_is_no_number_is_refused_in_plain_words_by_every_command(name, option, given):
    arguments = [
        parameter for parameter in commands.commands[name].params if isinstance(parameter, click.Argument)
    ]
    needed = [getattr(a.type, "choices", ["x"])[0] for a in arguments if a.required]
    result = invoke(name, *needed, option.opts[-1], *[given] * option.nargs)
    assert result.exit_code == 2
    assert (
        f"{given!r} is not a valid {'integer' if 'int' in kinds_of(option)[0].name else 'number'}"
        in result.output
    )


def test_a_world_without_a_name_drives_no_robot(capsys):
    assert cli.main(["calibrate", "--simulate", ""]) == 1
    assert "world" in capsys.readouterr().err
