"""The compiled residual is the residual."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.dynamics import compiled, residual
from mppi_maml_ros.dynamics.features import feature_size, input_size
from mppi_maml_ros.dynamics.residual import ResidualWeights
from mppi_maml_ros.dynamics.transitions import Transitions


def weights_of(rng, hidden, activation, taps, blend) -> ResidualWeights:
    widths = [input_size(taps), *hidden, 3]
    layers = [
        (rng.normal(size=(b, a)) / np.sqrt(a), 0.1 * rng.normal(size=b)) for a, b in zip(widths, widths[1:])
    ]
    return ResidualWeights(
        linear=0.1 * rng.normal(size=(3, feature_size(taps))),
        layers=layers if hidden else (),
        input_scale=rng.uniform(0.5, 4.0, input_size(taps)),
        displacement_blend=blend,
        activation=activation,
        delay_taps=taps,
        model_dt=0.05,
    )


NETWORKS = [((), "tanh"), ((32,), "tanh"), ((5, 7), "tanh"), ((13,), "relu")]


@pytest.mark.parametrize("taps", [0, 1, 8])
@pytest.mark.parametrize("hidden, activation", NETWORKS)
def test_corrections_are_those_of_the_reference(hidden, activation, taps):
    rng = np.random.default_rng(taps)
    weights = weights_of(rng, hidden, activation, taps, 1.0)
    for rows in (0, 1, 8, 81):
        inputs = rng.normal(size=(rows, input_size(taps)))
        np.testing.assert_allclose(
            compiled.correction(weights, inputs), residual.correction(weights, inputs), rtol=0.0, atol=1e-10
        )


@pytest.mark.parametrize("late", [(0, 0), (4, 1)])
@pytest.mark.parametrize("hidden, activation", NETWORKS)
def test_errors_are_residuals_less_corrections_of_the_commands_that_act(hidden, activation, late):
    rng = np.random.default_rng(5)
    weights = attrs.evolve(weights_of(rng, hidden, activation, 3, 1.0), transport_delay=late)
    count, shapes = 21, [(5,), (2,), (8, 2), (5,)]
    states, commands, history, ends = (rng.normal(size=(count, *shape)) for shape in shapes)
    data = Transitions(np.arange(count), states, commands, history, ends, np.zeros(count), 0.05)
    acting = data.delayed(weights)
    expected = acting.residuals - residual.correction(weights, acting.inputs)
    np.testing.assert_allclose(compiled.missed(weights, data), expected, rtol=0.0, atol=1e-9)
    with pytest.raises(InvalidValueError, match="past commands"):
        compiled.missed(attrs.evolve(weights, transport_delay=(6, 0)), data)


@pytest.mark.parametrize("blend", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("taps", [0, 3])
@pytest.mark.parametrize("hidden, activation", NETWORKS)
def test_predictions_are_those_of_the_reference(hidden, activation, taps, blend):
    rng = np.random.default_rng(taps)
    weights = weights_of(rng, hidden, activation, taps, blend)
    states, commands = 2.0 * rng.normal(size=(19, 5)), rng.normal(size=(19, 12, 2))
    history, push = rng.normal(size=(19, max(taps, 1), 2)), rng.normal(size=(12, 2))
    for given in (None, push):
        expected = residual.open_loop(weights, states, commands, history, given)
        got = compiled.open_loop(weights, states, commands, history, given)
        turn = np.abs((got - expected + np.pi)[..., 2] % (2.0 * np.pi) - np.pi)
        assert turn.max() < 1e-9 and np.abs(got - expected)[..., [0, 1, 3, 4]].max() < 1e-9
        assert (np.abs(got[..., 2]) <= np.pi).all()


@pytest.mark.parametrize("dt", [0.0, 0.02, 0.05])
@pytest.mark.parametrize("blend", [0.0, 1.0])
def test_a_fraction_of_a_step_is_that_of_the_reference(dt, blend):
    rng = np.random.default_rng(0)
    weights = weights_of(rng, (8,), "tanh", 2, blend)
    state, command, history, push = (rng.normal(size=s) for s in ((1, 5), (1, 2), (1, 2, 2), (2,)))
    expected = residual.step(weights, state, command, history, dt, push)
    got = compiled.open_loop(weights, state, command[:, None], history, push[None], dt)[:, 0]
    np.testing.assert_allclose(got, expected, rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("hidden, activation", NETWORKS)
def test_what_is_not_finite_stays_so(hidden, activation, bad):
    weights = weights_of(np.random.default_rng(0), hidden, activation, 2, 1.0)
    states = np.zeros((3, 5))
    states[1, 3] = bad
    ends = compiled.open_loop(weights, states, np.zeros((3, 4, 2)), np.zeros((3, 2, 2)))
    assert np.isfinite(ends[[0, 2]]).all() and not np.isfinite(ends[1, :, 3]).any()


def test_tanh_is_tanh_from_end_to_end():
    inputs = np.concatenate([np.linspace(-40.0, 40.0, 4001), [1e300, -1e300, 1e-300]])[:, None] * np.eye(1, 4)
    weights = ResidualWeights(
        linear=np.zeros((3, feature_size(0))),
        layers=((np.eye(1, 4), np.zeros(1)), (np.array([[1.0], [0.0], [0.0]]), np.zeros(3))),
        input_scale=np.ones(4),
        displacement_blend=1.0,
        activation="tanh",
        delay_taps=0,
        model_dt=0.05,
    )
    np.testing.assert_allclose(
        compiled.correction(weights, inputs)[:, 0], np.tanh(inputs[:, 0]), rtol=2e-12, atol=0.0
    )


@pytest.mark.parametrize("name, shape", [("states", (3, 4)), ("commands", (3, 4, 3)), ("history", (3, 1, 2))])
def test_what_does_not_fit_is_refused_by_name(name, shape):
    weights = weights_of(np.random.default_rng(0), (), "tanh", 2, 1.0)
    given = {"states": np.zeros((3, 5)), "commands": np.zeros((3, 4, 2)), "history": np.zeros((3, 2, 2))}
    with pytest.raises(InvalidValueError, match=f"{name} must have the shape"):
        compiled.open_loop(weights, **given | {name: np.zeros(shape)})
    with pytest.raises(InvalidValueError, match="inputs must have 8 columns"):
        compiled.correction(weights, np.zeros((3, 7)))
