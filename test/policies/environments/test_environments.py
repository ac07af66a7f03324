"""Each environment pays and ends as its paper says; tasks and trajectories do not see each other."""

from __future__ import annotations

import numpy as np
import pytest

from mppi_maml_ros.policies.environments.base import Informed
from mppi_maml_ros.policies.environments.navigation import Navigation
from mppi_maml_ros.policies.environments.robot import DT, GoalReaching
from mppi_maml_ros.policies.environments.tabular import Bandits, MDPs


def walk(environment, tasks, actions, seed=0):
    """Observations, rewards and ends of actions (H, T, N, A)."""
    environment.reset(tasks, actions.shape[2], np.random.default_rng(seed))
    return [np.stack(part) for part in zip(*[environment.step(a) for a in actions])]


def test_navigation_pays_the_distance_and_ends_near_the_goal_in_both_axes():
    tasks = np.array([[0.3, 0.105], [-0.2, 0.0]])
    actions = np.tile(np.array([5.0, 0.5]), (3, 2, 1, 1))
    seen, rewards, done = walk(Navigation(), tasks, actions)
    np.testing.assert_allclose(seen[:, 0, 0], [[0.1, 0.05], [0.2, 0.1], [0.3, 0.15]], atol=1e-6)
    np.testing.assert_allclose(rewards[0], -np.hypot([[0.2], [0.3]], [[0.055], [0.05]]), rtol=1e-5)
    assert not done.any()  # at the last step only one axis is near
    _, _, done = walk(Navigation(), np.array([[0.305, 0.145]]), actions[:, :1])
    assert done[:, 0, 0].tolist() == [False, False, True]
    _, rewards, _ = walk(Navigation(squared=True), tasks, actions)
    np.testing.assert_allclose(rewards[0, 0, 0], -(0.2**2 + 0.055**2), rtol=1e-5)


def test_bandits_pay_with_the_probability_of_the_arm():
    tasks = np.array([[0.0, 1.0, 0.3], [0.9, 0.0, 0.5]])
    actions = np.tile(np.array([2.0, 0.0])[:, None, None, None], (1, 2, 5000, 1))
    _, rewards, _ = walk(Bandits(3), tasks, actions)
    np.testing.assert_allclose(rewards.mean(axis=2), [[0.3, 0.5], [0.0, 0.9]], atol=0.02)
    rows = Bandits(5).sample_tasks(np.random.default_rng(0), 1000)
    assert rows.shape == (1000, 5) and 0.0 <= rows.min() < 0.01 and 0.99 < rows.max() <= 1.0


def test_mdps_move_and_pay_as_drawn():
    mdps, rng = MDPs(), np.random.default_rng(0)
    tasks = mdps.sample_tasks(rng, 2)
    move, mean = mdps.parts(tasks)
    np.testing.assert_allclose(move.sum(axis=3), 1.0)
    seen, rewards, _ = walk(mdps, tasks, np.full((1, 2, 40000, 1), 3.0))
    np.testing.assert_allclose(seen[0].mean(axis=1), move[:, 0, 3], atol=0.01)
    np.testing.assert_allclose(rewards[0].mean(axis=1), mean[:, 0, 3], atol=0.03)
    np.testing.assert_allclose(rewards[0].std(axis=1), 1.0, atol=0.03)


def test_the_optimal_return_is_that_of_the_best_of_all_plans():
    mdps = MDPs(horizon=2)
    tasks = mdps.sample_tasks(np.random.default_rng(1), 3)
    move, mean = mdps.parts(tasks)
    best = (mean[:, 0] + np.einsum("tan,tn->ta", move[:, 0], mean.max(axis=2))).max(axis=1)
    np.testing.assert_allclose(mdps.optimal_returns(tasks), best)


@pytest.mark.parametrize("environment", [Bandits(3, 4), MDPs(horizon=4)])
def test_rewards_and_regrets_sum_to_the_best_return_in_the_mean(environment):
    rng = np.random.default_rng(0)
    tasks, total, lost = environment.sample_tasks(rng, 3), np.zeros((3, 20_000)), np.zeros((3, 20_000))
    best = environment.optimal_returns(tasks) if isinstance(environment, MDPs) else 4 * tasks.max(axis=1)
    environment.reset(tasks, 20_000, rng)
    for _ in range(4):
        regrets = environment.regrets()
        assert regrets.shape == (3, 20_000, environment.actions) and (regrets.min(axis=2) == 0.0).all()
        actions = rng.integers(0, environment.actions, (3, 20_000, 1))
        lost += np.take_along_axis(regrets, actions, axis=2)[..., 0]
        total += environment.step(actions)[1]
    np.testing.assert_allclose((total + lost).mean(axis=1), best, atol=0.05)
    assert (lost.mean(axis=1) > 0.3).all()


def test_a_robot_goes_by_gain_lag_and_delay():
    late, slow = [1.0, 1.0, 1e-3, 1e-3, 2], [0.5, 1.0, 0.4, 1e-3, 0]
    actions = np.tile(np.array([1.0, 0.0]), (4, 2, 1, 1))
    robot = GoalReaching()
    seen, _, _ = walk(robot, np.array([late, slow]), actions)
    np.testing.assert_allclose(seen[:, 0, 0, 2], [0.0, 0.0, 1.0, 1.0], atol=1e-5)
    np.testing.assert_allclose(seen[:, 1, 0, 2], 0.5 * (1.0 - np.exp(-DT / 0.4 * np.arange(1, 5))), rtol=1e-5)
    np.testing.assert_allclose(seen[:, :, 0, 4], 1.0)


def test_a_robot_that_drives_at_its_goal_gets_there():
    robot = GoalReaching()
    tasks = np.array([[1.0, 1.0, 0.05, 0.05, 0]])
    seen, ended = robot.reset(tasks, 50, np.random.default_rng(0)), np.zeros((1, 50), dtype=bool)
    for _ in range(robot.horizon):
        bearing = np.arctan2(seen[..., 1], seen[..., 0])
        action = np.stack([np.where(np.abs(bearing) < 0.5, 0.8, 0.0), 2.0 * bearing], axis=-1)
        seen, _, done = robot.step(action)
        ended |= done
    assert ended.all()


def test_the_oracle_is_told_the_task():
    environment = Informed(Navigation(), 2)
    tasks = np.array([[0.1, 0.2], [0.3, 0.4]])
    first = environment.reset(tasks, 3, np.random.default_rng(0))
    assert first.shape == (2, 3, environment.observations) == (2, 3, 4)
    later, *_ = environment.step(np.zeros((2, 3, 2)))
    np.testing.assert_allclose(later[:, 1, 2:], tasks, rtol=1e-6)


@pytest.mark.parametrize("make", [Navigation, GoalReaching, Bandits, MDPs])
def test_the_same_seed_gives_the_same_episode(make):
    environment = make()
    rng = np.random.default_rng(3)
    tasks = environment.sample_tasks(rng, 3)
    if environment.discrete:
        actions = rng.integers(0, environment.actions, (4, 3, 2, 1)).astype(float)
    else:
        actions = rng.normal(size=(4, 3, 2, environment.actions))
    for first, again in zip(walk(environment, tasks, actions), walk(environment, tasks, actions)):
        np.testing.assert_array_equal(first, again)
