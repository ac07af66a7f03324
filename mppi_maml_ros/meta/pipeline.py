"""From a task distribution to a meta-model: physics prior first, then the networks of the recipe."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection

import attrs
import numpy as np
import torch

from ..adaptation.learning import Layer
from ..dynamics.features import features, input_size
from ..dynamics.identification import physics
from ..weights.meta_model import MetaModel
from . import distributed, loop, recipe
from .checkpoint import Checkpoint
from .config import TrainingConfig
from .loop import Cancelled, Controls, Progress, Writer, check
from .starts import learn_starts
from .tasks.residual import ResidualTasks
from .tasks.worlds import TaskDistribution, TaskPool, WorldTasks
from .trainers.registry import TRAINERS

__all__ = ["Cancelled", "Outcome", "Progress", "meta_train", "settings_of"]

NOISE_LEVELS = (0.002, 0.005, 0.01, 0.02, 0.04, 0.08)  # [m/s, rad/s] that the physics layer averages over
FIT_CHUNK = 250  # tasks whose regression is solved between two looks at ``cancel``


@attrs.frozen(eq=False)
class Outcome:
    """The meta-model, and the losses of its first network on held-out tasks.

    Attributes:
        curves: losses over the training of each network, (iterations, 2); see loop.Curve.
        held_out: name -> (iteration, before, after) on held-out tasks, (E, 3).
    """

    meta: MetaModel
    loss_before: float
    loss_after: float
    seconds: float
    curves: dict[str, np.ndarray]
    held_out: dict[str, np.ndarray] = attrs.field(factory=dict)


def ridge_coefficients(
    inputs: np.ndarray, residuals: np.ndarray, ridge: float = 1e-4, interrupt: Callable = lambda: None
) -> np.ndarray:
    """Least squares of each task on the features; (W, T, Z), (W, T, 3) -> (W, 3, P)."""
    out = []
    for first in range(0, len(inputs), FIT_CHUNK):
        interrupt()
        phi = features(inputs[first : first + FIT_CHUNK])
        target = residuals[first : first + FIT_CHUNK]
        gram = phi.swapaxes(1, 2) @ phi / phi.shape[1]
        moment = phi.swapaxes(1, 2) @ target / phi.shape[1]
        out.append(np.linalg.solve(gram + ridge * np.eye(phi.shape[-1]), moment).swapaxes(1, 2))
    return np.concatenate(out)


def settings_of(config: TrainingConfig, distribution: TaskDistribution, networks: Collection[str]) -> dict:
    """Everything that the result depends on besides code and versions, JSON-able."""
    return {
        "config": attrs.asdict(config),
        "distribution": distribution.describe(),
        "networks": {name: attrs.asdict(network) for name, network in recipe.chosen(networks).items()},
        "tasks": [recipe.PHYSICS_TASKS, recipe.POOL_TASKS, recipe.HELD_OUT_TASKS],
    }


def meta_train(
    config: TrainingConfig,
    distribution: TaskDistribution | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    cancel: threading.Event | None = None,
    networks: Collection[str] = tuple(recipe.RECIPE),
    device: str = "cpu",
    checkpoint: Checkpoint | None = None,
    writer: Writer | None = None,
) -> Outcome:
    """Meta-train everything that the adapters start from.

    Args:
        config: settings of all networks.
        distribution: of tasks; None for randomised worlds.
        on_progress: called after every tenth outer iteration.
        cancel: when set, the run ends with :class:`Cancelled`, within an inner step.
        networks: which of the recipe's to train.
        device: torch's name of where to train; data are made on the CPU.
        checkpoint: where to save what is done, and to resume from.
        writer: TensorBoard's SummaryWriter or None.

    Raises:
        Cancelled: see ``cancel``.
        InvalidValueError: an unknown network.
    """
    started = time.monotonic()
    distribution = distribution or WorldTasks()
    parts = recipe.chosen(networks)
    taps, model_dt = distribution.delay_taps, distribution.model_dt
    controls = Controls(on_progress, cancel, checkpoint, writer=writer)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the products are small; a second thread only waits

    def interrupt() -> None:
        check(cancel)

    try:
        interrupt()
        pool = distribution.prior_pool(config.seed + 1, recipe.PHYSICS_TASKS)
        coefficients = ridge_coefficients(pool.clean_inputs, pool.clean_residuals, interrupt=interrupt)
        levels = np.outer(np.square(NOISE_LEVELS), [1.0, 1.0, 4.0])
        prior = physics.empirical_prior(coefficients, pool.delays, model_dt, taps, levels)
        layers: dict[str, Layer | None] = {"": None, recipe.PHYSICS: prior}
        if any(network.layer == recipe.LINEAR for network in parts.values()):
            starts = learn_starts(pool, coefficients, levels, model_dt, interrupt)
            layers[recipe.LINEAR] = starts
        pool = distribution.pool(config.seed + 2, recipe.POOL_TASKS)
        held = distribution.pool(config.seed + 3, recipe.HELD_OUT_TASKS, held_out=True)
        changing: tuple[TaskPool, TaskPool] | None = None
        input_scale = 1.0 / np.maximum(pool.clean_inputs.std(axis=(0, 1)), 1e-3)
        noise = pool.noise
        trained, curves = {}, {}
        scales: dict[str, np.ndarray] = {}
        for name, network in parts.items():
            settings, kind = network.config(config), TRAINERS[network.trainer]
            if network.changing and changing is None:
                changing = (
                    distribution.changing_pool(config.seed + 2, recipe.POOL_TASKS),
                    distribution.changing_pool(config.seed + 3, recipe.HELD_OUT_TASKS, held_out=True),
                )
            tasks = ResidualTasks(
                *(changing if network.changing and changing else (pool, held)),
                settings,
                layers[network.layer],
                noise,
                input_scale,
                kind.sequential,
                network.above_noise,
                interrupt,
            )
            trainer = kind(settings, input_size(taps), 3, device=device)
            curves[name] = loop.run(name, trainer, tasks, controls)
            trained[name], scales[name] = trainer, tasks.output_scale
    finally:
        torch.set_num_threads(threads)
    extras = {name: parts[name].extras(trainer.extras()) for name, trainer in trained.items()}
    for name in trained:
        if parts[name].layer == recipe.LINEAR:
            extras[name] |= starts.tensors()
    meta = MetaModel(
        networks={name: trainer.theta() for name, trainer in trained.items()},
        input_scale=input_scale,
        output_scale=scales,
        noise=noise,
        physics=prior,
        activation=config.activation,
        delay_taps=taps,
        model_dt=model_dt,
        inner_lr=config.inner_lr,
        inner_steps=config.inner_steps,
        extras={name: tensors for name, tensors in extras.items() if tensors},
        provenance=settings_of(config, distribution, networks)
        | {"torch": torch.__version__, "numpy": np.__version__, "processes": distributed.world()}
        | {"held_out_loss": {name: list(curve.final) for name, curve in curves.items()}},
    )
    before, after = curves[next(iter(parts))].final
    return Outcome(
        meta,
        before,
        after,
        time.monotonic() - started,
        {name: curve.train for name, curve in curves.items()},
        {name: curve.held_out for name, curve in curves.items()},
    )
