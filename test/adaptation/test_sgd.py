import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mppi_maml_ros.adaptation.sgd import NetworkGradient, SGDConfig, restore_then_adapt
from mppi_maml_ros.core.errors import InvalidValueError


def layers(widths, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(
        (
            (rng.normal(size=(b, a)) / np.sqrt(a)).astype(np.float32),
            0.1 * rng.normal(size=b).astype(np.float32),
        )
        for a, b in zip(widths, widths[1:])
    )


def task(seed=0, count=60):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 4)).astype(np.float32)
    y = np.column_stack([np.sin(x[:, 0]), x[:, 1] * 0.5, 0.2 * x[:, 2]]).astype(np.float32)
    return x, y


@pytest.mark.parametrize("widths", [(4, 6, 3), (4, 6, 5, 3)])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@given(seed=st.integers(0, 1000), weight=st.floats(0.0, 2.0))
@settings(max_examples=15, deadline=None)
def test_gradient_matches_finite_differences(widths, activation, seed, weight):
    x, y = task(seed, 12)
    net = NetworkGradient(layers(widths, seed), activation, [1.0, weight, 0.5])
    net.backward(x, y)
    gradient = net.gradient.astype(float).copy()
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=gradient.size)
    direction /= np.linalg.norm(direction)
    base, eps = net.parameters.copy(), 1e-2
    values = []
    for sign in (1.0, -1.0):
        net.parameters[:] = base + sign * eps * direction
        values.append(net.loss(x, y))
    slope = (values[0] - values[1]) / (2 * eps)
    assert slope == pytest.approx(float(gradient @ direction), rel=0.05, abs=0.02)


def test_gradient_equals_autograd():
    torch = pytest.importorskip("torch")
    x, y = task()
    start = layers((4, 16, 3))
    net = NetworkGradient(start, "tanh")
    loss = net.backward(x, y)
    parameters = [torch.tensor(p, requires_grad=True) for pair in start for p in pair]
    hidden = torch.tanh(torch.tensor(x) @ parameters[0].T + parameters[1])
    output = hidden @ parameters[2].T + parameters[3]
    expected = ((output - torch.tensor(y)) ** 2).sum(dim=1).mean()
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    flat = np.concatenate([p.grad.numpy().ravel() for p in parameters])
    assert net.gradient == pytest.approx(flat, abs=1e-5)


def test_adaptation_lowers_the_loss_and_leaves_theta_alone():
    theta = layers((4, 16, 3))
    before = [(w.copy(), b.copy()) for w, b in theta]
    result = restore_then_adapt(theta, "tanh", *task(), SGDConfig(inner_lr=0.1, inner_steps=100))
    assert result.loss_after < 0.5 * result.loss_before
    assert result.steps == 100
    for (w, b), (w0, b0) in zip(theta, before):
        assert np.array_equal(w, w0) and np.array_equal(b, b0)


def test_restoring_makes_repeated_adaptation_identical():
    theta = layers((4, 16, 3))
    a, b = (restore_then_adapt(theta, "tanh", *task(), SGDConfig()) for _ in range(2))
    assert all(np.array_equal(x, y) for p, q in zip(a.layers, b.layers) for x, y in zip(p, q))


def test_early_stop_keeps_the_best_on_validation():
    theta, (x, y) = layers((4, 32, 3)), task(count=12)
    noisy = y + np.random.default_rng(3).normal(size=y.shape).astype(np.float32)
    config = SGDConfig(inner_lr=0.2, inner_steps=2000, patience=20)
    held = task(seed=9, count=40)
    stopped = restore_then_adapt(theta, "tanh", x, noisy, config, held)
    full = restore_then_adapt(theta, "tanh", x, noisy, config)
    check = NetworkGradient(theta, "tanh")
    losses = []
    for result in (stopped, full):
        check.restore(result.layers)
        losses.append(check.loss(*held))
    assert stopped.steps < 2000
    assert losses[0] < losses[1]


@pytest.mark.fault(37)
def test_a_learning_rate_that_diverges_stays_finite_by_clipping():
    result = restore_then_adapt(
        layers((4, 16, 3)), "relu", *task(), SGDConfig(inner_lr=10.0, inner_steps=200, max_gradient_norm=1.0)
    )
    assert all(np.isfinite(p).all() for pair in result.layers for p in pair)


def test_adam_lowers_the_loss_too():
    result = restore_then_adapt(
        layers((4, 16, 3)), "tanh", *task(), SGDConfig(optimiser="adam", inner_lr=0.01)
    )
    assert result.loss_after < 0.5 * result.loss_before


@pytest.mark.parametrize(
    "field, value",
    [("inner_lr", 0.0), ("inner_lr", np.nan), ("inner_steps", 0), ("optimiser", "lbfgs"), ("patience", -1)],
)
def test_settings_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(InvalidValueError, match=field):
        SGDConfig(**{field: value})
