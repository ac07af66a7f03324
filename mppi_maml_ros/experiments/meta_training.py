"""Meta-training from the command line: a progress bar, the artifact and its learning curve."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..adaptation.adapters import META_TRAINED
from ..meta.fomaml import FOMAMLConfig
from ..meta.pipeline import Outcome, meta_train
from ..meta.pipeline import Progress as Report
from .plots import learning_curves, save

ARTIFACT = Path("mppi_maml_ros/artifacts/default.safetensors")
CURVE = Path("docs/images/meta_train.png")


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


def run_meta_train(config: FOMAMLConfig, out: Path, plot: Path, console: Console) -> Outcome:
    """Train, save the artifact, draw the curve.

    Nothing is written before the training has ended, and each file appears complete or not at all.

    Args:
        config: of the training.
        out: the artifact.
        plot: the learning curve, PNG.
        console: for progress and result.

    Raises:
        ArtifactError: the artifact cannot be written.
    """
    columns = (
        TextColumn("[bold]{task.description:<13}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[line]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        tasks = {name: progress.add_task(name, total=config.iterations, line="") for name in META_TRAINED}

        def show(report: Report) -> None:
            progress.update(
                tasks[report.phase],
                completed=report.iteration,
                line=f"loss {report.loss:.4f}   {report.rate:.1f} iterations/s",
            )

        outcome = meta_train(config, on_progress=show)
    outcome.meta.save(out)
    title = (
        f"seed {config.seed}, {config.task_batch_size} tasks an iteration, {config.inner_steps} inner steps"
    )
    save(learning_curves(outcome.curves, title), plot)
    console.print(
        f"held-out query loss {outcome.loss_before:.4f}, after adaptation {outcome.loss_after:.4f}; "
        f"{outcome.seconds:.0f} s; wrote {out} and {plot}",
        highlight=False,
        soft_wrap=True,
    )
    return outcome
