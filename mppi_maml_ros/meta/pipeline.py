"""From a task distribution to a meta-model: physics prior first, then theta* of each adapter."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import attrs
import numpy as np
import torch

from ..adaptation.adapters import META_TRAINED
from ..adaptation.adapters.maml import output_weight
from ..core.errors import MppiMamlError
from ..dynamics import physics
from ..dynamics.features import features, input_size
from ..weights.meta_model import MetaModel
from .fomaml import FOMAML, FOMAMLConfig, sample_sets
from .tasks import TaskPool, WorldTasks

PHYSICS_TASKS = 3000  # worlds for the physics prior
POOL_TASKS = 1500  # worlds for meta-training
HELD_OUT_TASKS = 200


class Cancelled(MppiMamlError):
    """The run was cancelled before it ended."""


@attrs.frozen
class Progress:
    """One report: which part, how far, and the running mean of the query loss after adaptation."""

    phase: str
    iteration: int
    iterations: int
    loss: float
    rate: float

    @property
    def eta(self) -> float:
        """Estimated time left [s]."""
        return (self.iterations - self.iteration) / self.rate if self.rate > 0.0 else float("nan")


@attrs.frozen(eq=False)
class Outcome:
    """The meta-model and the losses of its default network on held-out tasks."""

    meta: MetaModel
    loss_before: float
    loss_after: float
    seconds: float
    curves: dict[str, np.ndarray]


def ridge_coefficients(inputs: np.ndarray, residuals: np.ndarray, ridge: float = 1e-4) -> np.ndarray:
    """Least squares of each task on the features; (W, T, Z), (W, T, 3) -> (W, 3, P)."""
    phi = features(inputs)
    gram = np.einsum("wtp,wtq->wpq", phi, phi) / phi.shape[1]
    moment = np.einsum("wtp,wto->wpo", phi, residuals) / phi.shape[1]
    return np.linalg.solve(gram + ridge * np.eye(phi.shape[-1]), moment).swapaxes(1, 2)


def _physics_prior(pool: TaskPool, model_dt: float, delay_taps: int) -> physics.PhysicsPrior:
    coefficients = ridge_coefficients(pool.clean_inputs, pool.clean_residuals)
    noise = np.outer([0.003**2, 0.01**2, 0.03**2, 0.08**2], [1.0, 1.0, 4.0])
    return physics.empirical_prior(coefficients, pool.delays, model_dt, delay_taps, noise)


class _Targets:
    """Supplies scaled inputs, normalised targets and weights for one adapter's network.

    The physics layer of ``physics+maml`` is fitted on each task's support set, as online.
    """

    def __init__(self, pool: TaskPool, prior: physics.PhysicsPrior | None, noise, input_scale, output_scale):
        self._pool, self._prior, self._noise = pool, prior, noise
        self._input_scale, self._output_scale = input_scale, output_scale

    def raw(self, tasks, support_index, support_weights, query_index):
        """Support and query (inputs, targets) in SI units, and the noise variance (tasks, 3)."""
        pool, rows = self._pool, tasks[:, None]
        xs, ys = pool.inputs[rows, support_index], pool.residuals[rows, support_index]
        xq, yq = pool.clean_inputs[rows, query_index], pool.clean_residuals[rows, query_index]
        noise = np.tile(self._noise, (len(tasks), 1))
        if self._prior is not None:
            ys, yq = ys.copy(), yq.copy()
            for i in range(len(tasks)):
                used = support_weights[i] > 0.0
                posterior = physics.fit(self._prior, xs[i][used], ys[i][used])
                noise[i] = posterior.noise
                ys[i] -= features(xs[i]) @ posterior.mean.T
                yq[i] -= features(xq[i]) @ posterior.mean.T
        return xs, ys, xq, yq, noise

    def batch(self, tasks, support_index, support_weights, query_index):
        """(inputs, targets, weights) of the support and of the query."""
        xs, ys, xq, yq, noise = self.raw(tasks, support_index, support_weights, query_index)
        signal = output_weight(self._output_scale, noise)[:, None, :]
        query_weights = np.full(yq.shape, 1.0 / query_index.shape[1])
        return (
            (xs * self._input_scale, ys / self._output_scale, support_weights[..., None] * signal),
            (xq * self._input_scale, yq / self._output_scale, query_weights),
        )


def _target_scale(
    pool: TaskPool, prior: physics.PhysicsPrior | None, noise, config: FOMAMLConfig
) -> np.ndarray:
    """Root mean square of what a network has to learn, over tasks and clean queries, shape (3,)."""
    rng = np.random.default_rng(config.seed + 5)
    tasks = np.arange(min(len(pool), 300))
    ones = np.ones(3)
    sets = sample_sets(rng, len(tasks), pool.inputs.shape[1], config)
    _, _, _, targets, _ = _Targets(pool, prior, noise, ones, ones).raw(tasks, *sets)
    return np.maximum(np.sqrt(np.mean(targets**2, axis=(0, 1))), 1e-4)


def meta_train(
    config: FOMAMLConfig,
    distribution: WorldTasks | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    cancel: threading.Event | None = None,
) -> Outcome:
    """Meta-train everything that the adapters start from.

    Args:
        config: of the FOMAML runs, one for each network.
        distribution: of tasks; None for randomised worlds.
        on_progress: called after every tenth outer iteration.
        cancel: when set, the run ends with :class:`Cancelled`.

    Raises:
        Cancelled: see ``cancel``.
    """
    started = time.monotonic()
    distribution = distribution or WorldTasks()
    taps, model_dt = distribution.delay_taps, distribution.model_dt
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the products are small; a second thread only waits
    try:
        prior = _physics_prior(distribution.pool(config.seed + 1, PHYSICS_TASKS), model_dt, taps)
        pool = distribution.pool(config.seed + 2, POOL_TASKS)
        held = distribution.pool(config.seed + 3, HELD_OUT_TASKS)
        input_scale = 1.0 / np.maximum(pool.clean_inputs.std(axis=(0, 1)), 1e-3)
        noise = np.mean((pool.residuals - pool.clean_residuals) ** 2, axis=(0, 1))
        networks, scales, curves, losses = {}, {}, {}, {}
        for name in META_TRAINED:
            layer = prior if "physics" in name else None
            scales[name] = _target_scale(pool, layer, noise, config)
            targets = _Targets(pool, layer, noise, input_scale, scales[name])
            trainer = FOMAML(config, input_size(taps), 3)
            curves[name] = _run(name, trainer, targets, pool, config, on_progress, cancel)
            networks[name] = trainer.theta()
            judge = _Targets(held, layer, noise, input_scale, scales[name])
            losses[name] = _judge(trainer, judge, held, config)
    finally:
        torch.set_num_threads(threads)
    provenance = {
        "trainer": "fomaml",
        "config": attrs.asdict(config),
        "distribution": attrs.asdict(distribution),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "held_out_loss": {name: list(pair) for name, pair in losses.items()},
    }
    meta = MetaModel(
        networks=networks,
        input_scale=input_scale,
        output_scale=scales,
        noise=noise,
        physics=prior,
        activation=config.activation,
        delay_taps=taps,
        model_dt=model_dt,
        inner_lr=config.inner_lr,
        inner_steps=config.inner_steps,
        provenance=provenance,
    )
    before, after = losses[META_TRAINED[0]]
    return Outcome(meta, before, after, time.monotonic() - started, curves)


def _run(name, trainer, targets, pool, config, on_progress, cancel) -> np.ndarray:
    rng = np.random.default_rng(config.seed)
    curve = np.empty((config.iterations, 2))
    started = time.monotonic()
    for iteration in range(config.iterations):
        if cancel is not None and cancel.is_set():
            raise Cancelled("meta-training was cancelled")
        tasks = rng.integers(0, len(pool), size=config.task_batch_size)
        sets = sample_sets(rng, len(tasks), pool.inputs.shape[1], config)
        curve[iteration] = trainer.step(*targets.batch(tasks, *sets))
        if (iteration + 1) % 10 == 0 or iteration + 1 == config.iterations:
            recent = float(curve[max(0, iteration - 99) : iteration + 1, 1].mean())
            rate = (iteration + 1) / max(time.monotonic() - started, 1e-9)
            on_progress(Progress(name, iteration + 1, config.iterations, recent, rate))
    return curve


def _judge(trainer, targets, pool, config) -> tuple[float, float]:
    """Query loss on every held-out task before and after adaptation; theta* is not changed."""
    from . import batched

    rng = np.random.default_rng(config.seed + 4)
    sets = sample_sets(rng, len(pool), pool.inputs.shape[1], config)
    support, query = targets.batch(np.arange(len(pool)), *sets)
    support = [torch.as_tensor(a, dtype=torch.float32) for a in support]
    query = [torch.as_tensor(a, dtype=torch.float32) for a in query]
    with torch.no_grad():
        start = batched.repeat([(w.detach(), b.detach()) for w, b in trainer.layers], len(pool))
        before, _ = batched.loss_and_gradient(start, config.activation, *query)
        c = config
        adapted = batched.inner_sgd(
            start, c.activation, *support, c.inner_lr, c.inner_steps, c.max_gradient_norm
        )
        after, _ = batched.loss_and_gradient(adapted, config.activation, *query)
    return float(before.mean()), float(after.mean())
