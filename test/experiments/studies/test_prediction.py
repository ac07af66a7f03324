"""The prediction study: its robots, its measures, its page and its command."""

import json
import math

import attrs
import numpy as np
import pytest
from click.testing import CliRunner

from mppi_maml_ros.cli.prediction_study import prediction_study as command
from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.dynamics.residual import ResidualWeights
from mppi_maml_ros.experiments.studies import prediction as module
from mppi_maml_ros.weights.meta_model import PACKAGED, MetaModel

FEW = tuple(row for row in module.ROWS if row.name in ("kinematics", "no adaptation", "physics", "rls"))


@pytest.fixture(scope="module")
def meta():
    return MetaModel.load(PACKAGED)


def test_the_same_seed_draws_the_same_robots():
    first, again = (module.draw_tasks(module.DELAYED, 3, 5, 4) for _ in range(2))
    np.testing.assert_array_equal(first[2].support.states, again[2].support.states)
    other = module.draw_tasks(module.DELAYED, 3, 6, 4)
    assert not np.array_equal(first[2].support.states, other[2].support.states)


def test_support_is_measured_and_what_follows_is_clean():
    clean, noisy = (module.draw_tasks(c, 2, 0, 4) for c in (module.CLEAN, module.NOISY))
    for a, b in zip(clean, noisy):
        np.testing.assert_allclose(a.query.states, b.query.states)
        spread = (b.support.states - a.support.states)[:, 3:].std(axis=0)
        np.testing.assert_allclose(spread, 0.02, rtol=0.2)
        assert len(a.support) == max(module.SIZES) and len(a.query) == module.QUERY
        assert a.query.stamps[0] == pytest.approx(a.support.stamps[-1] + module.DT)


def test_history_is_the_commands_before():
    (task,) = module.draw_tasks(module.CLEAN, 1, 0, 3)
    data = task.support
    np.testing.assert_array_equal(data.history[5:, 0], data.commands[4:-1])
    np.testing.assert_array_equal(data.history[5:, 2], data.commands[2:-3])


def test_robots_of_the_clean_column_are_linear():
    """Each obeys one first-order equation an axis, which least squares then finds exactly."""
    for task in module.draw_tasks(module.CLEAN, 3, 1, 4):
        for axis in (0, 1):
            q = task.query
            phi = np.stack([q.states[:, 3 + axis], q.commands[:, axis]], axis=1)
            rest = np.linalg.lstsq(phi, q.next_states[:, 3 + axis], rcond=None)[1]
            assert rest[0] < 1e-8


def test_the_right_model_has_no_error(meta):
    (task,) = module.draw_tasks(attrs.evolve(module.CLEAN, ranges={"lag_v": (0.2, 0.2)}), 1, 0, 4)
    right = ResidualWeights.first_order((0.2, 0.1), model_dt=module.DT)
    assert module.residual_error(right, task.query) < 1e-4
    assert module.open_loop_error(right, task.query) < 1e-3
    assert module.residual_error(ResidualWeights.prior(4), task.query) > 0.02


def test_a_model_that_runs_away_counts_as_such():
    (task,) = module.draw_tasks(module.CLEAN, 1, 0, 0)
    linear = np.zeros((3, 8))
    linear[0, 0] = 900.0
    wild = attrs.evolve(ResidualWeights.prior(0), linear=linear, displacement_blend=1.0)
    assert module.open_loop_error(wild, task.query) > 1e6
    good, bad = (0.1, 0.1, 0.2), (math.inf, math.inf, 0.2)
    counted = module._stability(np.array([good, bad, (0.1, 9.0, 0.2)]))
    assert counted["not_finite"] == 1 and counted["blow_ups"] == 2


def test_a_study_and_its_page(meta, tmp_path):
    seen = []
    result = module.study(meta, 2, rows=FEW, conditions=(module.CLEAN, module.FULL), on_progress=seen.append)
    assert seen == [1, 2, 3, 4, 5, 6]
    again = module.study(meta, 2, rows=FEW, conditions=(module.CLEAN, module.FULL))
    assert json.dumps(result) == json.dumps(again)
    physics = [cell["mean"] for cell in result["table"]["clean"]["physics"]]
    kinematics = [cell["mean"] for cell in result["table"]["clean"]["kinematics"]]
    assert physics[-1] < physics[0] < kinematics[0] == kinematics[-1]
    assert max(physics) < 0.05 * kinematics[0]
    assert result["stability"]["physics"]["fits"] == 2 * len(module.SIZES)

    result["default"] = "physics"
    paths = module.write(result, tmp_path, "mppi-maml prediction-study")
    assert [path.name for path in paths] == [f"prediction_study.{kind}" for kind in ("json", "md", "png")]
    assert json.loads(paths[0].read_text()) == result
    page = paths[1].read_text()
    assert "| kinematics |" in page and "Out of distribution" in page
    assert {column["size"] for column in module.ratios(result)} == set(module.SIZES)
    assert all(column["row"] != "physics" for column in module.ratios(result))


def test_noise_in_the_odometry_is_not_taken_for_a_push(meta):
    (row,) = (row for row in FEW if row.name == "physics")
    errors = [
        [module.residual_error(row.fit(meta, task.support[-size:]), task.query) for size in (50, 200)]
        for task in module.draw_tasks(module.NOISY, 12, 0, meta.delay_taps)
    ]
    few, many = np.mean(errors, axis=0)
    assert many < 0.7 * few < 0.005


def test_tasks_out_of_range_are_refused(meta):
    with pytest.raises(InvalidValueError, match="tasks"):
        module.study(meta, 0)


def test_the_command_writes_its_report(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CONDITIONS", (module.CLEAN,))
    monkeypatch.setattr(module, "ROWS", (FEW[0], module.ROWS[-1]))
    result = CliRunner().invoke(command, ["--robots", "1", "--out", str(tmp_path)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "--robots 1 --seed 0" in (tmp_path / "prediction_study.md").read_text()
