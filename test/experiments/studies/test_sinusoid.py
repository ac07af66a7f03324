"""The sinusoid benchmark from the command line."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")

from mppi_maml_ros import cli
from mppi_maml_ros.cli.sinusoid import NAMES
from mppi_maml_ros.experiments.studies import sinusoid


def test_the_command_writes_the_error_by_number_of_steps_with_its_interval(tmp_path, capsys):
    file = tmp_path / "out.json"
    assert cli.main(["sinusoid", "--trainer", "maml", "--iterations", "300", "--json", str(file)]) == 0
    result = json.loads(file.read_text())
    assert len(result["mse"]) == len(result["ci95"]) == 11
    assert result["mse"][1] < 0.95 * result["mse"][0]
    assert all(0.0 < half < 0.5 * mse for mse, half in zip(result["mse"], result["ci95"]))
    assert (result["shots"], result["iterations"], result["tasks"]) == (10, 300, 600)


@pytest.mark.parametrize("name", NAMES)
def test_every_trainer_runs_and_stays_finite_at_ten_steps(name):
    trainer = sinusoid.make_trainer(name, 5, 0)
    sinusoid.train(trainer, sinusoid.SinusoidTasks(5))
    result = sinusoid.evaluate(trainer, 5)
    assert np.isfinite(result.mse).all() and result.mse.shape == (11,)


def test_tasks_are_those_of_the_paper_and_reproducible():
    tasks = sinusoid.SinusoidTasks(10, 10)
    (x, y, w), (xq, yq, wq) = tasks.sample(np.random.default_rng(0), 4000)
    assert x.shape == (4000, 10, 1) and np.abs(x).max() <= 5.0 and np.abs(y).max() <= 5.0
    assert w.sum(axis=1) == pytest.approx(np.ones((4000, 1)))
    amplitude = np.abs(np.concatenate([y, yq], axis=1)).max(axis=1)
    assert 0.1 <= np.quantile(amplitude, 0.01) < 0.3 and np.quantile(amplitude, 0.99) > 4.7
    assert np.array_equal(tasks.sample(np.random.default_rng(0), 4000)[0][0], x)


def test_names_of_the_command_are_those_of_the_benchmark():
    assert tuple(NAMES) == tuple(sinusoid.TRAINERS)


@pytest.mark.parametrize("arguments", [["--trainer", "sgd"], ["--shots", "0"], ["--iterations", "x"]])
def test_wrong_usage_is_refused(arguments):
    assert cli.main(["sinusoid", *arguments]) == 2
