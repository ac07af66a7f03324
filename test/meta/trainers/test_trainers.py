"""Each trainer does what its paper says: gradients against finite differences, updates against formulas."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402 - after the check for torch
from hypothesis import strategies as st  # noqa: E402

from mppi_maml_ros.adaptation.adapters.rebal import encode  # noqa: E402
from mppi_maml_ros.meta.config import TrainingConfig  # noqa: E402
from mppi_maml_ros.meta.gradients import batched, inner  # noqa: E402
from mppi_maml_ros.meta.gradients.batched import Samples  # noqa: E402
from mppi_maml_ros.meta.gradients.outer import Adam, Descent  # noqa: E402
from mppi_maml_ros.meta.trainers.grbal import LARGEST  # noqa: E402
from mppi_maml_ros.meta.trainers.meta_sgd import MAX_RATE, MIN_RATE, MetaSGD  # noqa: E402
from mppi_maml_ros.meta.trainers.registry import TRAINERS  # noqa: E402
from mppi_maml_ros.meta.trainers.reptile import together  # noqa: E402

INPUTS, OUTPUTS, TASKS = 3, 2, 3
EXACT = ("maml", "anil", "meta_sgd", "grbal", "alpaca", "rebal", "supervised")
UNCLIPPED = 1e9

cases = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10_000),
        "steps": st.integers(1, 4),
        "hidden": st.sampled_from([(5,), (4, 3)]),
        "activation": st.sampled_from(["tanh", "relu"]),
        "max_norm": st.sampled_from([UNCLIPPED, 0.5]),
    }
)
few = settings(max_examples=8, deadline=None, derandomize=True)


def problem(seed, samples=7):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x = draw(TASKS, samples, INPUTS)
    y = torch.stack([torch.sin(x[..., 0]), x[..., 1] * x[..., 2]], dim=-1) + 0.1 * draw(TASKS, samples, 2)
    weights = torch.rand(TASKS, samples, 1, generator=generator, dtype=torch.float64).expand(-1, -1, 2)
    return Samples(x, y, weights / weights.sum(dim=1, keepdim=True))


def made(name, seed=0, steps=3, hidden=(5,), activation="tanh", max_norm=UNCLIPPED, **more):
    config = TrainingConfig(
        hidden=hidden, activation=activation, inner_steps=steps, inner_lr=0.2, max_gradient_norm=max_norm,
        seed=seed, **more,
    )  # fmt: skip
    return TRAINERS[name](config, INPUTS, OUTPUTS, silent=False, dtype=torch.float64)


def inner_sgd(layers, activation, inputs, targets, weights, inner_lr, steps, max_norm):
    """Full-batch SGD of every task, written out (MAML, eq. 1)."""
    for _ in range(steps):
        _, gradients, _ = batched.differentiate(layers, activation, inputs, targets, weights)
        layers = batched.descend(layers, batched.clip(gradients, max_norm), inner_lr)
    return layers


def slopes(function, flat, directions, width=1e-5):
    """Central differences of ``function()`` along directions in the parameters ``flat``."""
    out = []
    for direction in directions:
        flat.add_(direction, alpha=width)
        above = function()
        flat.add_(direction, alpha=-2.0 * width)
        below = function()
        flat.add_(direction, alpha=width)
        out.append((above - below) / (2.0 * width))
    return torch.tensor(out, dtype=torch.float64)


def directions_in(flat, seed, count=4):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, len(flat), generator=generator, dtype=torch.float64)


def outer_loss(trainer, support, query):
    """What the trainer minimises, as a function of its parameters."""
    if trainer.name == "supervised":
        start = batched.repeat(trainer.layers, TASKS)
        return float(batched.loss(start, trainer.config.activation, together(support, query)).mean())
    if trainer.name == "alpaca":
        named = trainer.parameters.views()
        mean, variance = trainer._predict(named, trainer._shortened(support), query[0])
        total = (2.0 * named["log_noise"]).exp() * variance
        value = (query[1] - mean) ** 2 / total + torch.log(total)
        return float(0.5 * (value * query[2]).sum(dim=(1, 2)).mean())
    return float(trainer.losses(support, query)[-1].mean())


@pytest.mark.parametrize("name", EXACT)
@few
@given(case=cases)
def test_the_meta_gradient_agrees_with_finite_differences(name, case):
    # A kink of ReLU between the two evaluations would spoil the difference, not the gradient.
    trainer = made(name, **case | {"activation": "tanh"})
    support, query = problem(case["seed"] + 1), problem(case["seed"] + 2)
    gradient, _, _ = trainer.meta_gradient(support, query)
    flat = trainer.parameters.flat
    directions = directions_in(flat, case["seed"])
    expected = slopes(lambda: outer_loss(trainer, support, query), flat, directions)
    assert torch.allclose(directions @ gradient, expected, rtol=1e-4, atol=1e-6)


@few
@given(case=cases)
def test_second_order_equals_automatic_differentiation_through_the_inner_loop(case):
    trainer = made("maml", **case)
    support, query = problem(case["seed"] + 1), problem(case["seed"] + 2)
    leaves = [[p.clone().requires_grad_(True) for p in pair] for pair in trainer.layers]
    total = 0.0
    for i in range(TASKS):
        one = [Samples(*(a[i : i + 1] for a in s)) for s in (support, query)]
        layers = [(w[None], b[None, None]) for w, b in leaves]
        for _ in range(case["steps"]):
            value = _loss(layers, case["activation"], one[0])
            parts = [p for pair in layers for p in pair]
            gradients = torch.autograd.grad(value, parts, create_graph=True)
            norm = sum((g**2).sum() for g in gradients).sqrt()
            factor = torch.clamp(case["max_norm"] / (norm + 1e-12), max=1.0)
            stepped = [p - 0.2 * factor * g for p, g in zip(parts, gradients)]
            layers = list(zip(stepped[::2], stepped[1::2]))
        total = total + _loss(layers, case["activation"], one[1]) / TASKS
    expected = torch.autograd.grad(total, [p for pair in leaves for p in pair])
    gradient, _, after = trainer.meta_gradient(support, query)
    assert torch.allclose(gradient, torch.cat([g.reshape(-1) for g in expected]), rtol=1e-7, atol=1e-9)
    assert float(after) == pytest.approx(float(total.detach()))


def _loss(layers, activation, samples):
    value = samples.inputs
    for i, (w, b) in enumerate(layers):
        value = value @ w.mT + b
        if i < len(layers) - 1:
            value = torch.tanh(value) if activation == "tanh" else torch.relu(value)
    return (samples.weights * (value - samples.targets) ** 2).sum()


@few
@given(case=cases)
def test_fomaml_takes_exactly_the_query_gradient_at_the_adapted_weights(case):
    trainer = made("fomaml", **case | {"max_norm": UNCLIPPED})
    support, query = problem(case["seed"] + 1), problem(case["seed"] + 2)
    start = batched.repeat(trainer.layers, TASKS)
    adapted = inner_sgd(start, case["activation"], *support, 0.2, case["steps"], UNCLIPPED)
    _, expected = batched.loss_and_gradient(adapted, case["activation"], *query)
    gradient, _, _ = trainer.meta_gradient(support, query)
    mean = torch.cat([g.mean(dim=0).reshape(-1) for pair in expected for g in pair])
    assert torch.allclose(gradient, mean, rtol=1e-9, atol=1e-12)


@few
@given(case=cases)
def test_first_and_second_order_agree_as_the_inner_rate_vanishes(case):
    smooth = case | {"max_norm": UNCLIPPED, "activation": "tanh"}
    trainers = [made(name, **smooth) for name in ("fomaml", "maml")]
    support, query = problem(case["seed"] + 1), problem(case["seed"] + 2)
    gaps = []
    for rate in (1e-4, 1e-5):
        for trainer in trainers:
            object.__setattr__(trainer.config, "inner_lr", rate)
        first, second = (trainer.meta_gradient(support, query)[0] for trainer in trainers)
        gaps.append(float((first - second).norm()))
    assert gaps[1] <= 0.11 * gaps[0] + 1e-9


@few
@given(case=cases)
def test_reptile_moves_by_its_formula(case):
    trainer = made("reptile", iterations=4, meta_lr=0.5, **case)
    support, query = problem(case["seed"] + 1), problem(case["seed"] + 2)
    for taken in range(2):
        before = trainer.parameters.flat.clone()
        start = batched.repeat(trainer.layers, TASKS)
        samples, c = together(support, query), case
        ends = inner_sgd(start, c["activation"], *samples, 0.2, c["steps"], c["max_norm"])
        end = torch.cat([p.mean(dim=0).reshape(-1) for pair in ends for p in pair])
        trainer.step(support, query)
        rate = 0.5 * (1.0 - taken / 4)
        assert torch.allclose(trainer.parameters.flat, before + rate * (end - before), rtol=1e-9, atol=1e-12)


@few
@given(case=cases)
def test_adam_may_take_theta_minus_the_mean_end_as_reptiles_gradient(case):
    trainer = made("reptile", outer="adam", meta_lr=0.01, **case)
    assert isinstance(trainer.optimiser, Adam)
    support, query = problem(case["seed"] + 1), problem(case["seed"] + 2)
    theta = trainer.parameters.flat.clone()
    start, c = batched.repeat(trainer.layers, TASKS), case
    ends = inner_sgd(start, c["activation"], *together(support, query), 0.2, c["steps"], c["max_norm"])
    end = torch.cat([p.mean(dim=0).reshape(-1) for pair in ends for p in pair])
    gradient, _, _ = trainer.meta_gradient(support, query)
    assert torch.allclose(gradient, theta - end, rtol=1e-9, atol=1e-12)
    trainer.step(support, query)
    expected = theta.clone()
    Adam(expected, 0.01).step(theta - end)
    assert torch.allclose(trainer.parameters.flat, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", [*TRAINERS])
def test_the_outer_update_is_the_papers_own_unless_asked_otherwise(name):
    own = Descent if name == "reptile" else Adam
    assert isinstance(made(name).optimiser, own)
    assert isinstance(made(name, outer="descent").optimiser, Descent)
    assert made(name, outer="adam", meta_lr=0.25).optimiser.rate == 0.25


def test_the_rate_of_an_annealed_update_falls_linearly_to_nothing():
    torch_optimiser = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    reference = torch.optim.Adam([torch_optimiser], lr=0.1, eps=Adam.epsilon)
    flat = torch.zeros(3, dtype=torch.float64)
    ours = Adam(flat, 0.1, iterations=5)
    for k in range(5):
        assert ours.rate == pytest.approx(0.1 * (1.0 - k / 5))
        reference.param_groups[0]["lr"] = ours.rate
        torch_optimiser.grad = torch.tensor([1.0, -2.0, 0.5 * k], dtype=torch.float64)
        reference.step()
        ours.step(torch_optimiser.grad)
    assert torch.allclose(flat, torch_optimiser.detach(), rtol=1e-6)
    assert ours.rate == 0.0


def test_grbal_limits_what_one_batch_may_say():
    trainer, usual = made("grbal"), torch.full_like(made("grbal").parameters.flat, 1e-3)
    assert torch.equal(trainer._limit(usual), usual)
    assert float(trainer._limit(1e6 * usual).norm()) == pytest.approx(LARGEST)


def test_all_samples_together_weigh_as_one_mean():
    support, query = problem(1, samples=6), problem(2, samples=3)
    even = [
        s._replace(weights=torch.full_like(s.weights, 1.0 / s.weights.shape[1])) for s in (support, query)
    ]
    assert torch.allclose(together(*even).weights, torch.full((TASKS, 9, 2), 1.0 / 9, dtype=torch.float64))


@few
@given(case=cases)
def test_anil_adapts_the_head_alone(case):
    trainer = made("anil", **case)
    start = batched.repeat(trainer.layers, TASKS)
    adapted = inner.adapt(start, case["activation"], problem(case["seed"]), trainer.rates, case["steps"])
    for (w0, b0), (w1, b1) in zip(start[:-1], adapted[:-1]):
        assert torch.equal(w0, w1) and torch.equal(b0, b1)
    assert not torch.equal(start[-1][0], adapted[-1][0])


def test_meta_sgd_keeps_every_rate_within_its_bounds_whatever_the_gradient():
    trainer = made("meta_sgd", meta_lr=1.0)
    for seed in range(30):
        trainer.step(problem(seed), problem(seed + 100))
    rates = torch.cat([r.reshape(-1) for pair in trainer.rates for r in pair])
    assert rates.min() >= 0.2 * MIN_RATE * (1 - 1e-9) and rates.max() <= 0.2 * MAX_RATE * (1 + 1e-9)
    assert isinstance(trainer, MetaSGD)


@few
@given(case=cases)
def test_alpaca_is_bayesian_linear_regression_on_its_features(case):
    trainer = made("alpaca", **case)
    support, query = problem(case["seed"] + 1), problem(case["seed"] + 2)
    named = trainer.parameters.views()
    prior, head = trainer._prior(named)
    psi = trainer.features(named, support[0])[0].numpy()
    precision = prior.numpy() + psi.T @ psi
    expected = np.linalg.solve(precision, psi.T @ support[1][0].numpy() + prior.numpy() @ head.numpy().T)
    _, found = trainer.posterior(named, support)
    assert found[0].numpy() == pytest.approx(expected.T, rel=1e-6, abs=1e-8)
    at = trainer.features(named, query[0])[0].numpy()
    _, variance = trainer._predict(named, support, query[0])
    spread = 1.0 + np.einsum("mq,qp,mp->m", at, np.linalg.inv(precision), at)
    assert variance[0, :, 0].numpy() == pytest.approx(spread, rel=1e-6)


@few
@given(seed=st.integers(0, 1000), length=st.integers(1, 7))
def test_rebal_reads_the_past_alike_in_training_and_online_and_passes_over_padding(seed, length):
    trainer = made("rebal", seed=seed)
    past = problem(seed)
    kept = past._replace(weights=past.weights * (torch.arange(7) < length)[None, :, None])
    with torch.no_grad():
        state = trainer.encode(trainer.parameters.views(), kept)
    seen = torch.cat([past.inputs, past.targets], dim=-1)[1, :length].numpy()
    extras = {name: value.numpy() for name, value in trainer.parameters.views().items()}
    assert encode(extras, seen) == pytest.approx(state[1].numpy(), abs=1e-9)


@pytest.mark.parametrize("name", [*TRAINERS])
def test_training_lowers_the_loss_after_adaptation(name):
    more = {"meta_lr": 0.5} if name == "reptile" else {"meta_lr": 1e-2}
    trainer = made(name, hidden=(12,), iterations=150, **more)
    judges = problem(1000), problem(1001)
    first = float(trainer.losses(*judges)[-1].mean())
    for seed in range(150):
        trainer.step(problem(seed), problem(seed + 500))
    assert float(trainer.losses(*judges)[-1].mean()) < 0.9 * first


@pytest.mark.parametrize("name", [*TRAINERS])
def test_an_untrained_network_corrects_nothing(name):
    trainer = TRAINERS[name](TrainingConfig(), INPUTS, OUTPUTS)
    weight, bias = trainer.theta()[-1]
    assert not weight.any() and not bias.any()


@pytest.mark.parametrize("name", [*TRAINERS])
def test_losses_start_at_theta_and_change_nothing(name):
    trainer = made(name)
    before = trainer.parameters.flat.clone()
    losses = trainer.losses(problem(1), problem(2), 5)
    assert losses.shape == (6, TASKS) and torch.isfinite(losses).all()
    assert torch.equal(before, trainer.parameters.flat)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", TRAINERS)
def test_cuda_gives_the_meta_gradient_of_the_processor(name):
    config = TrainingConfig(hidden=(16, 8), inner_steps=5, inner_lr=0.1, meta_lr=1e-3, seed=4)
    support, query = problem(5), problem(6)
    found = []
    for device in ("cpu", "cuda"):
        trainer = TRAINERS[name](config, INPUTS, OUTPUTS, silent=False, device=device)
        sets = (trainer._samples(support), trainer._samples(query))
        gradient = trainer.meta_gradient(*sets)[0].double().cpu()
        trainer.step(*sets)
        found.append((gradient, trainer.parameters.flat.double().cpu(), trainer.losses(*sets).double().cpu()))
    for there, here in zip(found[1], found[0], strict=True):
        assert torch.allclose(there, here, rtol=1e-3, atol=3e-5)
