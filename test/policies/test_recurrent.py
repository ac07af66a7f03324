"""RL²: what the policy sees, gradients of its loss, what must not matter, and that it learns to learn."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mppi_maml_ros.core.errors import InvalidValueError  # noqa: E402
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
    states, last, paid, ended = data.inputs.split([10, 50, 50, 1], dim=2)
    assert not last[:, 0].any() and not paid[:, 0].any()
    pair = 5 * states[:, :-1].argmax(dim=2) + data.actions[:, :-1, 0]
    assert torch.equal(last[:, 1:].argmax(dim=2).float(), pair) and (last[:, 1:].sum(dim=2) == 1).all()
    np.testing.assert_array_equal(paid[:, 1:].sum(dim=2), data.rewards[:, :-1])
    assert torch.equal(paid != 0, last.bool())
    assert ended[0, :, 0].tolist() == [0, 0, 0, 1, 0, 0]
    assert states[:, [0, 3]].argmax(dim=2).tolist() == [[0, 0]] * 5  # every episode begins in state 0


def test_regrets_are_told_to_the_gradient_only_and_are_those_of_the_actions():
    environment = MDPs(horizon=3)
    told = RL2(attrs.evolve(SMALL, episodes=2, signal="regret"), environment)
    plain = RL2(attrs.evolve(SMALL, episodes=2), environment)
    tasks = environment.sample_tasks(np.random.default_rng(0), 5)
    data, other = (learner.trials(tasks, np.random.default_rng(1)) for learner in (told, plain))
    assert torch.equal(data.inputs, other.inputs)
    np.testing.assert_array_equal(data.rewards, other.rewards)
    assert other.signal is other.rewards
    chosen = np.take_along_axis(data.regrets.numpy(), data.actions.numpy().astype(int), axis=2)
    np.testing.assert_array_equal(data.signal, -chosen[..., 0])
    torch.testing.assert_close(data.expected, -data.regrets.mean(dim=2))  # every action is as likely


def test_the_gradients_of_rewards_and_of_regrets_are_the_same_in_the_mean():
    environment = Bandits(2, 2)
    tasks = np.repeat(environment.sample_tasks(np.random.default_rng(0), 1), 20_000, axis=0)
    slopes = []
    for signal in ("reward", "regret"):
        config = attrs.evolve(SMALL, signal=signal, discount=1.0, gae=1.0, epochs=1, minibatches=1)
        learner = RL2(attrs.evolve(config, value=0.0, max_gradient_norm=1e9), environment)
        g = torch.Generator().manual_seed(0)
        learner.parameters.flat += torch.randn(learner.parameters.flat.shape, generator=g)
        loss, scales = learner.loss, []

        def scaled(flat, data, gain, target, entropy, loss=loss, scales=scales):
            scales.append((target - data.values).std(correction=0))  # of the advantages, undone below
            return loss(flat, data, gain, target, entropy)

        learner.loss = scaled
        moves: list[torch.Tensor] = []
        learner.optimiser.inner.step = moves.append
        learner.step([tasks], [np.arange(2)])
        slopes.append(moves[0] * scales[0])
    assert torch.linalg.vector_norm(slopes[0] - slopes[1]) < 0.1 * torch.linalg.vector_norm(slopes[1])


def test_regret_needs_an_environment_that_knows_it():
    class Unsolved:
        observations, actions, horizon = 1, 2, 3

    with pytest.raises(InvalidValueError, match="signal"):
        RL2(attrs.evolve(SMALL, signal="regret"), Unsolved())


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
    inputs = torch.rand(4, 5, 8, generator=g).double()
    actions = torch.randint(0, 3, (4, 5, 1), generator=g).double()
    logits, *_ = learner._forward(flat, inputs)
    log = logits.log_softmax(2).gather(2, actions.long())[..., 0]
    old = log + 0.05 * torch.randn(4, 5, generator=g)
    regrets = torch.rand(4, 5, 3, generator=g).double()
    data = Trials(inputs, actions, old, old, np.zeros((4, 5)), regrets, old)
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
        moved = Trials(*(p[index] for p in parts), data.rewards, data.regrets[index])
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


def test_told_of_regrets_it_learns_in_a_few_iterations():
    environment, total = Bandits(5, 10), {}
    config = RecurrentConfig(hidden=32, iterations=25, task_batch_size=256, epochs=3, minibatches=4)
    tasks = environment.sample_tasks(np.random.default_rng(5), 1000)
    for signal in ("reward", "regret"):
        learner = RL2(attrs.evolve(config, signal=signal), environment)
        loop.run("rl2", learner, PolicyTasks(environment, 50))
        total[signal] = learner.trials(tasks, np.random.default_rng(6)).rewards.sum(axis=1).mean()
    assert total["regret"] > total["reward"] + 0.2 and total["regret"] > 5.8, total  # 5 at random
