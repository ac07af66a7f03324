"""``mppi-maml mujoco-study``: adaptation against the best fixed model in a world of rigid bodies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .options import Real, Seeds, artifact_option, folder_option


@click.command("mujoco-study", short_help="Adapt in a MuJoCo world with a load and slippery patches.")
@click.option("--seeds", type=Seeds(), default="0-9", show_default=True, help="Of robots, floors and noise.")
@click.option("--duration", type=Real(), default=40.0, show_default=True, help="Of each run [s].")
@click.option(
    "--reference",
    type=click.Choice(("figure8", "circle")),
    default="figure8",
    show_default=True,
    help="What to drive.",
)
@artifact_option
@folder_option("mujoco_report", "Folder of results.csv, summary.json and figures.")
@click.option("--video", is_flag=True, help="Also record the first seed's adaptive run as an animated GIF.")
def mujoco_study(
    seeds: tuple[int, ...], out: Path, artifact: Path | None, video: bool, **options: Any
) -> None:
    """Drive robots of MuJoCo that pick up a load on a floor with slippery patches, and report.

    The kinematic model, the best fixed model fitted offline to each robot, and adaptation, with the
    same controller, noise and samples. Ends with code 1 when adaptation closes less than 60 % of the gap.
    """
    from rich.console import Console
    from rich.table import Table

    from ..experiments.studies import mujoco as work
    from ..experiments.studies.mujoco_figures import draw_study, record
    from .progress import shown

    settings = work.StudySettings(artifact=artifact or work.PACKAGED, **options)
    console = Console()
    rows, first = [], None
    with shown(console) as bars:
        bar = bars.add("robots", len(seeds))
        for seed in seeds:

            def note(text: str, seed: int = seed) -> None:
                bar.say(f"seed {seed}: {text}")

            row, runs = work.study(seed, settings, note)
            rows.append(row)
            first = first or (seed, runs)
            work.write(out, rows, settings)
            bar.advance()
        bar.say("figures")
        assert first is not None  # Seeds are never empty
        draw_study(out, rows, *first, settings)
        if video:
            bar.say("video")
            record(out / "mujoco.gif", first[0], first[1]["adaptive"], settings)
        bar.say("")
    total = work.summary(rows, settings)
    table = Table("", "RMSE [m]", title=f"{len(rows)} seeds, {settings.reference}, after the first 2 s")
    for name in ("kinematic", "fixed", "adaptive"):
        table.add_row(name, f"{total[f'rmse_{name}']:.4f}")
    console.print(table)
    seed_gaps = total["gap_closed_by_seed"]
    console.print(
        f"gap closed {total['gap_closed']:.0%} of the means; by seed: median {seed_gaps['median']:.0%}, "
        f"least {seed_gaps['least']:.0%}; written to {out}",
        highlight=False,
        soft_wrap=True,
    )
    if not total["gap_closed"] >= work.TARGET:
        raise SystemExit(1)
