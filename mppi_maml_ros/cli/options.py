"""Options that several commands of ``mppi-maml`` share, each declared once. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

import click

REFERENCES = ("circle", "figure8", "sine", "straight")
LARGEST_SEED = 2**31 - 1


def folder_option(default: str, help: str):
    """``--out``: a folder."""
    return click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        default=default,
        show_default=True,
        help=help,
    )


def duration_option(default: float, least: float, help: str):
    """``--duration`` [s]."""
    return click.option(
        "--duration", type=click.FloatRange(least, 3600.0), default=default, show_default=True, help=help
    )


seed_option = click.option(
    "--seed",
    type=click.IntRange(0, LARGEST_SEED),
    default=0,
    show_default=True,
    help="Of everything that is drawn.",
)
artifact_option = click.option(
    "--artifact",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Meta-model to adapt from.  [default: the packaged one]",
)
