"""``mppi-maml path-study``: a path with cusps, a narrow corridor and a goal with a heading."""

from __future__ import annotations

from pathlib import Path

import click

from .options import Seeds, folder_option


@click.command("path-study", short_help="Follow a path with cusps through a corridor from random starts.")
@click.option("--seeds", type=Seeds(), default="0-19", show_default=True, help="Of starts, robots and noise.")
@folder_option("path_report", "Folder of path_results.csv, path_summary.json and path_study.png.")
def path_study(seeds: tuple[int, ...], out: Path) -> None:
    """Follow a recorded path with two cusps through a narrow corridor to a goal with a heading.

    Ends with code 1 unless each start gets there within tolerance, without touching a wall and without
    going more than 5 cm too far.
    """
    from rich.console import Console

    from ..experiments.studies import path as work
    from .progress import track

    console = Console()
    drives = {seed: work.drive(seed) for seed in track(seeds, "following the path", len(seeds), console)}
    summary = work.write(out, [work.row_of(seed, result) for seed, result in drives.items()])
    work.draw(out / "path_study.png", list(drives.values()))
    console.print(
        f"{summary['successful']} of {summary['starts']} starts; overshoot at most "
        f"{100 * summary['worst_overshoot']:.1f} cm, clearance at least "
        f"{100 * summary['least_clearance']:.1f} cm; written to {out}",
        highlight=False,
        soft_wrap=True,
    )
    if summary["successful"] < summary["starts"]:
        raise SystemExit(1)
