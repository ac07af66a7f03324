"""Guided meta-policy search: its gradient, what it imitates, and that it runs where the others do."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mppi_maml_ros.core.errors import InvalidValueError  # noqa: E402
from mppi_maml_ros.meta import loop  # noqa: E402
from mppi_maml_ros.policies.environments.navigation import Navigation  # noqa: E402
from mppi_maml_ros.policies.environments.tabular import Bandits  # noqa: E402
from mppi_maml_ros.policies.gmps import GMPS, GMPSConfig, make_expert  # noqa: E402
from mppi_maml_ros.policies.maml import PolicyTasks  # noqa: E402
from mppi_maml_ros.policies.policy import Batch  # noqa: E402
from mppi_maml_ros.policies.sampling import rollout  # noqa: E402

SMALL = GMPSConfig(
    hidden=(8,), iterations=2, task_batch_size=3, trajectories=4, evaluate_every=2, imitation_steps=2,
    activation="tanh",
)  # fmt: skip


@pytest.fixture
def learner():
    environment = Navigation(horizon=10)
    return GMPS(SMALL, environment, make_expert(SMALL, environment, 2, 2))


def test_the_gradient_is_that_of_finite_differences(learner):
    g = torch.Generator().manual_seed(0)

    def batch():
        share = torch.full((3, 6), 1.0 / 6.0).double()
        data = (torch.randn(3, 6, 2, generator=g).double() for _ in range(2))
        return Batch(*data, torch.randn(3, 6, generator=g).double() / 6.0, share)

    inner, query, flat = batch(), batch(), learner.parameters.flat.double()
    query = query._replace(weights=query.shares)
    direction = torch.randn(flat.shape, generator=g).double()
    reference = learner.policy.log_prob((flat + 0.02 * direction).expand(3, -1), inner)
    slope, _ = learner.imitation(flat, inner, reference, query)
    up, down = (learner.imitation(flat + s * direction, inner, reference, query)[1] for s in (1e-6, -1e-6))
    assert float(slope @ direction) == pytest.approx((up - down) / 2e-6, rel=1e-5)


def test_states_are_labelled_with_what_the_expert_would_do_in_that_task(learner):
    tasks = np.array([[0.4, 0.0], [-0.4, 0.3]])
    data = rollout(
        learner.environment, learner.policy, learner.parameters.flat, tasks, 3, np.random.default_rng(0)
    )
    batch = learner._labelled(data, tasks)
    expert = learner.expert
    told = torch.cat([batch.observations, torch.tensor(tasks).float()[:, None].expand(-1, 30, -1)], dim=2)
    means, _ = expert.policy.outputs(expert.parameters.flat.expand(2, -1), told)
    torch.testing.assert_close(batch.actions, means.clamp(-1.0, 1.0))


def test_it_runs_in_the_loop_and_keeps_its_deviations(learner):
    curve = loop.run("gmps", learner, PolicyTasks(learner.environment, 3))
    assert np.isfinite(curve.train).all() and learner.env_steps > 0
    assert (learner.parameters.flat[-2:] >= SMALL.least_deviation).all()


def test_choices_are_refused():
    with pytest.raises(InvalidValueError, match="continuous"):
        GMPS(SMALL, Bandits(), None)


@pytest.mark.slow
def test_imitating_an_expert_makes_one_step_worth_more():
    environment = Navigation(horizon=30)
    config = GMPSConfig(
        hidden=(30,), iterations=20, task_batch_size=10, trajectories=10, meta_lr=5e-3, evaluate_every=100
    )
    expert = make_expert(config, environment, 20, 2)
    loop.run("expert", expert, PolicyTasks(expert.environment, 2))
    learner = GMPS(config, environment, expert)
    loop.run("gmps", learner, PolicyTasks(environment, 2))
    goals = environment.sample_tasks(np.random.default_rng(9), 20)
    before, after = learner.returns(goals, 1, 20, np.random.default_rng(0)).mean(axis=1)
    assert after > before + 1.0
