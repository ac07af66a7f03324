"""Meta-training and adapting make the same arrays of the same transitions."""

import attrs
import numpy as np
import pytest

from mppi_maml_ros.adaptation import learning
from mppi_maml_ros.adaptation.adapters import make_adapter
from mppi_maml_ros.adaptation.adapters import maml as maml_adapter
from mppi_maml_ros.adaptation.learning import InnerLoop, LearningProblem, output_weight, typical_size
from mppi_maml_ros.adaptation.sgd import SGDConfig
from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.dynamics.buffer import BufferConfig, TransitionBuffer
from mppi_maml_ros.dynamics.features import features
from mppi_maml_ros.dynamics.identification.error_models import pushes
from mppi_maml_ros.dynamics.residual import ResidualWeights
from mppi_maml_ros.meta.config import TrainingConfig
from mppi_maml_ros.meta.tasks.residual import ResidualTasks
from mppi_maml_ros.meta.tasks.worlds import TaskPool
from mppi_maml_ros.weights.meta_model import PACKAGED, MetaModel

ROWS = 40


@pytest.fixture
def data(drive):
    buffer = TransitionBuffer(BufferConfig(delay_taps=2))
    drive(
        buffer.add_odometry,
        buffer.add_command,
        ResidualWeights.first_order((0.3, 0.3), (0.6, 1.3)),
        noise=0.01,
    )
    return buffer.latest(ROWS)


def trained_on(meta, name, data, prior):
    """Support and query of the one task that ``data`` are, normalised as the meta-model says."""
    pool = TaskPool(
        *(a[None] for a in (data.inputs, data.residuals) * 2),
        delays=np.zeros(1),
        noise=np.asarray(meta.noise),
    )
    config = TrainingConfig(support_size=ROWS, query_size=ROWS)
    tasks = ResidualTasks(pool, pool, config, prior, meta.noise, meta.input_scale)
    tasks.output_scale = meta.output_scale[name]
    tasks._problem = attrs.evolve(tasks._problem, output_scale=meta.output_scale[name])
    everything = np.arange(ROWS)[None]
    return tasks._batch(pool, np.zeros(1, dtype=int), everything, np.full((1, ROWS), 1.0 / ROWS), everything)


@pytest.fixture
def adapted_on(meta, data, monkeypatch):
    """What the adapter of a name hands to its gradient steps."""

    def run(name):
        seen = {}

        def steps(layers, activation, inputs, targets, config, validation=None, weight=None):
            seen.update(inputs=inputs, targets=targets, weight=weight)
            raise InterruptedError

        monkeypatch.setattr(maml_adapter, "restore_then_adapt", steps)
        with pytest.raises(InterruptedError):
            make_adapter(name, meta, SGDConfig(patience=0)).adapt(data)
        return seen

    return run


def test_training_and_adapting_differ_by_the_error_model_alone(meta, data, adapted_on, monkeypatch):
    name, layer = "maml", maml_adapter.starts_of(meta)
    support, query = trained_on(meta, name, data, layer)
    problem = LearningProblem.of(meta, name, layer)
    white = problem.fit(data.inputs, data.residuals)
    left = problem.left(data.inputs, data.residuals, white)
    np.testing.assert_array_equal(support[1][0], left / meta.output_scale[name])
    np.testing.assert_array_equal(query[1][0], support[1][0])
    monkeypatch.setattr(learning, "PUSH_IN_TRAINING", True)
    support, _ = trained_on(meta, name, data, layer)
    seen = adapted_on(name)
    np.testing.assert_array_equal(support[0][0], seen["inputs"])
    np.testing.assert_array_equal(support[1][0], seen["targets"])
    np.testing.assert_allclose(support[2][0] * ROWS, np.tile(seen["weight"], (ROWS, 1)), rtol=1e-6)


def test_what_the_physics_layer_and_the_push_leave_is_the_residual_less_both(meta, data):
    problem = LearningProblem.of(meta, "physics+maml", meta.physics)
    posterior = problem.fit(data.inputs, data.residuals, data.first)
    model = np.array([[0.9, 0.9], [0.3, 0.2], [0.0, 0.0]])
    left = problem.left(data.inputs, data.residuals, attrs.evolve(posterior, error_model=model), data.first)
    expected = data.residuals - features(data.inputs) @ posterior.mean.T
    push = pushes(expected[:, :2].copy(), data.first, model)[:-1]
    assert np.abs(push).max() > 0.0
    np.testing.assert_array_equal(left, expected - np.column_stack([push, np.zeros(len(data))]))
    assert problem.noise_of(posterior) is posterior.noise and problem.noise_of(None) is problem.noise


def test_an_output_counts_by_its_share_of_signal():
    np.testing.assert_allclose(output_weight(np.array([1.0, 2.0]), np.array([1.0, 0.0])), [0.5, 1.0])


def test_targets_are_scaled_by_their_size_but_not_below_the_noise_where_asked():
    left, noise = np.full((2, 5, 3), [0.3, 0.02, 0.0]), np.full(3, 0.01)
    np.testing.assert_allclose(typical_size(left, noise, False), [0.3, 0.02, 1e-4])
    np.testing.assert_allclose(typical_size(left, noise, True), [0.3, 0.1, 0.1])


def test_settings_that_the_first_artifacts_do_not_say_are_those_that_they_were_made_for():
    meta = MetaModel.load(PACKAGED)
    assert InnerLoop.of(meta, "anil") == InnerLoop(float(np.float32(0.05)), 10, 10.0, None)
    assert InnerLoop.of(meta, "grbal") == InnerLoop(float(np.float32(0.01)), 160, 10.0, 64)
    assert InnerLoop.of(meta, "mb", "dynamic") == InnerLoop(float(np.float32(0.001)), 40, 10.0, 100)
    assert learning.window_of(meta, "rebal") == 32 and learning.window_of(meta, "maml") is None


@pytest.mark.parametrize("missing", ["inner", "max_gradient_norm"])
def test_a_network_without_its_settings_is_refused(missing):
    meta = MetaModel.load(PACKAGED)
    kept = {name: value for name, value in meta.extras["anil"].items() if name != missing}
    bare = attrs.evolve(meta, extras=meta.extras | {"anil": kept})
    with pytest.raises(InvalidValueError, match=f"lacks {missing} of the network 'anil'"):
        make_adapter("anil", bare, SGDConfig())


@pytest.mark.parametrize("norm", [0.0, -1.0, np.nan, 1e12])
def test_a_clipping_norm_out_of_range_is_refused(norm):
    meta = MetaModel.load(PACKAGED)
    extras = meta.extras | {"anil": meta.extras["anil"] | {"max_gradient_norm": np.array([norm])}}
    with pytest.raises(InvalidValueError, match="max_gradient_norm of the network 'anil'"):
        make_adapter("anil", attrs.evolve(meta, extras=extras), SGDConfig())
