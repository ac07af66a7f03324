"""Parameters: one declaration, the same in the YAML, and nothing gets past its range."""

from __future__ import annotations

import math
from pathlib import Path

import attrs
import pytest
import rclpy
import yaml
from rclpy.parameter import Parameter

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.core.types import VelocityLimits
from mppi_maml_ros.meta import config
from mppi_maml_ros.mppi import MPPIConfig
from mppi_maml_ros.nodes import adaptation, dynamic_world, meta_trainer, mppi_controller
from mppi_maml_ros.ros.parameters import Declared, ParameterError, Parameters

CONFIG = Path(__file__).resolve().parents[2] / "config"
TABLES = {
    "mppi_controller": mppi_controller.TABLE,
    "adaptation": adaptation.TABLE,
    "dynamic_world": dynamic_world.TABLE,
    "meta_trainer": meta_trainer.TABLE,
}
NODES = {
    "mppi_controller": mppi_controller.MppiControllerNode,
    "adaptation": adaptation.AdaptationNode,
    "dynamic_world": dynamic_world.DynamicWorldNode,
    "meta_trainer": meta_trainer.MetaTrainerNode,
}


def flat(values: dict, prefix: str = "") -> dict:
    result = {}
    for name, value in values.items():
        if isinstance(value, dict):
            result |= flat(value, f"{prefix}{name}.")
        else:
            result[prefix + name] = tuple(value) if isinstance(value, list) else value
    return result


def read(name: str) -> dict:
    return flat(yaml.safe_load((CONFIG / f"{name}.yaml").read_text())["/**"]["ros__parameters"])


@pytest.mark.parametrize("name", TABLES)
def test_yaml_and_declarations_agree_exactly(name):
    declared = {entry.name: entry.default for entry in TABLES[name]}
    assert len(declared) == len(TABLES[name]), "a name is declared twice"
    written = read(name)
    assert list(written) and set(written) == set(declared)
    for key, default in declared.items():
        assert written[key] == default, key
        # 1 for 1.0 would be refused when a node is started with this file
        assert type(written[key]) is type(default), key


@pytest.mark.parametrize("name", TABLES)
def test_every_yaml_parameter_has_a_comment_with_its_unit_and_range(name):
    lines = (CONFIG / f"{name}.yaml").read_text().splitlines()
    comments = {}
    group, pending = "", []
    for line in lines[3:]:
        text = line.strip()
        if text.startswith("#"):
            pending.append(text[1:].strip())
        elif text.endswith(":"):
            group, pending = text, []
        elif text:
            prefix = group[:-1] + "." if line.startswith("      ") else ""
            comments[prefix + text.partition(":")[0]] = " ".join(pending)
            pending = []
    for entry in TABLES[name]:
        comment = comments[entry.name]
        assert comment, entry.name
        if entry.unit:
            assert f"[{entry.unit}]" in comment, entry.name
        if entry.low is not None and entry.high is not None and entry.high < 2**62:
            assert f"{entry.low:g} to {entry.high:g}" in comment, entry.name
        for choice in entry.choices:
            assert choice in comment, entry.name


def test_the_guides_preset_changes_only_declared_parameters():
    preset = read("adaptation_guide")
    declared = {entry.name: entry for entry in adaptation.TABLE}
    for name, value in preset.items():
        declared[name].check(value)
    assert preset == {
        "adapter": "maml",
        "warmup_samples": 40,
        "meta_samples": 0,
        "growth": 100.0,
        "adapt_interval": 4.0,
        "buffer_size": 200,
        "inner_lr": 0.005,
        "inner_steps": 100,
        "optimiser": "sgd",
        "patience": 0,
    }


def test_every_tunable_of_mppi_and_of_the_limits_is_a_parameter_with_its_default():
    declared = {entry.name: entry.default for entry in mppi_controller.TABLE}
    for kind in (MPPIConfig, VelocityLimits):
        for field in attrs.fields(kind):
            assert declared[field.name] == field.default, field.name


def test_every_setting_of_meta_training_is_a_parameter_with_its_default():
    declared = {entry.name: entry.default for entry in meta_trainer.TABLE}
    for field in attrs.fields(config.TrainingConfig):
        assert declared[field.name] == field.default, field.name


@pytest.mark.parametrize("name", NODES)
def test_a_node_starts_with_its_defaults_and_tells_of_every_parameter(shared_bench, name):
    node = shared_bench.start(NODES[name])
    values = node.get_parameters([entry.name for entry in TABLES[name]])
    for entry, parameter in zip(TABLES[name], values, strict=True):
        assert parameter.type_ is entry.type, entry.name
        value = tuple(parameter.value) if entry.is_array else parameter.value
        assert value == entry.default, entry.name
        descriptor = node.describe_parameter(entry.name)
        assert descriptor.description and descriptor.read_only is not entry.dynamic
        if entry.unit:
            assert f"[{entry.unit}]" in descriptor.description
        if entry.low is not None and entry.type is Parameter.Type.DOUBLE:
            assert descriptor.floating_point_range[0].from_value == entry.low
    shared_bench.stop(node)


BAD = [
    ("mppi_controller", "vx_max", math.nan, "finite"),
    ("mppi_controller", "temperature", math.inf, "finite"),
    ("mppi_controller", "wz_std", -0.1, r"\[0\.0001, 10\]"),
    ("mppi_controller", "vx_max", 1, "float"),
    ("mppi_controller", "reference", "cirle", "plan, circle"),
    ("mppi_controller", "reference_origin", [1.0, 2.0], "0 or 3 elements"),
    ("mppi_controller", "reference_origin", [1.0, 2.0, math.nan], "finite"),
    ("mppi_controller", "controller_frequency", 10.0, "at least 1 / model_dt = 20 Hz"),
    ("adaptation", "inner_lr", 0.0, r"\[1e-06, 10\]"),
    ("adaptation", "adapter", "magic", "physics"),
    ("adaptation", "min_samples", 50, "warmup_samples"),
    ("adaptation", "weights_file", "/nowhere/model.safetensors", "cannot be read"),
    ("dynamic_world", "world.mass", 9.0, r"\[0\.3, 4\]"),
    ("dynamic_world", "ranges.mass", [2.0, 1.0], "low <= high"),
    ("dynamic_world", "ranges.mass", [1.0], "2 elements"),
    ("dynamic_world", "odom_rate", math.nan, "finite"),
    ("mppi_controller", "device", "cuda:99", "cpu, cuda or cuda:N and be there"),
    ("meta_trainer", "iterations", 0, r"\[1, 1e\+06\]"),
    ("meta_trainer", "activation", "sine", "tanh, relu"),
]


@pytest.mark.fault(47)
@pytest.mark.parametrize(("node", "name", "value", "allowed"), BAD)
def test_a_bad_launch_parameter_is_refused_by_name(shared_bench, node, name, value, allowed):
    with pytest.raises(ParameterError, match=name) as caught:
        NODES[node](context=shared_bench.context, parameter_overrides=[Parameter(name, value=value)])
    assert caught.match(allowed)


@pytest.mark.fault(47)
def test_a_process_with_a_bad_parameter_ends_with_a_sentence_and_a_code(node_process):
    code, output = node_process("mppi_controller", "-p", "vx_max:=.nan").end()
    assert code == 2
    assert "vx_max must be finite" in output
    assert "Traceback" not in output


@pytest.fixture(scope="module")
def controller(shared_bench):
    return shared_bench.start(mppi_controller.MppiControllerNode)


@pytest.mark.fault(48)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0, 1e9])
def test_a_value_out_of_range_is_refused_at_run_time_and_the_old_one_stays(controller, value):
    (result,) = controller.set_parameters([Parameter("temperature", value=value)])
    assert not result.successful
    assert "temperature" in result.reason
    assert controller.get_parameter("temperature").value == MPPIConfig().temperature


@pytest.mark.fault(48)
def test_a_set_is_all_or_nothing(controller):
    result = controller.set_parameters_atomically(
        [Parameter("vx_std", value=0.3), Parameter("wz_std", value=math.nan)]
    )
    assert not result.successful and "wz_std" in result.reason
    assert controller.get_parameter("vx_std").value == MPPIConfig().vx_std
    assert controller._settings.mppi.vx_std == MPPIConfig().vx_std


@pytest.mark.fault(48)
def test_a_value_that_its_range_would_let_pass_is_still_checked(controller):
    (result,) = controller.set_parameters([Parameter("noise_knots", value=1)])
    assert not result.successful and "noise_knots" in result.reason


@pytest.mark.fault(49)
@pytest.mark.parametrize(
    ("name", "value"), [("time_steps", 40), ("seed", 3), ("reference_origin", [0.0, 0.0, 0.0])]
)
def test_a_read_only_parameter_cannot_be_changed(controller, name, value):
    before = controller.get_parameter(name).value
    (result,) = controller.set_parameters([Parameter(name, value=value)])
    assert not result.successful and name in result.reason
    assert controller.get_parameter(name).value == before


def test_a_change_at_run_time_acts_from_the_next_step_on(controller):
    (result,) = controller.set_parameters([Parameter("temperature", value=0.5)])
    assert result.successful
    assert controller._mppi.config.temperature == 0.5
    controller.set_parameters([Parameter("temperature", value=MPPIConfig().temperature)])


def test_a_declaration_checks_its_own_default():
    with pytest.raises(InvalidValueError, match="x must be in"):
        Declared("x", 2.0, "too large", "", 0.0, 1.0)


def test_a_misspelt_name_is_told(bench, capfd):
    overrides = [Parameter("wanted", value=2.0), Parameter("wantd", value=2.0)]
    node = bench.add(rclpy.create_node("bare", context=bench.context, parameter_overrides=overrides))
    parameters = Parameters(node, [Declared("wanted", 1.0, "something")])
    assert parameters["wanted"] == 2.0
    assert "unknown parameters are ignored: wantd" in capfd.readouterr().err
