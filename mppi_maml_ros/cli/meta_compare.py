"""``mppi-maml meta-compare``: options, progress and where the results go."""

from __future__ import annotations

from pathlib import Path

import click

from .options import artifact_option, folder_option, seed_option


@click.command("meta-compare", short_help="Compare the meta-trainers on unseen and on changing worlds.")
@seed_option
@click.option("--iterations", type=click.IntRange(10, 1_000_000), default=1000, show_default=True,
              help="Of each trainer.")  # fmt: skip
@click.option("--worlds", type=click.IntRange(10, 10_000), default=1000, show_default=True,
              help="Held-out ones to judge by.")  # fmt: skip
@click.option("--runs", type=click.IntRange(1, 1000), default=10, show_default=True,
              help="In each of the changing worlds.")  # fmt: skip
@artifact_option
@folder_option("meta_report", "Folder of meta_comparison.json and .md.")
def meta_compare(
    seed: int, iterations: int, worlds: int, runs: int, artifact: Path | None, out: Path
) -> None:
    """Train every trainer alike and judge it on held-out worlds; then, with the networks of the artifact,
    drive through worlds that change and compare GrBAL and ReBAL with MB+DE and MB.
    """
    import torch
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ..experiments.studies import meta_trainers as module
    from ..weights.meta_model import PACKAGED, MetaModel

    torch.set_num_threads(1)
    meta = MetaModel.load(artifact or PACKAGED)
    console = Console()
    columns = (
        TextColumn("[bold]{task.description:<12}"), BarColumn(bar_width=30), MofNCompleteColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        bars = {name: progress.add_task(name, total=iterations) for name in module.SETTINGS}
        result = {"seed": seed, "iterations": iterations, "worlds": worlds}
        result["held_out"] = module.held_out(
            seed, iterations, worlds,
            on_progress=lambda report: progress.update(bars[report.phase], completed=report.iteration),
        )  # fmt: skip
        drives = runs * len(module.CHANGING) * len(module.MODELS)
        bar = progress.add_task("changing", total=drives)
        result["changing"] = module.changing_worlds(
            meta, range(seed, seed + runs), on_progress=lambda: progress.advance(bar)
        )
    command = (
        f"mppi-maml meta-compare --seed {seed} --iterations {iterations} --worlds {worlds} --runs {runs}"
    )
    path = module.write(result, out, command)
    console.print(f"wrote {path}", highlight=False, soft_wrap=True)
