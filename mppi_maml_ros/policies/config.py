"""Settings of what learns a policy."""

from __future__ import annotations

from functools import partial

import attrs

from ..core.tunable import tunable
from ..dynamics.soundness import ACTIVATIONS

OUTER = ("trpo", "reinforce")

_setting = partial(tunable, dynamic=False)


@attrs.frozen
class PolicyConfig:
    """Settings of a meta-training of policies; ranges are checked. The defaults are those of 2D navigation.

    Attributes:
        hidden, activation: of the policy's network.
        iterations: outer iterations.
        task_batch_size: tasks an iteration.
        trajectories: of each task for each update.
        inner_lr: of the first inner step; later ones at test take a share of it.
        inner_steps: gradient steps on a task; 0 learns one policy for all tasks.
        outer: ``trpo``, or ``reinforce`` with Adam.
        kl: how far a step of TRPO may change the adapted policies.
        meta_lr: of Adam.
        fisher_every: TRPO's products take every so many samples.
        damping: added to the Fisher information.
        discount, gae: gamma and lambda of the advantages.
        evaluate_every: iterations between evaluations on held-out tasks.
        patience: of these without a new best that end a run; 0: none do.
        seed: of tasks, initial weights and sampling.

    Raises:
        InvalidValueError: a value is out of range; the message names it.
    """

    hidden: tuple[int, ...] = _setting((100, 100), 1, 1024, "Widths of the hidden layers", lengths=(1, 2))
    activation: str = _setting("relu", description="Of the hidden layers", choices=ACTIVATIONS)
    iterations: int = _setting(100, 1, 1_000_000, "Outer iterations")
    task_batch_size: int = _setting(40, 1, 1024, "Tasks an iteration")
    trajectories: int = _setting(20, 1, 10_000, "Of each task for each update")
    inner_lr: float = _setting(0.5, 0.0, 10.0, "Learning rate of the inner loop")
    inner_steps: int = _setting(1, 0, 10, "Gradient steps on a task")
    outer: str = _setting("trpo", description="Outer update", choices=OUTER)
    kl: float = _setting(0.01, 1e-9, 10.0, "Largest mean divergence of a step of TRPO")
    meta_lr: float = _setting(1e-3, 1e-9, 1.0, "Learning rate of Adam, the other outer update")
    fisher_every: int = _setting(9, 1, 1000, "Samples of which TRPO's products take one")
    damping: float = _setting(1e-5, 0.0, 1e3, "Added to the Fisher information")
    discount: float = _setting(0.99, 0.0, 1.0, "gamma of the advantages")
    gae: float = _setting(1.0, 0.0, 1.0, "lambda of the advantages")
    evaluate_every: int = _setting(25, 1, 1_000_000, "Iterations between evaluations on held-out tasks")
    patience: int = _setting(0, 0, 1_000_000, "Evaluations without a new best that end a run; 0: none do")
    seed: int = _setting(0, 0, 2**63 - 1, "Seed of tasks, initial weights and sampling")
