"""Settings chosen on some robots and judged on others."""

from __future__ import annotations

import json
import math

import pytest

from mppi_maml_ros.experiments.studies import courses
from mppi_maml_ros.experiments.studies import path_defaults as work
from mppi_maml_ros.experiments.studies.fallback import Drive


def drive(rmse=0.01, time=20.0, change_omega=0.01, clearance=math.inf):
    return Drive(
        rmse=rmse,
        worst=0.1,
        speed=0.5,
        change_v=0.01,
        change_omega=change_omega,
        time=time,
        clearance=clearance,
    )


def row(**changes):
    made = drive(**changes)
    return {"robot": "b", "path": "eight"} | {name: getattr(made, name) for name in work.COLUMNS[4:]}


def test_half_the_error_at_the_same_calm_and_time_is_half_the_score():
    usual = [row()]
    assert work.score(usual, usual) == pytest.approx(1.0)
    assert work.score([row(rmse=0.005)], usual) == pytest.approx(0.5)
    assert work.score([row(time=40.0)], usual) == pytest.approx(2.0**0.5)
    assert work.score([row(change_omega=0.02)], usual) == pytest.approx(2.0**0.25)


def test_a_wall_that_is_touched_and_a_goal_not_reached_count_twice():
    usual = [row()]
    assert work.score([row(clearance=-0.01)], usual) == pytest.approx(2.0)
    assert work.score([row(time=math.nan)], usual) == pytest.approx(2.0 * 3.0**0.5)


def test_what_helps_alone_is_taken_together_and_judged_elsewhere(tmp_path):
    asked = []

    def run(robot, path, settings):
        asked.append((robot, path, work.label(settings)))
        better = 0.9 ** (settings.get("temperature") == 0.1) * 0.8 ** (settings.get("wz_std") == 0.3)
        if settings.get("position_weight") == 40:  # helps, but not into the goal
            return drive(rmse=0.001, time=math.nan)
        if settings.get("time_steps") == 40:  # helps alone, but not beside another
            better *= 0.95 if len(settings) == 1 else 1.05
        return drive(rmse=0.01 * better * (1.1 if "vx_std" in settings else 1.0))

    def whole():
        study = work.Study(tmp_path, run)
        for settings in ({}, *work.changes()):
            list(study.drives("train", settings))
        list(study.together())
        assert study.chosen == {"temperature": 0.1, "wz_std": 0.3}
        for these in ({}, study.chosen):
            list(study.drives("test", these))
        return study.write()

    summary = whole()
    assert summary["score"] == {"train": pytest.approx(0.72), "test": pytest.approx(0.72)}
    assert summary["alone"]["vx_std=0.25"] == pytest.approx(1.1, abs=1e-3)
    assert json.loads((tmp_path / "path_defaults.json").read_text()) == summary
    assert len(asked) == len(set(asked))
    judged = {
        (robot, path) for robot, path, settings in asked if "wz_std=0.3" in settings and " " in settings
    }
    assert {path for robot, path in judged if robot in work.TEST_ROBOTS} == set(courses.TEST)
    before = len(asked)
    assert whole() == summary and len(asked) == before  # what is done is not done again


def test_settings_of_controller_critics_and_loop_are_all_at_work():
    fast = {"temperature": 1.0, "obstacles.cost_weight": 5.0, "approach_time": 0.4, "time_steps": 20.0}
    made = work.run("a", "off", fast)
    assert made.rmse > 0.0 and made != work.run("a", "off", {})
    assert set(work.SETTINGS) >= set(fast)
