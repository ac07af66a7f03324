"""The picture of the demo: both runs side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..experiments.plots import (
    ADAPTIVE,
    INK,
    KINEMATIC,
    MUTED,
    REFERENCE,
    REJECTION,
    STYLE,
    SWAP,
    plt,
)  # fmt: skip
from .recording import DemoRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def demo_figure(kinematic: DemoRun, adaptive: DemoRun, settled: float, title: str, subtitle: str) -> Figure:
    """Path, error and commands of the two runs of the demo.

    Args:
        kinematic, adaptive: the runs; the first has no swaps.
        settled: time from which on the errors are shown in the reference's frame [s].
        title, subtitle: above the panels.
    """
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(13.0, 7.6))
        left = figure.add_gridspec(
            2, 1, height_ratios=(2.15, 1.0), left=0.045, right=0.425, top=0.85, bottom=0.07, hspace=0.37
        )
        right = figure.add_gridspec(
            3, 1, height_ratios=(1.5, 1.0, 1.0), left=0.485, right=0.985, top=0.85, bottom=0.07, hspace=0.4
        )
        figure.text(0.045, 0.947, title, fontsize=17, fontweight="bold")
        figure.text(0.045, 0.907, subtitle, fontsize=10.5, color=MUTED)
        _paths(figure.add_subplot(left[0]), kinematic, adaptive)
        _cloud(figure.add_subplot(left[1]), kinematic, adaptive, settled)
        errors = figure.add_subplot(right[0])
        _errors(errors, kinematic, adaptive)
        axes = [errors]
        for column, name in enumerate(("Commanded velocity [m/s]", "Commanded yaw rate [rad/s]")):
            axes.append(figure.add_subplot(right[column + 1], sharex=errors))
            _commands(axes[-1], kinematic, adaptive, column, name)
        for axis in axes[:-1]:
            axis.tick_params(labelbottom=False)
        axes[-1].set_xlabel("time [s]")
        axes[-1].set_xlim(0.0, max(kinematic.time[-1], adaptive.time[-1]))
    return figure


def _paths(axis: Axes, kinematic: DemoRun, adaptive: DemoRun) -> None:
    axis.set_title("Path [m]")
    axis.plot(*adaptive.reference.T, color=REFERENCE, lw=5.0, alpha=0.55, label="reference")
    axis.plot(*kinematic.position.T, color=KINEMATIC, lw=1.6, label="kinematic model")
    axis.plot(*adaptive.position.T, color=ADAPTIVE, lw=1.6, label="with adaptation")
    axis.plot(*adaptive.reference[0], "o", color=INK, ms=7, zorder=5)
    axis.annotate("start", adaptive.reference[0], xytext=(9, 7), textcoords="offset points", color=INK)
    axis.plot(*adaptive.reference[-1], "o", color="white", mec=MUTED, mew=1.5, ms=11, zorder=5)
    for run, colour in ((kinematic, KINEMATIC), (adaptive, ADAPTIVE)):
        axis.plot(*run.position[-1], "o", color=colour, ms=6, zorder=6)
    axis.set_aspect("equal", adjustable="datalim")
    axis.margins(0.08)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.07), ncol=3, columnspacing=1.4, handlelength=1.6)


def _cloud(axis: Axes, kinematic: DemoRun, adaptive: DemoRun, settled: float) -> None:
    """Robot positions in the frame that moves along the reference: x ahead of it, y to its left."""
    axis.set_title(f"The robot seen from the moving reference, after {settled:g} s [cm]")
    for run, colour in ((kinematic, KINEMATIC), (adaptive, ADAPTIVE)):
        if len(run.time) < 2:
            continue
        tangent = np.gradient(run.reference, axis=0)
        tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
        offset = 100.0 * (run.position - run.reference)
        ahead = (offset * tangent).sum(axis=1)
        left = tangent[:, 0] * offset[:, 1] - tangent[:, 1] * offset[:, 0]
        chosen = run.time >= settled
        axis.scatter(ahead[chosen], left[chosen], s=9, color=colour, alpha=0.35, lw=0, zorder=3)
    axis.plot(0, 0, "o", color="none", mec=INK, mew=1.5, ms=11, zorder=5)
    axis.annotate("reference", (0, 0), xytext=(10, 9), textcoords="offset points", color=INK)
    axis.set_aspect("equal", adjustable="datalim")
    axis.margins(0.12)
    axis.set_xlabel("behind  ←   →  ahead")
    axis.set_ylabel("left")


def _errors(axis: Axes, kinematic: DemoRun, adaptive: DemoRun) -> None:
    axis.set_title("Tracking error [m]")
    top = 1.12 * max(kinematic.error.max(), adaptive.error.max())
    for times, colour, label in (
        (adaptive.swap_times, SWAP, "swap accepted"),
        (adaptive.rejection_times, REJECTION, "swap rejected"),
    ):
        for time in times:
            axis.axvline(time, color=colour, lw=1.0, alpha=0.35, zorder=1)
        if len(times):
            axis.plot(
                times, np.full(len(times), top), "v", color=colour, ms=6, clip_on=False, zorder=4, label=label
            )
    axis.plot(kinematic.time, kinematic.error, color=KINEMATIC, lw=1.6)
    axis.plot(adaptive.time, adaptive.error, color=ADAPTIVE, lw=1.6)
    axis.set_ylim(0.0, top)
    handles, labels = axis.get_legend_handles_labels()
    if handles:
        axis.legend(
            handles, labels, loc="lower right", bbox_to_anchor=(1.0, 1.03), ncol=2,
            borderaxespad=0.0, handletextpad=0.1, columnspacing=1.2,
        )  # fmt: skip


def _commands(axis: Axes, kinematic: DemoRun, adaptive: DemoRun, column: int, title: str) -> None:
    axis.set_title(title)
    axis.plot(kinematic.time, kinematic.command[:, column], color=KINEMATIC, lw=1.2, alpha=0.9)
    axis.plot(adaptive.time, adaptive.command[:, column], color=ADAPTIVE, lw=1.2, alpha=0.9)
    axis.margins(y=0.12)
