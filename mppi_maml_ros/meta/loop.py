"""The outer loop: batches in, meta-parameters out, with held-out tests, checkpoints and a way to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import attrs
import numpy as np
import torch

from ..core.errors import MppiMamlError
from . import distributed
from .checkpoint import Checkpoint
from .gradients.outer import Parameters

REPORT_EVERY = 10  # iterations


class Cancelled(MppiMamlError):
    """The run was cancelled before it ended."""


def check(cancel: threading.Event | None) -> None:
    """Raise :class:`Cancelled` when asked to."""
    if cancel is not None and cancel.is_set():
        raise Cancelled("meta-training was cancelled")


class TaskSource(Protocol):
    """Where an outer loop gets its tasks from; (inputs, targets, weights) as in batched.Samples."""

    def sample(self, rng: np.random.Generator, tasks: int) -> Sequence[Any]:
        """Support and query of ``tasks`` training tasks."""

    def held_out(self) -> Sequence[Any]:
        """Support and query of the tasks that judge, the same at each call."""


class Settings(Protocol):
    """What the loop needs of a learner's settings; see TrainingConfig."""

    @property
    def iterations(self) -> int: ...
    @property
    def task_batch_size(self) -> int: ...
    @property
    def evaluate_every(self) -> int: ...
    @property
    def patience(self) -> int: ...
    @property
    def seed(self) -> int: ...


class Optimiser(Protocol):
    """An outer update whose state checkpoints hold."""

    @property
    def steps(self) -> int:
        """Updates made."""

    def tensors(self) -> dict[str, torch.Tensor]:
        """State by name."""

    def restore(self, tensors: dict[str, torch.Tensor], steps: int) -> None:
        """Inverse of :meth:`tensors`."""


class Learner(Protocol):
    """What the loop trains: :class:`..meta.trainers.base.Trainer`, or what learns policies."""

    interrupt: Callable[[], None]

    @property
    def config(self) -> Settings: ...
    @property
    def parameters(self) -> Parameters: ...
    @property
    def optimiser(self) -> Optimiser: ...

    def step(self, support: Sequence[Any], query: Sequence[Any]) -> tuple[float, float]:
        """One outer iteration; loss before and after adaptation."""

    def losses(self, support: Sequence[Any], query: Sequence[Any]) -> torch.Tensor:
        """Loss of each task after 0, 1, ... adaptation steps, (steps + 1, B)."""


class Writer(Protocol):
    """What the loop needs of TensorBoard's SummaryWriter."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int, /) -> object:
        """Draw ``scalar_value`` at ``global_step`` into the chart ``tag``."""


@attrs.frozen
class Progress:
    """One report: which part, how far, and the running mean of the query loss after adaptation.

    Attributes:
        held_out: newest loss after adaptation on the held-out tasks, NaN before the first.
        rate: iterations per second.
    """

    phase: str
    iteration: int
    iterations: int
    loss: float
    rate: float
    held_out: float = float("nan")


@attrs.frozen(eq=False)
class Curve:
    """Losses over a training.

    Attributes:
        train: query loss before and after adaptation at each iteration, (I, 2).
        held_out: iteration, loss before and after adaptation on the held-out tasks, (E, 3).
        final: held-out loss before and after adaptation of the parameters that were kept.
    """

    train: np.ndarray
    held_out: np.ndarray
    final: tuple[float, float]


@attrs.frozen(eq=False)
class Controls:
    """What surrounds a training.

    Attributes:
        on_progress: called after every tenth iteration.
        cancel: when set the run saves its checkpoint and ends with :class:`Cancelled`, within one
            inner step.
        checkpoint: where to save and to resume from; None for neither.
        checkpoint_every: iterations between saves.
        writer: TensorBoard's SummaryWriter or None.
    """

    on_progress: Callable[[Progress], None] = lambda progress: None
    cancel: threading.Event | None = None
    checkpoint: Checkpoint | None = None
    checkpoint_every: int = 200
    writer: Writer | None = None


class _State:
    """What a checkpoint has to hold besides the trainer."""

    def __init__(self, trainer: Learner, iterations: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.iteration = 0
        self.train = np.zeros((iterations, 2), dtype=np.float32)
        self.held_out: list[tuple[float, float, float]] = []
        self.best = (float("inf"), trainer.parameters.flat.clone())
        self.waited = 0

    def save(self, checkpoint: Checkpoint, name: str, trainer: Learner) -> None:
        tensors = {"theta": trainer.parameters.flat, "best": self.best[1], **trainer.optimiser.tensors()}
        arrays = {key: value.detach().cpu().numpy() for key, value in tensors.items()}
        arrays["train"] = self.train[: self.iteration]
        arrays["held_out"] = np.array(self.held_out, dtype=np.float32).reshape(-1, 3)
        checkpoint.save(
            name,
            arrays,
            {
                "iteration": self.iteration,
                "steps": trainer.optimiser.steps,
                "generator": self.rng.bit_generator.state,
                "best": self.best[0] if np.isfinite(self.best[0]) else None,
                "waited": self.waited,
            },
        )

    def restore(self, saved: tuple[dict, dict], trainer: Learner) -> None:
        arrays, notes = saved
        device = trainer.parameters.flat.device
        tensors = {key: torch.as_tensor(value, device=device) for key, value in arrays.items()}
        trainer.parameters.flat.copy_(tensors["theta"])
        trainer.optimiser.restore(tensors, notes["steps"])
        self.iteration, self.waited = notes["iteration"], notes["waited"]
        self.rng.bit_generator.state = notes["generator"]
        self.train[: self.iteration] = arrays["train"]
        self.held_out = [tuple(row) for row in arrays["held_out"].tolist()]
        self.best = (float("inf") if notes["best"] is None else notes["best"], tensors["best"].clone())


def run(name: str, trainer: Learner, tasks: TaskSource, controls: Controls | None = None) -> Curve:
    """Meta-train; the trainer's parameters are the result.

    With ``patience`` in its settings the training ends when that many evaluations in a row brought
    no new best loss after adaptation on the held-out tasks, and the best parameters are the result.

    Args:
        name: of what is trained, in reports and files.

    Raises:
        Cancelled: see :class:`Controls`.
    """
    controls = controls or Controls()
    c, state = trainer.config, _State(trainer, trainer.config.iterations, trainer.config.seed)
    saved = controls.checkpoint.load(name) if controls.checkpoint else None
    if saved is not None:
        state.restore(saved, trainer)
    first, started = state.iteration, time.monotonic()
    share = distributed.share(c.task_batch_size)
    alone = distributed.world() == 1
    if alone:  # several processes have to stop at the same iteration, or the others wait for ever
        trainer.interrupt = lambda: check(controls.cancel)
    stopped = _patience_is_over(state, c)
    try:
        while state.iteration < c.iterations and not stopped:
            stop = controls.cancel is not None and controls.cancel.is_set()
            if stop if alone else state.iteration % REPORT_EVERY == 0 and distributed.any_of(stop):
                raise Cancelled("meta-training was cancelled")
            generator = state.rng.bit_generator.state
            try:
                support, query = tasks.sample(state.rng, c.task_batch_size)
                losses = trainer.step([a[share] for a in support], [a[share] for a in query])
            except Cancelled:
                state.rng.bit_generator.state = generator  # this iteration has not happened
                raise
            state.train[state.iteration] = losses
            state.iteration += 1
            if state.iteration % c.evaluate_every == 0 or state.iteration == c.iterations:
                _evaluate(state, trainer, tasks)
                stopped = _patience_is_over(state, c)
            ended = stopped or state.iteration == c.iterations
            if distributed.rank() == 0 and (state.iteration % REPORT_EVERY == 0 or ended):
                _report(name, state, c.iterations, first, started, controls)
            if state.iteration % controls.checkpoint_every == 0 or ended:
                _save(controls, state, name, trainer)
    except Cancelled:
        _save(controls, state, name, trainer)
        raise
    finally:
        trainer.interrupt = lambda: None
    held_out = np.array(state.held_out, dtype=np.float64).reshape(-1, 3)
    kept = held_out[-1]
    if c.patience:
        trainer.parameters.flat.copy_(state.best[1])
        kept = held_out[np.argmin(held_out[:, 2])]
    train = state.train[: state.iteration].astype(np.float64)
    return Curve(train, held_out, (float(kept[1]), float(kept[2])))


def _save(controls: Controls, state: _State, name: str, trainer: Learner) -> None:
    if controls.checkpoint is not None and distributed.rank() == 0:
        state.save(controls.checkpoint, name, trainer)


def _evaluate(state: _State, trainer: Learner, tasks: TaskSource) -> None:
    support, query = tasks.held_out()
    losses = trainer.losses(support, query).mean(dim=1)
    before, after = float(losses[0]), float(losses[-1])
    state.held_out.append((float(state.iteration), before, after))
    if after < state.best[0]:
        state.best, state.waited = (after, trainer.parameters.flat.clone()), 0
    else:
        state.waited += 1


def _patience_is_over(state: _State, config: Settings) -> bool:
    return bool(config.patience) and state.waited >= config.patience


def _report(
    name: str, state: _State, iterations: int, first: int, started: float, controls: Controls
) -> None:
    recent = float(state.train[max(0, state.iteration - 100) : state.iteration, 1].mean())
    rate = (state.iteration - first) / max(time.monotonic() - started, 1e-9)
    held = state.held_out[-1][2] if state.held_out else float("nan")
    controls.on_progress(Progress(name, state.iteration, iterations, recent, rate, held))
    if controls.writer is not None:
        controls.writer.add_scalar(f"{name}/query loss", recent, state.iteration)
        controls.writer.add_scalar(f"{name}/rate", rate, state.iteration)
        if state.held_out and state.held_out[-1][0] == state.iteration:
            controls.writer.add_scalar(f"{name}/held-out loss", held, state.iteration)
