"""Every robot model: shapes, exactness, what it learns and how it is stored."""

import numpy as np
import pytest

from mppi_maml_ros.core.errors import ArtifactError, InvalidValueError
from mppi_maml_ros.dynamics.dynamic import DifferentialDriveDynamic
from mppi_maml_ros.dynamics.gaussian_process import GaussianProcessDynamics, GPConfig, fit
from mppi_maml_ros.dynamics.kinematic import DifferentialDriveKinematic
from mppi_maml_ros.dynamics.maml import MAMLDynamics
from mppi_maml_ros.dynamics.mlp import FitConfig
from mppi_maml_ros.dynamics.neural import NeuralDynamics
from mppi_maml_ros.dynamics.perturbed import PerturbedDynamics
from mppi_maml_ros.dynamics.residual_model import ResidualDynamics
from mppi_maml_ros.dynamics.robot_model import RobotModel
from mppi_maml_ros.experiments.oracle import OracleModel
from mppi_maml_ros.simulation.seed_world import PerturbedWorld, SeedWorld
from mppi_maml_ros.simulation.worlds import WORLD_NAMES, make_world

DT = 0.05


def five_states():
    return DifferentialDriveDynamic(0.5, 0.3)


MODELS = {
    "kinematic": DifferentialDriveKinematic,
    "dynamic": five_states,
    "perturbed": PerturbedDynamics,
    "neural": NeuralDynamics,
    "neural of 5 states": lambda: NeuralDynamics(state_dim=5, hidden_dims=(8,)),
    "maml": MAMLDynamics,
    "residual": lambda: ResidualDynamics(DifferentialDriveKinematic(), MAMLDynamics(hidden_dims=(8,))),
    "gaussian process": lambda: GaussianProcessDynamics(five_states()),
    "oracle": lambda: OracleModel(make_world("everything", 1)),
}


def drive(model, count, seed=0, noise=0.0):
    """States spread about, commands and what a model makes of them."""
    rng = np.random.default_rng(seed)
    states = rng.normal(0.0, [3.0, 3.0, 2.0, 0.5, 0.5], (count, 5))[:, : model.state_dim]
    states[:, 2] = (states[:, 2] + np.pi) % (2.0 * np.pi) - np.pi
    controls = rng.uniform(-1.0, 1.0, (count, 2))
    return states, controls, model.step(states, controls, DT) + noise * rng.normal(size=states.shape)


@pytest.mark.parametrize("name", MODELS)
def test_one_state_and_any_batch_of_states_give_the_same(name):
    model = MODELS[name]()
    assert isinstance(model, RobotModel)
    assert model.control_dim == 2 and model.model_type in ("kinematic", "dynamic", "learned")
    states, controls, after = drive(model, 6)
    batch = model.forward_dynamics(states, controls)
    assert batch.shape == after.shape == (6, model.state_dim)
    np.testing.assert_allclose(batch[2], model.forward_dynamics(states[2], controls[2]), atol=1e-6)
    cube = model.step(states.reshape(2, 3, -1), controls.reshape(2, 3, 2), DT)
    np.testing.assert_allclose(cube.reshape(6, -1), after, atol=1e-6)
    assert model.step(states, controls[0], DT).shape == after.shape
    assert (np.abs(after[:, 2]) <= np.pi).all()


@pytest.mark.parametrize("name", MODELS)
def test_wrong_shapes_are_named(name):
    model = MODELS[name]()
    with pytest.raises(InvalidValueError, match="state must have shape"):
        model.forward_dynamics(np.zeros(4), np.zeros(2))
    with pytest.raises(InvalidValueError, match="control must have shape"):
        model.step(np.zeros(model.state_dim), np.zeros(3), DT)
    with pytest.raises(InvalidValueError, match="one batch shape"):
        model.forward_dynamics(np.zeros((2, model.state_dim)), np.zeros((3, 2)))


@pytest.mark.parametrize("name", ["kinematic", "dynamic"])
def test_a_step_is_exact_however_long(name):
    """One long step equals many short ones of the equation itself."""
    model = MODELS[name]()
    states, controls, _ = drive(model, 20)
    whole, fine = model.step(states, controls, 0.4), states
    for _ in range(400):
        fine = RobotModel.step(model, fine, controls, 0.001)
    np.testing.assert_allclose(whole, fine, atol=1e-9)


def test_the_dynamic_model_that_holds_is_the_seed_world():
    world, model = SeedWorld(noise=False), DifferentialDriveDynamic(0.5, 0.3, held=True)
    state = world.state
    for command in np.random.default_rng(0).uniform(-2.0, 2.0, (100, 2)):
        world.step(command, DT)
        state = model.step(state, command, DT)
        np.testing.assert_allclose(state, world.state, atol=1e-12)


def test_the_perturbed_model_is_the_perturbed_world():
    world, model = PerturbedWorld(noise=False), PerturbedDynamics()
    state = world.state[:3]
    for command in np.random.default_rng(0).uniform(-2.0, 2.0, (100, 2)):
        world.step(command, DT)
        state = model.step(state, command, DT)
        np.testing.assert_allclose(state, world.state[:3], atol=1e-12)


@pytest.mark.parametrize("name", WORLD_NAMES)
def test_the_oracle_moves_as_its_world_does(name):
    world = make_world(name, 3, noise_scale=0.0)
    parameters = world.parameters
    world.set_parameters(parameters.with_odometry_noise((0.0,) * 5, 0.0))
    oracle, commands = OracleModel(world), np.tile([0.8, 0.4], (30, 1))
    for command in commands:
        state, acting = world.state, np.array([0.8, 0.4])
        predicted = oracle.step(state, acting, DT)
        world.step(command, DT)
        if np.array_equal(world.acting_command, acting) and not len(world.pending_commands):
            before = predicted
    np.testing.assert_allclose(before, world.state, atol=1e-9)


def test_commands_beyond_the_bounds_of_the_kinematic_model_are_cut():
    model = DifferentialDriveKinematic(v_max=1.0, omega_max=0.5)
    np.testing.assert_allclose(model.forward_dynamics(np.zeros(3), [3.0, -2.0]), [1.0, 0.0, -0.5])


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: DifferentialDriveKinematic(v_max=float("nan")), "v_max"),
        (lambda: DifferentialDriveDynamic(c_v=-1.0), "c_v"),
        (lambda: DifferentialDriveDynamic(gain=float("nan")), "gain"),
        (lambda: PerturbedDynamics(scale=(0.0, 1.0)), "scale"),
        (lambda: PerturbedDynamics(bias=(np.nan, 1.0)), "bias"),
        (lambda: NeuralDynamics(state_dim=4), "state_dim"),
        (lambda: NeuralDynamics(control_dim=3), "control_dim"),
        (lambda: NeuralDynamics(activation="sine"), "activation"),
        (lambda: NeuralDynamics(hidden_dims=(0,)), "hidden"),
        (lambda: MAMLDynamics(inner_lr=float("nan")), "inner_lr"),
        (lambda: MAMLDynamics(inner_steps=0), "inner_steps"),
        (lambda: FitConfig(learning_rate=float("nan")), "learning_rate"),
        (lambda: GPConfig(inducing=0), "inducing"),
        (lambda: GPConfig(ridge=float("nan")), "ridge"),
        (lambda: ResidualDynamics(DifferentialDriveKinematic(), NeuralDynamics(5)), "learned_model"),
    ],
)
def test_arguments_out_of_range_are_named(make, named):
    with pytest.raises(InvalidValueError, match=named):
        make()


# -- learning


def rms(a, b):
    return float(np.sqrt(np.mean((a - b) ** 2)))


@pytest.mark.parametrize("truth", [five_states(), PerturbedDynamics()], ids=["dynamic", "perturbed"])
def test_a_network_learns_a_robot_wherever_it_stands(truth):
    model = NeuralDynamics(state_dim=truth.state_dim, hidden_dims=(16,))
    losses = model.fit(*drive(truth, 1500), DT, FitConfig(epochs=80, batch_size=64, learning_rate=0.01))
    assert losses[-1, 1] < 0.01 * losses[0, 1]
    states, controls, after = drive(truth, 200, seed=1)
    states[:, :2] += 100.0
    after[:, :2] += 100.0
    still = rms(states[:, 3:], after[:, 3:]) if truth.state_dim == 5 else rms(states[:, :2], after[:, :2])
    columns = slice(3, 5) if truth.state_dim == 5 else slice(0, 2)
    assert rms(model.step(states, controls, DT)[:, columns], after[:, columns]) < 0.1 * still


def test_a_gaussian_process_learns_what_a_base_model_leaves_and_knows_where_it_is_unsure():
    truth = DifferentialDriveDynamic(2.0, 1.0)
    model = GaussianProcessDynamics(DifferentialDriveDynamic(0.0, 0.0), GPConfig(inducing=24, iterations=20))
    model.fit(*drive(truth, 400, noise=1e-4), DT)
    states, controls, after = drive(truth, 100, seed=1)
    before = rms(model.base_model.step(states, controls, DT), after)
    assert rms(model.step(states, controls, DT), after) < 0.1 * before
    far = np.array([0.0, 0.0, 0.0, 8.0, 8.0])
    assert (model.variance(far, controls[0])[3:] > model.variance(states[0], controls[0])[3:]).all()


def test_a_gaussian_process_finds_a_nonlinear_function_and_its_noise():
    rng = np.random.default_rng(0)
    inputs = rng.uniform(-2.0, 2.0, (600, 2))

    def truth(z):
        return np.stack([np.sin(2.0 * z[:, 0]), z[:, 0] * z[:, 1]], axis=1)

    process = fit(inputs, truth(inputs) + [0.05, 0.1] * rng.normal(size=(600, 2)), GPConfig(inducing=60))
    test = rng.uniform(-1.8, 1.8, (300, 2))
    assert rms(process.mean(test), truth(test)) < 0.05
    np.testing.assert_allclose(np.sqrt(process.noise), [0.05, 0.1], rtol=0.35)


def test_a_fit_needs_data():
    with pytest.raises(InvalidValueError, match="M >= 8"):
        fit(np.zeros((3, 2)), np.zeros((3, 1)))
    with pytest.raises(InvalidValueError, match="finite"):
        fit(np.full((9, 2), np.nan), np.zeros((9, 1)))


def test_adaptation_starts_from_the_meta_weights_again_each_time():
    truth = PerturbedDynamics()
    data = drive(truth, 60)
    model = MAMLDynamics(hidden_dims=(16,), inner_lr=0.1, inner_steps=50)
    first = model.adapt(*data, DT)
    assert first < 0.5 * model_loss(MAMLDynamics(hidden_dims=(16,)), *data)
    assert model.adapt(*data, DT) == first
    assert model.adapt(*data, DT, restore=False) < first
    model.restore_meta_weights()
    np.testing.assert_array_equal(model.forward_dynamics(np.zeros(3), np.ones(2)), np.zeros(3))


def model_loss(model, states, controls, after):
    return float(np.mean((model.forward_dynamics(states, controls) * DT + states - after) ** 2) / DT**2)


def test_saved_meta_weights_are_where_adaptation_starts():
    model = MAMLDynamics(hidden_dims=(8,), inner_lr=0.05, inner_steps=20)
    data = drive(PerturbedDynamics(), 40)
    model.adapt(*data, DT)
    adapted = model.forward_dynamics(np.zeros(3), np.ones(2))
    model.save_meta_weights()
    model.adapt(*drive(PerturbedDynamics(bias=(-0.5, 0.5)), 40), DT)
    assert not np.allclose(model.forward_dynamics(np.zeros(3), np.ones(2)), adapted)
    model.restore_meta_weights()
    np.testing.assert_array_equal(model.forward_dynamics(np.zeros(3), np.ones(2)), adapted)


@pytest.mark.parametrize("column", [0, 1, 2])
def test_transitions_that_are_not_finite_change_nothing(column):
    model, data = MAMLDynamics(hidden_dims=(8,)), list(drive(PerturbedDynamics(), 10))
    data[column] = data[column].copy()
    data[column][3, 0] = np.nan
    with pytest.raises(InvalidValueError, match="finite"):
        model.adapt(*data, DT)
    np.testing.assert_array_equal(model.forward_dynamics(np.zeros(3), np.ones(2)), np.zeros(3))


def test_a_yaw_that_wraps_is_no_fast_turn():
    model = MAMLDynamics(hidden_dims=(8,), inner_lr=0.1, inner_steps=50)
    states = np.tile([0.0, 0.0, np.pi - 0.01], (20, 1))
    after = np.tile([0.0, 0.0, -np.pi + 0.015], (20, 1))
    model.adapt(states, np.zeros((20, 2)), after, DT)
    assert 0.2 < model.forward_dynamics(states[0], np.zeros(2))[2] < 0.7


def test_a_model_that_was_saved_is_the_same_when_loaded(tmp_path):
    model = NeuralDynamics(state_dim=5, hidden_dims=(8, 8), activation="relu")
    model.fit(*drive(five_states(), 200), DT, FitConfig(epochs=3))
    path = model.save(tmp_path / "model.safetensors")
    states, controls, _ = drive(five_states(), 5, seed=2)
    expected = model.forward_dynamics(states, controls)
    for loaded in (NeuralDynamics(5, model_path=path), MAMLDynamics(5, model_path=path)):
        np.testing.assert_array_equal(loaded.forward_dynamics(states, controls), expected)
    loaded.adapt(*drive(five_states(), 30), DT)
    loaded.restore_meta_weights()
    np.testing.assert_array_equal(loaded.forward_dynamics(states, controls), expected)


def test_a_file_of_another_model_is_refused_and_changes_nothing(tmp_path):
    path = NeuralDynamics(state_dim=5, hidden_dims=(8,)).save(tmp_path / "model.safetensors")
    model = NeuralDynamics(state_dim=3, hidden_dims=(8,))
    with pytest.raises(ArtifactError, match="state_dim 5, not 3"):
        model.load(path)
    (tmp_path / "broken.safetensors").write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ArtifactError):
        model.load(tmp_path / "broken.safetensors")
    np.testing.assert_array_equal(model.forward_dynamics(np.ones(3), np.ones(2)), np.zeros(3))
