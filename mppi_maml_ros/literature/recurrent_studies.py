"""Bandits and tabular MDPs (Duan et al., arXiv:1611.02779, tables 1 and 2)."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np

from ..meta import loop
from ..meta.loop import Controls
from ..policies.environments.tabular import Bandits, MDPs
from ..policies.maml import PolicyTasks
from ..policies.recurrent import RL2, RecurrentConfig
from .study import Part, Study

ARMS, PULLS = 5, (10, 100)
EPISODES = (10, 25, 50, 100)
TEST_TASKS, TEST_SEED = 1000, 1
BANDITS = RecurrentConfig(hidden=48, iterations=1000, epochs=6)
TABULAR = RecurrentConfig(hidden=128, iterations=1000, epochs=6, task_batch_size=256, minibatches=4)


def _judged(x: tuple[int, ...], trial: Callable[[int], tuple[np.ndarray, int]]) -> Part:
    found = [trial(count) for count in x]
    return Part(x, [values for values, _ in found], sum(steps for _, steps in found))


def _config(config: RecurrentConfig, scale: float, seed: int) -> RecurrentConfig:
    iterations = max(1, round(scale * config.iterations))
    return attrs.evolve(config, iterations=iterations, seed=seed, evaluate_every=max(1, iterations // 10))


def _learned(name: str, config: RecurrentConfig, environment: Bandits | MDPs, controls: Controls) -> RL2:
    learner, show = RL2(config, environment), controls.on_progress
    named = attrs.evolve(controls, on_progress=lambda p: show(attrs.evolve(p, phase=name)))
    loop.run(name, learner, PolicyTasks(environment, 100), named)
    return learner


def _bandits(method: str, seed: int, scale: float, controls: Controls) -> Part:
    def trial(pulls: int) -> tuple[np.ndarray, int]:
        environment, rng = Bandits(ARMS, pulls), np.random.default_rng([seed, TEST_SEED])
        tasks = environment.sample_tasks(np.random.default_rng(TEST_SEED), TEST_TASKS)
        if method == "rl2":
            learner = _learned(f"rl2-{pulls}", _config(BANDITS, scale, seed), environment, controls)
            return learner.trials(tasks, rng).rewards.sum(axis=1), learner.env_steps
        return _pulled(method, environment, tasks, rng), 0

    return _judged(PULLS, trial)


def _pulled(method: str, environment: Bandits, tasks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Total reward of each task by Thompson sampling with the true prior, or at random."""
    environment.reset(tasks, 1, rng)
    wins, losses = np.ones_like(tasks), np.ones_like(tasks)
    rows, total = np.arange(len(tasks)), np.zeros(len(tasks))
    for _ in range(environment.horizon):
        drawn = rng.beta(wins, losses) if method == "thompson" else rng.random(tasks.shape)
        arms = drawn.argmax(axis=1)
        _, rewards, _ = environment.step(arms[:, None, None])
        wins[rows, arms] += rewards[:, 0]
        losses[rows, arms] += 1.0 - rewards[:, 0]
        total += rewards[:, 0]
    return total


def _mdps(method: str, seed: int, scale: float, controls: Controls) -> Part:
    environment = MDPs()
    tasks = environment.sample_tasks(np.random.default_rng(TEST_SEED), TEST_TASKS)
    best = environment.optimal_returns(tasks).mean()

    def trial(episodes: int) -> tuple[np.ndarray, int]:
        rng = np.random.default_rng([seed, TEST_SEED])
        config = attrs.evolve(_config(TABULAR, scale, seed), episodes=episodes)
        if method == "rl2":
            learner = _learned(f"rl2-{episodes}", config, environment, controls)
        else:
            learner = RL2(config, environment)  # its heads are zero: every action is as likely
        returns = learner.trials(tasks, rng).rewards.sum(axis=1)
        return returns / (episodes * best), learner.env_steps

    return _judged(EPISODES, trial)


STUDIES = (
    Study(
        name="bandits",
        title="Bandits, five arms",
        source="Duan et al., 2016, table 1",
        x="pulls",
        value="total reward",
        methods=("rl2", "thompson", "random"),
        run=_bandits,
        iterations=lambda method, scale: len(PULLS) * _config(BANDITS, scale, 0).iterations,
        published={"rl2": {10: 6.7, 100: 78.7}, "random": {10: 5.0}},
        notes=(
            "Gittins indices: 6.6 and 78.3. MAML, as the SNAIL paper has it: 6.5 and 67.1. Ours is trained "
            "by PPO with a GRU of 48 units, the paper's by TRPO with one of 256."
        ),
    ),
    Study(
        name="mdps",
        title="Tabular MDPs",
        source="Duan et al., 2016, table 2",
        x="episodes",
        value="return, as a share of value iteration's",
        methods=("rl2", "random"),
        run=_mdps,
        iterations=lambda method, scale: len(EPISODES) * _config(TABULAR, scale, 0).iterations,
        published={"rl2": {10: 0.752, 25: 0.859, 50: 0.902, 100: 0.922}},
        notes="MAML, as the SNAIL paper has it: .563 and .591 after 10 and 25 episodes.",
    ),
)
"""Both."""
