"""Tasks from recorded runs: what is in the bag is what is learned from, in either storage."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("rosbags.rosbag2")

from mppi_maml_ros import cli
from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.meta.tasks.recordings import RecordedTasks


def test_no_task_reaches_over_a_gap_and_held_out_tasks_share_no_data(tmp_path, record_drive):
    paths = [record_drive(tmp_path / "a", gap=(100, 140)), record_drive(tmp_path / "b", "MCAP", seed=1)]
    tasks = RecordedTasks.read(paths)
    assert 40 <= tasks.steps <= 240
    training, held = tasks.pool(0, 50), tasks.pool(0, 50, held_out=True)
    assert training.inputs.shape == (50, tasks.steps, 12)
    # the commands of one step are the history of the next: a gap would break this
    assert np.allclose(training.inputs[:, :-1, 2:4], training.inputs[:, 1:, 4:6], atol=1e-5)
    rows = {row.tobytes() for row in training.inputs.reshape(-1, 12)}
    assert not rows & {row.tobytes() for row in held.inputs.reshape(-1, 12)}
    assert np.array_equal(tasks.pool(3, 5).inputs, tasks.pool(3, 5).inputs)


def test_too_short_a_run_is_refused_with_the_length_that_is_needed(tmp_path, record_drive):
    with pytest.raises(InvalidValueError, match=r"40 transitions .* 2 s"):
        RecordedTasks.read([record_drive(tmp_path / "run", gap=(30, 300))])


def test_meta_training_on_recorded_runs_makes_an_artifact_that_names_them(
    tmp_path, record_drive, monkeypatch
):
    from mppi_maml_ros.meta import recipe
    from mppi_maml_ros.weights.meta_model import MetaModel

    for name, count in (("PHYSICS_TASKS", 200), ("POOL_TASKS", 20), ("HELD_OUT_TASKS", 5)):
        monkeypatch.setattr(recipe, name, count)
    record_drive(tmp_path / "a"), record_drive(tmp_path / "b", "MCAP", seed=1)
    monkeypatch.chdir(tmp_path)
    arguments = ["meta-train", "--bags", "a", "b", "--iterations", "3", "--networks", "maml,grbal",
                 "--task-batch-size", "2", "--out", "mine.safetensors"]  # fmt: skip
    assert cli.main(arguments) == 0
    meta = MetaModel.load(tmp_path / "mine.safetensors")
    assert sorted(meta.networks) == ["grbal", "maml"]
    sources = meta.provenance["distribution"]["sources"]
    assert [source["name"] for source in sources] == ["a", "b"] and len(sources[0]["sha256"]) == 64


@pytest.mark.fault(83)
def test_a_run_that_gives_nothing_is_named_with_why_and_what_to_do(tmp_path, record_drive, driven, capsys):
    good = record_drive(tmp_path / "good")
    slow = record_drive(tmp_path / "slow", seed=1, every=4)  # 5 Hz
    other = record_drive(tmp_path / "other", seed=2, commands=-driven(2)[1])
    (tmp_path / "empty").mkdir()
    tasks = RecordedTasks.read([good, slow, other, tmp_path / "empty"])
    used, *refused = tasks.runs
    assert used.usable > 200 and not used.refusal
    assert [source["name"] for source in tasks.sources] == ["good"]
    assert all(run.usable == 0 and run.refusal for run in refused)
    assert refused[0].excluded["gap in odometry"] > 50
    assert "odometry came at 5.0 Hz: the base must publish odometry at 10 Hz" in " ".join(refused[0].remarks)
    assert "does not follow the commands" in refused[1].refusal
    assert "it holds no .mcap or .db3 file" in refused[2].refusal
    with pytest.raises(InvalidValueError) as error:
        RecordedTasks.read([slow, other])
    assert "5.0 Hz" in str(error.value) and "does not follow" in str(error.value)


@pytest.mark.fault(83)
def test_meta_training_shows_what_became_of_each_run(tmp_path, record_drive, monkeypatch, capsys):
    from mppi_maml_ros.cli import meta_training

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(meta_training, "run_meta_train", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    record_drive(tmp_path / "good"), record_drive(tmp_path / "slow", every=4)
    assert cli.main(["meta-train", "--bags", "good", "slow"]) == 0
    shown = capsys.readouterr().out
    good, slow = (
        next(line for line in shown.splitlines() if f" {name} " in line) for name in ("good", "slow")
    )
    assert " 295 " in good.split("│")[3] and " no " in slow.split("│")[3] and "gap in odometry" in slow
