"""``mppi-maml soak``."""

from __future__ import annotations

from typing import Any

import click

from .options import Real, folder_option, seed_option


@click.command(short_help="Hours of control in minutes; memory, threads and files must not grow.")
@click.option(
    "--hours",
    type=Real(0.0, 10_000.0, min_open=True),
    default=8.0,
    show_default=True,
    help="Of simulated control.",
)
@seed_option
@folder_option("soak_report", "Folder of soak.json and soak.png.")
def soak(**options: Any) -> None:
    """Control, adapt and swap in simulated time, through faults, and watch what the process holds."""
    from rich.console import Console

    from ..experiments.studies.soak import SoakSettings, run_soak
    from ..weights.meta_model import PACKAGED, MetaModel
    from .progress import shown

    settings = SoakSettings(**options)
    with shown(Console()) as bars:
        report = run_soak(settings, MetaModel.load(PACKAGED), bars.add("hours", settings.hours).to)
    click.echo(
        f"flat: {report['memory_growth_mib']:+.2f} MiB after the warm-up, {report['periods']} periods in "
        f"{report['wall_seconds']:.0f} s, {report['weights_version']} swaps"
    )
