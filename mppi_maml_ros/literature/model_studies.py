"""Sinusoid regression, and models of a robot in worlds that change, as studies beside the others."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from ..experiments.studies import meta_trainers, sinusoid
from ..meta import loop
from ..meta.gradients.batched import ArraySet
from ..meta.loop import Controls
from ..weights.meta_model import PACKAGED, MetaModel
from .study import Part, Study, report

SHOTS, ITERATIONS = 10, 70_000
RUNS = 10  # in each world that changes


@attrs.frozen
class _Source:
    """Sinusoids for the loop."""

    tasks: sinusoid.SinusoidTasks

    def sample(self, rng: np.random.Generator, tasks: int) -> Sequence[ArraySet]:
        return self.tasks.sample(rng, tasks)

    def held_out(self) -> Sequence[ArraySet]:
        return self.tasks.sample(np.random.default_rng(sinusoid.TEST_SEED + 1), 100)


def _iterations(method: str, scale: float) -> int:
    return max(1, round(scale * ITERATIONS))


def _sinusoid(method: str, seed: int, scale: float, controls: Controls) -> Part:
    trainer = sinusoid.make_trainer(method, _iterations(method, scale), seed)
    trainer.config = attrs.evolve(trainer.config, evaluate_every=max(1, trainer.config.iterations // 20))
    loop.run(method, trainer, _Source(sinusoid.SinusoidTasks(SHOTS)), controls)
    judges = sinusoid.SinusoidTasks(SHOTS, sinusoid.TEST_POINTS)
    support, query = judges.sample(np.random.default_rng(sinusoid.TEST_SEED), sinusoid.TEST_TASKS)
    losses = trainer.losses(support, query, sinusoid.TEST_STEPS).double().numpy()
    return Part(range(sinusoid.TEST_STEPS + 1), list(losses))


def _runs(scale: float) -> int:
    return max(1, round(scale * RUNS))


def _changing(method: str, seed: int, scale: float, controls: Controls) -> Part:
    total, done = len(meta_trainers.CHANGING) * _runs(scale), []

    def advance() -> None:
        loop.check(controls.cancel)
        done.append(1)
        report(controls, method, len(done), total)

    first = 1000 * seed
    rows = meta_trainers.changing_worlds(
        MetaModel.load(PACKAGED), range(first, first + _runs(scale)), models=(method,), on_progress=advance
    )
    return Part((meta_trainers.AHEAD,), [np.array([row["ahead_m_after"] for row in rows])])


STUDIES = (
    Study(
        name="sinusoid",
        title="Sinusoid regression, 10 shots",
        source="Finn et al., ICML 2017, figure 2 (a figure only)",
        x="gradient steps",
        value="mean squared error",
        methods=tuple(sinusoid.TRAINERS),
        run=_sinusoid,
        iterations=_iterations,
        published={},
        notes="70000 iterations of 25 tasks; ALPaCA adapts in closed form.",
    ),
    Study(
        name="grbal",
        title="Predicting in worlds that change",
        source="Nagabandi et al., ICLR 2019, whose robots are others",
        x="steps ahead",
        value="position error [m]",
        methods=meta_trainers.MODELS,
        run=_changing,
        iterations=lambda method, scale: len(meta_trainers.CHANGING) * _runs(scale),
        published={},
        seeds=(0,),
        notes="The packaged networks, updated at every step of drives through nine worlds that change.",
    ),
)
"""What the package already compared elsewhere."""
