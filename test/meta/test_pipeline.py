import threading

import attrs
import numpy as np
import pytest

pytest.importorskip("torch")

from mppi_maml_ros.dynamics.identification.physics import empirical_prior
from mppi_maml_ros.meta import pipeline, recipe
from mppi_maml_ros.meta.config import TrainingConfig
from mppi_maml_ros.meta.tasks.worlds import WorldTasks, transitions_of
from mppi_maml_ros.weights.meta_model import MetaModel

SMALL = TrainingConfig(iterations=20, hidden=(8,), task_batch_size=4, inner_steps=3, seed=7)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(recipe, "PHYSICS_TASKS", 300)
    monkeypatch.setattr(recipe, "POOL_TASKS", 60)
    monkeypatch.setattr(recipe, "HELD_OUT_TASKS", 20)


def test_the_same_seed_gives_the_same_artifact_and_another_seed_another(quick, tmp_path):
    digests = []
    for i, seed in enumerate((7, 7, 8)):
        config = TrainingConfig(iterations=5, hidden=(8,), task_batch_size=4, inner_steps=3, seed=seed)
        path = pipeline.meta_train(config, networks=("maml", "alpaca")).meta.save(
            tmp_path / f"{i}.safetensors"
        )
        digests.append(path.read_bytes())
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_the_artifact_can_be_used_by_every_adapter_and_says_how_it_was_made(quick, tmp_path):
    from mppi_maml_ros.adaptation.adapters import ADAPTERS, make_adapter
    from mppi_maml_ros.adaptation.sgd import SGDConfig

    meta = MetaModel.load(pipeline.meta_train(SMALL).meta.save(tmp_path / "m.safetensors"))
    assert meta.provenance["config"]["seed"] == 7
    assert meta.provenance["networks"]["grbal"]["trainer"] == "grbal"
    assert meta.provenance["distribution"]["delay_taps"] == meta.delay_taps
    for name in ADAPTERS:
        assert np.isfinite(make_adapter(name, meta, SGDConfig()).start().linear).all()


def test_only_the_networks_that_ask_for_it_learn_from_changing_worlds(quick, monkeypatch):
    names = ("maml", "rebal")
    assert [recipe.RECIPE[name].changing for name in names] == [False, True]
    first = pipeline.meta_train(SMALL, networks=names).meta
    monkeypatch.setattr(WorldTasks, "changing_pool", WorldTasks.pool)
    second = pipeline.meta_train(SMALL, networks=names).meta
    same = {
        name: all(
            np.array_equal(a, b)
            for pair in zip(first.networks[name], second.networks[name])
            for a, b in zip(*pair)
        )
        for name in names
    }
    assert same == {"maml": True, "rebal": False}
    assert np.array_equal(first.input_scale, second.input_scale)


def test_a_network_may_train_for_longer_than_the_others():
    longer = recipe.Network("grbal", longer=5)
    assert longer.config(SMALL).iterations == 100
    assert longer.config(attrs.evolve(SMALL, iterations=1_000_000)).iterations == 1_000_000


def test_an_adapter_may_take_more_inner_steps_than_training_did(quick):
    network = recipe.RECIPE["grbal"]
    extras = pipeline.meta_train(SMALL, networks=("grbal", "anil")).meta.extras
    trained = network.settings
    assert network.online > 1
    assert extras["grbal"]["inner"] == pytest.approx(
        [trained["inner_lr"], network.online * trained["inner_steps"]]
    )
    assert extras["grbal"]["window"] == trained["support_size"]
    assert extras["anil"]["inner"][1] == recipe.RECIPE["anil"].settings["inner_steps"]


def test_progress_is_reported_to_the_end_of_each_part(quick):
    reports = []
    pipeline.meta_train(SMALL, on_progress=reports.append, networks=("maml", "mb"))
    for name in ("maml", "mb"):
        own = [r for r in reports if r.phase == name]
        assert own[-1].iteration == own[-1].iterations == 20 * recipe.RECIPE[name].longer
    assert all(np.isfinite(r.loss) and r.rate > 0 for r in reports)


def test_a_cancelled_run_ends_at_once(quick):
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(pipeline.Cancelled):
        pipeline.meta_train(SMALL, cancel=cancel)


def test_pool_inputs_hold_the_command_history_and_residuals_follow_the_states():
    rng = np.random.default_rng(0)
    states, commands = rng.normal(size=(2, 7, 5)), rng.normal(size=(2, 6, 2))
    inputs, residuals = transitions_of(states, commands, 2, 0.05)
    assert inputs.shape == (2, 4, 8) and residuals.shape == (2, 4, 3)
    assert np.array_equal(inputs[1, 0, 2:], commands[1, [2, 1, 0]].ravel())
    assert np.array_equal(inputs[1, 0, :2], states[1, 2, 3:5])
    assert residuals[1, 0, :2] == pytest.approx(states[1, 3, 3:5] - commands[1, 2])


def test_the_physics_prior_knows_the_average_robot_better_than_the_kinematics_does():
    tasks = WorldTasks(steps=120)
    pool = tasks.pool(1, 400)
    coefficients = pipeline.ridge_coefficients(pool.clean_inputs, pool.clean_residuals)
    prior = empirical_prior(coefficients, pool.delays, 0.05, 4, np.full((2, 3), 1e-4))
    held = tasks.pool(2, 40)
    from mppi_maml_ros.dynamics.features import features

    mean = np.einsum("c,cop->op", prior.weight, prior.mean)
    left = held.clean_residuals - features(held.clean_inputs) @ mean.T
    assert np.mean(left[..., 0] ** 2) < 0.6 * np.mean(held.clean_residuals[..., 0] ** 2)
