"""Compiled back-propagation against the textbook's, in double precision and without any filling up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mppi_maml_ros.core.kernels import backprop

problems = st.fixed_dictionaries(
    {
        "widths": st.lists(st.integers(1, 40), min_size=3, max_size=4),
        "samples": st.integers(1, 45),
        "unweighted": st.integers(0, 5),
        "networks": st.integers(1, 3),
        "tanh": st.booleans(),
        "seed": st.integers(0, 1000),
    }
)
some = settings(max_examples=60, deadline=None)


def layers(rng, widths):
    return [(rng.normal(size=(b, a)) / a**0.5, 0.3 * rng.normal(size=b)) for a, b in zip(widths, widths[1:])]


def samples(rng, widths, count, unweighted=0):
    x, y = rng.normal(size=(count, widths[0])), rng.normal(size=(count, widths[-1]))
    w = rng.uniform(0.1, 1.0, size=y.shape) / count
    w[max(count - unweighted, 1) :] = 0.0
    return [a.astype(np.float32) for a in (x, y, w)]


def textbook(pairs, tanh, x, y, w):
    """Outputs, loss and flat gradient."""
    values = [x.astype(float)]
    for i, (weight, bias) in enumerate(pairs):
        value = values[-1] @ weight.T + bias
        if i < len(pairs) - 1:
            value = np.tanh(value) if tanh else np.maximum(value, 0.0)
        values.append(value)
    error = values[-1] - y
    delta, gradients = 2.0 * w * error, []
    for i in range(len(pairs) - 1, -1, -1):
        gradients.append((delta.T @ values[i], delta.sum(axis=0)))
        slope = 1.0 - values[i] ** 2 if tanh else values[i] > 0.0
        delta = (delta @ pairs[i][0]) * slope
    flat = np.concatenate([np.ravel(part) for pair in reversed(gradients) for part in pair])
    return values[-1], float((w * error**2).sum()), flat


def differentiate(space, parameters, tanh, x, y, w):
    losses = np.empty(len(parameters), dtype=np.float32)
    gradients = np.full_like(parameters, np.nan)
    backprop.losses_and_gradients(space.plan, space.memory, parameters, tanh, x, y, w, losses, gradients)
    return losses, gradients


@some
@given(problems)
def test_loss_gradient_and_outputs_are_the_textbooks_for_any_sizes(problem):
    rng, widths, tanh = np.random.default_rng(problem["seed"]), problem["widths"], problem["tanh"]
    networks = [layers(rng, widths) for _ in range(problem["networks"])]
    data = [samples(rng, widths, problem["samples"], problem["unweighted"]) for _ in networks]
    x, y, w = (np.stack(part) for part in zip(*data))
    parameters = np.stack([backprop.flatten(pairs) for pairs in networks])
    space = backprop.Workspace(widths, problem["samples"])
    losses, gradients = differentiate(space, parameters, tanh, x, y, w)
    for b, pairs in enumerate(networks):
        outputs, loss, gradient = textbook(pairs, tanh, *data[b])
        found = np.empty_like(y[b])
        backprop.outputs(space.plan, space.memory, parameters[b], tanh, x[b], found)
        assert found == pytest.approx(outputs, abs=1e-4)
        assert losses[b] == pytest.approx(loss, rel=1e-4, abs=1e-6)
        assert gradients[b] == pytest.approx(gradient, rel=1e-3, abs=1e-4)
        alone = np.empty_like(parameters[b])
        one = (space.plan, space.memory, parameters[b], tanh, x[b], y[b], w[b])
        assert backprop.loss_and_gradient(*one, alone) == pytest.approx(losses[b], rel=1e-6)
        assert np.array_equal(alone, gradients[b])
        assert backprop.loss(*one) == pytest.approx(losses[b], rel=1e-6)


@pytest.mark.parametrize("widths", [(4, 128, 128, 3), (12, 32, 3)])
def test_a_workspace_forgets_the_call_before(widths):
    rng = np.random.default_rng(0)
    first, second = (np.stack([backprop.flatten(layers(rng, widths))]) for _ in range(2))
    large, small = ([a[None] for a in samples(rng, widths, count)] for count in (61, 7))
    used = backprop.Workspace(widths, 61)
    differentiate(used, first, True, *large)
    found = differentiate(used, second, False, *small)
    fresh = differentiate(backprop.Workspace(widths, 61), second, False, *small)
    assert found[0] == fresh[0] and np.array_equal(found[1], fresh[1])


@pytest.mark.parametrize("max_norm", [np.inf, 0.05])
def test_a_step_goes_down_the_gradient_which_is_clipped_in_each_network_alone(max_norm):
    rng, widths = np.random.default_rng(3), (5, 20, 3)
    parameters = np.stack([backprop.flatten(layers(rng, widths)) for _ in range(2)])
    data = [np.stack(part) for part in zip(*(samples(rng, widths, 12) for _ in range(2)))]
    data[2][1] *= 1e-3  # a network whose gradient is short
    space = backprop.Workspace(widths, 12)
    _, gradients = differentiate(space, parameters, True, *data)
    norms = np.linalg.norm(gradients, axis=1, keepdims=True)
    assert norms[0] > 0.05 > norms[1]
    expected = parameters - 0.1 * gradients * np.minimum(1.0, max_norm / norms)
    scratch = np.empty(parameters.shape[1], dtype=np.float32)
    backprop.step_down(space.plan, space.memory, parameters, True, *data, 0.1, max_norm, scratch)
    assert parameters == pytest.approx(expected, abs=1e-6)


def test_nan_in_the_inputs_shows_in_loss_and_gradient():
    rng, widths = np.random.default_rng(4), (3, 8, 2)
    parameters = np.stack([backprop.flatten(layers(rng, widths))])
    x, y, w = (a[None] for a in samples(rng, widths, 9))
    x[0, 4, 1] = np.nan
    losses, gradients = differentiate(backprop.Workspace(widths, 9), parameters, True, x, y, w)
    assert np.isnan(losses[0]) and np.isnan(gradients).any()


def test_views_are_the_layers_that_were_flattened():
    pairs = layers(np.random.default_rng(5), (4, 6, 5, 2))
    flat = backprop.flatten(pairs)
    assert flat.dtype == np.float32
    for (w, b), (weight, bias) in zip(backprop.views(flat, (4, 6, 5, 2)), pairs):
        assert w == pytest.approx(weight, abs=1e-7) and b == pytest.approx(bias, abs=1e-7)
    batch = backprop.views(np.stack([flat, 2.0 * flat]), (4, 6, 5, 2))
    assert batch[1][0].shape == (2, 5, 6) and np.array_equal(batch[1][0][1], 2.0 * batch[1][0][0])
