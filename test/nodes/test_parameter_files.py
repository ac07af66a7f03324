"""Files and pages are made from the declarations; one that changes is followed by all of them."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import attrs
import click
import pytest
import yaml

from mppi_maml_ros import nodes
from mppi_maml_ros.adaptation.adapters import ADAPTERS
from mppi_maml_ros.adaptation.guard import GuardConfig
from mppi_maml_ros.adaptation.online import OnlineConfig
from mppi_maml_ros.adaptation.sgd import SGDConfig
from mppi_maml_ros.cli.meta_train import meta_train
from mppi_maml_ros.control.config import ControlConfig
from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.core.tunable import declarations, tunable
from mppi_maml_ros.core.types import VelocityLimits
from mppi_maml_ros.dynamics.first_order import FirstOrderConfig
from mppi_maml_ros.meta import config
from mppi_maml_ros.mppi import MPPIConfig
from mppi_maml_ros.mppi.critics import CRITICS
from mppi_maml_ros.nodes import adaptation_parameters
from mppi_maml_ros.nodes.parameter_files import (
    NODES,
    NodeParameters,
    files,
    main,
    outdated,
    reference,
    yaml_file,
)
from mppi_maml_ros.references.figures import FIGURES
from mppi_maml_ros.simulation.parameters import WorldParameters

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(nodes.__file__).parent
TABLES = {
    node.name: {declared.name: declared for table in node.groups.values() for declared in table}
    for node in NODES
}
RECORDS = (
    MPPIConfig, VelocityLimits, ControlConfig, FirstOrderConfig, OnlineConfig, SGDConfig, GuardConfig,
    config.TrainingConfig, WorldParameters, *CRITICS.values(), *FIGURES.values(),
)  # fmt: skip


def test_the_files_are_what_the_declarations_make_of_them(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_the_command_tells_of_files_that_are_out_of_date_and_writes_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for path, text in files().items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    (tmp_path / "config/adaptation.yaml").write_text("", encoding="utf-8")
    (tmp_path / "docs/parameters.md").unlink()
    assert main(["--check"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "config/adaptation.yaml is out of date",
        "docs/parameters.md is out of date",
    ]
    assert main([]) == 0 and outdated(tmp_path) == []


def _flat(values: dict, prefix: str = "") -> dict:
    flat = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


@pytest.mark.parametrize(
    ("file", "section", "node"),
    [
        ("adaptation_guide", "/**", "adaptation"),
        ("path_following", "/**/mppi_controller", "mppi_controller"),
        ("nav2", "mppi_controller", "mppi_controller"),
        ("nav2", "adaptation", "adaptation"),
    ],
)
def test_a_preset_changes_only_what_is_declared_to_what_is_allowed(file, section, node):
    preset = yaml.safe_load((ROOT / "config" / f"{file}.yaml").read_text(encoding="utf-8"))
    ours = [name for name in preset if name.rpartition("/")[2] in (*TABLES, "**")]
    assert section in ours and (file == "nav2" or list(preset) == [section])
    for name, value in _flat(preset[section]["ros__parameters"]).items():
        declared = TABLES[node][name]
        declared.check(value)
        for single in value if declared.is_array else [value]:
            assert type(single) is declared.kind, name


def test_the_preset_of_nav2_is_for_its_servers_and_the_nodes_in_between():
    sections = yaml.safe_load((ROOT / "config" / "nav2.yaml").read_text(encoding="utf-8"))
    assert {"mppi_controller", "adaptation"} == {name for name in sections if name in TABLES}
    assert "/**" not in sections


@attrs.frozen
class OtherConfig(config.TrainingConfig):
    meta_lr: float = tunable(0.5, 0.25, 2.0, "Some rate", "1/s")


@pytest.fixture
def changed(monkeypatch):
    """The node's table after one declaration has changed."""
    monkeypatch.setattr(config, "TrainingConfig", OtherConfig)
    # Another copy of the module: the one that is loaded stays as it is.
    name = f"{nodes.__name__}.another_meta_trainer"
    spec = importlib.util.spec_from_file_location(name, FOLDER / "meta_trainer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return NodeParameters("meta_trainer", "meta-trains", module.GROUPS)


def test_one_changed_declaration_is_followed_everywhere(changed):
    with pytest.raises(InvalidValueError, match=r"meta_lr must be in \[0.25, 2\] 1/s, got 3"):
        OtherConfig(meta_lr=3.0)
    (declared,) = (one for table in changed.groups.values() for one in table if one.name == "meta_lr")
    assert declared.default == 0.5 and declared.dynamic
    with pytest.raises(InvalidValueError, match=r"meta_lr must be in \[0.25, 2\] 1/s, got 3"):
        declared.check(3.0)
    descriptor = declared.descriptor()
    assert descriptor.description == "Some rate [1/s]" and not descriptor.read_only
    (allowed,) = descriptor.floating_point_range
    assert (allowed.from_value, allowed.to_value) == (0.25, 2.0)
    comment = "    # Some rate [1/s], 0.25 to 2 (may change while running)\n    meta_lr: 0.5\n"
    assert comment in yaml_file(changed)
    assert "| `meta_lr` | `0.5` | 1/s | 0.25 to 2 | yes | Some rate |" in reference([changed])
    command = type(meta_train)("another", params=[])
    (option,) = (one for one in command.get_params(click.Context(command)) if one.name == "meta_lr")
    assert option.default == 0.5 and option.help == "Some rate; [0.25, 2] 1/s."


def test_an_adapter_that_is_registered_later_is_accepted_by_the_node_and_told(monkeypatch):
    adapter = TABLES["adaptation"]["adapter"]
    with pytest.raises(InvalidValueError, match="adapter must be one of"):
        adapter.check("mine")
    monkeypatch.setitem(ADAPTERS._things, "mine", ADAPTERS["physics"])
    adapter.check("mine")
    assert OnlineConfig(adapter="mine").adapter == "mine"
    assert "mine" in adapter.descriptor().additional_constraints
    values = {declared.name: declared.default for declared in adaptation_parameters.TABLE}
    assert adaptation_parameters.online_config(values | {"adapter": "mine"}).adapter == "mine"


def _literals(file: Path) -> set[str]:
    """Names of the parameters that are declared anew in a file."""
    return {
        call.args[0].value
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "Declared"
        and isinstance(call.args[0], ast.Constant)
    }


def test_what_a_record_declares_no_node_declares_again():
    known = {name for record in RECORDS for name in declarations(record)}
    literals = {file.name: _literals(file) for file in FOLDER.glob("*.py")}
    assert "weights_ttl" in literals["controller_parameters.py"]
    again = {
        file: found
        for file, names in literals.items()
        if (found := {name for name in names if name.rpartition(".")[2] in known})
    }
    assert not again
