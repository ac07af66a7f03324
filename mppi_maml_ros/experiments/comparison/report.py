"""The report on a folder of results: Markdown with tables and figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ...core.errors import MppiMamlError
from ...core.files import write_file
from ...policies.acting import RobotPolicy
from ..plots import save
from .contenders import ADAPTIVE, KINEMATIC, ORACLE
from .figures import error_charts, error_over_time, shown_models, single_run, traces_of, worst_runs
from .policies import POLICIES, packaged
from .results import COLUMNS, Results
from .runs import OPEN_LOOP_STEPS
from .table import ORACLES, Cell, Table, extreme, geometric, number
from .targets import WORTHWHILE, Target, judge

SHOWN_WORLDS = ("friction_step", "payload", "combined_disturbance", "everything", "seed", "delay")


# -- text -----------------------------------------------------------------------------------------


def _mm(cell: Cell | None) -> str:
    if cell is None:
        return ""
    margin = "" if math.isnan(cell.margin) else f" ± {1e3 * cell.margin:.1f}"
    return number(1e3 * cell.mean, ".1f") + margin


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def policies_table(policies: Sequence[RobotPolicy]) -> str:
    """Steps of a policy's training, and on the robot that it drives before it does."""
    header = ("policy", "steps in simulation", "steps on the robot before it drives")
    return _markdown(header, [(p.name, f"{p.notes['env_steps']:,}", f"{p.robot_steps:,}") for p in policies])


def _median(values: Iterable[float]) -> float:
    values = np.array([v for v in values if not math.isnan(v)], dtype=float)
    # The middle of an even number is between two, of which one may be infinite.
    return float(np.sort(values)[(len(values) - 1) // 2]) if len(values) else math.nan


def summary(table: Table) -> str:
    """One line a model, over all worlds and references."""
    rows = []
    for model in table.models:
        runs = [row for job, row in table.rows.items() if job.model == model]
        gaps = list(table.gaps(model).values())
        cell, where = extreme(table.ratios(model, KINEMATIC))
        run, which = extreme(table.run_ratios(model, KINEMATIC))
        column = {name: [row[name] for row in runs] for name in COLUMNS}
        itself = model == KINEMATIC
        rows.append(
            [
                f"**{model}**" if model == ADAPTIVE else model,
                str(len(runs)),
                number(float(np.mean(gaps)) if gaps else math.nan, ".0%"),
                number(geometric(table.ratios(model, ORACLE).values()), ".2f"),
                number(geometric(table.ratios(model, KINEMATIC).values()), ".2f"),
                number(cell, ".2f") + ("" if itself else f" ({where})") if where else "",
                number(run, ".2f") + ("" if itself else f" ({which})") if which else "",
                number(_median(column["recovery_s"]), ".1f"),
                number(1e3 * _median(column["open_loop_error"]), ".0f"),
                number(_median(column["smoothness"]), ".3f"),
                " / ".join(number(_median(column[name]), ".2f") for name in ("step_ms_p50", "step_ms_p99")),
                number(_median(column["adapt_ms_p50"]), ".1f"),
            ]
        )
    header = (
        "model", "runs", "gap closed", "× oracle", "× kinematic", "worst world × kinematic",
        "worst run × kinematic", "recovery [s]", f"{OPEN_LOOP_STEPS} steps ahead [mm]", "mean du",
        "step p50 / p99 [ms]", "adaptation [ms]",
    )  # fmt: skip
    return _markdown(header, rows)


def targets_table(targets: Sequence[Target]) -> str:
    """One line a target."""
    rows = [
        [
            target.name + (f" ({target.worst})" if target.worst else ""),
            number(target.value, ".3f"),
            f"{'≥' if target.at_least else '≤'} {target.limit:g}",
            "yes" if target.met else "**no**",
        ]
        for target in targets
    ]
    return _markdown(("", "measured", "demanded", "met"), rows)


def trajectory_tables(table: Table, trajectory: str) -> tuple[str, str]:
    """Errors [mm] and ratios, a line a world."""
    errors, ratios = [], []
    to_oracle = {m: table.ratios(m, ORACLE) for m in table.models}
    to_kinematic = {m: table.ratios(m, KINEMATIC) for m in table.models}
    for world in table.worlds_of(trajectory):
        cells = {m: table.cell(m, world, trajectory) for m in table.models}
        real = {m: c.mean for m, c in cells.items() if c is not None and m not in ORACLES}
        best = min(real, key=real.__getitem__) if real else None
        errors.append([world, *(f"**{_mm(c)}**" if m == best else _mm(c) for m, c in cells.items())])
        line = [world]
        for model in table.models:
            values = [r[model].get((world, trajectory), math.nan) for r in (to_oracle, to_kinematic)]
            if cells[model] is None:
                line.append("")
            else:
                line.append(f"{number(values[0], '.2f')} / {number(values[1], '.2f')}")
        ratios.append(line)
    header = ("world", *table.models)
    return _markdown(header, errors), _markdown(header, ratios)


# -- all of it ------------------------------------------------------------------------------------


def write_report(folder: Path) -> Path:
    """Write ``report.md`` and its figures beside the results of a folder.

    Returns:
        The path of the report.

    Raises:
        MppiMamlError: there are no results, or they cannot be read.
    """
    results = Results(folder)
    table = Table(results.rows)
    images = results.folder / "images"
    if not table.rows:
        raise MppiMamlError(f"there are no results in {folder}")
    manifest = results.manifest
    seeds = sorted({job.seed for job in table.rows})
    parts = [
        "# Comparison",
        f"{len(table.rows)} runs of {manifest['duration']:g} s, seeds {', '.join(map(str, seeds))}; "
        f"process noise × {manifest['noise']:g}; {manifest['mppi']['batch_size']} samples, horizon "
        f"{manifest['mppi']['time_steps']} × {manifest['mppi']['model_dt']:g} s; `adaptive` is "
        f"`{manifest['adaptive']}`. Errors are position RMSE against the time-indexed reference from 2 s on.",
        "## All worlds and references",
        summary(table),
        "*Gap closed*: (kinematic − x) / (kinematic − oracle), mean over worlds and references whose gap is "
        f"at least {WORTHWHILE:.0%} of the kinematic error. *× oracle*, *× kinematic*: ratios of the means "
        "over seeds, geometric mean. Recovery, prediction, smoothness and times: medians over runs; ∞ says "
        "that most runs did not recover. Times are those of runs side by side.",
    ]
    learned = [packaged(model) for model in table.models if model in POLICIES]
    if learned:
        parts += ["## What the policies were learned from", policies_table(learned)]
    targets = judge(table.rows, manifest["noise"])
    if targets:
        parts += ["## What the default adapter has to reach", targets_table(targets)]
    save(worst_runs(table), images / "worst_runs.png")
    parts.append("![every run against the kinematic model](images/worst_runs.png)")
    for trajectory in table.trajectories:
        parts += _trajectory_part(table, results, trajectory, images)
    path = results.folder / "report.md"
    write_file(path, ("\n\n".join(parts) + "\n").encode())
    return path


def _trajectory_part(table: Table, results: Results, trajectory: str, images: Path) -> list[str]:
    errors, ratios = trajectory_tables(table, trajectory)
    worlds = table.worlds_of(trajectory)
    shown = [w for w in SHOWN_WORLDS if w in worlds][:4] or worlds[:2]
    save(error_charts(table, trajectory), images / f"bars_{trajectory}.png")
    parts = [
        f"## {trajectory}",
        "RMSE after 2 s [mm], mean ± 95 % confidence over seeds; bold: the lowest, oracles aside.",
        errors,
        "The same as ratio: × oracle / × kinematic.",
        ratios,
        f"![errors in all worlds](images/bars_{trajectory}.png)",
    ]
    if any(traces_of(table, results, model, w, trajectory) for w in shown for model in shown_models(table)):
        save(error_over_time(table, results, trajectory, shown), images / f"error_{trajectory}.png")
        parts.append(f"![error over time](images/error_{trajectory}.png)")
    for world in shown[:2]:
        seed = min(j.seed for j in table.rows if (j.world, j.trajectory) == (world, trajectory))
        figure = single_run(table, results, world, trajectory, seed)
        if figure is not None:
            save(figure, images / f"run_{trajectory}_{world}.png")
            parts.append(f"![one run in {world}](images/run_{trajectory}_{world}.png)")
    return parts
