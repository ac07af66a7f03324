import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.dynamics.features import feature_size, features, input_size
from mppi_maml_ros.dynamics.residual import ResidualWeights, open_loop, step

DT = 0.05


def random_weights(seed=0, taps=2, hidden=(16,), activation="tanh", size=0.05):
    rng = np.random.default_rng(seed)
    widths = [input_size(taps), *hidden, 3]
    layers = [
        (rng.normal(size=(b, a)) / np.sqrt(a), 0.1 * rng.normal(size=b)) for a, b in zip(widths, widths[1:])
    ]
    layers[-1] = (size * layers[-1][0], size * layers[-1][1])
    return ResidualWeights(
        linear=size * rng.normal(size=(3, feature_size(taps))),
        layers=layers if hidden else (),
        input_scale=rng.uniform(0.5, 2.0, input_size(taps)),
        displacement_blend=1.0,
        activation=activation,
        delay_taps=taps,
        model_dt=DT,
        adapter="test",
    )


def test_untrained_residual_is_the_kinematic_prior():
    untrained = attrs.evolve(random_weights(size=0.0), displacement_blend=0.0)
    assert untrained.is_prior
    state, command = np.array([1.0, 2.0, 0.3, 0.7, -0.2]), np.array([0.5, 0.4])
    predicted = step(untrained, state, command, np.zeros((2, 2)))
    middle = 0.3 + 0.5 * 0.4 * DT
    expected = [1.0 + 0.5 * DT * np.cos(middle), 2.0 + 0.5 * DT * np.sin(middle), 0.3 + 0.4 * DT, 0.5, 0.4]
    assert predicted == pytest.approx(expected)


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.12])
@pytest.mark.parametrize("tau", [0.1, 0.4])
def test_first_order_model_follows_the_exact_step_response_with_delay(tau, delay):
    weights = ResidualWeights.first_order((tau, tau), gain=(0.8, 1.2), delay=delay, model_dt=DT)
    commands = np.tile([1.0, 0.5], (20, 1))
    states = open_loop(weights, np.zeros(5), commands, np.zeros((8, 2)))
    t = DT * np.arange(1, 21)
    rise = np.where(t > delay, 1.0 - np.exp(-np.maximum(t - delay, 0.0) / tau), 0.0)
    assert states[:, 3] == pytest.approx(0.8 * rise, abs=1e-6)
    assert states[:, 4] == pytest.approx(0.6 * rise, abs=1e-6)


@given(
    st.tuples(st.floats(-50, 50), st.floats(-50, 50), st.floats(-3, 3)),
    st.tuples(st.floats(-2, 2), st.floats(-2, 2), st.floats(-2, 2), st.floats(-2, 2)),
)
@settings(max_examples=50)
def test_prediction_does_not_depend_on_where_the_robot_stands(pose, twist_and_command):
    from mppi_maml_ros.core import se2

    weights, history = random_weights(), np.array([[0.3, -0.1], [0.2, 0.5]])
    v, omega, u, r = twist_and_command
    at_origin = step(weights, np.array([0, 0, 0, v, omega]), np.array([u, r]), history)
    elsewhere = step(weights, np.array([*pose, v, omega]), np.array([u, r]), history)
    assert se2.to_body(elsewhere[:3], np.array(pose)) == pytest.approx(at_origin[:3], abs=1e-6)
    assert elsewhere[3:] == pytest.approx(at_origin[3:])


def test_a_fraction_of_a_step_lies_between_both_ends():
    weights = random_weights()
    state, command, history = np.array([0, 0, 0, 0.5, 0.1]), np.array([0.8, -0.3]), np.zeros((2, 2))
    whole = step(weights, state, command, history)
    half = step(weights, state, command, history, DT / 2)
    assert half[3:] == pytest.approx((state[3:] + whole[3:]) / 2)
    assert step(weights, state, command, history, DT) == pytest.approx(whole)


def test_tensors_rebuild_the_same_weights():
    weights = random_weights()
    again = ResidualWeights.from_tensors(
        weights.tensors(), activation="tanh", delay_taps=2, model_dt=DT, adapter="test"
    )
    assert again.digest() == weights.digest()


def test_weights_cannot_be_written_to():
    weights = random_weights()
    for tensor in (weights.linear, weights.input_scale, weights.layers[0][0]):
        with pytest.raises(ValueError):
            tensor[...] = 0.0


@pytest.mark.parametrize("name", ["linear", "input_scale", "layer0.weight", "layer1.bias"])
@pytest.mark.parametrize("damage", ["nan", "inf", "huge", "shape", "float64", "missing"])
def test_damaged_tensors_are_refused_by_name(name, damage):
    tensors = {key: tensor.copy() for key, tensor in random_weights().tensors().items()}
    if damage == "missing":
        del tensors[name]
    elif damage == "shape":
        tensors[name] = np.zeros((7, 7), np.float32)
    elif damage == "float64":
        tensors[name] = tensors[name].astype(np.float64)
    else:
        tensors[name].flat[0] = {"nan": np.nan, "inf": np.inf, "huge": 1e9}[damage]
    with pytest.raises(InvalidValueError, match=name.split(".")[0]):
        ResidualWeights.from_tensors(tensors, activation="tanh", delay_taps=2, model_dt=DT, adapter="test")


@pytest.mark.parametrize(
    "field, value",
    [
        ("delay_taps", 9),
        ("model_dt", 0.0),
        ("model_dt", np.nan),
        ("activation", "sine"),
        ("displacement_blend", 1.5),
    ],
)
def test_settings_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(InvalidValueError, match=field):
        attrs.evolve(random_weights(), **{field: value})


def test_features_end_with_the_constant_and_the_nonlinear_terms():
    inputs = np.array([0.5, -0.2, 0.1, 0.3])
    phi = features(inputs)
    assert phi[:4] == pytest.approx(inputs)
    assert phi[4:6] == pytest.approx([1.0, -0.1])
    assert 0.99 < phi[6] < 1.0 and -1.0 < phi[7] < -0.85
