"""Options that several commands of ``mppi-maml`` share, each declared once. Imports nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

REFERENCES = ("circle", "figure8", "sine", "straight")
LARGEST_SEED = 2**31 - 1
_Command = TypeVar("_Command", bound=Callable[..., Any])


class Real(click.FloatRange):
    """A number in a range; not a number is in none."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a valid number.", param, ctx)
        return number


class Whole(click.IntRange):
    """An integer in a range."""

    name = "integer"


class Names(click.ParamType):
    """Names separated by commas, as a tuple."""

    name = "NAME[,NAME]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        names = tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else tuple(value)
        if not all(names):
            self.fail(f"{value!r} is not a list of names separated by commas", param, ctx)
        return names


class Seeds(click.ParamType):
    """Seeds and ranges of seeds separated by commas, as a tuple."""

    name = "N[,N]|N-N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if not isinstance(value, str):
            return tuple(value)
        seeds: list[int] = []
        try:
            for part in value.split(","):
                first, _, last = part.partition("-")
                seeds.extend(range(int(first), int(last or first) + 1))
        except ValueError:
            seeds = []
        if not seeds:
            self.fail(f"{value!r} is not a list of seeds such as 0,1,2 or 0-9", param, ctx)
        return tuple(seeds)


class Widths(click.ParamType):
    """Integers separated by commas, as a tuple."""

    name = "N[,N]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        try:
            return tuple(int(part) for part in value.split(",")) if isinstance(value, str) else tuple(value)
        except (ValueError, TypeError):
            self.fail(f"{value!r} is not a list of integers such as 32 or 64,64", param, ctx)


def folder_option(default: str, help: str) -> Callable[[_Command], _Command]:
    """``--out``: a folder."""
    return click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        default=default,
        show_default=True,
        help=help,
    )


def duration_option(default: float, least: float, help: str) -> Callable[[_Command], _Command]:
    """``--duration`` [s]."""
    return click.option("--duration", type=Real(least, 3600.0), default=default, show_default=True, help=help)


seed_option = click.option(
    "--seed",
    type=Whole(0, LARGEST_SEED),
    default=0,
    show_default=True,
    help="Of everything that is drawn.",
)
artifact_option = click.option(
    "--artifact",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Meta-model to adapt from.  [default: the packaged one]",
)
