"""Bandits and tabular MDPs (Duan et al., arXiv:1611.02779, tables 1 and 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import attrs
import numpy as np

from ..meta import loop
from ..meta.loop import Controls
from ..policies.config import PolicyConfig
from ..policies.environments.tabular import Bandits, MDPs
from ..policies.maml import PolicyMAML, PolicyTasks
from ..policies.recurrent import RL2, RecurrentConfig
from .study import Part, Study

Config = TypeVar("Config", RecurrentConfig, PolicyConfig)
ARMS = 5
TEST_TASKS, TEST_SEED = 4000, 1
BANDITS = {
    10: RecurrentConfig(hidden=48, iterations=200, epochs=6),
    100: RecurrentConfig(hidden=48, iterations=200, epochs=3, task_batch_size=384, meta_lr=3e-3, gae=0.9),
}
"""By pulls. Each length but the first begins with what the one before led to, as below."""
ADAPTED = {
    10: PolicyConfig(
        hidden=(16,),
        iterations=100,
        task_batch_size=256,
        trajectories=2,
        inner_lr=1.0,
        inner_steps=4,
        patience=3,
    ),
    100: PolicyConfig(
        hidden=(16,),
        iterations=100,
        task_batch_size=64,
        trajectories=10,
        inner_lr=1.0,
        inner_steps=9,
        patience=3,
    ),
}
"""MAML's by pulls: a gradient step after every so many of them; of a long training exploration dies."""
TABULAR = {
    count: RecurrentConfig(
        hidden=128, iterations=iterations, epochs=4, task_batch_size=256, minibatches=4, meta_lr=rate,
        gae=0.9, episodes=count,
    )
    for count, iterations, rate in ((10, 1000, 5e-3), (25, 300, 2e-3), (50, 200, 1e-3), (100, 150, 1e-3))
}  # fmt: skip
"""By episodes."""


def _config(config: Config, scale: float, seed: int) -> Config:
    iterations = max(1, round(scale * config.iterations))
    return attrs.evolve(config, iterations=iterations, seed=seed, evaluate_every=max(1, iterations // 10))


def _iterations(configs: Mapping[int, RecurrentConfig | PolicyConfig], scale: float) -> int:
    return sum(max(1, round(scale * config.iterations)) for config in configs.values())


def _named(name: str, controls: Controls) -> Controls:
    show = controls.on_progress
    return attrs.evolve(controls, on_progress=lambda p: show(attrs.evolve(p, phase=name)))


def _learned(
    name: str, config: RecurrentConfig, environment: Bandits | MDPs, controls: Controls, before: RL2 | None
) -> RL2:
    learner = RL2(config, environment)
    if before is not None:
        learner.parameters.flat.copy_(before.parameters.flat)
    loop.run(name, learner, PolicyTasks(environment, 100), _named(name, controls))
    return learner


def _adapted(
    pulls: int, seed: int, scale: float, controls: Controls, tasks: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Total reward of each task by MAML, and the steps of its training; an episode is one pull."""
    config, environment, name = _config(ADAPTED[pulls], scale, seed), Bandits(ARMS, 1), f"maml-{pulls}"
    learner = PolicyMAML(config, environment)
    loop.run(name, learner, PolicyTasks(environment, 100), _named(name, controls))
    returns = learner.returns(tasks, config.inner_steps, config.trajectories, rng, later=(1.0,))
    return returns.sum(axis=0) * config.trajectories, learner.env_steps


def _bandits(method: str, seed: int, scale: float, controls: Controls) -> Part:
    values: list[np.ndarray] = []
    steps, learner = 0, None
    for pulls, config in BANDITS.items():
        environment, rng = Bandits(ARMS, pulls), np.random.default_rng([seed, TEST_SEED])
        tasks = environment.sample_tasks(np.random.default_rng(TEST_SEED), TEST_TASKS)
        if method == "rl2":
            name = f"rl2-{pulls}"
            learner = _learned(name, _config(config, scale, seed), environment, controls, learner)
            values.append(learner.trials(tasks, rng).rewards.sum(axis=1))
            steps += learner.env_steps
        elif method == "maml":
            total, taken = _adapted(pulls, seed, scale, controls, tasks, rng)
            values.append(total)
            steps += taken
        else:
            values.append(_pulled(method, environment, tasks, rng))
    return Part(tuple(BANDITS), values, steps)


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
    tasks = environment.sample_tasks(np.random.default_rng(TEST_SEED), TEST_TASKS // 4)
    best = environment.optimal_returns(tasks).mean()
    values: list[np.ndarray] = []
    steps, learner = 0, None
    for episodes, whole in TABULAR.items():
        rng, config = np.random.default_rng([seed, TEST_SEED]), _config(whole, scale, seed)
        if method == "rl2":
            learner = _learned(f"rl2-{episodes}", config, environment, controls, learner)
            steps += learner.env_steps
        else:
            learner = RL2(config, environment)  # its heads are zero: every action is as likely
        values.append(learner.trials(tasks, rng).rewards.sum(axis=1) / (episodes * best))
    return Part(tuple(TABULAR), values, steps)


STUDIES = (
    Study(
        name="bandits",
        title="Bandits, five arms",
        source="Duan et al., 2016, table 1",
        x="pulls",
        value="total reward",
        methods=("rl2", "maml", "thompson", "random"),
        run=_bandits,
        iterations=lambda method, scale: _iterations(ADAPTED if method == "maml" else BANDITS, scale),
        published={"rl2": {10: 6.7, 100: 78.7}, "maml": {10: 6.5, 100: 67.1}, "random": {10: 5.0}},
        notes=(
            "Gittins indices: 6.6 and 78.3. RL² is trained by PPO with a GRU of 48 units, the paper's by "
            "TRPO with one of 256; that of 100 pulls begins with what was learned of 10. MAML takes a "
            "gradient step after every 2 (10) pulls; the figures beside it are the SNAIL paper's."
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
        iterations=lambda method, scale: _iterations(TABULAR, scale),
        published={"rl2": {10: 0.752, 25: 0.859, 50: 0.902, 100: 0.922}},
        notes="MAML, as the SNAIL paper has it: .563 and .591 after 10 and 25 episodes.",
    ),
)
"""Both."""
