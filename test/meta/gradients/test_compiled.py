"""The compiled inner loop gives what batched matrix products give."""

import pytest

torch = pytest.importorskip("torch")

from mppi_maml_ros.meta.gradients import batched, compiled, inner  # noqa: E402 - after the check for torch


def problem(hidden, dtype=torch.float32, tasks=3, samples=21):
    generator = torch.Generator().manual_seed(0)
    widths = [4, *hidden, 2]
    layers = [
        (
            torch.randn(tasks, b, a, generator=generator, dtype=torch.float64) / a**0.5,
            0.1 * torch.randn(tasks, 1, b, generator=generator, dtype=torch.float64),
        )
        for a, b in zip(widths, widths[1:])
    ]
    x = torch.randn(tasks, samples, 4, generator=generator, dtype=torch.float64)
    y = torch.stack([torch.sin(x[..., 0]), x[..., 1] * x[..., 2]], dim=-1)
    weights = torch.rand(tasks, samples, 1, generator=generator, dtype=torch.float64) / samples
    weights = weights.expand(-1, -1, 2)
    return [(w.to(dtype), b.to(dtype)) for w, b in layers], [a.to(dtype) for a in (x, y, weights)]


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("hidden", [(7,), (32,), (20, 16)])
@pytest.mark.parametrize("max_norm", [float("inf"), 0.2])
def test_adapting_is_the_same_in_double_precision_by_batched_products(activation, hidden, max_norm):
    layers, support = problem(hidden)
    exact, exact_support = problem(hidden, torch.float64)
    assert compiled.serves(layers) and not compiled.serves(exact)
    before = [(w.clone(), b.clone()) for w, b in layers]
    found = inner.adapt(layers, activation, support, 0.1, 7, max_norm)
    expected = inner.adapt(exact, activation, exact_support, 0.1, 7, max_norm)
    for pair, other, start, untouched in zip(found, expected, before, layers):
        for a, b, c, d in zip(pair, other, start, untouched):
            assert a.shape == b.shape
            assert torch.allclose(a.double(), b, atol=2e-6)
            assert not torch.equal(a, c) and torch.equal(c, d)


def test_every_step_can_be_interrupted():
    layers, support = problem((7,))
    calls = []

    def interrupt():
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        inner.adapt(layers, "tanh", support, 0.1, 10, interrupt=interrupt)
    assert len(calls) == 3


def test_what_records_a_graph_is_left_to_torch():
    layers, samples = problem((7,))
    for pair in layers:
        for part in pair:
            part.requires_grad_(True)
    assert not compiled.serves(layers)
    losses, _ = batched.loss_and_gradient(layers, "tanh", *samples)
    assert losses.requires_grad
