"""Guided meta-policy search against MAML: returns after one gradient step by steps in training."""

from __future__ import annotations

import attrs
import numpy as np

from ..meta import loop
from ..meta.loop import Controls, Progress
from ..policies.config import PolicyConfig
from ..policies.environments.navigation import Navigation
from ..policies.gmps import GMPS, GMPSConfig, make_expert
from ..policies.maml import PolicyMAML, PolicyTasks
from .study import Part, Study

TEST_TASKS, TEST_SEED = 40, 1
EXPERT_ITERATIONS, MILLION = 60, 1e6
MAML = PolicyConfig(iterations=60)
GUIDED = GMPSConfig(iterations=60, meta_lr=2e-3)


def _scaled(config: PolicyConfig, scale: float) -> PolicyConfig:
    root = scale**0.5
    return attrs.evolve(
        config, iterations=max(10, round(root * config.iterations)),
        task_batch_size=max(2, round(root * config.task_batch_size)), evaluate_every=1000,
    )  # fmt: skip


def _run(method: str, seed: int, scale: float, controls: Controls) -> Part:
    environment, spent = Navigation(), 0
    trainer: PolicyMAML
    tasks = environment.sample_tasks(np.random.default_rng(TEST_SEED), TEST_TASKS)
    config = attrs.evolve(_scaled(GUIDED if method == "gmps" else MAML, scale), seed=seed)
    quiet = attrs.evolve(controls, checkpoint=None)  # the curve would be cut where a run was
    if isinstance(config, GMPSConfig):
        rounds = max(10, round(scale**0.5 * EXPERT_ITERATIONS))
        expert = make_expert(config, environment, rounds, 2)
        loop.run("expert", expert, PolicyTasks(expert.environment), attrs.evolve(quiet, on_progress=_silent))
        spent, trainer = expert.env_steps, GMPS(config, environment, expert)
    else:
        trainer = PolicyMAML(config, environment)
    found: list[tuple[float, np.ndarray]] = []

    def measure(progress: Progress) -> None:
        returns = trainer.returns(tasks, 1, 40, np.random.default_rng([seed, TEST_SEED]), fill=True)
        found.append((round((spent + trainer.env_steps) / MILLION, 2), returns[1]))
        controls.on_progress(progress)

    loop.run(method, trainer, PolicyTasks(environment), attrs.evolve(quiet, on_progress=measure))
    return Part([x for x, _ in found], [values for _, values in found], spent + trainer.env_steps)


def _silent(progress: Progress) -> None:
    pass


STUDY = Study(
    name="gmps",
    title="Guided meta-policy search, 2D navigation",
    source="Mendonca et al., NeurIPS 2019, whose results are figures: up to ten times fewer samples",
    x="million environment steps in training",
    value="return after one gradient step",
    methods=("gmps", "maml"),
    run=_run,
    iterations=lambda method, scale: _scaled(MAML, scale).iterations,
    published={},
    notes=(
        "The steps of gmps include those that its expert, one policy that is told the goal, took. "
        "A run that was interrupted begins anew."
    ),
)
