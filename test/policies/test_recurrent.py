"""RL²: what the policy sees, gradients of its loss, what must not matter, and that it learns to learn."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mppi_maml_ros.meta import loop  # noqa: E402
from mppi_maml_ros.policies.environments.tabular import Bandits, MDPs  # noqa: E402
from mppi_maml_ros.policies.maml import PolicyTasks  # noqa: E402
from mppi_maml_ros.policies.recurrent import RL2, RecurrentConfig, Trials  # noqa: E402

SMALL = RecurrentConfig(hidden=6, iterations=2, task_batch_size=8, evaluate_every=2)


def test_the_policy_sees_its_last_action_reward_and_end_of_episode():
    environment = MDPs(horizon=3)
    learner = RL2(attrs.evolve(SMALL, episodes=2), environment)
    tasks = environment.sample_tasks(np.random.default_rng(0), 5)
    data = learner.trials(tasks, np.random.default_rng(1))
    states, last, reward, ended = data.inputs.split([10, 5, 1, 1], dim=2)
    assert not last[:, 0].any() and not reward[:, 0].any()
    assert torch.equal(last[:, 1:].argmax(dim=2).float(), data.actions[:, :-1, 0])
    np.testing.assert_array_equal(reward[:, 1:, 0], data.rewards[:, :-1])
    assert ended[0, :, 0].tolist() == [0, 0, 0, 1, 0, 0]
    assert states[:, [0, 3]].argmax(dim=2).tolist() == [[0, 0]] * 5  # every episode begins in state 0


def test_likelihoods_of_a_trial_are_those_of_its_steps():
    environment = Bandits(3, 5)
    learner = RL2(SMALL, environment)
    learner.parameters.flat += 0.3 * torch.randn(
        learner.parameters.flat.shape, generator=torch.Generator().manual_seed(0)
    )
    data = learner.trials(environment.sample_tasks(np.random.default_rng(0), 4), np.random.default_rng(1))
    logits, values, _ = learner._forward(learner.parameters.flat, data.inputs)
    found = logits.log_softmax(2).gather(2, data.actions.long())[..., 0]
    torch.testing.assert_close(found, data.log_probs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(values, data.values, rtol=1e-4, atol=1e-5)


def case():
    learner, g = RL2(SMALL, Bandits(3, 5)), torch.Generator().manual_seed(0)
    flat = learner.parameters.flat.double()
    flat = flat + 0.3 * torch.randn(flat.shape, generator=g)
    inputs = torch.rand(4, 5, 6, generator=g).double()
    actions = torch.randint(0, 3, (4, 5, 1), generator=g).double()
    logits, *_ = learner._forward(flat, inputs)
    log = logits.log_softmax(2).gather(2, actions.long())[..., 0]
    old = log + 0.05 * torch.randn(4, 5, generator=g)
    data = Trials(inputs, actions, old, old, np.zeros((4, 5)))
    return (
        learner,
        flat,
        data,
        torch.randn(4, 5, generator=g).double(),
        torch.rand(4, 5, generator=g).double(),
    )


def test_the_gradient_of_the_loss_is_that_of_finite_differences():
    learner, flat, data, gain, target = case()
    direction = torch.randn(flat.shape, generator=torch.Generator().manual_seed(1)).double()
    at = flat.clone().requires_grad_()
    (slope,) = torch.autograd.grad(learner.loss(at, data, gain, target, 0.1), at)
    up, down = (float(learner.loss(flat + s * direction, data, gain, target, 0.1)) for s in (1e-6, -1e-6))
    assert float(slope @ direction) == pytest.approx((up - down) / 2e-6, rel=1e-5)


def test_the_order_of_trials_does_not_count_that_of_steps_does():
    learner, flat, data, gain, target = case()
    parts = (data.inputs, data.actions, data.log_probs, data.values)

    def loss(index):
        moved = Trials(*(p[index] for p in parts), data.rewards)
        return float(learner.loss(flat, moved, gain[index], target[index], 0.1))

    plain = loss((slice(None), slice(None)))
    assert loss((torch.tensor([2, 0, 3, 1]), slice(None))) == pytest.approx(plain)
    assert loss((slice(None), torch.tensor([4, 3, 2, 1, 0]))) != pytest.approx(plain, rel=1e-6)


def test_values_are_means_of_rewards_however_long_a_trial_is():
    environment, targets = Bandits(3, 200), []
    learner = RL2(attrs.evolve(SMALL, gae=1.0), environment)
    loss = learner.loss
    learner.loss = lambda flat, data, gain, target, entropy: (
        targets.append(target) or loss(flat, data, gain, target, entropy)
    )
    loop.run("rl2", learner, PolicyTasks(environment, 2))
    assert -1e-6 <= float(torch.cat(targets).min()) and 0.1 < float(torch.cat(targets).max()) <= 1.0


def test_it_runs_in_the_loop_and_counts_its_steps():
    environment = Bandits(3, 5)
    learner = RL2(SMALL, environment)
    curve = loop.run("rl2", learner, PolicyTasks(environment, 6))
    assert curve.train.shape == (2, 2) and np.isfinite(curve.train).all()
    assert learner.env_steps == 2 * 8 * 5


@pytest.mark.slow
def test_it_learns_to_learn_which_arm_is_best():
    environment = Bandits(5, 10)
    learner = RL2(RecurrentConfig(hidden=32, iterations=80, epochs=6), environment)
    loop.run("rl2", learner, PolicyTasks(environment, 50))
    tasks = environment.sample_tasks(np.random.default_rng(5), 1000)
    total = learner.trials(tasks, np.random.default_rng(6)).rewards.sum(axis=1).mean()
    assert total > 5.6  # 5 at random, 6.6 at best
