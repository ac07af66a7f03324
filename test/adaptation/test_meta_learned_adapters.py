"""The adapters with a network of their own in the packaged meta-model, on a robot that it has not seen."""

from pathlib import Path

import attrs
import numpy as np
import pytest

import mppi_maml_ros
from mppi_maml_ros.adaptation.adapters import META_TRAINED, make_adapter
from mppi_maml_ros.adaptation.adapters.inner_loop import InnerLoopAdapter
from mppi_maml_ros.adaptation.adapters.mb import MBAdapter, dynamic_evaluation
from mppi_maml_ros.adaptation.sgd import SGDConfig
from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.core.types import Odometry
from mppi_maml_ros.dynamics.residual import ResidualWeights, correction, step
from mppi_maml_ros.weights.meta_model import MetaModel

PACKAGED = Path(mppi_maml_ros.__file__).parent / "artifacts" / "default.safetensors"
FAMILY = ("anil", "meta_sgd", "alpaca", "grbal", "rebal")
EVERY = (*FAMILY, "mb", "mb+de")


def made(name: str, meta: MetaModel):
    baselines = {"mb": MBAdapter, "mb+de": dynamic_evaluation}
    return baselines[name](meta) if name in baselines else make_adapter(name, meta, SGDConfig())


@pytest.fixture(scope="module")
def packaged() -> MetaModel:
    return MetaModel.load(PACKAGED)


@pytest.fixture(scope="module")
def slow_robot(packaged):
    """A recorded drive of a robot with a long lag and weak motors, in two halves."""
    from mppi_maml_ros.dynamics.buffer import BufferConfig, TransitionBuffer

    plant = ResidualWeights.first_order(time_constant=(0.4, 0.35), gain=(0.7, 0.7))
    rng = np.random.default_rng(5)
    buffer = TransitionBuffer(BufferConfig(delay_taps=packaged.delay_taps, size=1000))
    state, history = np.zeros(5), np.zeros((8, 2))
    for k in range(300):
        t = 0.05 * k
        measured = state + rng.normal(0.0, [0.001, 0.001, 0.001, 0.005, 0.005])
        buffer.add_odometry(Odometry(t, measured[:3], measured[3:]))
        command = np.array([0.6 + 0.4 * np.sin(1.3 * t), 0.8 * np.sin(0.9 * t)]) + 0.03 * rng.normal(size=2)
        buffer.add_command(t, command)
        state = step(plant, state, command, history)
        history = np.concatenate([command[None], history[:-1]])
    data = buffer.latest()
    return data[:150], data[150:]


def error(weights, data) -> float:
    """Mean square of the twist one step ahead."""
    return float(np.mean((correction(weights, data.inputs)[:, :2] - data.residuals[:, :2]) ** 2))


def test_the_packaged_meta_model_has_every_network(packaged):
    assert set(packaged.networks) == set(META_TRAINED)


@pytest.mark.parametrize("name", FAMILY)
def test_adapting_predicts_unseen_transitions_better_than_the_start_and_the_kinematics(
    packaged, slow_robot, name
):
    past, future = slow_robot
    adapter = made(name, packaged)
    adapted = adapter.adapt(past)
    assert error(adapted.weights, future) < 0.95 * error(adapter.start(), future)
    assert error(adapted.weights, future) < 0.5 * error(ResidualWeights.prior(4), future)
    assert adapted.weights.adapter == adapter.start().adapter == name


def test_grbal_predicts_what_comes_next_from_its_window_alone(packaged, slow_robot):
    past, future = slow_robot
    adapter = make_adapter("grbal", packaged, SGDConfig())
    adapted = adapter.adapt(past)
    assert adapted.loss_after < adapted.loss_before
    assert error(adapted.weights, future[:16]) < 0.5 * error(ResidualWeights.prior(4), future[:16])
    window = int(packaged.extras["grbal"]["window"][0])
    assert len(past) > window
    assert adapted.weights.digest() == adapter.adapt(past[-window:]).weights.digest()
    assert adapted.weights.digest() != adapter.adapt(past[-window + 1 :]).weights.digest()


@pytest.mark.parametrize("window", [0.0, -1.0, np.nan, 1e6])
def test_a_window_out_of_range_is_refused(packaged, window):
    extras = packaged.extras | {"grbal": packaged.extras["grbal"] | {"window": np.array([window])}}
    with pytest.raises(InvalidValueError, match="window of the network 'grbal'"):
        make_adapter("grbal", attrs.evolve(packaged, extras=extras), SGDConfig())


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("rows", [1, 5])
def test_few_transitions_give_finite_weights_and_the_same_twice(packaged, slow_robot, name, rows):
    past, future = slow_robot
    results = [made(name, packaged).adapt(past[:rows]) for _ in range(2)]
    assert np.isfinite(correction(results[0].weights, future.inputs)).all()
    assert np.isfinite([results[0].loss_before, results[0].loss_after]).all()
    assert results[0].weights.digest() == results[1].weights.digest()


@pytest.mark.parametrize("name", FAMILY)
def test_adapting_restores_the_start_each_time(packaged, slow_robot, name):
    past, _ = slow_robot
    adapter = made(name, packaged)
    first = adapter.adapt(past)
    adapter.adapt(past[:40])
    assert adapter.adapt(past).weights.digest() == first.weights.digest()


def test_dynamic_evaluation_goes_on_from_its_last_step_and_mb_never_moves(packaged, slow_robot):
    past, _ = slow_robot
    moving, still = made("mb+de", packaged), made("mb", packaged)
    first = moving.adapt(past)
    for _ in range(30):
        last = moving.adapt(past)
    assert last.loss_after < first.loss_after < first.loss_before
    assert still.adapt(past).weights.digest() == still.start().digest()


def test_anil_changes_the_last_layer_alone(packaged, slow_robot):
    weights = make_adapter("anil", packaged, SGDConfig()).adapt(slow_robot[0]).weights
    theta = packaged.networks["anil"]
    assert np.array_equal(weights.layers[0][0], theta[0][0])
    assert not np.array_equal(weights.layers[-1][0], theta[-1][0] * packaged.output_scale["anil"][:, None])


def test_alpaca_is_surer_after_data_and_calibrated(packaged, slow_robot):
    past, future = slow_robot
    adapter = make_adapter("alpaca", packaged, SGDConfig())
    before = adapter.variance(future.inputs)
    weights = adapter.adapt(past).weights
    after = adapter.variance(future.inputs)
    assert (after < before).all()
    z = (correction(weights, future.inputs) - future.residuals)[:, :2] / np.sqrt(after[:, :2])
    assert np.mean(np.abs(z) < 3.0) > 0.9


def test_rebal_carries_its_state_as_a_bias(packaged, slow_robot):
    weights = make_adapter("rebal", packaged, SGDConfig()).adapt(slow_robot[0]).weights
    theta = packaged.networks["rebal"]
    assert np.array_equal(weights.layers[0][0], theta[0][0])
    assert not np.array_equal(weights.layers[0][1], theta[0][1])


@pytest.mark.parametrize("name", EVERY)
def test_a_meta_model_without_the_network_is_refused_by_name(packaged, name):
    bare = attrs.evolve(packaged, networks={"maml": packaged.networks["maml"]}, extras={})
    with pytest.raises(InvalidValueError, match=f"no network for '{name.split('+')[0]}'"):
        made(name, bare)


@pytest.mark.parametrize("values", [(0.0, 5.0), (np.nan, 5.0), (0.1, 0.0), (0.1, 1e6)])
def test_inner_settings_out_of_range_are_refused(packaged, values):
    extras = packaged.extras | {"anil": packaged.extras["anil"] | {"inner": np.array(values)}}
    with pytest.raises(InvalidValueError, match="inner"):
        InnerLoopAdapter("anil", attrs.evolve(packaged, extras=extras), head_only=True)


def test_extras_survive_the_file(packaged, tmp_path):
    again = MetaModel.load(packaged.save(tmp_path / "m.safetensors"))
    assert again.extras.keys() == packaged.extras.keys()
    for name, tensors in packaged.extras.items():
        for key, value in tensors.items():
            assert np.array_equal(again.extras[name][key], value)
