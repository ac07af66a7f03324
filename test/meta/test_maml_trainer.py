"""The guide's API: constructor, meta_train, save and load; the model adapts online."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mppi_maml_ros.core.errors import ArtifactError, InvalidValueError  # noqa: E402 - after the check for torch
from mppi_maml_ros.dynamics.maml import MAMLDynamics  # noqa: E402
from mppi_maml_ros.meta.maml_trainer import DT, GuideTasks, MAMLTrainer, _drive  # noqa: E402
from mppi_maml_ros.simulation.seed_world import SeedWorld  # noqa: E402

SMALL = {"hidden_dims": [12, 12], "task_batch_size": 4, "support_size": 20, "query_size": 20}


def test_the_constructor_has_the_guides_defaults():
    trainer = MAMLTrainer()
    c = trainer.config
    assert (c.hidden, c.inner_lr, c.inner_steps, c.meta_lr) == ((128, 128), 0.005, 10, 5e-4)
    assert (c.task_batch_size, c.support_size, c.query_size) == (8, 100, 100)
    assert (trainer.state_dim, trainer.control_dim, trainer.device) == (3, 2, "cpu")
    assert trainer.trainer.name == "fomaml"


def test_the_tasks_drive_as_the_seed_world_does():
    rng = np.random.default_rng(0)
    commands = rng.uniform(-0.5, 1.0, (1, 60, 2))
    states = np.empty((1, 61, 5))
    _drive(np.array([0.5]), np.array([0.3]), commands, np.zeros((1, 5)), states)
    world = SeedWorld(noise=False)
    world.reset(start=(0.0, 0.0, 0.0))
    truth = [world.state.copy()]
    for command in commands[0]:
        world.step(command, DT)
        truth.append(world.state.copy())
    assert states[0] == pytest.approx(np.array(truth), abs=1e-4)


@pytest.mark.parametrize("state_dim", [3, 5])
def test_training_lowers_the_loss_after_adaptation(state_dim):
    trainer = MAMLTrainer(state_dim=state_dim, **SMALL, meta_lr=5e-3, inner_lr=0.02)
    curve = trainer.meta_train(n_iterations=150, verbose=False)
    assert curve.train[-30:, 1].mean() < 0.6 * curve.train[:5, 1].mean()


def test_a_saved_model_is_what_the_online_model_reads_and_adapts(tmp_path):
    trainer = MAMLTrainer(**SMALL, save_dir=tmp_path / "models")
    trainer.meta_train(5, verbose=False)
    path = trainer.save_meta_model("mine.pth")  # the guide's suffix; never pickled
    assert path == tmp_path / "models" / "mine.safetensors"
    again = MAMLTrainer(**SMALL, save_dir=tmp_path / "models", seed=9)
    again.load_meta_model("mine.pth")
    for (w, b), (w1, b1) in zip(trainer.trainer.theta(), again.trainer.theta()):
        assert np.array_equal(w, w1) and np.array_equal(b, b1)
    model = MAMLDynamics(state_dim=3, control_dim=2, model_path=path, inner_lr=0.02, inner_steps=50)
    rng = np.random.default_rng(0)
    states, controls = rng.normal(size=(40, 3)), rng.uniform(-1, 1, (40, 2))
    forward = np.stack([np.cos(states[:, 2]), np.sin(states[:, 2]), 0 * states[:, 0]], axis=1)
    after = states + DT * -0.3 * controls[:, :1] * forward
    meta = np.mean((model.forward_dynamics(states, controls) * DT + states - after) ** 2)
    model.adapt(states, controls, after, DT, restore=True)
    assert np.mean((model.forward_dynamics(states, controls) * DT + states - after) ** 2) < 0.5 * meta


def test_a_file_that_does_not_fit_changes_nothing(tmp_path):
    small, large = MAMLTrainer(**SMALL, save_dir=tmp_path), MAMLTrainer(save_dir=tmp_path)
    small.save_meta_model("small")
    before = large.trainer.parameters.flat.clone()
    with pytest.raises(ArtifactError, match="another shape"):
        large.load_meta_model("small")
    with pytest.raises(ArtifactError, match="name"):
        large.load_meta_model("../small")
    with pytest.raises(ArtifactError):
        large.load_meta_model("missing")
    assert torch.equal(before, large.trainer.parameters.flat)


def test_training_goes_on_from_where_it_is():
    trainer = MAMLTrainer(**SMALL)
    trainer.meta_train(30, verbose=False)
    reached = trainer.trainer.parameters.flat.clone()
    trainer.meta_train(1, verbose=False)
    assert torch.allclose(reached, trainer.trainer.parameters.flat, atol=2e-3)


@pytest.mark.parametrize(
    "field, value", [("state_dim", 4), ("control_dim", 3), ("trainer", "sgd"), ("inner_lr", 0)]
)
def test_bad_arguments_are_refused_by_name(field, value):
    with pytest.raises(InvalidValueError, match=field):
        MAMLTrainer(**{field: value})


def test_residual_targets_are_what_the_kinematic_model_gets_wrong():
    whole, residual = GuideTasks(5, 20, 20, residual=False), GuideTasks(5, 20, 20)
    inputs, rates = whole.raw(np.random.default_rng(1), 3)
    _, left = residual.raw(np.random.default_rng(1), 3)
    commands = inputs[..., 2:]
    assert left[..., 0] == pytest.approx(rates[..., 0] - commands[..., 0])
    assert left[..., 2] == pytest.approx(rates[..., 2] - commands[..., 1])
    assert np.array_equal(left[..., 3:], rates[..., 3:])
