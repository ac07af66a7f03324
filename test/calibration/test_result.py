"""The file of a calibration, and what is said about it."""

import math

import attrs
import numpy as np
import pytest
import yaml

from mppi_maml_ros.calibration.result import Calibration
from mppi_maml_ros.calibration.verdict import figure_of, judge
from mppi_maml_ros.calibration.world import CalibratedWorld
from mppi_maml_ros.core.errors import InvalidValueError


def test_what_is_saved_can_be_loaded(found, tmp_path):
    bounded = attrs.evolve(found, v=attrs.evolve(found.v, acceleration=1.5, deceleration=2.0))
    for calibration in (found, bounded):
        assert Calibration.load(calibration.save(tmp_path / "robot.yaml")) == calibration


def test_another_file_is_refused_by_name(tmp_path):
    path = tmp_path / "other.yaml"
    for content in ("a: 1", "- 1", "{", ""):
        path.write_text(content)
        with pytest.raises(InvalidValueError, match=r"other.yaml is not a file of mppi-maml calibrate"):
            Calibration.load(path)


def test_parameters_are_those_of_the_robot(found):
    v = attrs.evolve(found.v, acceleration=1.6, deceleration=2.4, dead_band=0.1, lost=0.1)
    nodes = yaml.safe_load(attrs.evolve(found, v=v).text())
    controller = nodes["/**/mppi_controller"]["ros__parameters"]
    assert (controller["vx_max"], controller["vx_min"], controller["wz_max"]) == (0.5, -0.5, 1.5)
    # a command that changes by 2 m/s^2 makes a base of gain 0.8 speed up by 1.6
    assert (controller["ax_max"], controller["ax_min"]) == (2.0, -3.0)
    assert "az_max" not in controller
    assert controller["prior"] == "dynamic" and controller["dynamic"]["gain_v"] == 0.8
    assert controller["critics"] == ["obstacles", "velocity_deadband"]
    assert controller["velocity_deadband"] == {"vx": 0.1, "wz": 0.0}
    assert nodes["/**/adaptation"]["ros__parameters"] == {"vx_max": 0.5, "vx_min": -0.5, "wz_max": 1.5}


def test_a_dead_band_that_is_not_sure_sets_no_parameter(found):
    v = attrs.evolve(found.v, dead_band=0.01, dead_band_within=0.02, lost=0.01)
    assert "critics" not in attrs.evolve(found, v=v).parameters()["mppi_controller"]


def test_values_are_taken_to_what_parameters_allow(found):
    v = attrs.evolve(found.v, linear_time_constant=0.001, acceleration=0.001, deceleration=200.0)
    controller = attrs.evolve(found, v=v).parameters()["mppi_controller"]
    assert controller["dynamic"]["time_constant_v"] == 0.01
    assert (controller["ax_max"], controller["ax_min"]) == (0.01, -100.0)


def test_a_calibrated_world_answers_as_was_found(found):
    robot = attrs.evolve(found, v=attrs.evolve(found.v, delay=0.3, noise=0.0))
    world = CalibratedWorld(robot)
    for _ in range(6):
        world.step((0.5, 0.0), 0.05)
    assert world.state[3] == pytest.approx(0.0, abs=1e-12)
    for _ in range(4):
        world.step((0.5, 0.0), 0.05)
    assert world.state[3] == pytest.approx(0.8 * 0.5 * (1.0 - math.exp(-1.0)), rel=1e-6)
    world.reset()
    assert world.step((0.0, 0.0), 0.05)[3] == 0.0


def test_the_verdict_compares_models_on_a_figure_that_the_robot_can_follow(found):
    speeds = np.abs(figure_of(found).twist_at(np.linspace(0.0, 100.0, 2000))).max(axis=0)
    assert (speeds <= [0.8 * 0.5, 0.8 * 1.5]).all()
    names = []
    verdict = judge(found, done=names.append)
    assert names == ["kinematic", "calibrated", "adapted"]
    assert 0.0 < verdict.adapted < verdict.kinematic < 0.5
    assert verdict.prior == ("dynamic" if verdict.calibrated <= verdict.kinematic else "typical")
    assert f"{1e3 * verdict.kinematic:.0f} mm" in verdict.sentences[0]


def test_the_verdict_says_what_is_not_known(found):
    unsure = attrs.evolve(found, v=attrs.evolve(found.v, gain_within=0.2, explained=0.7))
    said = " ".join(judge(unsure).sentences)
    assert "explain 70% of v" in said and "v is not known well" in said
