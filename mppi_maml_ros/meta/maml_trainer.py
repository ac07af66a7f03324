"""``MAMLTrainer``: meta-training as the guide's API has it, for :class:`dynamics.maml.MAMLDynamics`.

Inputs and outputs are that model's: twist (where it is part of the state) and command in, rates of
change in the body frame out. By default the targets are what the kinematic model gets wrong, since
that is what the model is adapted to online; ``residual=False`` trains on the whole dynamics. Tasks are
robots with friction c_v ~ U(.1, .8), c_omega ~ U(.1, .5), as in the guide, simulated all at once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import numpy as np
import torch

from ..core import artifact
from ..core.errors import ArtifactError, InvalidValueError
from ..core.kernels.cache import njit
from ..core.types import Array
from ..dynamics.maml import MAMLDynamics
from ..dynamics.neural import Normaliser
from ..dynamics.robot_model import body_rates
from .config import TrainingConfig
from .gradients.batched import ArraySet
from .loop import Controls, Curve, Progress, run
from .trainers.base import Trainer
from .trainers.registry import TRAINERS

DT = 0.05  # [s]
SERVO = 5.0  # [1/s] of the velocity servo
C_V, C_OMEGA = (0.1, 0.8), (0.1, 0.5)  # [1/s]


@njit(cache=True)
def _drive(c_v: Array, c_omega: Array, commands: Array, start: Array, states: Array) -> None:
    """Roll the guide's robots out; commands (B, T, 2), start (B, 5), states (B, T + 1, 5)."""
    for b in range(commands.shape[0]):
        x, y, yaw, v, omega = start[b]
        states[b, 0] = start[b]
        for t in range(commands.shape[1]):
            a = SERVO * (commands[b, t, 0] - v)
            alpha = SERVO * (commands[b, t, 1] - omega)
            # The twist decays by friction under a held acceleration: exact, then the middle of the step.
            keep_v, keep_omega = np.exp(-c_v[b] * DT), np.exp(-c_omega[b] * DT)
            new_v = keep_v * v + (1.0 - keep_v) / c_v[b] * a
            new_omega = keep_omega * omega + (1.0 - keep_omega) / c_omega[b] * alpha
            middle = yaw + 0.25 * DT * (omega + new_omega)
            x += 0.5 * DT * (v + new_v) * np.cos(middle)
            y += 0.5 * DT * (v + new_v) * np.sin(middle)
            yaw += 0.5 * DT * (omega + new_omega)
            v, omega = new_v, new_omega
            states[b, t + 1, 0] = x
            states[b, t + 1, 1] = y
            states[b, t + 1, 2] = yaw
            states[b, t + 1, 3] = v
            states[b, t + 1, 4] = omega


def _commands(rng: np.random.Generator, tasks: int, steps: int) -> np.ndarray:
    """The guide's driving: half forward, three tenths in curves, the rest anywhere; held a while."""
    hold = 10
    knots = -(-steps // hold)
    kind = rng.random((tasks, knots))
    v = np.where(kind < 0.8, rng.uniform(0.2, 1.0, kind.shape), rng.uniform(-0.5, 1.0, kind.shape))
    narrow = np.where(kind < 0.5, 0.1, 1.0)
    omega = narrow * rng.uniform(-1.0, 1.0, kind.shape)
    held = np.repeat(np.stack([v, omega], axis=-1), hold, axis=1)[:, :steps]
    return held + rng.normal(0.0, 0.05, held.shape)


class GuideTasks:
    """The guide's robots as a task source, see :class:`loop.TaskSource`.

    Args:
        state_dim: 3 or 5.
        support, query: samples of each.
        residual: whether targets are relative to the kinematic model.
    """

    def __init__(self, state_dim: int, support: int, query: int, residual: bool = True) -> None:
        self.state_dim, self._support, self._query, self._residual = state_dim, support, query, residual
        self.normaliser = Normaliser.identity(state_dim - 1, state_dim)

    def raw(self, rng: np.random.Generator, tasks: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs (B, T, in) and rates of change (B, T, state_dim) in SI units."""
        steps = self._support + self._query
        c_v, c_omega = rng.uniform(*C_V, tasks), rng.uniform(*C_OMEGA, tasks)
        commands = _commands(rng, tasks, steps)
        start = np.zeros((tasks, 5))
        start[:, 2] = rng.uniform(-np.pi, np.pi, tasks)
        start[:, 3] = rng.uniform(0.0, 1.0, tasks)
        start[:, 4] = rng.uniform(-0.5, 0.5, tasks)
        states = np.empty((tasks, steps + 1, 5))
        _drive(c_v, c_omega, commands, start, states)
        inputs = np.concatenate([states[:, :-1, 3 : self.state_dim], commands], axis=-1)
        rates = np.diff(states[..., : self.state_dim], axis=1) / DT
        outputs = body_rates(rates, states[:, :-1, 2])
        if self._residual:
            outputs[..., 0] -= commands[..., 0]
            outputs[..., 2] -= commands[..., 1]
        return inputs, outputs

    def calibrate(self, rng: np.random.Generator) -> None:
        """Take mean and spread of inputs and outputs from fresh tasks."""
        inputs, outputs = self.raw(rng, 200)
        width = self.state_dim
        self.normaliser = Normaliser.of(inputs.reshape(-1, width - 1), outputs.reshape(-1, width))

    def _sets(self, rng: np.random.Generator, tasks: int) -> list[ArraySet]:
        inputs, outputs = self.raw(rng, tasks)
        n = self.normaliser
        inputs = ((inputs - n.input_mean) / n.input_std).astype(np.float32)
        outputs = ((outputs - n.target_mean) / n.target_std).astype(np.float32)
        sets = []
        for part in (slice(0, self._support), slice(self._support, None)):
            x, y = inputs[:, part], outputs[:, part]
            sets.append((x, y, np.full(y.shape, 1.0 / y.shape[1] / y.shape[2], np.float32)))
        return sets

    def sample(self, rng: np.random.Generator, tasks: int) -> list[ArraySet]:
        """Support and query of ``tasks`` fresh robots."""
        return self._sets(rng, tasks)

    def held_out(self) -> list[ArraySet]:
        """Of 32 robots that nothing else uses."""
        return self._sets(np.random.default_rng(2**40 + 1), 32)


class MAMLTrainer:
    """Meta-training with the guide's constructor.

    Args:
        state_dim: 3 (pose) or 5 (pose and twist).
        control_dim: 2, (v, omega).
        hidden_dims: widths of one or two hidden layers.
        inner_lr, inner_steps: inner SGD.
        meta_lr: of Adam.
        task_batch_size: tasks an iteration.
        support_size, query_size: transitions.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        save_dir: folder of models.
        trainer: algorithm by name, FOMAML as in the guide.
        residual: train on what the kinematic model gets wrong instead of the whole dynamics.
        seed: of initialisation and tasks.

    Attributes:
        trainer: the algorithm with its meta-parameters.
        curve: losses of the last :meth:`meta_train`, None before.

    Raises:
        InvalidValueError: a value is out of range; the message names it.
    """

    def __init__(
        self,
        state_dim: int = 3,
        control_dim: int = 2,
        hidden_dims: Sequence[int] = (128, 128),
        inner_lr: float = 0.005,
        inner_steps: int = 10,
        meta_lr: float = 5e-4,
        task_batch_size: int = 8,
        support_size: int = 100,
        query_size: int = 100,
        device: str = "cpu",
        save_dir: str | os.PathLike[str] = "models/learned_models",
        trainer: str = "fomaml",
        residual: bool = True,
        seed: int = 0,
    ) -> None:
        if state_dim not in (3, 5):
            raise InvalidValueError(f"state_dim must be 3 or 5, got {state_dim}")
        if control_dim != 2:
            raise InvalidValueError(f"control_dim must be 2, got {control_dim}")
        self.config = TrainingConfig(
            hidden=tuple(hidden_dims), activation="relu", inner_lr=inner_lr, inner_steps=inner_steps,
            meta_lr=meta_lr, task_batch_size=task_batch_size, support_size=support_size,
            query_size=query_size, seed=seed,
        )  # fmt: skip
        self.state_dim, self.control_dim, self.device = state_dim, control_dim, device
        self.save_dir = Path(save_dir)
        self._kind = TRAINERS[trainer]
        self.tasks = GuideTasks(state_dim, support_size, query_size, residual)
        self.tasks.calibrate(np.random.default_rng([seed, 1]))
        self.trainer = self._make(self.config)
        self.curve: Curve | None = None

    def _make(self, config: TrainingConfig) -> Trainer:
        return self._kind(config, self.state_dim - 1, self.state_dim, silent=False, device=self.device)

    def meta_train(
        self,
        n_iterations: int = 1000,
        verbose: bool = True,
        cancel: threading.Event | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Curve:
        """Meta-train from the present parameters on, with a progress bar when ``verbose``.

        Args:
            n_iterations: outer iterations, at least 1.
            cancel: ends the run when set.
            on_progress: called after every tenth iteration.

        Raises:
            Cancelled: see ``cancel``.
        """
        before = self.trainer.layers
        self.trainer = self._make(attrs.evolve(self.config, iterations=n_iterations))
        self.trainer.set_layers(before)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with _bar(n_iterations, verbose) as show:

                def report(progress: Progress) -> None:
                    show(progress)
                    if on_progress is not None:
                        on_progress(progress)

                self.curve = run("maml", self.trainer, self.tasks, Controls(report, cancel))
        finally:
            torch.set_num_threads(threads)
        return self.curve

    def _model(self) -> MAMLDynamics:
        return MAMLDynamics(
            self.state_dim, self.control_dim, self.config.hidden, self.config.activation,
            inner_lr=self.config.inner_lr, inner_steps=self.config.inner_steps,
        )  # fmt: skip

    @property
    def model(self) -> MAMLDynamics:
        """theta* as a model that adapts online."""
        model = self._model()
        model.layers, model.normaliser = self.trainer.theta(), self.tasks.normaliser
        model.save_meta_weights()
        return model

    def save_meta_model(self, filename: str = "maml_meta_model.safetensors") -> Path:
        """Write what ``MAMLDynamics(model_path=...)`` reads into ``save_dir``.

        Args:
            filename: without folders; its suffix becomes .safetensors.

        Raises:
            ArtifactError: the name leads elsewhere, or the folder cannot be written.
        """
        return self.model.save(self._path(filename))

    def load_meta_model(self, filename: str = "maml_meta_model.safetensors") -> None:
        """Read what :meth:`save_meta_model` wrote; on an error nothing has changed.

        Raises:
            ArtifactError: missing, damaged, or of another shape.
        """
        model = self._model()
        model.load(self._path(filename))
        mine = [tuple(w.shape) for w, _ in self.trainer.layers]
        if [tuple(w.shape) for w, _ in model.layers] != mine or model.activation != self.config.activation:
            raise ArtifactError(f"{filename} holds a network of another shape or activation")
        self.trainer.set_layers(model.layers)
        self.tasks.normaliser = model.normaliser

    def _path(self, filename: str) -> Path:
        return artifact.resolve(self.save_dir, Path(filename).stem if "/" not in filename else filename)


class _bar:
    """A progress bar, or nothing."""

    def __init__(self, total: int, visible: bool) -> None:
        self._total, self._visible = total, visible

    def __enter__(self) -> Callable[[Progress], None]:
        if not self._visible:
            return lambda progress: None
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        line = TextColumn("{task.fields[line]}")
        self._bar = Bar(BarColumn(bar_width=30), MofNCompleteColumn(), line, TimeRemainingColumn())
        self._bar.start()
        task = self._bar.add_task("", total=self._total, line="")
        return lambda p: self._bar.update(
            task, completed=p.iteration, line=f"loss {p.loss:.4f}   {p.rate:.1f} iterations/s"
        )

    def __exit__(self, *_: object) -> None:
        if self._visible:
            self._bar.stop()
