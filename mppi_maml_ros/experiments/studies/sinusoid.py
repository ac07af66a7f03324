"""Sinusoid regression, the benchmark of Finn et al. (ICML 2017, section 5.1).

A task is y = A sin(x - phi) with A ~ U(.1, 5), phi ~ U(0, pi); ``shots`` points x ~ U(-5, 5) to
adapt on. Network 1-40-40-1, ReLU; 25 tasks an iteration; Adam at 1e-3; inner steps of .01.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np
import torch

from ...core.errors import InvalidValueError
from ...meta.config import TrainingConfig
from ...meta.gradients.batched import ArraySet
from ...meta.trainers.alpaca import ALPaCA
from ...meta.trainers.anil import ANIL
from ...meta.trainers.base import Trainer
from ...meta.trainers.fomaml import FOMAML
from ...meta.trainers.maml import MAML
from ...meta.trainers.meta_sgd import MetaSGD
from ...meta.trainers.reptile import Reptile
from ...meta.trainers.supervised import Supervised

TEST_STEPS = 10
TEST_TASKS = 600
TEST_POINTS = 100  # that judge each test task
TEST_SEED = 1_000_003  # apart from every training seed
CHUNK = 200  # iterations whose tasks are drawn at once

BASE = TrainingConfig(
    hidden=(40, 40), activation="relu", task_batch_size=25, inner_lr=0.01, inner_steps=1, meta_lr=1e-3,
    max_gradient_norm=1e9,
)  # fmt: skip

TRAINERS: dict[str, tuple[type[Trainer], dict]] = {
    "maml": (MAML, {}),
    "fomaml": (FOMAML, {}),
    "reptile": (Reptile, {"inner_steps": 10, "meta_lr": 0.3}),
    "anil": (ANIL, {}),
    "metasgd": (MetaSGD, {}),
    "alpaca": (ALPaCA, {"activation": "tanh"}),
    "pretrained": (Supervised, {}),
}
"""By the names of the command line, with what differs from BASE."""


@attrs.frozen
class SinusoidTasks:
    """The task distribution.

    Attributes:
        shots: points to adapt on.
        queries: points that judge.
    """

    shots: int = 10
    queries: int = 10

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.shots <= 1000:
            raise InvalidValueError(f"shots must be in [1, 1000], got {self.shots}")

    def sample(self, rng: np.random.Generator, tasks: int) -> tuple[ArraySet, ...]:
        """Support and query of ``tasks`` tasks: (x, y, weights), each (tasks, S, 1) float32."""
        amplitude = rng.uniform(0.1, 5.0, (tasks, 1, 1)).astype(np.float32)
        phase = rng.uniform(0.0, np.pi, (tasks, 1, 1)).astype(np.float32)
        points = self.shots + self.queries
        x = 10.0 * rng.random((tasks, points, 1), dtype=np.float32) - 5.0
        y = amplitude * np.sin(x - phase)
        return tuple(
            (x[:, part], y[:, part], np.full((tasks, size, 1), 1.0 / size, np.float32))
            for part, size in ((slice(0, self.shots), self.shots), (slice(self.shots, None), self.queries))
        )


@attrs.frozen(eq=False)
class SinusoidResult:
    """Mean squared error after 0, 1, ... adaptation steps over the test tasks, 95 % half-width of each."""

    mse: np.ndarray
    ci95: np.ndarray


def make_trainer(name: str, iterations: int, seed: int, device: str = "cpu") -> Trainer:
    """The trainer ``name`` with the benchmark's settings.

    Raises:
        InvalidValueError: unknown name, or a number out of range.
    """
    if name not in TRAINERS:
        raise InvalidValueError(f"trainer must be one of {', '.join(TRAINERS)}, got {name!r}")
    kind, changes = TRAINERS[name]
    config = attrs.evolve(BASE, iterations=iterations, seed=seed, **changes)
    return kind(config, 1, 1, silent=False, device=device)


def train(
    trainer: Trainer,
    tasks: SinusoidTasks,
    on_progress: Callable[[int, float], None] = lambda iteration, loss: None,
) -> None:
    """Meta-train for the trainer's iterations; reports iterations done and the last query loss."""
    c = trainer.config
    rng = np.random.default_rng(c.seed)
    for first in range(0, c.iterations, CHUNK):
        count = min(CHUNK, c.iterations - first)
        support, query = tasks.sample(rng, count * c.task_batch_size)
        parts = [
            [torch.as_tensor(a, device=trainer.device).split(c.task_batch_size) for a in arrays]
            for arrays in (support, query)
        ]
        for i in range(count):
            shown, judged = ([a[i] for a in arrays] for arrays in parts)
            _, loss = trainer.step(shown, judged, measure=False)
        on_progress(first + count, loss)


def evaluate(trainer: Trainer, shots: int, steps: int = TEST_STEPS, seed: int = TEST_SEED) -> SinusoidResult:
    """Adapt to TEST_TASKS fresh tasks, the same for every trainer."""
    tasks = SinusoidTasks(shots, TEST_POINTS)
    support, query = tasks.sample(np.random.default_rng(seed), TEST_TASKS)
    losses = trainer.losses(support, query, steps).double().cpu().numpy()
    half = 1.96 * losses.std(axis=1, ddof=1) / np.sqrt(losses.shape[1])
    return SinusoidResult(losses.mean(axis=1), half)
