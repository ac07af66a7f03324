"""``mppi-maml fallback-study``: robots with lag and delay, driven while nothing is known of them."""

from __future__ import annotations

from pathlib import Path

import click

from .options import folder_option


@click.command("fallback-study", short_help="Follow paths with robots of which nothing is known.")
@click.option(
    "--robots", default="a,b,c,d,firmware0,firmware1,firmware2", show_default=True, help="Drawn or fixed."
)
@click.option("--speeds", default="0.35,0.55", show_default=True, help="Desired [m/s].")
@folder_option("fallback_report", "Folder of fallback.csv and fallback.json.")
def fallback_study(robots: str, speeds: str, out: Path) -> None:
    """Follow a figure of eight and right angles by priors, by adaptation and by the true equations."""
    from itertools import product

    from rich.console import Console

    from ..experiments.studies import fallback as work
    from .progress import track

    console = Console()
    wanted = [float(speed) for speed in speeds.split(",")]
    cases = list(product(robots.split(","), work.PATHS, wanted, work.MODELS))
    rows = []
    for robot, path, speed, model in track(cases, "following paths", len(cases), console):
        rows.append(work.row_of(robot, path, speed, model, work.drive(robot, path, speed, model)))
    summary = work.write(out, rows)
    for name, models in summary.items():
        told = ", ".join(f"{model} {1e3 * values['rmse']:.1f}" for model, values in models.items())
        console.print(f"{name}: RMSE [mm] {told}", highlight=False, soft_wrap=True)
