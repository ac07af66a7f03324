"""Half-cheetah steps as rllab's, all at once."""

from __future__ import annotations

import numpy as np
import pytest

mujoco = pytest.importorskip("mujoco")
pytest.importorskip("gymnasium")

from mppi_maml_ros.policies.environments.cheetah import (  # noqa: E402
    EFFORT,
    CheetahDirection,
    CheetahVelocity,
    load_model,
)


@pytest.fixture(scope="module")
def episode():
    """One robot stepped by MuJoCo alone: actions (H, 6), start, observations, and velocities."""
    rng = np.random.default_rng(0)
    environment = CheetahDirection()
    first = environment.reset(np.array([[1.0], [1.0]]), 1, np.random.default_rng(5))[0, 0]
    model = load_model()
    data = mujoco.MjData(model)
    mujoco.mj_setState(model, data, environment._state[0, 0], mujoco.mjtState.mjSTATE_FULLPHYSICS)
    mujoco.mj_forward(model, data)
    actions, seen, velocities = rng.uniform(-1.5, 1.5, (30, 6)), [], []
    for action in actions:
        before = data.subtree_com[1].copy()
        data.ctrl[:] = np.clip(action, -1.0, 1.0)
        mujoco.mj_step(model, data)
        mujoco.mj_forward(model, data)
        seen.append(np.concatenate([data.qpos[1:], data.qvel, data.subtree_com[1]]))
        velocities.append((data.subtree_com[1][0] - before[0]) / model.opt.timestep)
    return first, actions, np.array(seen), np.array(velocities)


@pytest.mark.parametrize("kind, task", [(CheetahDirection, -1.0), (CheetahVelocity, 1.3)])
def test_all_robots_move_and_are_paid_as_one_that_mujoco_steps(episode, kind, task):
    first, actions, expected, velocities = episode
    environment = kind()
    assert environment.dt == 0.01
    found = environment.reset(np.array([[task], [0.5]]), 1, np.random.default_rng(5))
    np.testing.assert_allclose(found[0, 0], first, rtol=1e-6)
    seen, rewards = [], []
    for action in actions:
        observation, reward, done = environment.step(np.tile(action, (2, 1, 1)))
        seen.append(observation[0, 0])
        rewards.append(reward[0, 0])
        assert not done.any()
    # the solver starts from other forces than where one robot's are kept, and contacts amplify it
    np.testing.assert_allclose(np.array(seen), expected, rtol=1e-3, atol=2e-3)
    gain = task * velocities if kind is CheetahDirection else -np.abs(velocities - task)
    effort = EFFORT * (np.clip(actions, -1.0, 1.0) ** 2).sum(axis=1)
    np.testing.assert_allclose(rewards, gain - effort, atol=5e-3)


def test_tasks_are_directions_and_velocities():
    rng = np.random.default_rng(0)
    assert {*CheetahDirection().sample_tasks(rng, 50)[:, 0]} == {-1.0, 1.0}
    velocities = CheetahVelocity().sample_tasks(rng, 500)
    assert 0.0 <= velocities.min() < 0.05 and 1.95 < velocities.max() <= 2.0
