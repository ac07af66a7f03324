"""``mppi-maml reproduce``: what it says is what was run, and what is done is not run again."""

from __future__ import annotations

import csv
import json
import threading

import attrs
import numpy as np
import pytest

pytest.importorskip("torch")

from mppi_maml_ros import cli
from mppi_maml_ros.core.errors import ArtifactError, InvalidValueError
from mppi_maml_ros.literature import policy_studies
from mppi_maml_ros.literature.registry import STUDIES
from mppi_maml_ros.literature.report import written
from mppi_maml_ros.literature.study import Part, Study, reproduce
from mppi_maml_ros.meta.loop import Cancelled, Controls


@pytest.fixture
def study():
    """Two methods, whose value at x is x + seed for 20 tasks that differ."""

    def run(method, seed, scale, controls):
        runs.append((method, seed))
        return Part((0, 1), np.array([[0.0], [1.0]]) + seed + np.linspace(-1, 1, 20), 10)

    runs: list = []
    made = Study(
        "toy", "Toy", "nowhere", "steps", "return", ("one", "two"), run, lambda m, s: 1, {"one": {1.0: 7.0}}
    )
    return made, runs


def test_means_and_intervals_are_over_seeds(study, tmp_path):
    made, runs = study
    result = reproduce(made, (0, 1, 5), 1.0, tmp_path)
    assert runs == [(m, s) for m in ("one", "two") for s in (0, 1, 5)]
    row = result.rows[1]
    assert (row.method, row.x, row.mean, row.paper) == ("one", 1.0, pytest.approx(3.0), 7.0)
    assert row.ci95 == pytest.approx(4.303 * np.std([0, 1, 5], ddof=1) / 3**0.5, rel=1e-2)
    assert result.rows[3].paper is None and result.interval == "seeds" and result.env_steps["two"] == 10


def test_with_one_seed_the_interval_is_over_tasks(study, tmp_path):
    result = reproduce(study[0], (3,), 1.0, tmp_path)
    spread = np.linspace(-1, 1, 20).std(ddof=1)
    assert result.rows[0].ci95 == pytest.approx(1.96 * spread / 20**0.5, rel=1e-3)
    assert result.interval == "test tasks"


def test_what_is_done_is_not_run_again_unless_it_is_of_another_run(study, tmp_path):
    made, runs = study
    reproduce(made, (0,), 1.0, tmp_path)
    runs.clear()
    reproduce(made, (0, 1), 1.0, tmp_path)
    assert runs == [("one", 1), ("two", 1)]
    with pytest.raises(ArtifactError, match="another run"):
        reproduce(made, (0,), 0.5, tmp_path)
    (tmp_path / "one-0.json").write_text("{")
    with pytest.raises(ArtifactError, match="damaged"):
        reproduce(made, (0,), 1.0, tmp_path)


def test_cancelling_keeps_what_is_done(study, tmp_path):
    made, runs = study
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        reproduce(
            made, (0, 1), 1.0, tmp_path, controls=Controls(cancel=cancel), on_part=lambda *_: cancel.set()
        )
    assert runs == [("one", 0)] and (tmp_path / "one-0.json").is_file()


@pytest.mark.parametrize("changes", [{"methods": ["three"]}, {"scale": 0.0}, {"scale": 2.0}])
def test_wrong_arguments_are_named(study, tmp_path, changes):
    with pytest.raises(InvalidValueError, match=next(iter(changes))):
        reproduce(study[0], (0,), **{"scale": 1.0, "folder": tmp_path, **changes})


def test_numbers_are_written_without_exponents():
    assert [written(v) for v in (-11.678, 0.7521, 12345.6)] == ["-11.68", "0.7521", "12346"]


def test_the_command_writes_the_table_in_every_form_and_goes_on_where_it_was(tmp_path, capsys):
    out, file = tmp_path / "out", tmp_path / "result.json"
    arguments = ["reproduce", "navigation", "--scale", "0.001", "--seeds", "0", "--methods", "anil,oracle"]
    assert cli.main([*arguments, "--out", str(out), "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    assert found["name"] == "navigation" and found["seeds"] == [0] and found["total_cpu_s"] > 0
    assert [row["x"] for row in found["rows"]] == [0, 1, 2, 3, 0]
    assert {*found["rows"][0]} == {"method", "x", "mean", "ci95", "paper"}
    assert found["rows"][-1]["paper"] == -2.29 and found["env_steps"]["anil"] > 1000
    rows = list(csv.DictReader((out / "navigation.csv").open()))
    assert [float(row["mean"]) for row in rows] == pytest.approx([r["mean"] for r in found["rows"]], rel=1e-4)
    assert (out / "navigation.png").read_bytes()[1:4] == b"PNG"
    assert "| anil | 1 |" in (out / "navigation.md").read_text()
    capsys.readouterr()
    assert cli.main([*arguments, "--out", str(out)]) == 0
    assert "anil 0: 100" not in capsys.readouterr().out  # no training: everything was there


@pytest.mark.parametrize("name, method", [("sinusoid", "metasgd"), ("grbal", "mb")])
def test_what_was_compared_before_is_a_study_too(name, method, tmp_path):
    result = reproduce(STUDIES[name], (0,), 1e-4, tmp_path, [method])
    assert len(result.rows) == (11 if name == "sinusoid" else 1)
    assert all(np.isfinite(row.mean) and row.mean > 0.0 for row in result.rows)


def test_studies_are_listed(capsys):
    assert cli.main(["reproduce", "--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in STUDIES)


def test_an_unknown_study_is_refused_with_the_names(capsys):
    assert cli.main(["reproduce", "everything"]) == 1
    assert "navigation" in capsys.readouterr().err


@pytest.mark.parametrize("name", [*STUDIES])
def test_published_figures_are_of_methods_that_are_run(name):
    study = STUDIES[name]
    assert study.name == name and {*study.published} <= {*study.methods}
    assert all(study.iterations(method, 1.0) >= 1 for method in study.methods)


def test_a_study_does_the_whole_effort_at_scale_one_only():
    study = STUDIES["navigation"]
    assert study.iterations("maml", 1.0) == 100 > study.iterations("maml", 0.25) == 50
    direction = policy_studies.DIRECTION.scaled("maml", 0.25)  # there are two tasks: fewer of each
    assert (direction.iterations, direction.task_batch_size) == (100, 10)
    assert (direction.gae, policy_studies.NAVIGATION.config.gae) == (0.9, 1.0)
    assert attrs.fields(Study).seeds.default == (0, 1, 2, 3, 4)
