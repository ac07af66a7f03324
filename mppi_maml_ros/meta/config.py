"""Settings that every meta-trainer shares, with their ranges."""

from __future__ import annotations

import attrs

from ..core.errors import InvalidValueError
from ..dynamics.residual import ACTIVATIONS

OUTER = ("auto", "adam", "annealed_adam", "descent")

RANGES: dict[str, tuple[float, float]] = {
    "iterations": (1, 1_000_000),
    "task_batch_size": (1, 1024),
    "support_size": (2, 10_000),
    "query_size": (2, 10_000),
    "inner_lr": (1e-9, 1.0),
    "inner_steps": (1, 1000),
    "meta_lr": (1e-9, 1.0),
    "max_gradient_norm": (1e-9, 1e9),
    "patience": (0, 1_000_000),
    "evaluate_every": (1, 1_000_000),
    "seed": (0, 2**63 - 1),
}
"""Allowed values of each number among the settings."""


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

    hidden: tuple[int, ...] = attrs.field(default=(32,), converter=tuple)
    activation: str = "tanh"
    iterations: int = 2000
    task_batch_size: int = 16
    support_size: int = 200
    query_size: int = 100
    inner_lr: float = 0.05
    inner_steps: int = 30
    meta_lr: float = 1e-3
    outer: str = "auto"
    max_gradient_norm: float = 10.0
    patience: int = 0
    evaluate_every: int = 100
    seed: int = 0

    def __attrs_post_init__(self):
        for name, (low, high) in RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise InvalidValueError(f"{name} must be in [{low:g}, {high:g}], got {getattr(self, name)}")
        if self.activation not in ACTIVATIONS:
            raise InvalidValueError(f"activation must be tanh or relu, got {self.activation!r}")
        if self.outer not in OUTER:
            raise InvalidValueError(f"outer must be one of {', '.join(OUTER)}, got {self.outer!r}")
        if not 1 <= len(self.hidden) <= 2 or not all(1 <= width <= 1024 for width in self.hidden):
            raise InvalidValueError(f"hidden must be one or two widths in [1, 1024], got {self.hidden}")
