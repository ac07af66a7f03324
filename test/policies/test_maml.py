"""Policy-gradient MAML: gradient and metric through the inner step, its relatives, the usual outer loop."""

from __future__ import annotations

import threading

import attrs
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from mppi_maml_ros.core.errors import InvalidValueError  # noqa: E402
from mppi_maml_ros.meta import loop  # noqa: E402
from mppi_maml_ros.meta.checkpoint import Checkpoint  # noqa: E402
from mppi_maml_ros.policies.config import PolicyConfig  # noqa: E402
from mppi_maml_ros.policies.environments.navigation import Navigation  # noqa: E402
from mppi_maml_ros.policies.environments.robot import GoalReaching  # noqa: E402
from mppi_maml_ros.policies.environments.tabular import Bandits  # noqa: E402
from mppi_maml_ros.policies.maml import (  # noqa: E402
    POLICY_TRAINERS,
    Adaptation,
    MetaObjective,
    PolicyANIL,
    PolicyMAML,
    PolicyTasks,
)
from mppi_maml_ros.policies.policy import Batch, Policy, Surrogate  # noqa: E402
from mppi_maml_ros.policies.trpo import TRPO, conjugate_gradient  # noqa: E402

SMALL = PolicyConfig(hidden=(8,), iterations=4, task_batch_size=3, trajectories=4, evaluate_every=2)
TASKS, SAMPLES = 3, 9
SHAPES = {
    "gaussian": Policy(3, 2, hidden=(5, 4), activation="tanh"),
    "categorical": Policy(3, 3, discrete=True, hidden=(5,), activation="tanh"),
}


def batch_of(policy, g, tasks=TASKS):
    if policy.discrete:
        actions = torch.randint(0, policy.actions, (tasks, SAMPLES, 1), generator=g).double()
    else:
        actions = torch.randn(tasks, SAMPLES, policy.actions, generator=g).double()
    observations = torch.randn(tasks, SAMPLES, policy.observations, generator=g).double()
    weights = torch.randn(tasks, SAMPLES, generator=g).double() / SAMPLES
    return Batch(observations, actions, weights, torch.full((tasks, SAMPLES), 1.0 / SAMPLES).double())


def objective_of(policy, flat, batches, query, rates, exact=True):
    """As the trainer makes it: steps from theta, then the samples of theta'."""
    at, steps = flat.expand(len(query.observations), -1), []
    for batch, rate in zip(batches, rates):
        steps.append(Surrogate(policy, at, batch))
        at = at - rate * steps[-1].gradient
    return MetaObjective(policy, Adaptation(steps, at, []), query, rates, exact)


@pytest.fixture(params=SHAPES)
def case(request):
    policy, g = SHAPES[request.param], torch.Generator().manual_seed(2)
    flat = policy.initial(g).double() + 0.1 * torch.randn(policy.size, generator=g)
    batches, query = [batch_of(policy, g), batch_of(policy, g)], batch_of(policy, g)
    rates = [0.3, 0.2 * policy.last_layer().double()]  # the second step as ANIL has it
    return (
        objective_of(policy, flat, batches, query, rates),
        flat,
        torch.randn(policy.size, generator=g).double(),
    )


def test_the_meta_gradient_is_that_of_finite_differences(case):
    objective, flat, direction = case
    up, down = (objective.measure(flat + s * direction)[0] for s in (1e-6, -1e-6))
    assert float(objective.gradient() @ direction) == pytest.approx((up - down) / 2e-6, rel=1e-5, abs=1e-8)
    assert objective.measure(flat) == pytest.approx((objective.loss, 0.0), abs=1e-12)


def test_the_metric_is_the_curvature_of_the_divergence_of_adapted_policies(case):
    objective, flat, direction = case
    step = 1e-3 / float(direction.norm())
    up, down = (objective.measure(flat + s * direction)[1] for s in (step, -step))
    product = objective.metric(1)(direction)
    assert float(product @ direction) == pytest.approx((up + down) / step**2, rel=5e-3)


def test_push_and_pull_back_are_transposed(case):
    objective, _, direction = case
    v, w = direction.expand(TASKS, -1), direction.roll(3).expand(TASKS, -1)
    steps = objective.adaptation.steps
    torch.testing.assert_close(
        (objective.push(steps, v) * w).sum(), (v * objective.pull_back(steps, w)).sum()
    )


def test_the_first_order_takes_the_inner_step_as_given(case):
    objective, *_ = case
    a = objective.adaptation
    first = MetaObjective(objective.policy, a, objective.query, objective.rates, exact=False)
    torch.testing.assert_close(
        first.gradient(), Surrogate(objective.policy, a.adapted, objective.query).gradient.mean(dim=0)
    )
    assert not torch.allclose(first.gradient(), objective.gradient())


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), name=st.sampled_from(sorted(SHAPES)))
def test_neither_the_order_of_tasks_nor_of_samples_counts(seed, name):
    policy, g = SHAPES[name], torch.Generator().manual_seed(seed)
    flat, vector = policy.initial(g).double(), torch.randn(policy.size, generator=g).double()
    batch, query = batch_of(policy, g), batch_of(policy, g)
    tasks, order = torch.randperm(TASKS, generator=g), torch.randperm(SAMPLES, generator=g)
    still = objective_of(policy, flat, [batch], query, [0.3])
    moved = objective_of(
        policy, flat, [Batch(*(p[tasks][:, order] for p in batch))], Batch(*(p[tasks] for p in query)), [0.3]
    )
    torch.testing.assert_close(moved.gradient(), still.gradient())
    torch.testing.assert_close(moved.metric(1)(vector), still.metric(1)(vector))


def test_conjugate_gradients_solve():
    g = torch.Generator().manual_seed(0)
    root = torch.randn(6, 6, generator=g).double()
    matrix, right = root @ root.T + torch.eye(6), torch.randn(6, generator=g).double()
    x, image = conjugate_gradient(lambda v: matrix @ v, right, 12)
    torch.testing.assert_close(x, torch.linalg.solve(matrix, right))
    x, image = conjugate_gradient(lambda v: matrix @ v, right, 2)  # not there yet
    torch.testing.assert_close(image, matrix @ x)


def test_a_step_of_trpo_stays_within_the_divergence_and_lowers_the_loss():
    matrix, flat = torch.diag(torch.tensor([1.0, 100.0])), torch.tensor([1.0, 1.0])
    start = flat.clone()

    def measure(at, steep=1.0):
        off = at - start
        return float(at @ at), steep * float(0.5 * off @ matrix @ off)

    optimiser = TRPO(flat, 0.01, damping=0.0)
    assert optimiser.step(2.0 * start, lambda v: matrix @ v, 2.0, measure)
    loss, divergence = measure(flat)
    assert loss < 2.0 and 0.5 * 0.01 < divergence <= 0.01
    flat.copy_(start)
    assert optimiser.step(2.0 * start, lambda v: matrix @ v, 2.0, lambda at: measure(at, 4.0))
    assert measure(flat, 4.0)[1] <= 0.01  # a metric that is too small makes the step shorter
    flat.copy_(start)
    assert not optimiser.step(-2.0 * start, lambda v: matrix @ v, 2.0, measure)  # no step leads down
    assert flat.tolist() == start.tolist()


def test_anil_changes_the_last_layer_alone():
    trainer = PolicyANIL(SMALL, Navigation(horizon=10))
    tasks = trainer.environment.sample_tasks(np.random.default_rng(0), 2)
    adapted = trainer.adapt(tasks, [0.5], 4, np.random.default_rng(0)).adapted
    changed = (adapted != trainer.parameters.flat).any(dim=0)
    assert changed.any() and not (changed & (trainer.policy.last_layer() == 0)).any()


@pytest.mark.parametrize("name", [*POLICY_TRAINERS])
@pytest.mark.parametrize("environment", [Navigation(horizon=20), Bandits(3, 5), GoalReaching(8)])
@pytest.mark.parametrize("outer", ["trpo", "reinforce"])
def test_every_trainer_trains_on_every_kind_of_action(name, environment, outer):
    config = attrs.evolve(SMALL, outer=outer, iterations=2)
    trainer = POLICY_TRAINERS[name](config, environment)
    before = trainer.parameters.flat.clone()
    curve = loop.run(name, trainer, PolicyTasks(environment, 4))
    assert curve.train.shape == (2, 2) and np.isfinite(curve.train).all()
    assert curve.held_out.shape == (1, 3)
    assert not torch.equal(before, trainer.parameters.flat)
    assert trainer.env_steps <= 2 * 2 * 3 * 4 * environment.horizon


@pytest.mark.slow
def test_meta_training_makes_one_step_worth_more():
    config = attrs.evolve(SMALL, hidden=(30,), iterations=30, task_batch_size=10, trajectories=10)
    environment = Navigation(horizon=30)
    goals = environment.sample_tasks(np.random.default_rng(9), 20)
    gains = {"maml": [], "pretrained": []}
    for seed in range(3):
        for name, steps in (("maml", 1), ("pretrained", 0)):
            trainer = PolicyMAML(attrs.evolve(config, inner_steps=steps, seed=seed), environment)
            loop.run(name, trainer, PolicyTasks(environment, 4))
            returns = trainer.returns(goals, 1, 20, np.random.default_rng(0)).mean(axis=1)
            gains[name].append(returns[1])
    assert np.mean(gains["maml"]) > np.mean(gains["pretrained"]) + 1.0


def test_a_run_that_was_cancelled_goes_on_as_if_it_had_not_been(tmp_path):
    environment = Navigation(horizon=10)

    def train(controls=None):
        trainer = PolicyMAML(SMALL, environment)
        curve = loop.run("maml", trainer, PolicyTasks(environment, 3), controls)
        return trainer, curve

    whole, curve = train()
    cancel = threading.Event()
    trainer = PolicyMAML(SMALL, environment)
    collect, calls = trainer.collect, []

    def counting(*arguments):
        calls.append(1)
        if len(calls) == 4:
            cancel.set()
        return collect(*arguments)

    trainer.collect = counting
    with pytest.raises(loop.Cancelled):
        loop.run(
            "maml", trainer, PolicyTasks(environment, 3),
            loop.Controls(cancel=cancel, checkpoint=Checkpoint(tmp_path, {})),
        )  # fmt: skip
    again, resumed = train(loop.Controls(checkpoint=Checkpoint(tmp_path, {}, resume=True)))
    assert torch.equal(again.parameters.flat, whole.parameters.flat)
    np.testing.assert_array_equal(resumed.train, curve.train)
    assert again.env_steps == whole.env_steps


def test_returns_are_of_each_task_and_steps_after_the_first_take_a_share_of_its_rate():
    trainer, taken = PolicyMAML(SMALL, Navigation(horizon=10)), []
    adapt = trainer.adapt

    def watched(tasks, rates, *rest, **more):
        taken.append(list(rates))
        return adapt(tasks, rates, *rest, **more)

    trainer.adapt = watched
    goals = np.array([[0.0, 0.4], [0.3, 0.3]])
    assert trainer.returns(goals, 3, 5, np.random.default_rng(0), rate=0.4).shape == (4, 2)
    trainer.returns(goals, 4, 5, np.random.default_rng(0), later=(0.5, 0.25))
    trainer.returns(goals, 0, 5, np.random.default_rng(0))
    assert taken == [[0.4, 0.2, 0.2], [0.5, 0.25, 0.125, 0.125], []]


def test_episodes_that_end_early_are_followed_by_more():
    trainer, goals = PolicyMAML(SMALL, Navigation(horizon=30)), np.array([[0.01, 0.0], [0.0, -0.01]])
    flat = trainer.parameters.flat.expand(2, -1).clone()
    flat[:, -2:] = -4.0  # small steps around goals that are near
    _, few = trainer.collect(flat, goals, 5, np.random.default_rng(0))
    _, many = trainer.collect(flat, goals, 5, np.random.default_rng(0), fill=True)
    assert few.alive.shape[1] == 5 and few.steps < 0.9 * 2 * 5 * 30
    assert 0.9 * 2 * 5 * 30 <= many.steps or many.alive.shape[1] == 100


def test_settings_out_of_range_are_named():
    with pytest.raises(InvalidValueError, match="kl"):
        PolicyConfig(kl=0.0)
    with pytest.raises(InvalidValueError, match="outer"):
        PolicyConfig(outer="adamant")
