"""Rollouts, baseline and advantages against loops, and what they must not depend on."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mppi_maml_ros.policies.environments.base import Trajectories  # noqa: E402
from mppi_maml_ros.policies.environments.navigation import Navigation  # noqa: E402
from mppi_maml_ros.policies.policy import Policy, Surrogate  # noqa: E402
from mppi_maml_ros.policies.sampling import (  # noqa: E402
    advantages,
    baseline,
    discounted,
    features,
    rollout,
    samples,
)


@pytest.fixture
def drawn():
    """Trajectories of different lengths."""
    rng = np.random.default_rng(0)
    shape = (3, 4, 12)
    alive = np.arange(12) < rng.integers(3, 12, (3, 4))[..., None]
    rewards = rng.normal(size=shape) * alive
    return Trajectories(rng.normal(size=(*shape, 2)), rng.normal(size=(*shape, 2)), rewards, alive)


def test_discounted_sums_are_those_of_the_definition():
    values = np.random.default_rng(0).normal(size=(2, 5))
    expected = [[sum(0.9**k * v for k, v in enumerate(row[i:])) for i in range(5)] for row in values]
    np.testing.assert_allclose(discounted(values, 0.9), expected)


def test_the_baseline_is_the_ridge_regression_of_each_task(drawn):
    returns = discounted(drawn.rewards, 0.99)
    found = baseline(drawn, returns, ridge=1e-5)
    for i in range(3):
        alive = drawn.alive[i]
        x, y = features(drawn.observations)[i][alive], returns[i][alive]
        x_, y_ = np.concatenate([x, np.sqrt(1e-5) * np.eye(8)]), np.append(y, np.zeros(8))
        weights, *_ = np.linalg.lstsq(x_, y_, rcond=None)
        np.testing.assert_allclose(found[i][alive], x @ weights, atol=1e-6)


@pytest.mark.parametrize("gae", [1.0, 0.7])
def test_advantages_are_those_of_a_loop(drawn, gae):
    found = advantages(drawn, 0.95, gae)
    values = baseline(drawn, discounted(drawn.rewards, 0.95)) * drawn.alive
    for i in range(3):
        raw = []
        for n in range(4):
            length = drawn.alive[i, n].sum()
            v = np.append(values[i, n, :length], 0.0)
            deltas = drawn.rewards[i, n, :length] + 0.95 * v[1:] - v[:-1]
            raw.append([sum((0.95 * gae) ** k * d for k, d in enumerate(deltas[t:])) for t in range(length)])
        flat = np.concatenate(raw)
        expected = [(np.array(part) - flat.mean()) / (flat.std() + 1e-8) for part in raw]
        for n in range(4):
            np.testing.assert_allclose(found[i, n][drawn.alive[i, n]], expected[n], atol=1e-9)
            assert not found[i, n][~drawn.alive[i, n]].any()


def test_a_gradient_does_not_depend_on_the_order_of_trajectories_nor_on_what_fills_up(drawn):
    policy = Policy(2, 2, hidden=(5,))
    flat = policy.initial(torch.Generator().manual_seed(0)).expand(3, -1)
    expected = Surrogate(policy, flat, samples(drawn, advantages(drawn))).gradient
    order = np.array([2, 0, 3, 1])
    parts = (drawn.observations, drawn.actions, drawn.rewards, drawn.alive)
    moved = Trajectories(*(part[:, order] for part in parts))
    torch.testing.assert_close(
        Surrogate(policy, flat, samples(moved, advantages(moved))).gradient, expected, rtol=1e-3, atol=1e-6
    )
    longer = Trajectories(*(np.concatenate([part, np.zeros_like(part)], axis=2) for part in parts))
    batch = samples(longer, advantages(longer))
    assert batch.weights.shape[1] == drawn.alive.reshape(3, -1).sum(axis=1).max()
    torch.testing.assert_close(Surrogate(policy, flat, batch).gradient, expected, rtol=1e-3, atol=1e-6)


def test_episodes_end_each_in_its_own_time():
    policy, environment = Policy(2, 2, hidden=(4,)), Navigation(horizon=50)
    flat = torch.zeros(1, policy.size)
    tasks = np.array([[0.02, 0.0], [0.5, 0.5]])
    data = rollout(environment, policy, flat, tasks, 30, np.random.default_rng(0))
    lengths = data.alive.sum(axis=2)
    assert (lengths >= 1).all() and lengths[0].min() < 50 and data.alive.shape[2] == lengths.max()
    assert not (np.diff(data.alive.astype(int), axis=2) > 0).any()
    assert data.steps == lengths.sum()
    np.testing.assert_allclose(data.returns, (data.rewards * data.alive).sum(axis=2), rtol=1e-5)
    at_end = np.take_along_axis(data.rewards, lengths[..., None] - 1, axis=2)[..., 0]
    assert (at_end[lengths < 50] > -0.0142).all()


def test_more_trajectories_join_those_that_are_there(drawn):
    parts = (drawn.observations, drawn.actions, drawn.rewards, drawn.alive)
    short = Trajectories(*(part[:, :1, :7] for part in parts))
    both = short.joined(drawn)
    assert both.alive.shape == (3, 5, 12) and both.steps == short.steps + drawn.steps
    np.testing.assert_array_equal(both.rewards[:, 0, :7], short.rewards[:, 0])
    np.testing.assert_array_equal(both.observations[:, 1:], drawn.observations)
    assert not both.alive[:, 0, 7:].any()


def test_trajectories_of_one_task_are_those_that_it_has_among_others():
    policy, environment = Policy(2, 2, hidden=(4,)), Navigation(horizon=10)
    flat = torch.stack([policy.initial(torch.Generator().manual_seed(i)) for i in range(2)])
    tasks = np.array([[0.5, 0.5], [-0.5, 0.3]])
    both = rollout(environment, policy, flat, tasks, 2, np.random.default_rng(0))
    again = rollout(environment, policy, flat, tasks[[0, 0]], 2, np.random.default_rng(0))
    np.testing.assert_allclose(again.rewards[0], both.rewards[0], atol=1e-6)
