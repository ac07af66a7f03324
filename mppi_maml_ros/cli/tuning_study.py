"""``mppi-maml tuning-study``: options, progress and where the pictures go."""

from __future__ import annotations

from pathlib import Path

import click

from .options import Seeds, artifact_option, folder_option


@click.command("tuning-study", short_help="What each parameter does, in pictures.")
@click.option("--seeds", type=Seeds(), default="0-2", show_default=True, help="Of worlds and samplers.")
@artifact_option
@folder_option("tuning_report", "Folder of tuning_study.csv and tuning_study.png.")
def tuning_study(seeds: tuple[int, ...], artifact: Path | None, out: Path) -> None:
    """Drive the same worlds with one parameter of the controller or the adaptation changed at a time."""
    from rich.console import Console

    from ..experiments.studies import tuning as work
    from ..weights.meta_model import PACKAGED, MetaModel
    from .progress import track

    console = Console()
    total = len(seeds) * sum(len(knob.values) for knob in work.KNOBS)
    drives = work.study(MetaModel.load(artifact or PACKAGED), seeds)
    rows = list(track(drives, "driving", total, console))
    path = work.write(rows, out)
    console.print(f"{total} drives; wrote {path}", highlight=False, soft_wrap=True)
