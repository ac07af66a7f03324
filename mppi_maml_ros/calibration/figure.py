"""The picture of a calibration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from ..experiments import plots
from .fit import AXES, UNITS, Axis, simulated
from .record import Record
from .response import effective

NAMES = ("forward velocity", "yaw rate")
ZOOM = 8.0  # [s]
JUMP = 0.1  # share of the largest command
STEADY = 3.0  # lags after a change of the command from which on a velocity counts as steady


def draw(record: Record, axes: tuple[Axis, Axis], path: Path) -> Path:
    """Each axis in a column: the drive, a part of it, and what commands lead to; returns the path."""
    plt = plots.plt
    with plt.rc_context(plots.STYLE):
        figure, grid = plt.subplots(3, 2, figsize=(13.0, 10.5), layout="constrained")
        for column, axis in enumerate(axes):
            _over_time(grid[0, column], record, axis, (record.stamps[0], record.stamps[-1]))
            grid[0, column].set_title(f"{NAMES[column]}: {axis.explained:.1%} of it explained")
            _over_time(grid[1, column], record, axis, _busy(record, column))
            grid[1, column].set_title(
                f"lag {axis.time_constant.value:.3f} ± {axis.time_constant.within:.3f} s, "
                f"delay {axis.delay.value:.3f} ± {axis.delay.within:.3f} s"
            )
            _static(grid[2, column], record, axis)
        handles, labels = grid[1, 0].get_legend_handles_labels()
        plots.legend_below(figure, handles, labels, len(handles))
        return plots.save(figure, path)


def _busy(record: Record, column: int) -> tuple[float, float]:
    """The stretch in which the command of this axis changes most, for as long as the zoom."""
    at, u = record.command_stamps, record.commands[:, column]
    changed = np.concatenate([[0.0], np.abs(np.diff(u)) > 0.2 * np.abs(u).max()])
    total = np.concatenate([[0.0], np.cumsum(changed)])
    ends = np.searchsorted(at, at + ZOOM)
    best = int(np.argmax(total[ends] - total[:-1]))
    return float(at[best]), float(at[best]) + ZOOM


def _over_time(plot: Axes, record: Record, axis: Axis, span: tuple[float, float]) -> None:
    column, start = AXES.index(axis.name), record.stamps[0]
    measured = record.twists if axis.source == "twist" else record.rates
    told = (record.command_stamps >= span[0] - 1.0) & (record.command_stamps <= span[1])
    seen = (record.stamps >= span[0]) & (record.stamps <= span[1])
    plot.step(
        record.command_stamps[told] - start, record.commands[told, column], where="post",
        color=plots.REFERENCE, lw=1.0, label="command",
    )  # fmt: skip
    plot.plot(
        record.stamps[seen] - start,
        measured[seen, column],
        ".",
        color=plots.KINEMATIC,
        ms=3.0,
        label="odometry",
    )
    plot.plot(
        record.stamps[seen] - start, simulated(record, axis)[seen], color=plots.ADAPTIVE, lw=1.4,
        label="what was found, by the commands alone",
    )  # fmt: skip
    if np.isfinite(record.held_out_from) and span[1] > record.held_out_from:
        plot.axvspan(record.held_out_from - start, span[1] - start, color=plots.GRID, lw=0.0, label="_")
    plot.set_xlim(span[0] - start, span[1] - start)
    plot.set_xlabel("time [s]")
    plot.set_ylabel(f"{axis.name} [{UNITS[column]}]")


def _static(plot: Axes, record: Record, axis: Axis) -> None:
    """Steady velocities over the commands that led to them, and the law that was found."""
    column = AXES.index(axis.name)
    measured = (record.twists if axis.source == "twist" else record.rates)[:, column]
    u, at = record.commands[:, column], record.command_stamps
    answered = record.stamps - axis.delay.value - axis.time_constant.value  # of a ramp, that late
    acting = np.searchsorted(at, answered, side="right") - 1
    jumps = at[1:][np.abs(np.diff(u)) > JUMP * np.abs(u).max()]  # a ramp has none
    last = np.searchsorted(jumps, record.stamps - axis.delay.value, side="right") - 1
    since = record.stamps - axis.delay.value - np.concatenate([jumps, [-np.inf]])[last]
    alone = np.abs(record.commands[acting, 1 - column]) < 1e-3
    steady = (acting >= 0) & alone & (since > STEADY * axis.time_constant.value)
    plot.plot(u[acting][steady], measured[steady], ".", color=plots.KINEMATIC, ms=3.0, alpha=0.4)
    line = np.linspace(u.min(), u.max(), 400)
    law = [axis.gain.value * effective(value, axis.lost, axis.dead.value) for value in line]
    plot.plot(line, law, color=plots.ADAPTIVE, lw=1.6)
    plot.set_xlabel(f"command [{UNITS[column]}]")
    plot.set_ylabel(f"steady {axis.name} [{UNITS[column]}]")
    plot.set_title(
        f"gain {axis.gain.value:.3f} ± {axis.gain.within:.3f}, "
        f"dead band {axis.dead.value:.3f} {UNITS[column]}"
    )
