"""Style, colours and files of every figure. Drawn off screen; files appear complete or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from ..core.files import write_file

INK, MUTED, GRID = "#1f2933", "#7b8794", "#e4e7eb"
REFERENCE, KINEMATIC, ADAPTIVE, SWAP, REJECTION = "#9aa5b1", "#d9622b", "#1264a3", "#2f9e6e", "#c0392b"

STYLE: Any = {  # matplotlib types it by all the keys that there are
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


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG and close it."""
    image = io.BytesIO()
    try:
        figure.savefig(image, format="png", dpi=150, facecolor="white")
    finally:
        plt.close(figure)
    write_file(path, image.getvalue())
    return path


def legend_below(figure: Figure, handles: list[Any], labels: list[str], columns: int) -> None:
    """A legend under all axes of a figure with constrained layout."""
    legend = figure.legend(handles, labels, loc="lower center", ncol=columns)
    height = legend.get_window_extent().height / figure.bbox.height
    figure.get_layout_engine().set(rect=(0.0, height, 1.0, 1.0 - height))  # type: ignore[union-attr, call-arg]


def learning_curves(
    curves: dict[str, np.ndarray], title: str, held_out: dict[str, np.ndarray] | None = None
) -> Figure:
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
