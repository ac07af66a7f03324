"""The comparison: its measures, its folder of results, and the command."""

import csv
import json
import math

import attrs
import matplotlib.image
import numpy as np
import pytest
from click.testing import CliRunner

from mppi_maml_ros.adaptation.adapters import ADAPTERS
from mppi_maml_ros.adaptation.online import OnlineConfig
from mppi_maml_ros.cli.compare import _Comparison
from mppi_maml_ros.cli.compare import compare as command
from mppi_maml_ros.core.errors import InvalidValueError, MppiMamlError
from mppi_maml_ros.dynamics.gaussian_process import GPConfig
from mppi_maml_ros.dynamics.mlp import FitConfig
from mppi_maml_ros.dynamics.residual import ResidualWeights, correction
from mppi_maml_ros.experiments import metrics
from mppi_maml_ros.experiments.comparison import contenders, offline, results
from mppi_maml_ros.experiments.comparison import panels as live
from mppi_maml_ros.experiments.comparison import runs as comparison
from mppi_maml_ros.experiments.comparison.offline import Library, OfflineConfig
from mppi_maml_ros.experiments.comparison.policies import POLICIES, packaged
from mppi_maml_ros.experiments.comparison.report import write_report
from mppi_maml_ros.experiments.comparison.results import COLUMNS, Job, JobResult, Results, read_results
from mppi_maml_ros.experiments.comparison.runs import ComparisonSettings, jobs_of
from mppi_maml_ros.experiments.comparison.table import Table
from mppi_maml_ros.experiments.comparison.targets import judge
from mppi_maml_ros.mppi.config import MPPIConfig
from mppi_maml_ros.simulation.worlds import FIRMWARE_WORLDS, WORLD_NAMES, make_world
from mppi_maml_ros.weights.meta_model import MetaModel

REQUIRED = [
    "model", "world", "trajectory", "seed", "rmse", "rmse_after_2s", "max_error", "gap_closed", "recovery_s",
    "step_ms_p50", "step_ms_p99", "adapt_ms_p50",
]  # fmt: skip

# -- measures


def test_rmse_after_leaves_the_start_out():
    error = [10.0] * 4 + [3.0, 4.0]
    assert metrics.rmse_after(error, dt=0.5, after=2.0) == pytest.approx(math.sqrt(12.5))
    assert math.isnan(metrics.rms([]))


def test_gap_closed_is_one_at_the_oracle_and_zero_at_the_kinematic_model():
    assert metrics.gap_closed(0.05, 0.01, 0.01) == pytest.approx(1.0)
    assert metrics.gap_closed(0.05, 0.01, 0.05) == pytest.approx(0.0)
    assert metrics.gap_closed(0.05, 0.01, 0.02) == pytest.approx(0.75)
    assert metrics.gap_closed(0.05, 0.01, 0.07) == pytest.approx(-0.5)
    assert math.isnan(metrics.gap_closed(0.05, 0.05, 0.04))


def test_recovery_is_when_the_error_stays_low_for_a_window():
    oracle = np.ones(40)
    error = np.concatenate([np.ones(10), np.full(6, 5.0), np.full(24, 1.15)])
    assert metrics.recovery_time(error, oracle, dt=0.5, change=5.0) == pytest.approx(3.0)
    assert metrics.recovery_time(oracle, oracle, dt=0.5, change=5.0) == 0.0
    assert metrics.recovery_time(5.0 * oracle, oracle, dt=0.5, change=5.0) == math.inf
    assert math.isnan(metrics.recovery_time(error, oracle, dt=0.5, change=19.0))


def test_of_several_changes_the_slowest_recovery_counts_each_until_the_next():
    oracle = np.ones(60)
    error = np.ones(60)
    error[10:14] = 9.0  # 2 s after the first change
    error[30:32] = 9.0  # 1 s after the second
    assert metrics.longest_recovery(error, oracle, 0.5, [5.0, 15.0]) == pytest.approx(2.0)
    error[10:30] = 9.0
    assert metrics.longest_recovery(error, oracle, 0.5, [5.0, 15.0]) == math.inf
    assert math.isnan(metrics.longest_recovery(error, oracle, 0.5, []))


def test_smoothness_is_the_mean_change_of_the_command():
    assert metrics.smoothness([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]]) == pytest.approx(3.0)


def test_confidence_interval_is_that_of_student():
    mean, margin = metrics.mean_and_margin([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert margin == pytest.approx(4.303 / math.sqrt(3.0))
    assert metrics.mean_and_margin([4.0, math.nan])[0] == 4.0
    assert math.isnan(metrics.mean_and_margin([4.0])[1])


def test_prediction_error_uses_the_model_that_served_at_the_time():
    """A robot at twice the commanded speed: the prior is late by 0.05 m a step, the right model by none."""
    dt, commands = 0.05, np.tile([1.0, 0.0], (20, 1))
    states = np.zeros((21, 5))
    states[:, 0], states[:, 3] = 2.0 * dt * np.arange(21), 2.0
    prior = ResidualWeights.prior(0, dt)
    right = ResidualWeights.first_order((1e-3, 1e-3), gain=(2.0, 1.0), model_dt=dt)
    assert metrics.prediction_error(states, commands, [(0, prior)], 3) == pytest.approx(0.15)
    assert metrics.prediction_error(states, commands, [(0, right)], 3) == pytest.approx(0.0, abs=1e-6)
    half = metrics.prediction_error(states, commands, [(0, prior), (9, right)], 3)
    assert half == pytest.approx(0.15 * math.sqrt(0.5))
    assert math.isnan(metrics.prediction_error(states, commands, [(0, prior)], 21))


# -- what is run


def test_every_adapter_can_be_compared():
    names = contenders.model_names()
    assert set(ADAPTERS) <= set(names)
    assert {"kinematic", "dynamic", "oracle", "adaptive", "neural", "residual", "gp"} <= set(names)
    assert {"mb", "mb_de"} <= set(names)
    assert len(set(names)) == len(names)
    assert set(contenders.BASELINES) <= set(names)
    assert set(names) - set(contenders.usual_models()) == {"oracle_nominal", OnlineConfig().adapter}


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("model", (["kinematic", "best"], ["seed"], ["circle"])),
        ("world", (["kinematic"], ["mars"], ["circle"])),
        ("trajectory", (["kinematic"], ["seed"], ["square"])),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(kind, arguments):
    with pytest.raises(InvalidValueError, match=f"unknown {kind} .*; known: .*(oracle|everything|figure8)"):
        jobs_of(*arguments, [0])


def test_jobs_have_no_repeats_and_keep_groups_together():
    jobs = jobs_of(["kinematic", "oracle", "kinematic"], ["seed", "delay"], ["circle"], [0, 1])
    assert len(jobs) == len(set(jobs)) == 8
    assert jobs[0].group == jobs[1].group


def test_changes_are_those_that_last():
    assert comparison.changes_of(make_world("friction_step"), 20.0) == [10.0]
    assert comparison.changes_of(make_world("friction_step"), 5.0) == []
    assert len(comparison.changes_of(make_world("terrain_change"), 20.0)) == 3
    (load,) = comparison.changes_of(make_world("payload", 3), 20.0)
    assert 8.0 <= load <= 12.0
    assert comparison.changes_of(make_world("wind_gust"), 20.0) == []
    (change,) = comparison.changes_of(make_world("ramped", 1, duration=25.0), 25.0)
    assert 10.0 <= change <= 15.0


# -- the folder of results


def outcome(model, rmse, error=0.01, changes=(), **values):
    row = dict.fromkeys(COLUMNS, math.nan) | {"swaps": 0, "rejected": 0, "rmse": rmse, "rmse_after_2s": rmse}
    row |= {"model": model, "world": "seed", "trajectory": "circle", "seed": 0, **values}
    return JobResult(row, {"error": np.full(400, error, dtype=np.float32), "changes": np.array(changes)})


def test_columns_are_the_agreed_ones_and_more_measures_lie_beside_them(tmp_path):
    results = Results(tmp_path, ComparisonSettings())
    results.add(outcome("kinematic", 0.05, smoothness=0.25))
    results.write()
    with open(results.path, newline="") as file:
        header, row = csv.reader(file)
    assert header == REQUIRED
    assert row[:5] == ["kinematic", "seed", "circle", "0", "0.05"]
    with open(tmp_path / "metrics.csv", newline="") as file:
        header, row = csv.reader(file)
    assert header[:4] == REQUIRED[:4] and row[header.index("smoothness")] == "0.25"
    (again,) = Results(tmp_path, ComparisonSettings()).rows.values()
    assert again["smoothness"] == 0.25 and set(again) == set(COLUMNS)


def test_tables_of_different_runs_are_refused(tmp_path):
    results = Results(tmp_path, ComparisonSettings())
    results.add(outcome("kinematic", 0.05))
    results.write()
    lines = (tmp_path / "metrics.csv").read_text().replace("kinematic", "oracle")
    (tmp_path / "metrics.csv").write_text(lines)
    with pytest.raises(MppiMamlError, match="different runs"):
        Results(tmp_path, ComparisonSettings())


def test_gap_and_recovery_follow_when_the_yardsticks_arrive(tmp_path):
    results = Results(tmp_path, ComparisonSettings())
    job = Job("adaptive", "seed", "circle", 0)
    results.add(outcome("adaptive", 0.02, error=0.011, changes=[10.0]))
    assert math.isnan(results.rows[job]["gap_closed"]) and math.isnan(results.rows[job]["recovery_s"])
    results.add(outcome("kinematic", 0.05, error=0.05, changes=[10.0]))
    results.add(outcome("oracle", 0.01, error=0.01, changes=[10.0]))
    assert results.rows[job]["gap_closed"] == pytest.approx(0.75)
    assert results.rows[job]["recovery_s"] == 0.0
    assert results.rows[attrs.evolve(job, model="kinematic")]["recovery_s"] == math.inf
    results.write()
    again = Results(tmp_path, ComparisonSettings()).rows
    assert {j: repr(row) for j, row in again.items()} == {j: repr(row) for j, row in results.rows.items()}


def test_a_model_that_fails_has_its_row(tmp_path):
    results = Results(tmp_path, ComparisonSettings())
    for model, rmse in (("kinematic", 0.05), ("oracle", 0.01)):
        results.add(outcome(model, rmse, changes=[10.0]))
    job = Job("maml", "seed", "circle", 0)
    results.add(JobResult(comparison.failed(job), {"changes": np.array([10.0])}))
    assert results.rows[job]["rmse"] == math.inf
    assert results.rows[job]["gap_closed"] == -math.inf
    assert results.rows[job]["recovery_s"] == math.inf
    results.write()
    assert write_report(tmp_path).exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"duration": 10.0}, "duration is 20.0, now 10.0"),
        ({"noise": 0.0}, "noise is 1.0, now 0.0"),
        ({"mppi": MPPIConfig(batch_size=64, noise_knots=8)}, "mppi.batch_size is 512, now 64"),
    ],
)
def test_results_of_other_settings_are_not_mixed(tmp_path, change, named):
    Results(tmp_path, ComparisonSettings())
    with pytest.raises(MppiMamlError, match=named):
        Results(tmp_path, ComparisonSettings(**change))
    Results(tmp_path, ComparisonSettings())


def test_results_of_another_meta_model_are_not_mixed(tmp_path):
    Results(tmp_path / "out", ComparisonSettings())
    (tmp_path / "other").write_bytes(b"other")
    with pytest.raises(MppiMamlError, match="meta_model is"):
        Results(tmp_path / "out", ComparisonSettings(artifact=tmp_path / "other"))


def test_other_code_is_noted(tmp_path, monkeypatch):
    assert not Results(tmp_path, ComparisonSettings()).mixed_code
    assert not Results(tmp_path, ComparisonSettings()).mixed_code
    monkeypatch.setattr(results, "code_digest", lambda: "changed")
    assert Results(tmp_path, ComparisonSettings()).mixed_code
    assert "changed" in json.loads((tmp_path / "manifest.json").read_text())["code"]


@pytest.mark.parametrize("content", ["", "model,world\nkinematic,seed\n"])
def test_a_damaged_table_is_refused(tmp_path, content):
    Results(tmp_path, ComparisonSettings())
    (tmp_path / "results.csv").write_text(content)
    with pytest.raises(MppiMamlError, match="other columns"):
        Results(tmp_path, ComparisonSettings())


def test_results_without_manifest_are_refused(tmp_path):
    (tmp_path / "results.csv").write_text(",".join(REQUIRED) + "\n")
    with pytest.raises(MppiMamlError, match="no manifest"):
        Results(tmp_path, ComparisonSettings())


# -- the loop


@pytest.fixture
def invented(monkeypatch):
    """Runs that cost nothing; the list of those done."""
    done = []

    def perform(job, settings, meta, library):
        done.append(job)
        return outcome(job.model, 0.01 * (1 + len(job.model)), world=job.world, seed=job.seed)

    monkeypatch.setattr(comparison, "perform", perform)
    return done


def test_runs_that_are_there_are_not_done_again(tmp_path, invented):
    settings = ComparisonSettings()
    first = jobs_of(["kinematic", "oracle"], ["seed"], ["circle"], [0])
    assert comparison.compare(settings, first, Results(tmp_path, settings), processes=0) == 2
    more = jobs_of(["kinematic", "oracle", "adaptive"], ["seed"], ["circle"], [0, 1])
    results = Results(tmp_path, settings)
    assert comparison.compare(settings, more, results, processes=0) == 4
    assert len(invented) == len(set(invented)) == 6
    assert comparison.compare(settings, more, Results(tmp_path, settings), processes=0) == 0
    assert set(read_results(tmp_path)) == set(more)


def test_what_is_finished_survives_an_interruption(tmp_path, invented):
    settings = ComparisonSettings()
    jobs = jobs_of(["kinematic", "oracle", "dynamic"], ["seed"], ["circle"], [0])

    def interrupt(job, row):
        if job.model == "oracle":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        comparison.compare(settings, jobs, Results(tmp_path, settings), 0, interrupt)
    assert [job.model for job in read_results(tmp_path)] == ["kinematic", "oracle"]
    assert not list(tmp_path.glob(".*"))


def test_a_run_that_breaks_is_named(tmp_path, monkeypatch):
    def perform(*_):
        raise ZeroDivisionError("float division")

    monkeypatch.setattr(comparison, "perform", perform)
    settings = ComparisonSettings()
    with pytest.raises(MppiMamlError, match="kinematic in seed on circle, seed 0 failed: ZeroDivisionError"):
        comparison.compare(settings, [Job("kinematic", "seed", "circle", 0)], Results(tmp_path, settings), 0)


# -- real runs


SMALL = ComparisonSettings(duration=2.0, mppi=MPPIConfig(batch_size=32, time_steps=10, noise_knots=4))


def test_a_real_comparison_with_its_report(tmp_path):
    jobs = jobs_of(["kinematic", "oracle", "physics", "rls"], ["coulomb"], ["circle"], [0])
    results = Results(tmp_path, SMALL)
    assert comparison.compare(SMALL, jobs, results, processes=0) == 4
    rows = results.rows
    assert all(0.0 < row["rmse"] < row["max_error"] < 1.0 for row in rows.values())
    assert all(row["step_ms_p50"] > 0.0 for row in rows.values())
    assert rows[jobs[2]]["adapt_ms_p50"] > 0.0 and math.isnan(rows[jobs[0]]["adapt_ms_p50"])
    assert rows[jobs[3]]["swaps"] > 20
    trace = results.trace(jobs[2])
    assert trace["commands"].shape == (40, 2) and np.abs(trace["commands"]).max() <= 2.0
    text = write_report(tmp_path).read_text()
    images = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert "bars_circle.png" in images and "worst_runs.png" in images
    assert all(f"(images/{name})" in text for name in images)


def test_a_run_repeats_to_the_bit(tmp_path):
    meta = MetaModel.load(SMALL.artifact)
    job = Job("physics", "coulomb", "circle", 1)
    library = Library(tmp_path)
    first, second = (comparison.perform(job, SMALL, meta, library) for _ in range(2))
    assert first.row["rmse"] == second.row["rmse"]
    np.testing.assert_array_equal(first.trace["commands"], second.trace["commands"])


@pytest.mark.parametrize("name", POLICIES)
def test_a_learned_policy_drives_in_place_of_mppi_and_says_what_it_took(name, tmp_path):
    settings = attrs.evolve(SMALL, duration=8.0)
    job = Job(name, "lag", "circle", 0)
    meta, library = MetaModel.load(SMALL.artifact), Library(tmp_path)
    first, second = (comparison.perform(job, settings, meta, library) for _ in range(2))
    np.testing.assert_array_equal(first.trace["commands"], second.trace["commands"])
    kinematic = comparison.perform(attrs.evolve(job, model="kinematic"), settings, meta, library)
    assert 0.0 < first.row["rmse_after_2s"] < kinematic.row["rmse_after_2s"]
    assert math.isnan(first.row["one_step_error"])  # it has no model
    policy = packaged(name)
    assert policy.notes["env_steps"] > 1_000_000
    assert policy.robot_steps == (2000 if name in ("maml_rl", "gmps_policy") else 0)
    results = Results(tmp_path / "r", settings)
    results.add(first)
    results.write()
    assert f"{policy.notes['env_steps']:,}" in write_report(tmp_path / "r").read_text()


def test_the_command_runs_in_processes_and_resumes(tmp_path):
    arguments = [
        "--models", "kinematic,dynamic", "--duration", "2", "--samples", "32", "--seeds", "0", "--jobs", "1",
        "--out", str(tmp_path),
    ]  # fmt: skip
    first = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert first.exit_code == 0 and "2 runs, 0 were there" in first.output
    assert (tmp_path / "report.md").exists()
    again = CliRunner().invoke(command, [*arguments, "--evaluate"], catch_exceptions=False)
    assert "0 runs, 2 were there" in again.output


@pytest.mark.parametrize("arguments", [["--seeds", "a"], ["--seeds", "3-1"], ["--world", "seed,,delay"]])
def test_wrong_options_are_named(arguments):
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2 and arguments[0] in result.output


# -- models learned offline


BRIEF = OfflineConfig(
    episode=2.0,
    random_episodes=2,
    samples=32,
    hidden=(8,),
    training=FitConfig(epochs=60, batch_size=32, learning_rate=0.01, patience=0),
    process=GPConfig(inducing=12, subset=60, iterations=3),
)


def test_offline_models_are_made_once_and_predict_better_than_kinematics(tmp_path, monkeypatch):
    library = Library(tmp_path, config=BRIEF)
    data = library.data("lag", 0)
    assert data.inputs.shape == (6 * (40 - 4), 12) and data.residuals.shape == (6 * 36, 3)
    first = library.models("lag", 0)
    for forbidden in ("collect", "train_network", "train_process"):
        monkeypatch.setattr(offline, forbidden, None)
    again = Library(tmp_path, config=BRIEF).models("lag", 0)
    for name in ("neural", "residual"):
        assert first[name].digest() == again[name].digest()
        error = correction(again[name], data.inputs) - data.residuals
        assert np.mean(error[:, :2] ** 2) < 0.5 * np.mean(data.residuals[:, :2] ** 2)
    error = again["gp"].process.mean(data.inputs) - data.residuals
    assert np.mean(error[:, :2] ** 2) < 0.1 * np.mean(data.residuals[:, :2] ** 2)


def test_data_differ_between_worlds_and_seeds_only(tmp_path):
    config = attrs.evolve(BRIEF, random_episodes=1, episode=1.0)
    first = offline.collect("coulomb", 0, 1.0, config)
    np.testing.assert_array_equal(first.inputs, offline.collect("coulomb", 0, 1.0, config).inputs)
    for world, seed in (("coulomb", 1), ("lag", 0)):
        assert not np.array_equal(first.inputs, offline.collect(world, seed, 1.0, config).inputs)


def test_preparations_are_what_the_jobs_lack(tmp_path):
    library = Library(tmp_path, config=BRIEF)
    jobs = jobs_of(["kinematic", "gp", "neural", "mb"], ["lag"], ["circle", "sine"], [0, 1])
    wanted = comparison.preparations(jobs, library)
    assert [str(one) for one in wanted] == ["models of lag, seed 0", "models of lag, seed 1"]
    assert len(comparison.preparations(jobs, library, "data")) == 2
    wanted[0].do(library)
    assert comparison.preparations(jobs, library) == wanted[1:]
    assert len(comparison.preparations(jobs, library, "data")) == 1


def test_offline_and_pooled_models_drive(tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "Library", lambda folder, noise: Library(folder, noise, BRIEF))
    jobs = jobs_of(["neural", "residual", "gp", "mb", "mb_de"], ["lag"], ["circle"], [0])
    found = Results(tmp_path, SMALL)
    assert comparison.compare(SMALL, jobs, found, processes=0) == 5
    for row in found.rows.values():
        assert 0.0 < row["rmse"] < 0.6 and 0.0 < row["one_step_error"] < 0.05
    assert found.rows[jobs[-1]]["swaps"] > 20 and found.rows[jobs[-2]]["swaps"] == 0


def test_all_stages_run_and_each_leaves_its_part(tmp_path, monkeypatch):
    from mppi_maml_ros.cli import meta_training

    def meta_train(config, places, console, resume):
        places.out.parent.mkdir(parents=True)
        places.out.write_bytes(comparison.PACKAGED.read_bytes())

    monkeypatch.setattr(meta_training, "run_meta_train", meta_train)
    monkeypatch.setattr(comparison, "usable_cores", lambda: 0)  # here, without processes
    monkeypatch.setattr(comparison, "Library", lambda folder, noise: Library(folder, noise, BRIEF))
    arguments = ["--world", "lag", "--models", "kinematic,oracle,adaptive,residual", "--seeds", "0,1"]
    arguments += ["--duration", "2", "--samples", "32", "--noise", "0.5", "--out", str(tmp_path)]

    def left():
        return sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())

    assert CliRunner().invoke(command, [*arguments, "--collect-data"]).exit_code == 0
    assert left() == ["data/lag/0.npz", "data/lag/1.npz"]
    assert CliRunner().invoke(command, [*arguments, "--meta-train"]).exit_code == 0
    assert CliRunner().invoke(command, [*arguments, "--train"]).exit_code == 0
    models = ["models/lag/0.safetensors", "models/lag/1.safetensors", "models/meta.safetensors"]
    assert [name for name in left() if name.startswith("models")] == models
    assert "results.csv" not in left()
    result = CliRunner().invoke(command, [*arguments, "--all"], catch_exceptions=False)
    assert result.exit_code == 0 and "8 runs, 0 were there" in result.output
    assert {"results.csv", "metrics.csv", "report.md", "images/bars_circle.png"} <= set(left())
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert (
        manifest["noise"] == 0.5 and manifest["meta_model"] == ComparisonSettings().manifest()["meta_model"]
    )


# -- live


def test_live_needs_a_display(monkeypatch, tmp_path):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(live.sys, "platform", "linux")
    with pytest.raises(MppiMamlError, match="--live needs a display"):
        CliRunner().invoke(command, ["--live", "--out", str(tmp_path / "x")], catch_exceptions=False)
    assert not (tmp_path / "x").exists()


def test_live_panels_show_every_model(tmp_path):
    jobs = jobs_of(["kinematic", "oracle", "adaptive"], ["friction_step"], ["circle"], [0])
    path = live.show(jobs, SMALL, Library(tmp_path))
    assert path.name == "live_circle_friction_step_0.png"
    assert matplotlib.image.imread(path).std() > 0.05


def test_a_report_needs_results(tmp_path):
    with pytest.raises(MppiMamlError, match="no results"):
        write_report(tmp_path / "nothing")


# -- the report


def rows_of(table):
    out = {}
    for (model, world, seed), rmse in table.items():
        row = outcome(model, rmse, world=world, seed=seed).row
        out[Job(model, world, "circle", seed)] = row
    return out


def test_gaps_that_are_not_worth_closing_do_not_count():
    small = {("kinematic", "seed", 0): 0.030, ("oracle", "seed", 0): 0.029, ("adaptive", "seed", 0): 0.035}
    large = {("kinematic", "delay", 0): 0.03, ("oracle", "delay", 0): 0.01, ("adaptive", "delay", 0): 0.012}
    table = Table(rows_of(small | large))
    assert table.gaps("adaptive") == {("delay", "circle"): pytest.approx(0.9)}


def test_ratios_compare_only_seeds_that_both_have():
    table = Table(
        rows_of({("kinematic", "seed", 0): 0.02, ("adaptive", "seed", 0): 0.01, ("adaptive", "seed", 1): 9.0})
    )
    assert table.ratios("adaptive", "kinematic") == {("seed", "circle"): pytest.approx(0.5)}
    assert list(table.run_ratios("adaptive", "kinematic").values()) == [pytest.approx(0.5)]


# -- what has to be reached


def judged(table, **columns):
    rows = rows_of(table)
    for row in rows.values():
        row["rmse_after_change"] = row["rmse"]
        row |= columns
    return {target.name: target for target in judge(rows)}


def test_bars_are_judged_by_means_over_seeds():
    table = {("adaptive", "seed", s): 0.0104 + 0.0002 * s for s in (0, 1)}
    table |= {("oracle", "seed", s): 0.01 for s in (0, 1)}
    table |= {("kinematic", "seed", s): 0.0105 for s in (0, 1)}
    found = judged(table)
    assert found["seed, circle: RMSE × oracle"].value == pytest.approx(1.05)
    below = found["seed, circle: share of runs below kinematic"]
    assert below.value == 0.5 and not below.met
    assert found["worst run × kinematic"].worst == "seed, circle, seed 1"
    assert found["worst world × kinematic"].met


def test_bars_count_the_gap_of_worlds_that_have_one():
    table = {("kinematic", "lag", 0): 0.1, ("oracle", "lag", 0): 0.02, ("adaptive", "lag", 0): 0.03}
    table |= {("kinematic", "delay", 0): 0.1, ("oracle", "delay", 0): 0.099, ("adaptive", "delay", 0): 0.11}
    found = judged(table)
    assert found["wheel-level worlds: mean gap closed"].value == pytest.approx(0.875)
    assert found["worst run × kinematic"].value == pytest.approx(1.1)
    assert "friction_step, circle: slowest recovery [s]" not in found


def test_bars_compare_with_the_best_identifier_of_each_world():
    table = {}
    for world, errors in (("coulomb", (0.02, 0.03, 0.04)), ("dead_zone", (0.05, 0.02, 0.03))):
        table |= {(name, world, 0): e for name, e in zip(("rls", "ekf", "l1"), errors)}
        table[("adaptive", world, 0)] = 0.016
    assert judged(table)["non-linear worlds: × best identifier, mean"].value == pytest.approx(0.8)


def test_a_recovery_that_never_comes_misses_its_bar():
    table = {(name, "friction_step", 0): 0.02 for name in ("adaptive", "oracle")}
    found = judged(table, recovery_s=math.inf)
    assert not found["friction_step, circle: slowest recovery [s]"].met
    assert found["friction_step, circle: RMSE after the step × informed oracle"].value == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("all", WORLD_NAMES),
        ("firmware_bases", FIRMWARE_WORLDS),
        ("seed,firmware_bases,late", ("seed", *FIRMWARE_WORLDS)),
    ],
)
def test_groups_of_worlds_stand_for_their_members(tmp_path, given, expected):
    options = {"world": tuple(given.split(",")), "models": ("kinematic",), "trajectory": ("circle",)}
    chosen = _Comparison(tmp_path, 1, None, {**options, "seeds": (0,), "noise": 1.0}, None)
    assert tuple(job.world for job in chosen.jobs) == tuple(expected)
