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
    pulls: RecurrentConfig(
        hidden=48, iterations=iterations, epochs=3, task_batch_size=tasks, minibatches=4, meta_lr=rate,
        gae=gae, signal="regret",
    )
    for pulls, iterations, tasks, rate, gae in ((10, 150, 512, 1e-2, 0.3), (100, 100, 256, 5e-3, 0.9))
}  # fmt: skip
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
        iterations=iterations, epochs=3, task_batch_size=tasks, minibatches=tasks // 32, meta_lr=rate,
        gae=0.3, episodes=count, signal="regret",
    )
    for count, iterations, tasks, rate in (
        (10, 150, 256, 1e-2), (25, 40, 128, 5e-3), (50, 20, 64, 3e-3), (100, 10, 64, 2e-3)
    )
}  # fmt: skip
"""By episodes."""
ADAPTED_TABULAR = {
    count: PolicyConfig(
        hidden=(32,), iterations=100, task_batch_size=40, trajectories=count // 5, inner_lr=1.0,
        inner_steps=4, patience=3,
    )
    for count in TABULAR
}  # fmt: skip
"""MAML's by episodes, a gradient step after every fifth of them."""


SIGNAL = (
    "RL² is trained by PPO, the paper's by TRPO with a GRU of 256 units. Its gradient is told what each "
    "action loses in the mean, which takes knowing the task, in place of rewards, which the policy sees."
)


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
    name: str, config: PolicyConfig, environment: Bandits | MDPs, controls: Controls, tasks: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, int]:  # fmt: skip
    """Total reward of each task by MAML, and the steps of its training."""
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
            settings = _config(ADAPTED[pulls], scale, seed)  # an episode is one pull
            total, taken = _adapted(f"maml-{pulls}", settings, Bandits(ARMS, 1), controls, tasks, rng)
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
        if method == "maml":
            settings = _config(ADAPTED_TABULAR[episodes], scale, seed)
            total, taken = _adapted(f"maml-{episodes}", settings, environment, controls, tasks, rng)
            steps += taken
        elif method == "rl2":
            learner = _learned(f"rl2-{episodes}", config, environment, controls, learner)
            steps += learner.env_steps
            total = learner.trials(tasks, rng).rewards.sum(axis=1)
        else:  # the heads are zero: every action is as likely
            total = RL2(config, environment).trials(tasks, rng).rewards.sum(axis=1)
        values.append(total / (episodes * best))
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
            f"Gittins indices: 6.6 and 78.3. {SIGNAL} A GRU of 48 units; that of 100 pulls begins with what "
            "was learned of 10. MAML takes a gradient step after every 2 (10) pulls; the figures beside it "
            "are the SNAIL paper's."
        ),
    ),
    Study(
        name="mdps",
        title="Tabular MDPs",
        source="Duan et al., 2016, table 2",
        x="episodes",
        value="return, as a share of value iteration's",
        methods=("rl2", "maml", "random"),
        run=_mdps,
        iterations=lambda method, scale: _iterations(ADAPTED_TABULAR if method == "maml" else TABULAR, scale),
        published={
            "rl2": {10: 0.752, 25: 0.859, 50: 0.902, 100: 0.922}, "maml": {10: 0.563, 25: 0.591},
        },
        notes=(
            f"{SIGNAL} A GRU of 64 units; each length begins with what was learned of the one before. MAML "
            "takes a gradient step after every fifth of the episodes; the figures beside it are the SNAIL "
            "paper's."
        ),
    ),
)  # fmt: skip
"""Both."""
