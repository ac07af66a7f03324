"""Derivatives of policies against torch's own and finite differences; nothing mixes tasks or samples."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch.distributions import Categorical, Normal, kl_divergence  # noqa: E402
from torch.func import grad, jvp, vmap  # noqa: E402

from mppi_maml_ros.policies import policy as module  # noqa: E402
from mppi_maml_ros.policies.policy import Batch, Policy, Surrogate  # noqa: E402

TASKS, SAMPLES = 3, 7
POLICIES = {
    "gaussian-tanh": Policy(4, 2, hidden=(6, 5), activation="tanh"),
    "gaussian-relu": Policy(4, 2, hidden=(6, 5)),
    "categorical": Policy(4, 3, discrete=True, hidden=(6,), activation="tanh"),
}


@pytest.fixture(params=POLICIES)
def case(request):
    """Policy, parameters, samples and a direction, in double precision."""
    policy = POLICIES[request.param]
    return policy, *drawn(policy, torch.Generator().manual_seed(1))


def drawn(policy, g):
    flat = torch.stack([policy.initial(g) for _ in range(TASKS)]).double()
    flat = flat + 0.1 * torch.randn(flat.shape, generator=g)
    observations = torch.randn(TASKS, SAMPLES, 4, generator=g).double()
    if policy.discrete:
        actions = torch.randint(0, policy.actions, (TASKS, SAMPLES, 1), generator=g).double()
    else:
        actions = torch.randn(TASKS, SAMPLES, policy.actions, generator=g).double()
    weights = torch.randn(TASKS, SAMPLES, generator=g).double() / SAMPLES
    shares = torch.full((TASKS, SAMPLES), 1.0 / SAMPLES).double()
    return flat, Batch(observations, actions, weights, shares), torch.randn(flat.shape, generator=g).double()


def distribution(policy, flat, observations):
    """The same policy in torch's words, of one task."""
    layers, extra = policy.split(flat[None])
    value = observations
    for i, (w, b) in enumerate(layers):
        value = value @ w[0].T + b[0]
        if i < len(layers) - 1:
            value = value.tanh() if policy.activation == "tanh" else value.relu()
    if policy.discrete:
        return Categorical(logits=value, validate_args=False)
    return Normal(value, extra[0].exp(), validate_args=False)


def log_prob(policy, flat, observations, actions):
    pi = distribution(policy, flat, observations)
    return pi.log_prob(actions[..., 0].long()) if policy.discrete else pi.log_prob(actions).sum(-1)


def loss(policy, reference=None):
    def of(flat, observations, actions, weights, *old):
        value = log_prob(policy, flat, observations, actions)
        return -(weights * (value if not old else (value - old[0]).exp())).sum()

    return of


def test_likelihood_and_divergence_are_those_of_torch(case):
    policy, flat, batch, direction = case
    expected = torch.stack(
        [log_prob(policy, f, o, a) for f, o, a in zip(flat, batch.observations, batch.actions)]
    )
    torch.testing.assert_close(policy.log_prob(flat, batch), expected)
    old = policy.outputs(flat, batch.observations)
    found = policy.divergence(old, flat + 0.1 * direction, batch)
    for i in range(TASKS):
        kl = kl_divergence(
            distribution(policy, flat[i], batch.observations[i]),
            distribution(policy, (flat + 0.1 * direction)[i], batch.observations[i]),
        )
        torch.testing.assert_close(found[i], kl.reshape(SAMPLES, -1).sum(1).mean())
    torch.testing.assert_close(policy.divergence(old, flat, batch), torch.zeros(TASKS).double())


@pytest.mark.parametrize("off_policy", [False, True])
def test_gradient_and_hessian_are_those_of_torch(case, off_policy):
    policy, flat, batch, direction = case
    old = (policy.log_prob(flat + 0.05 * direction, batch),) if off_policy else ()
    found = Surrogate(policy, flat, batch, *old)
    data = (batch.observations, batch.actions, batch.weights, *old)
    slope = vmap(grad(loss(policy)))
    torch.testing.assert_close(found.gradient, slope(flat, *data))
    _, expected = jvp(lambda f: slope(f, *data), (flat,), (direction,))
    torch.testing.assert_close(found.hessian_product(direction), expected)


def test_blocks_of_tasks_come_to_the_same_as_all_at_once(case, monkeypatch):
    policy, flat, batch, direction = case
    reference = policy.log_prob(flat + 0.05 * direction, batch)
    whole = Surrogate(policy, flat, batch, reference)
    monkeypatch.setattr(module, "BLOCK", 2 * SAMPLES * max(policy.widths))  # two tasks, then one
    parts = Surrogate(policy, flat, batch, reference)
    assert len(whole._blocks) == 1 and len(parts._blocks) == 2
    torch.testing.assert_close(parts.gradient, whole.gradient)
    torch.testing.assert_close(parts.outputs[0], whole.outputs[0])
    for product in ("hessian_product", "fisher_product"):
        torch.testing.assert_close(getattr(parts, product)(direction), getattr(whole, product)(direction))


def test_gradient_is_that_of_finite_differences(case):
    policy, flat, batch, direction = case

    def value(step):
        return -(batch.weights * policy.log_prob(flat + step * direction, batch)).sum(dim=1)

    found = (Surrogate(policy, flat, batch).gradient * direction).sum(dim=1)
    torch.testing.assert_close(found, (value(1e-6) - value(-1e-6)) / 2e-6, rtol=1e-5, atol=1e-7)


def test_fisher_product_is_the_curvature_of_the_divergence(case):
    policy, flat, batch, direction = case
    old = policy.outputs(flat, batch.observations)
    step = 1e-3
    up, down = (policy.divergence(old, flat + s * direction, batch) for s in (step, -step))
    product = (Surrogate(policy, flat, batch).fisher_product(direction) * direction).sum(dim=1)
    torch.testing.assert_close(product, (up + down) / step**2, rtol=2e-4, atol=1e-6)


def test_fisher_product_is_symmetric(case):
    policy, flat, batch, v = case
    at, w = Surrogate(policy, flat, batch), v.roll(1, dims=1)
    left, right = (at.fisher_product(v) * w).sum(), (at.fisher_product(w) * v).sum()
    torch.testing.assert_close(left, right)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), name=st.sampled_from(sorted(POLICIES)))
def test_tasks_and_samples_may_come_in_any_order(seed, name):
    policy, g = POLICIES[name], torch.Generator().manual_seed(seed)
    flat, batch, direction = drawn(policy, g)
    tasks, samples = torch.randperm(TASKS, generator=g), torch.randperm(SAMPLES, generator=g)
    moved = Surrogate(policy, flat[tasks], Batch(*(part[tasks][:, samples] for part in batch)))
    still = Surrogate(policy, flat, batch)
    torch.testing.assert_close(moved.gradient, still.gradient[tasks])
    for product in ("hessian_product", "fisher_product"):
        torch.testing.assert_close(
            getattr(moved, product)(direction[tasks]), getattr(still, product)(direction)[tasks]
        )


def test_actions_are_drawn_from_the_policy():
    rng = np.random.default_rng(0)
    for policy in (POLICIES["gaussian-relu"], POLICIES["categorical"]):
        flat = policy.initial(torch.Generator().manual_seed(0))[None]
        if not policy.discrete:
            flat[:, -2:] = torch.tensor([-1.0, 0.5])
        observations = np.tile(np.array([0.3, -1.0, 0.5, 2.0], dtype=np.float32), (1, 40000, 1))
        actions = policy.actor(flat)(observations, policy.head.noise(rng, (1, 40000)))[0]
        pi = distribution(policy, flat[0], torch.from_numpy(observations[0, :1]))
        if policy.discrete:
            share = np.bincount(actions[:, 0].astype(int), minlength=3) / 40000
            np.testing.assert_allclose(share, pi.probs[0], atol=0.01)
        else:
            np.testing.assert_allclose(actions.mean(0), pi.mean[0], atol=0.03)
            np.testing.assert_allclose(actions.std(0), np.exp([-1.0, 0.5]), rtol=0.02)


def test_parameters_survive_splitting_and_the_mask_is_that_of_the_last_layer(case):
    policy, flat, *_ = case
    assert policy.size == flat.shape[1]
    torch.testing.assert_close(policy.join(*policy.split(flat)), flat)
    layers, extra = policy.split(policy.last_layer()[None])
    sums = [float(part.min()) for pair in layers for part in pair]
    assert sums == [0.0] * (len(sums) - 2) + [1.0, 1.0]
    assert extra.numel() == 0 or float(extra.min()) == 1.0


def test_thinned_samples_keep_their_mean(case):
    _, _, batch, _ = case
    part = batch.thinned(3)
    assert part.observations.shape[1] == 3
    torch.testing.assert_close(part.shares.sum(dim=1), torch.ones(TASKS).double())
