import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mppi_maml_ros.core.errors import InvalidValueError  # noqa: E402 - after the check for torch
from mppi_maml_ros.meta.config import TrainingConfig  # noqa: E402
from mppi_maml_ros.meta.gradients import batched  # noqa: E402
from mppi_maml_ros.meta.tasks.residual import sample_sets, sample_windows  # noqa: E402
from mppi_maml_ros.meta.trainers.fomaml import FOMAML  # noqa: E402


def problem(tasks=3, samples=20, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(tasks, samples, 4, generator=generator)
    y = torch.stack([torch.sin(x[..., 0]), x[..., 1] * x[..., 2]], dim=-1)
    return x, y, torch.full((tasks, samples, 2), 1.0 / samples)


def network(seed=0, hidden=(6,)):
    generator = torch.Generator().manual_seed(seed)
    widths = [4, *hidden, 2]
    return [
        (torch.randn(b, a, generator=generator) / a**0.5, 0.1 * torch.randn(b, generator=generator))
        for a, b in zip(widths, widths[1:])
    ]


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("hidden", [(6,), (6, 5), (40,), (40, 36)])
def test_batched_gradient_equals_autograd_in_every_task(activation, hidden):
    x, y, weights = problem()
    layers = batched.repeat(network(hidden=hidden), 3)
    losses, gradients = batched.loss_and_gradient(layers, activation, x, y, weights)
    leaves = [[p.clone().requires_grad_(True) for p in pair] for pair in layers]
    value = x
    for i, (w, b) in enumerate(leaves):
        value = torch.baddbmm(b, value, w.transpose(1, 2))
        if i < len(leaves) - 1:
            value = torch.tanh(value) if activation == "tanh" else torch.relu(value)
    expected = (weights * (value - y) ** 2).sum(dim=(1, 2))
    expected.sum().backward()
    assert torch.allclose(losses, expected, rtol=1e-5)
    for pair, leaf in zip(gradients, leaves):
        for gradient, parameter in zip(pair, leaf):
            assert torch.allclose(gradient, parameter.grad, atol=1e-6)


def test_clipping_bounds_each_tasks_gradient_on_its_own():
    gradients = [(torch.ones(2, 3, 3) * torch.tensor([100.0, 0.01])[:, None, None], torch.zeros(2, 1, 3))]
    clipped = batched.clip(gradients, 1.0)
    norms = clipped[0][0].flatten(1).norm(dim=1)
    assert norms[0] == pytest.approx(1.0, rel=1e-4)
    assert norms[1] == pytest.approx(0.03, rel=1e-4)


@pytest.mark.parametrize("max_norm", [0.05, 1e6])
def test_a_step_down_by_shrunk_gradients_is_one_by_clipped_ones(max_norm):
    x, y, weights = problem()
    layers = batched.repeat(network(), 3)
    _, gradients = batched.loss_and_gradient(layers, "tanh", x, y, weights)
    expected = batched.descend(layers, batched.clip(gradients, max_norm), 0.1)
    found = batched.descend(layers, gradients, 0.1, batched.shrink(gradients, max_norm))
    for pair, other in zip(found, expected):
        for one, two in zip(pair, other):
            assert torch.allclose(one, two, atol=1e-7)


def test_meta_training_lowers_the_loss_after_adaptation():
    config = TrainingConfig(hidden=(24,), inner_steps=5, inner_lr=0.05, meta_lr=3e-3)
    trainer, rng, after = FOMAML(config, 1, 1), np.random.default_rng(0), []
    for _ in range(250):
        amplitude, x = rng.uniform(0.5, 2.0, (8, 1, 1)), rng.uniform(-2, 2, (8, 30, 1))
        y = amplitude * np.sin(2.0 * x)
        w = np.full((8, 15, 1), 1.0 / 15)
        _, loss = trainer.step((x[:, :15], y[:, :15], w), (x[:, 15:], y[:, 15:], w))
        after.append(loss)
    assert np.mean(after[-30:]) < 0.5 * np.mean(after[:10])


def test_an_untrained_network_corrects_nothing():
    weight, bias = FOMAML(TrainingConfig(), 4, 3).theta()[-1]
    assert not weight.any() and not bias.any()


def test_support_sets_are_contiguous_windows_of_the_sizes_asked_for():
    index, weights, query = sample_sets(np.random.default_rng(0), 50, 120, TrainingConfig(support_size=100))
    count = (weights > 0).sum(axis=1)
    assert count.min() >= 10 and count.max() <= 100 and count.std() > 10
    assert weights.sum(axis=1) == pytest.approx(np.ones(50))
    for row, n in zip(index, count):
        assert (np.diff(row[:n]) == 1).all()
    assert query.shape == (50, 100) and query.max() < 120


def test_windows_put_the_query_right_after_the_support():
    config = TrainingConfig(support_size=16, query_size=8)
    index, weights, query = sample_windows(np.random.default_rng(0), 40, 60, config)
    together = np.concatenate([index, query], axis=1)
    assert (np.diff(together, axis=1) == 1).all() and together.min() >= 0 and together.max() < 60
    assert weights.sum(axis=1) == pytest.approx(np.ones(40))


def test_a_short_task_leaves_a_shorter_window():
    config = TrainingConfig(support_size=100, query_size=16)
    index, weights, query = sample_windows(np.random.default_rng(0), 40, 59, config)
    assert index.shape == (40, 43) and query.shape == (40, 16) and query.max() == 58
    assert weights.sum(axis=1) == pytest.approx(np.ones(40))
    assert sample_windows(np.random.default_rng(0), 4, 26, config)[0].shape == (4, 10)
    with pytest.raises(InvalidValueError, match="query_size must be at most 15"):
        sample_windows(np.random.default_rng(0), 4, 25, config)


def test_an_unknown_outer_update_is_refused_with_the_allowed_names():
    with pytest.raises(InvalidValueError, match="outer must be one of auto, adam, annealed_adam, descent, "):
        TrainingConfig(outer="momentum")


@pytest.mark.parametrize(
    "field, value",
    [
        ("iterations", 0),
        ("task_batch_size", 5000),
        ("support_size", 1),
        ("inner_lr", float("nan")),
        ("inner_lr", 0.0),
        ("meta_lr", 2.0),
        ("hidden", ()),
        ("activation", "gelu"),
        ("seed", -1),
        ("patience", -1),
        ("evaluate_every", 0),
    ],
)
def test_settings_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(InvalidValueError, match=field):
        TrainingConfig(**{field: value})
