"""From pools of transitions to the batches that one network is meta-trained on.

A task's support is one contiguous window, as the buffer holds it online, measured with noise; its
query is judged against the truth where that is known. Where a linear layer works under the
network, it is fitted on each support set first, as online, and the network gets what it leaves.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np

from ...adaptation.learning import Layer, LearningProblem, typical_size
from ...core.errors import InvalidValueError
from ..config import TrainingConfig
from ..gradients.batched import ArraySet
from .worlds import TaskPool

SMALLEST_SUPPORT = 10
JUDGES = 200  # held-out tasks that an evaluation looks at


def sample_sets(
    rng: np.random.Generator, tasks: int, steps: int, config: TrainingConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose the support window and the query of each task, the query from anywhere in the task.

    Returns:
        support indices (tasks, S), support weights (tasks, S), query indices (tasks, Q).
    """
    size = min(config.support_size, steps)
    count = rng.integers(min(SMALLEST_SUPPORT, size), size + 1, size=tasks)
    start = (rng.uniform(size=tasks) * (steps - count + 1)).astype(int)
    index = np.minimum(start[:, None] + np.arange(size), steps - 1)
    weights = (np.arange(size) < count[:, None]) / count[:, None]
    query = rng.integers(0, steps, size=(tasks, config.query_size))
    return index, weights, query


def sample_windows(
    rng: np.random.Generator, tasks: int, steps: int, config: TrainingConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose the last M transitions and the next K of each task, at a random moment (GrBAL, eq. 3).

    Returns:
        as :func:`sample_sets`; M is ``support_size``, or what a shorter task leaves of it; K ``query_size``.

    Raises:
        InvalidValueError: a task leaves fewer than SMALLEST_SUPPORT.
    """
    ahead = config.query_size
    past = min(config.support_size, steps - ahead)
    if past < min(SMALLEST_SUPPORT, config.support_size):
        raise InvalidValueError(
            f"query_size must be at most {max(steps - SMALLEST_SUPPORT, 0)}, as tasks have {steps} steps and "
            f"{SMALLEST_SUPPORT} of them are to adapt on, got {ahead}"
        )
    start = rng.integers(0, steps - past - ahead + 1, size=tasks)
    index = start[:, None] + np.arange(past)
    query = start[:, None] + past + np.arange(ahead)
    return index, np.full((tasks, past), 1.0 / past), query


class ResidualTasks:
    """The task source of one network, see :class:`loop.TaskSource`.

    Args:
        pool, held: training and held-out tasks.
        config: set sizes and seed.
        prior: of the linear layer under the network; None for none.
        noise: variance of the measurement noise, shape (3,).
        input_scale: shape (Z,).
        sequential: the query follows the support in time.
        above_noise: no output is normalised by less than its measurement noise, so that one which
            mostly is noise does not count as much as the others.
        interrupt: called before each batch; may raise.
    """

    def __init__(
        self, pool: TaskPool, held: TaskPool, config: TrainingConfig,
        prior: Layer | None, noise: np.ndarray, input_scale: np.ndarray,
        sequential: bool = False, above_noise: bool = False,
        interrupt: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._pool, self._held, self._config = pool, held, config
        self._choose = sample_windows if sequential else sample_sets
        self._interrupt = interrupt
        self._judges: tuple[ArraySet, ArraySet] | None = None
        self._problem = LearningProblem(input_scale, np.ones(3), noise, prior)
        self.output_scale = typical_size(self._typical_targets(), noise, above_noise)
        self._problem = attrs.evolve(self._problem, output_scale=self.output_scale)

    def _typical_targets(self) -> np.ndarray:
        """What the network has to learn, over tasks and clean queries, shape (tasks, Q, 3)."""
        rng = np.random.default_rng(self._config.seed + 5)
        tasks = np.arange(min(len(self._pool), 300))
        sets = self._choose(rng, len(tasks), self._pool.inputs.shape[1], self._config)
        return self._raw(self._pool, tasks, *sets)[3]

    def _raw(
        self,
        pool: TaskPool,
        tasks: np.ndarray,
        support_index: np.ndarray,
        support_weights: np.ndarray,
        query_index: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Support and query (inputs, targets) in SI units, and the noise variance (tasks, 3)."""
        rows = tasks[:, None]
        xs, ys = pool.inputs[rows, support_index], pool.residuals[rows, support_index]
        xq, yq = pool.clean_inputs[rows, query_index], pool.clean_residuals[rows, query_index]
        noise = np.tile(self._problem.noise, (len(tasks), 1))
        if self._problem.prior is not None:
            for i in range(len(tasks)):
                self._interrupt()
                used = support_weights[i] > 0.0
                ys[i], yq[i], noise[i] = self._problem.task((xs[i], ys[i]), (xq[i], yq[i]), used)
        return xs, ys, xq, yq, noise

    def _batch(
        self,
        pool: TaskPool,
        tasks: np.ndarray,
        support_index: np.ndarray,
        support_weights: np.ndarray,
        query_index: np.ndarray,
    ) -> tuple[ArraySet, ArraySet]:
        xs, ys, xq, yq, noise = self._raw(pool, tasks, support_index, support_weights, query_index)
        support, query = (self._problem.samples(*pair, noise[:, None]) for pair in ((xs, ys), (xq, yq)))
        query_weights = np.full(yq.shape, 1.0 / query_index.shape[1])
        return (
            (support.inputs, support.targets, support_weights[..., None] * support.output_weight),
            (query.inputs, query.targets, query_weights),
        )

    def sample(self, rng: np.random.Generator, tasks: int) -> tuple[ArraySet, ArraySet]:
        """Support and query of ``tasks`` tasks of the pool."""
        self._interrupt()
        chosen = rng.integers(0, len(self._pool), size=tasks)
        return self._batch(
            self._pool, chosen, *self._choose(rng, tasks, self._pool.inputs.shape[1], self._config)
        )

    def held_out(self) -> tuple[ArraySet, ArraySet]:
        """Support and query of JUDGES held-out tasks."""
        if self._judges is None:
            rng = np.random.default_rng(self._config.seed + 4)
            tasks = np.arange(min(len(self._held), JUDGES))
            sets = self._choose(rng, len(tasks), self._held.inputs.shape[1], self._config)
            batch = self._batch(self._held, tasks, *sets)
            support, query = (
                (x.astype(np.float32), y.astype(np.float32), w.astype(np.float32)) for x, y, w in batch
            )
            self._judges = support, query
        return self._judges
