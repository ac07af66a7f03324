"""Figures of the reports. Drawn off screen; files appear complete or not at all."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from ..core.files import write_file
from ..system.recording import Run

INK, MUTED, GRID = "#1f2933", "#7b8794", "#e4e7eb"
REFERENCE, KINEMATIC, ADAPTIVE, SWAP, REJECTION = "#9aa5b1", "#d9622b", "#1264a3", "#2f9e6e", "#c0392b"

STYLE = {
    "font.size": 10.5,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
}


def save(figure, path: Path) -> Path:
    """Write a figure as PNG and close it."""
    image = io.BytesIO()
    try:
        figure.savefig(image, format="png", dpi=150, facecolor="white")
    finally:
        plt.close(figure)
    write_file(path, image.getvalue())
    return path


def demo_figure(kinematic: Run, adaptive: Run, settled: float, title: str, subtitle: str):
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


def _paths(axis, kinematic: Run, adaptive: Run) -> None:
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


def _cloud(axis, kinematic: Run, adaptive: Run, settled: float) -> None:
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


def _errors(axis, kinematic: Run, adaptive: Run) -> None:
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


def _commands(axis, kinematic: Run, adaptive: Run, column: int, title: str) -> None:
    axis.set_title(title)
    axis.plot(kinematic.time, kinematic.command[:, column], color=KINEMATIC, lw=1.2, alpha=0.9)
    axis.plot(adaptive.time, adaptive.command[:, column], color=ADAPTIVE, lw=1.2, alpha=0.9)
    axis.margins(y=0.12)


def learning_curves(curves: dict[str, np.ndarray], title: str, held_out: dict[str, np.ndarray] | None = None):
    """Query loss before and after adaptation over the outer iterations.

    Args:
        curves: per network, shape (iterations, 2): loss before and after the inner steps.
        title: above the panels.
        held_out: per network, shape (evaluations, 3): iteration, loss before and after on held-out tasks.
    """
    wide = min(len(curves), 4)
    rows = -(-len(curves) // wide)
    with plt.rc_context(STYLE):
        size = (max(4.2 * wide, 5.6), 3.3 * rows + 0.5)
        figure, axes = plt.subplots(rows, wide, figsize=size, squeeze=False)
        for axis in axes.ravel()[len(curves) :]:
            axis.set_visible(False)
        for axis, (name, curve) in zip(axes.ravel(), curves.items(), strict=False):
            width = max(1, min(50, len(curve) // 10))
            kernel = np.ones(width) / width
            x = np.arange(width, len(curve) + 1)
            axis.set_title(name)
            for column, colour, label in (
                (0, KINEMATIC, "before adaptation"),
                (1, ADAPTIVE, "after adaptation"),
            ):
                smooth = np.convolve(curve[:, column], kernel, "valid")
                axis.plot(x, smooth, color=colour, lw=1.2, label=label)
                if held_out and len(held_out.get(name, ())):
                    rows_ = held_out[name]
                    axis.plot(
                        rows_[:, 0], rows_[:, 1 + column], "o", ms=3.5, color=colour, mec="white", mew=0.5
                    )
            axis.set_yscale("log")
            axis.grid(True, which="both")
        for axis in axes[-1]:
            axis.set_xlabel("outer iteration")
        for axis in axes[:, 0]:
            axis.set_ylabel("query loss (normalised)")
        axes[0][0].legend()
        dots = "; dots: held-out tasks" if held_out else ""
        figure.suptitle(title + dots, x=0.01, ha="left", fontsize=10.5, color=MUTED)
        figure.tight_layout()
    return figure


def prediction_figure(result: dict):
    """Residual error over the number of transitions; a panel a condition, a line a row of the study."""
    table, sizes = result["table"], result["sizes"]
    names = list(next(iter(table.values())))
    shades = plt.get_cmap("tab20")(np.linspace(0.0, 1.0, 20))
    colour = {name: shades[i % 20] for i, name in enumerate(names)}
    colour |= {"kinematics": KINEMATIC, "no adaptation": MUTED, result["default"]: ADAPTIVE}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(table), figsize=(1.0 + 3.3 * len(table), 4.6), sharey=True, squeeze=False,
            layout="constrained",
        )  # fmt: skip
        for axis, (condition, rows) in zip(axes[0], table.items(), strict=True):
            for name in names:
                ours = name == result["default"]
                means = np.array([max(cell["mean"], 1e-4) for cell in rows[name]])
                axis.plot(
                    sizes, means, "o-", color=colour[name], lw=2.4 if ours else 1.2, ms=5 if ours else 3,
                    zorder=5 if ours else 3, label=name,
                )  # fmt: skip
            axis.set_xscale("log")
            axis.set_yscale("log")
            axis.set_xticks(sizes, [str(size) for size in sizes])
            axis.minorticks_off()
            axis.set_title(condition)
            axis.set_xlabel("transitions")
        axes[0][0].set_ylabel("residual error, RMS (below 1e-4: drawn there)")
        figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncol=6)
    return figure
