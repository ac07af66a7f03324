"""``mppi-maml fallback-study``: robots with lag and delay, driven while nothing is known of them."""

from __future__ import annotations

from pathlib import Path

import click

from .options import folder_option


@click.command("fallback-study", short_help="Follow paths with robots of which nothing is known.")
@click.option(
    "--robots",
    default="a,b,c,d," + ",".join(f"firmware{k}" for k in range(5)),
    show_default=True,
    help="Drawn (train<k>, firmware<k>) or fixed (a to d).",
)
@click.option(
    "--paths", default="eight,corners,cusps,lanes,replans,off", show_default=True, help="To follow."
)
@click.option("--speeds", default="0.35,0.45,0.6", show_default=True, help="Desired [m/s].")
@click.option(
    "--models", default="kinematic,typical,auto,adaptive,oracle", show_default=True, help="By which."
)
@folder_option("fallback_report", "Folder of fallback.csv and fallback.json.")
def fallback_study(robots: str, paths: str, speeds: str, models: str, out: Path) -> None:
    """Follow paths by priors, by adaptation and by the true equations.

    A run that is broken off goes on where it was when it is started again with the same folder.
    """
    from itertools import product

    from rich.console import Console

    from ..experiments.studies import fallback as work
    from .progress import track

    console = Console()
    rows = {tuple(row[key] for key in work.KEY): row for row in work.finished(out)}
    wanted = [float(speed) for speed in speeds.split(",")]
    cases = list(product(models.split(","), robots.split(","), paths.split(","), wanted))
    for model, robot, path, speed in track(cases, "following paths", len(cases), console):
        if (robot, path, speed, model) not in rows:
            result = work.drive(robot, path, speed, model)
            rows[robot, path, speed, model] = work.row_of(robot, path, speed, model, result)
            work.write(out, list(rows.values()))
    for name, by_speed in work.write(out, list(rows.values())).items():
        for told_speed, by_model in by_speed.items():
            told = ", ".join(f"{model} {1e3 * values['rmse']:.1f}" for model, values in by_model.items())
            line = f"{name} at {told_speed} m/s: mean RMSE {told} mm"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
