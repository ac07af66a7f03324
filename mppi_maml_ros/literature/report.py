"""A study's result as table, JSON, CSV and figure."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
from matplotlib.figure import Figure

from ..core.files import write_file, write_json, write_rows
from ..experiments.plots import GRID, STYLE, legend_below, plt, save
from .study import Result, Row, Study

COLOURS = ("#1264a3", "#d9622b", "#2f9e6e", "#8e44ad", "#c0392b", "#b7950b", "#566573", "#16a085")
COLUMNS = ("method", "x", "mean", "ci95", "paper")


def written(number: float, digits: int = 4) -> str:
    """With so many significant digits, and no exponent where it can be avoided."""
    return f"{number:.{digits}g}" if abs(number) < 10**digits else f"{number:.0f}"


def ours(row: Row) -> str:
    """Mean and interval."""
    return f"{written(row.mean)} ± {written(row.ci95, 2)}"


def markdown(study: Study, result: Result, command: str) -> str:
    """The table with what belongs to it."""
    seeds = ", ".join(map(str, result.seeds))
    lines = [
        f"# {study.title}",
        "",
        f"`{command}`",
        "",
        f"{study.source}. {study.notes}".strip(),
        "",
        f"Seeds {seeds}; scale {result.scale:g}, 1 being the whole effort; ± half the 95 % interval over "
        f"{result.interval}.",
        "",
        f"| method | {study.x} | {study.value} | paper |",
        "|---|---|---|---|",
    ]
    for row in result.rows:
        paper = "" if row.paper is None else written(row.paper)
        lines.append(f"| {row.method} | {row.x:g} | {ours(row)} | {paper} |")
    lines += ["", "| method | environment steps in training, a seed | CPU s, a seed |", "|---|---|---|"]
    lines += [f"| {m} | {result.env_steps[m]:,} | {result.cpu_s[m]:.0f} |" for m in result.cpu_s]
    return "\n".join([*lines, ""])


def figure(study: Study, result: Result) -> Figure:
    """Every method over x, ours with intervals; the paper's as hollow marks."""
    methods = list(dict.fromkeys(row.method for row in result.rows))
    with plt.rc_context(STYLE):
        drawing, axis = plt.subplots(figsize=(6.4, 4.6), layout="constrained")
        for method, colour in zip(methods, COLOURS * 3, strict=False):
            rows = [row for row in result.rows if row.method == method]
            x, mean, half = (np.array([getattr(r, k) for r in rows]) for k in ("x", "mean", "ci95"))
            if len(rows) == 1 and len({row.x for row in result.rows}) > 1:  # an oracle: one level
                axis.axhline(mean[0], color=colour, lw=1.2, ls="--", label=method)
            else:
                axis.errorbar(
                    x, mean, half, color=colour, lw=1.6, marker="o", ms=4, capsize=2.5, label=method
                )
            told = [(row.x, row.paper) for row in rows if row.paper is not None]
            if told:
                axis.plot(*zip(*told, strict=True), "D", mfc="none", mec=colour, ms=6)
        axis.set_xlabel(study.x)
        axis.set_ylabel(study.value)
        axis.set_title(study.title)
        axis.grid(color=GRID)
        if all(float(row.x).is_integer() for row in result.rows) and max(r.x for r in result.rows) < 10:
            axis.set_xticks(sorted({row.x for row in result.rows}))
        handles, labels = axis.get_legend_handles_labels()
        if any(row.paper is not None for row in result.rows):
            (mark,) = axis.plot([], [], "D", mfc="none", mec="#566573", ms=6)
            handles, labels = [*handles, mark], [*labels, "paper"]
        legend_below(drawing, handles, labels, 4)
    return drawing


def write(study: Study, result: Result, folder: Path, command: str, json: Path | None = None) -> Path:
    """``NAME.json``, ``.csv``, ``.png`` and ``.md`` into a folder; returns the last.

    Args:
        json: where to write the JSON file besides.
    """
    for path in (folder / f"{study.name}.json", json):
        if path is not None:
            write_json(path, {"command": command, **result.as_json()})
    write_rows(folder / f"{study.name}.csv", COLUMNS, [attrs.asdict(row) for row in result.rows])
    save(figure(study, result), folder / f"{study.name}.png")
    page = folder / f"{study.name}.md"
    write_file(page, markdown(study, result, command).encode())
    return page
