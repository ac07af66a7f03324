"""The report on a folder of results: Markdown with tables and figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...core.errors import MppiMamlError
from ...core.files import write_file
from .. import metrics
from ..plots import ADAPTIVE as BLUE
from ..plots import INK, MUTED, REFERENCE, STYLE, plt, save
from ..plots import KINEMATIC as ORANGE
from .contenders import ADAPTIVE, KINEMATIC, NOMINAL_ORACLE, ORACLE
from .results import COLUMNS, Job, Results, order
from .runs import OPEN_LOOP_STEPS
from .targets import WORTHWHILE, Bar, judge

SHOWN_WORLDS = ("friction_step", "payload", "combined_disturbance", "everything", "seed", "delay")
ORACLES = (ORACLE, NOMINAL_ORACLE)
COLOURS = {KINEMATIC: ORANGE, ORACLE: INK, NOMINAL_ORACLE: MUTED, "dynamic": "#c9a227", ADAPTIVE: BLUE}
MORE_COLOURS = (
    "#2f9e6e", "#8e5ea2", "#c0392b", "#17a2b8", "#6b8e23",
    "#b5651d", "#d36ba6", "#5c7cfa", "#8d99ae", "#3d5a40",
    "#7f6b4f", "#a3b18a", "#e0a458", "#4a2c5e",
)  # fmt: skip
METRIC = "rmse_after_2s"


@attrs.frozen
class Cell:
    """The runs of one model in one world on one reference, over seeds."""

    mean: float
    margin: float
    count: int


class Table:
    """Rows of a results.csv, by cell and by run."""

    def __init__(self, rows: dict[Job, dict]) -> None:
        self.rows = rows
        jobs = sorted(rows, key=order)
        self.models = tuple(sorted({j.model for j in jobs}, key=lambda m: order(Job(m, "", "", 0))))
        self.worlds = tuple(dict.fromkeys(job.world for job in jobs))
        trajectories = {j.trajectory for j in jobs}
        self.trajectories = tuple(sorted(trajectories, key=lambda t: order(Job("", "", t, 0))))
        self._cells: dict[tuple[str, str, str], list[dict]] = {}
        for job in jobs:
            self._cells.setdefault((job.model, job.world, job.trajectory), []).append(rows[job])

    def values(self, model: str, world: str, trajectory: str, column: str = METRIC) -> np.ndarray:
        """A column over seeds; empty where nothing was run."""
        return np.array([row[column] for row in self._cells.get((model, world, trajectory), [])], dtype=float)

    def cell(self, model: str, world: str, trajectory: str, column: str = METRIC) -> Cell | None:
        """Mean over seeds with its 95 % margin; None where nothing was run."""
        values = self.values(model, world, trajectory, column)
        if not len(values):
            return None
        return Cell(*metrics.mean_and_margin(values), len(values))

    def worlds_of(self, trajectory: str) -> list[str]:
        """Worlds with a run on a reference."""
        return [w for w in self.worlds if any((m, w, trajectory) in self._cells for m in self.models)]

    def ratios(self, model: str, to: str) -> dict[tuple[str, str], float]:
        """Ratio of the cell means of the seeds that both have, by (world, reference)."""
        out = {}
        for world in self.worlds:
            for trajectory in self.trajectories:
                pairs = self._pairs(model, to, world, trajectory)
                if len(pairs):
                    out[world, trajectory] = float(pairs[:, 0].mean() / pairs[:, 1].mean())
        return out

    def _pairs(self, model: str, to: str, world: str, trajectory: str) -> np.ndarray:
        other = {row["seed"]: row[METRIC] for row in self._cells.get((to, world, trajectory), [])}
        rows = self._cells.get((model, world, trajectory), [])
        return np.array([(row[METRIC], other[row["seed"]]) for row in rows if row["seed"] in other])

    def run_ratios(self, model: str, to: str) -> dict[Job, float]:
        """Ratio of every single run to the other model's run of the same seed."""
        out = {}
        for job, row in self.rows.items():
            bar = self.rows.get(attrs.evolve(job, model=to))
            if job.model == model and bar is not None and bar[METRIC] > 0.0:
                out[job] = row[METRIC] / bar[METRIC]
        return out

    def gaps(self, model: str) -> dict[tuple[str, str], float]:
        """Gap closed by the cell means, where the gap is worth closing."""
        to_kinematic, oracle = self.ratios(model, KINEMATIC), self.ratios(ORACLE, KINEMATIC)
        return {
            key: metrics.gap_closed(1.0, oracle[key], to_kinematic[key])
            for key in to_kinematic.keys() & oracle.keys()
            if 1.0 - oracle[key] >= WORTHWHILE
        }


# -- text -----------------------------------------------------------------------------------------


def _number(value: float, form: str) -> str:
    if math.isnan(value):
        return "–"
    return format(value, form) if math.isfinite(value) else "∞"


def _mm(cell: Cell | None) -> str:
    if cell is None:
        return ""
    margin = "" if math.isnan(cell.margin) else f" ± {1e3 * cell.margin:.1f}"
    return _number(1e3 * cell.mean, ".1f") + margin


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def _extreme(ratios: dict) -> tuple[float, str]:
    if not ratios:
        return math.nan, ""
    key = max(ratios, key=ratios.__getitem__)
    where = f"{key.world}, {key.trajectory}, seed {key.seed}" if isinstance(key, Job) else ", ".join(key)
    return ratios[key], where


def _geometric(values: Iterable[float]) -> float:
    values = np.array(list(values), dtype=float)
    return float(np.exp(np.log(values).mean())) if len(values) else math.nan


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
        cell, where = _extreme(table.ratios(model, KINEMATIC))
        run, which = _extreme(table.run_ratios(model, KINEMATIC))
        column = {name: [row[name] for row in runs] for name in COLUMNS}
        is_bar = model == KINEMATIC
        rows.append(
            [
                f"**{model}**" if model == ADAPTIVE else model,
                str(len(runs)),
                _number(float(np.mean(gaps)) if gaps else math.nan, ".0%"),
                _number(_geometric(table.ratios(model, ORACLE).values()), ".2f"),
                _number(_geometric(table.ratios(model, KINEMATIC).values()), ".2f"),
                _number(cell, ".2f") + ("" if is_bar else f" ({where})") if where else "",
                _number(run, ".2f") + ("" if is_bar else f" ({which})") if which else "",
                _number(_median(column["recovery_s"]), ".1f"),
                _number(1e3 * _median(column["open_loop_error"]), ".0f"),
                _number(_median(column["smoothness"]), ".3f"),
                " / ".join(_number(_median(column[name]), ".2f") for name in ("step_ms_p50", "step_ms_p99")),
                _number(_median(column["adapt_ms_p50"]), ".1f"),
            ]
        )
    header = (
        "model", "runs", "gap closed", "× oracle", "× kinematic", "worst world × kinematic",
        "worst run × kinematic", "recovery [s]", f"{OPEN_LOOP_STEPS} steps ahead [mm]", "mean du",
        "step p50 / p99 [ms]", "adaptation [ms]",
    )  # fmt: skip
    return _markdown(header, rows)


def bars_table(bars: Sequence[Bar]) -> str:
    """One line a demand."""
    rows = [
        [
            bar.name + (f" ({bar.worst})" if bar.worst else ""),
            _number(bar.value, ".3f"),
            f"{'≥' if bar.at_least else '≤'} {bar.limit:g}",
            "yes" if bar.met else "**no**",
        ]
        for bar in bars
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
                line.append(f"{_number(values[0], '.2f')} / {_number(values[1], '.2f')}")
        ratios.append(line)
    header = ("world", *table.models)
    return _markdown(header, errors), _markdown(header, ratios)


# -- figures --------------------------------------------------------------------------------------


def colours(models: Sequence[str]) -> dict[str, str]:
    """A colour for each model, the same in all figures."""
    rest = [m for m in models if m not in COLOURS]
    return COLOURS | {m: MORE_COLOURS[i % len(MORE_COLOURS)] for i, m in enumerate(rest)}


def bars(table: Table, trajectory: str) -> Figure:
    """Error of every model in every world with its 95 % interval; a panel a world."""
    worlds, models = table.worlds_of(trajectory), table.models
    colour = colours(models)
    columns = min(4, len(worlds))
    lines, height = math.ceil(len(worlds) / columns), 0.62 + 0.19 * len(models)
    with plt.rc_context(STYLE | {"font.size": 9.0, "axes.titlesize": 10.0}):
        figure, axes = plt.subplots(
            lines, columns, figsize=(2.2 + 2.7 * columns, height * lines + 0.75), squeeze=False,
            sharey=True, layout="constrained",
        )  # fmt: skip
        for axis in axes.flat[len(worlds) :]:
            axis.set_visible(False)
        for axis, world in zip(axes.flat, worlds, strict=False):
            _bar_panel(axis, table, world, trajectory, colour)
        for axis in axes[:, 0]:
            axis.set_yticks(range(len(models)), models)
            axis.set_ylim(len(models) - 0.4, -0.6)
        figure.suptitle(
            f"{trajectory}: RMSE after 2 s [mm], mean over seeds with 95 % interval",
            x=0.01, ha="left", fontsize=12.5, fontweight="bold",
        )  # fmt: skip
    return figure


def _bar_panel(axis: Axes, table: Table, world: str, trajectory: str, colour: dict[str, str]) -> None:
    cells = [table.cell(model, world, trajectory) for model in table.models]
    means = np.array([np.nan if c is None else 1e3 * c.mean for c in cells])
    margins = np.array([0.0 if c is None or math.isnan(c.margin) else 1e3 * c.margin for c in cells])
    finite = means[np.isfinite(means)]
    # A model that has gone astray must not squash all others.
    usual = np.median(finite) if len(finite) else 1.0
    largest = float(np.max(finite, initial=1e-3))
    reach = 1.05 * float(np.max(means + margins, initial=1e-3, where=np.isfinite(means)))
    limit = min(reach, 1.35 * largest, 3.0 * usual)
    for i, (model, mean, margin) in enumerate(zip(table.models, means, margins, strict=True)):
        if math.isnan(mean):
            continue
        axis.barh(i, min(mean, limit), height=0.72, color=colour[model], zorder=2)
        if mean > limit:
            text = f"{_number(mean, '.0f')} ▸ "
            axis.text(limit, i, text, ha="right", va="center", color="white", fontsize=7.5)
        elif margin:
            axis.errorbar(mean, i, xerr=margin, color=MUTED, lw=1.1, capsize=1.8, zorder=3)
    oracle = table.cell(ORACLE, world, trajectory)
    if oracle is not None:
        axis.axvline(1e3 * oracle.mean, color=INK, lw=0.9, ls=(0, (3, 2)), zorder=4)
    axis.set_xlim(0.0, limit)
    axis.grid(False, axis="y")
    axis.tick_params(axis="y", length=0)
    axis.set_title(world)


def _shown_models(table: Table) -> list[str]:
    """Few enough to tell their lines apart: the yardsticks, the default adapter, the best three others."""
    fixed = [m for m in (KINEMATIC, ORACLE, ADAPTIVE) if m in table.models]
    others = [m for m in table.models if m not in (*fixed, *ORACLES)]
    others.sort(key=lambda m: _geometric(table.ratios(m, KINEMATIC).values()))
    return fixed + others[:3]


def error_over_time(table: Table, results: Results, trajectory: str, worlds: Sequence[str]) -> Figure:
    """RMS over seeds of the error, smoothed over half a second; a panel a world."""
    models = _shown_models(table)
    colour = colours(table.models)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(worlds), 1, figsize=(11.0, 0.9 + 2.35 * len(worlds)), squeeze=False, layout="constrained"
        )
        for axis, world in zip(axes.flat, worlds, strict=True):
            tops: dict[str, float] = {}
            for model in reversed(models):
                traces = _traces(table, results, model, world, trajectory)
                errors = [trace["error"] for trace in traces if "error" in trace]
                if errors:
                    curve = 1e3 * np.sqrt(_smooth(np.mean(np.square(errors), axis=0), 10))
                    times = results.manifest["mppi"]["model_dt"] * np.arange(1, len(curve) + 1)
                    axis.plot(times, curve, color=colour[model], lw=1.7, label=model)
                    if model in (KINEMATIC, ORACLE, ADAPTIVE) or KINEMATIC not in models:
                        tops[model] = curve.max()
                for at in {float(at) for trace in traces for at in trace["changes"]}:
                    axis.axvline(at, color=MUTED, lw=1.0, ls=(0, (4, 3)), zorder=1)
            axis.set_title(f"{world} [mm]")
            # A model that has gone astray leaves the panel rather than squashing the others.
            axis.set_ylim(0.0, 1.15 * max(tops.values(), default=1.0))
            axis.set_xlim(0.0, results.manifest["duration"])
        axes[-1][0].set_xlabel("time [s]")
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles[::-1], labels[::-1], loc="outside lower center", ncol=len(labels))
        title = f"{trajectory}: tracking error, RMS over seeds; dashed: the world changes"
        figure.suptitle(title, x=0.01, ha="left", fontsize=12.5, fontweight="bold")
    return figure


def _traces(table: Table, results: Results, model: str, world: str, trajectory: str) -> list[dict]:
    jobs = [j for j in table.rows if (j.model, j.world, j.trajectory) == (model, world, trajectory)]
    return [trace for job in jobs if (trace := results.trace(job)) is not None]


def _smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Mean over ``width`` samples; at the ends over those that exist."""
    kernel = np.ones(width)
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


def worst_runs(table: Table) -> Figure:
    """Every single run of every model against the kinematic run of the same seed."""
    models = [m for m in table.models if m != KINEMATIC and table.run_ratios(m, KINEMATIC)]
    colour = colours(table.models)
    rng = np.random.default_rng(0)
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(11.0, 1.3 + 0.42 * len(models)), layout="constrained")
        axis.axvspan(1.1, 100.0, color="#c0392b", alpha=0.07, lw=0)
        axis.axvline(1.0, color=INK, lw=1.0)
        right = 1.3
        for i, model in enumerate(models):
            ratios = table.run_ratios(model, KINEMATIC)
            values = np.minimum(np.array(list(ratios.values())), 20.0)
            spread = i + rng.uniform(-0.26, 0.26, len(values))
            axis.scatter(values, spread, s=13, color=colour[model], alpha=0.5, lw=0)
            worst, where = _extreme(ratios)
            right = max(right, 1.25 * min(worst, 20.0))
            axis.plot(min(worst, 20.0), i, "|", color=colour[model], ms=15, mew=2)
            axis.annotate(
                f"{_number(worst, '.2f')}  {where}", (1.01, i), xycoords=("axes fraction", "data"),
                va="center", fontsize=8.5, color="#c0392b" if worst > 1.1 else MUTED,
            )  # fmt: skip
        axis.set_xscale("log")
        axis.set_xlim(right=right)
        left = axis.get_xlim()[0]
        steps: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
        if right < 10.0 * left:
            steps = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0)
        ticks = [t for t in steps if left <= t <= right]
        axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axis.minorticks_off()
        axis.set_yticks(range(len(models)), models)
        axis.set_ylim(len(models) - 0.4, -0.6)
        axis.set_xlabel("RMSE after 2 s / that of the kinematic model in the same run; right: the worst run")
        axis.set_title("Every run against not adapting: left of 1 is better, shaded is more than 10 % worse")
    return figure


def single_run(table: Table, results: Results, world: str, trajectory: str, seed: int) -> Figure | None:
    """Path, commands and adaptation of the shown models in one run; None without traces."""
    models = [m for m in _shown_models(table) if m in (KINEMATIC, ORACLE, ADAPTIVE)]
    found = {m: results.trace(Job(m, world, trajectory, seed)) for m in models}
    traces = {m: t for m, t in found.items() if t is not None and "position" in t}
    if not traces:
        return None
    colour = colours(table.models)
    dt = results.manifest["mppi"]["model_dt"]
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(13.0, 6.6), layout="constrained")
        halves = figure.add_gridspec(1, 2, width_ratios=(1.0, 1.25))
        _path_panel(figure.add_subplot(halves[0]), traces, colour)
        grid = halves[1].subgridspec(3, 1)
        for column, name in enumerate(("Commanded velocity [m/s]", "Commanded yaw rate [rad/s]")):
            axis = figure.add_subplot(grid[column])
            for model, trace in traces.items():
                commands = trace["commands"][:, column]
                axis.plot(dt * np.arange(len(commands)), commands, color=colour[model], lw=1.1, alpha=0.9)
            axis.set_title(name)
            axis.set_xlim(0.0, results.manifest["duration"])
        axis = figure.add_subplot(grid[2])
        _adaptation_panel(axis, traces.get(ADAPTIVE), results.manifest["duration"])
        title = f"{world}, {trajectory}, seed {seed}"
        figure.suptitle(title, x=0.01, ha="left", fontsize=12.5, fontweight="bold")
    return figure


def _path_panel(axis: Axes, traces: dict[str, dict], colour: dict[str, str]) -> None:
    reference = next(iter(traces.values()))["reference"]
    size = float(np.ptp(reference, axis=0).max())
    errors = np.concatenate([t["error"] for t in traces.values()])
    most = 0.12 * size / max(float(np.percentile(errors, 98)), 1e-6)
    magnify = max((f for f in (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0) if f <= most), default=1.0)
    axis.plot(*reference.T, color=REFERENCE, lw=4.0, alpha=0.6, label="reference")
    for model, trace in traces.items():
        path = reference + magnify * (trace["position"] - reference)
        axis.plot(*path.T, color=colour[model], lw=1.2, label=model)
    axis.plot(*reference[0], "o", color=INK, ms=6)
    axis.set_title("Path [m]" if magnify == 1.0 else f"Path [m], deviations drawn {magnify:g} times as large")
    axis.set_aspect("equal", adjustable="datalim")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncol=4, columnspacing=1.2, handlelength=1.4)


def _adaptation_panel(axis: Axes, trace: dict | None, duration: float) -> None:
    axis.set_title("Adaptation: held-out prediction error of each attempt [m²]")
    axis.set_xlabel("time [s]")
    axis.set_xlim(0.0, duration)
    attempts = trace["attempts"] if trace is not None else np.zeros((0, 5))
    attempts = attempts[np.isfinite(attempts[:, 1:4]).all(axis=1)]
    if not len(attempts):
        axis.text(0.5, 0.5, "no attempt was judged", transform=axis.transAxes, ha="center", color=MUTED)
        return
    time, candidate, prior, current, decision = attempts.T
    axis.plot(time, prior, "o-", color=ORANGE, lw=1.0, ms=3, label="kinematic")
    axis.plot(time, current, "o-", color=MUTED, lw=1.0, ms=3, label="what served")
    axis.plot(time, candidate, "o-", color=BLUE, lw=1.0, ms=3, label="candidate")
    taken = decision == 1
    axis.plot(time[taken], candidate[taken], "o", c="none", mec="#2f9e6e", mew=1.6, ms=8, label="accepted")
    axis.set_yscale("log")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.32), ncol=4, columnspacing=1.2, handlelength=1.4)


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
    bars_met = judge(table.rows, manifest["noise"])
    if bars_met:
        parts += ["## What the default adapter has to reach", bars_table(bars_met)]
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
    save(bars(table, trajectory), images / f"bars_{trajectory}.png")
    parts = [
        f"## {trajectory}",
        "RMSE after 2 s [mm], mean ± 95 % confidence over seeds; bold: the lowest, oracles aside.",
        errors,
        "The same as ratio: × oracle / × kinematic.",
        ratios,
        f"![errors in all worlds](images/bars_{trajectory}.png)",
    ]
    if any(_traces(table, results, model, w, trajectory) for w in shown for model in _shown_models(table)):
        save(error_over_time(table, results, trajectory, shown), images / f"error_{trajectory}.png")
        parts.append(f"![error over time](images/error_{trajectory}.png)")
    for world in shown[:2]:
        seed = min(j.seed for j in table.rows if (j.world, j.trajectory) == (world, trajectory))
        figure = single_run(table, results, world, trajectory, seed)
        if figure is not None:
            save(figure, images / f"run_{trajectory}_{world}.png")
            parts.append(f"![one run in {world}](images/run_{trajectory}_{world}.png)")
    return parts
