"""The figures of the report."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..plots import ADAPTIVE as BLUE
from ..plots import INK, MUTED, REFERENCE, STYLE, legend_below, plt
from ..plots import KINEMATIC as ORANGE
from .contenders import ADAPTIVE, KINEMATIC, NOMINAL_ORACLE, ORACLE
from .results import Job, Results
from .table import ORACLES, Table, extreme, geometric, number

COLOURS = {KINEMATIC: ORANGE, ORACLE: INK, NOMINAL_ORACLE: MUTED, "dynamic": "#c9a227", ADAPTIVE: BLUE}
MORE_COLOURS = (
    "#2f9e6e", "#8e5ea2", "#c0392b", "#17a2b8", "#6b8e23",
    "#b5651d", "#d36ba6", "#5c7cfa", "#8d99ae", "#3d5a40",
    "#7f6b4f", "#a3b18a", "#e0a458", "#4a2c5e",
)  # fmt: skip


def colours(models: Sequence[str]) -> dict[str, str]:
    """A colour for each model, the same in all figures."""
    rest = [m for m in models if m not in COLOURS]
    return COLOURS | {m: MORE_COLOURS[i % len(MORE_COLOURS)] for i, m in enumerate(rest)}


def error_charts(table: Table, trajectory: str) -> Figure:
    """Error of every model in every world with its 95 % interval; a panel a world."""
    worlds, models = table.worlds_of(trajectory), table.models
    colour = colours(models)
    columns = min(4, len(worlds))
    lines = math.ceil(len(worlds) / columns)
    height = 0.62 + 0.19 * len(models)
    with plt.rc_context(STYLE | {"font.size": 9.0, "axes.titlesize": 10.0}):
        figure, axes = plt.subplots(
            lines, columns, figsize=(2.2 + 2.7 * columns, height * lines + 0.75), squeeze=False,
            sharey=True, layout="constrained",
        )  # fmt: skip
        for axis in axes.flat[len(worlds) :]:
            axis.set_visible(False)
        for axis, world in zip(axes.flat, worlds, strict=False):
            _chart_panel(axis, table, world, trajectory, colour)
        for axis in axes[:, 0]:
            axis.set_yticks(range(len(models)), models)
            axis.set_ylim(len(models) - 0.4, -0.6)
        figure.suptitle(
            f"{trajectory}: RMSE after 2 s [mm], mean over seeds with 95 % interval",
            x=0.01, ha="left", fontsize=12.5, fontweight="bold",
        )  # fmt: skip
    return figure


def _chart_panel(axis: Axes, table: Table, world: str, trajectory: str, colour: dict[str, str]) -> None:
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
            text = f"{number(mean, '.0f')} ▸ "
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


def shown_models(table: Table) -> list[str]:
    """Few enough to tell their lines apart: the yardsticks, the default adapter, the best three others."""
    fixed = [m for m in (KINEMATIC, ORACLE, ADAPTIVE) if m in table.models]
    others = [m for m in table.models if m not in (*fixed, *ORACLES)]
    others.sort(key=lambda m: geometric(table.ratios(m, KINEMATIC).values()))
    return fixed + others[:3]


def error_over_time(table: Table, results: Results, trajectory: str, worlds: Sequence[str]) -> Figure:
    """RMS over seeds of the error, smoothed over half a second; a panel a world."""
    models = shown_models(table)
    colour = colours(table.models)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(worlds), 1, figsize=(11.0, 0.9 + 2.35 * len(worlds)), squeeze=False, layout="constrained"
        )
        for axis, world in zip(axes.flat, worlds, strict=True):
            tops: dict[str, float] = {}
            for model in reversed(models):
                traces = traces_of(table, results, model, world, trajectory)
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
        legend_below(figure, handles[::-1], labels[::-1], len(labels))
        title = f"{trajectory}: tracking error, RMS over seeds; dashed: the world changes"
        figure.suptitle(title, x=0.01, ha="left", fontsize=12.5, fontweight="bold")
    return figure


def traces_of(table: Table, results: Results, model: str, world: str, trajectory: str) -> list[dict]:
    """What was kept of the runs of one cell."""
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
            worst, where = extreme(ratios)
            right = max(right, 1.25 * min(worst, 20.0))
            axis.plot(min(worst, 20.0), i, "|", color=colour[model], ms=15, mew=2)
            axis.annotate(
                f"{number(worst, '.2f')}  {where}", (1.01, i), xycoords=("axes fraction", "data"),
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
    models = [m for m in shown_models(table) if m in (KINEMATIC, ORACLE, ADAPTIVE)]
    found = {m: results.trace(Job(m, world, trajectory, seed)) for m in models}
    traces = {m: t for m, t in found.items() if t is not None and "position" in t}
    if not traces:
        return None
    colour = colours(table.models)
    dt = results.manifest["mppi"]["model_dt"]
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(13.0, 6.6), layout="constrained")
        halves = figure.add_gridspec(1, 2, width_ratios=(1.0, 1.25))
        left, right = halves[0], halves[1]
        _path_panel(figure.add_subplot(left), traces, colour)
        grid = right.subgridspec(3, 1)
        for column, name in enumerate(("Commanded velocity [m/s]", "Commanded yaw rate [rad/s]")):
            axis = figure.add_subplot(grid[column])
            for model, trace in traces.items():
                commands = trace["commands"][:, column]
                axis.plot(dt * np.arange(len(commands)), commands, color=colour[model], lw=1.1, alpha=0.9)
            axis.set_title(name)
            axis.set_xlim(0.0, results.manifest["duration"])
        axis = figure.add_subplot(grid[2])
        _adaptation_panel(axis, traces.get(ADAPTIVE), results.manifest["duration"])
        figure.suptitle(
            f"{world}, {trajectory}, seed {seed}", x=0.01, ha="left", fontsize=12.5, fontweight="bold"
        )
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
