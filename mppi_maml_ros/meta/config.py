"""Settings that every meta-trainer shares."""

from __future__ import annotations

from functools import partial

import attrs

from ..core.tunable import tunable
from ..dynamics.soundness import ACTIVATIONS

OUTER = ("auto", "adam", "annealed_adam", "descent")

_setting = partial(tunable, dynamic=False)


@attrs.frozen
class TrainingConfig:
    """Settings of a meta-training; ranges are checked.

    Attributes:
        hidden: widths of the hidden layers.
        activation: ``tanh`` or ``relu``.
        iterations: outer iterations.
        task_batch_size: tasks an iteration.
        support_size: largest support set; each task draws its size from [10, support_size].
        query_size: transitions that judge the adapted weights.
        inner_lr, inner_steps: inner SGD, as in deployment.
        meta_lr: of the outer update.
        outer: how the meta-gradient moves theta: ``adam``; ``annealed_adam``, its rate falling
            linearly to 0 over the iterations; ``descent``, plain and with the same fall; ``auto``: as
            the algorithm's paper has it, ``descent`` for Reptile and ``adam`` for all others.
        max_gradient_norm: of each inner step.
        patience: end after this many evaluations on held-out tasks without a new best, and keep
            the best; 0 takes all iterations and keeps the last.
        evaluate_every: iterations between these evaluations.
        seed: of initialisation and sampling.

    Raises:
        InvalidValueError: a value is out of range; the message names it.
    """

    hidden: tuple[int, ...] = _setting((32,), 1, 1024, "Widths of the hidden layers", lengths=(1, 2))
    activation: str = _setting("tanh", description="Of the hidden layers", choices=ACTIVATIONS)
    iterations: int = _setting(2000, 1, 1_000_000, "Outer iterations")
    task_batch_size: int = _setting(16, 1, 1024, "Tasks an iteration")
    support_size: int = _setting(200, 2, 10_000, "Transitions to adapt on")
    query_size: int = _setting(100, 2, 10_000, "Transitions to judge by")
    inner_lr: float = _setting(0.05, 1e-9, 1.0, "Learning rate of the inner loop")
    inner_steps: int = _setting(30, 1, 1000, "SGD steps in the inner loop")
    meta_lr: float = _setting(1e-3, 1e-9, 1.0, "Learning rate of the outer loop")
    outer: str = _setting(
        "auto", description="Outer update; auto: as the algorithm's paper has it", choices=OUTER
    )
    max_gradient_norm: float = _setting(
        10.0, 1e-9, 1e9, "Gradients of the inner loop are scaled down to this"
    )
    patience: int = _setting(
        0, 0, 1_000_000, "Evaluations on held-out tasks without a new best that end a run; 0: none do"
    )
    evaluate_every: int = _setting(100, 1, 1_000_000, "Iterations between evaluations on held-out tasks")
    seed: int = _setting(0, 0, 2**63 - 1, "Seed of tasks, initial weights and sampling")
