"""Meta-training from the command line: a progress bar, checkpoints, the artifact and its learning curve."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import attrs
from rich.console import Console

from ..core.errors import InvalidValueError, MppiMamlError
from ..experiments.plots import learning_curves, save
from ..meta import distributed
from ..meta.checkpoint import Checkpoint
from ..meta.config import TrainingConfig
from ..meta.loop import Cancelled, Progress
from ..meta.pipeline import Outcome, meta_train, settings_of
from ..meta.recipe import RECIPE, chosen
from ..meta.tasks.worlds import TaskDistribution, WorldTasks
from .progress import shown

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

ARTIFACT = Path("mppi_maml_ros/artifacts/default.safetensors")
CURVE = Path("docs/images/meta_train.png")


@attrs.frozen
class Places:
    """Where a training leaves its files.

    Attributes:
        out: the artifact.
        plot: the learning curve, PNG.
        checkpoint: folder of the run's state while it lasts.
        tensorboard: folder of events; None for none.
    """

    out: Path
    plot: Path
    checkpoint: Path
    tensorboard: Path | None = None


def in_checkout(folder: Path) -> bool:
    """Whether ``folder`` is the root of a checkout of this package."""
    return (folder / "package.xml").is_file() and (folder / "mppi_maml_ros" / "meta").is_dir()


def default_paths(out: Path | None, plot: Path | None) -> tuple[Path, Path]:
    """Where artifact and learning curve go when not given: into a checkout, else beside each other."""
    checkout = in_checkout(Path.cwd())
    if plot is None:
        plot = CURVE if out is None and checkout else (out or Path(ARTIFACT.name)).with_suffix(".png")
    if out is None:
        out = ARTIFACT if checkout else Path(ARTIFACT.name)
    return out, plot


def event_writer(folder: Path | None) -> SummaryWriter | None:
    """TensorBoard's SummaryWriter; None without a folder.

    Raises:
        MppiMamlError: TensorBoard is not installed.
    """
    if folder is None:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MppiMamlError(
            "--tensorboard needs the package tensorboard: pip install 'mppi_maml_ros[tensorboard]'"
        ) from error
    return SummaryWriter(str(folder))


@contextlib.contextmanager
def cancelled_by_interrupt() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets; a second Ctrl-C interrupts as usual."""
    event = threading.Event()

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    in_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, on_interrupt) if in_main else None
    try:
        yield event
    finally:
        if in_main:
            signal.signal(signal.SIGINT, before)


def check_device(device: str) -> str:
    """The device, when torch has it.

    Raises:
        InvalidValueError: an unknown name, or no such device here.
    """
    import torch

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InvalidValueError(
            f"device must be cpu, cuda or cuda:N and be there, got {device!r}: {str(error).splitlines()[0]}"
        ) from error
    return device


def run_meta_train(
    config: TrainingConfig,
    places: Places,
    console: Console,
    distribution: TaskDistribution | None = None,
    networks: tuple[str, ...] = tuple(RECIPE),
    device: str = "cpu",
    resume: bool = False,
) -> Outcome:
    """Train, save the artifact, draw the curve.

    The artifact is written when the training has ended, complete or not at all. An interrupted run
    leaves its checkpoint.

    Args:
        config: of the training.
        places: where to write.
        console: for progress and result.
        distribution: of tasks; None for simulated worlds.
        networks: which of the recipe's.
        device: where to train.
        resume: go on from the checkpoint.

    Raises:
        KeyboardInterrupt: Ctrl-C; the state is saved.
        ArtifactError: the artifact cannot be written, or the checkpoint is of another run.
    """
    distribution = distribution or WorldTasks()
    parts = chosen(networks)
    checkpoint = Checkpoint(places.checkpoint, settings_of(config, distribution, networks), resume)
    check_device(device)
    with distributed.process_group(device), cancelled_by_interrupt() as cancel:
        first = distributed.rank() == 0
        writer = event_writer(places.tensorboard) if first else None
        with shown(console, disable=not first) as bars:
            phases = {
                name: bars.add(name, network.config(config).iterations) for name, network in parts.items()
            }

            def show(progress: Progress) -> None:
                losses = f"loss {progress.loss:.4f}   held-out {progress.held_out:.4f}"
                line = f"{losses}   {progress.rate:.1f} iterations/s"
                phases[progress.phase].to(progress.iteration, line)

            try:
                outcome = meta_train(config, distribution, show, cancel, networks, device, checkpoint, writer)
            except Cancelled:
                saved = places.checkpoint.is_dir()
                bars.stop()
                if first and saved:
                    line = f"the state of the run is in {places.checkpoint}; --resume goes on from there"
                    console.print(line, highlight=False, soft_wrap=True)
                raise KeyboardInterrupt from None
        if writer is not None:
            writer.close()
        if first:
            _write(outcome, config, places, console)
            checkpoint.remove()
    return outcome


def _write(outcome: Outcome, config: TrainingConfig, places: Places, console: Console) -> None:
    outcome.meta.save(places.out)
    title = (
        f"seed {config.seed}, {config.task_batch_size} tasks an iteration, {config.inner_steps} inner steps"
    )
    save(learning_curves(outcome.curves, title, outcome.held_out), places.plot)
    console.print(
        f"held-out query loss {outcome.loss_before:.4f}, after adaptation {outcome.loss_after:.4f}; "
        f"{outcome.seconds:.0f} s; wrote {places.out} and {places.plot}",
        highlight=False,
        soft_wrap=True,
    )
