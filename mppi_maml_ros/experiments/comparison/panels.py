"""Panels that show several models as they drive the same run side by side."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np

from ...adaptation.attempt import Attempt
from ...core.errors import MppiMamlError, NoValidControlError
from ...references.figures import FIGURES
from ...weights.meta_model import MetaModel
from ..closed_loop import Run, Step
from ..plots import INK, MUTED, REFERENCE, STYLE, plt, save
from .contenders import Contender
from .figures import colours
from .offline import Library
from .results import Job
from .runs import ComparisonSettings, begin, changes_of

REFRESH = 5  # steps between two pictures
WINDOWED = ("QtAgg", "TkAgg", "GTK4Agg", "GTK3Agg", "WXAgg", "MacOSX")


def require_display() -> None:
    """Switch matplotlib to a window.

    Raises:
        MppiMamlError: there is no display, or no toolkit to open a window with.
    """
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise MppiMamlError(
            "--live needs a display: neither DISPLAY nor WAYLAND_DISPLAY is set (the report needs none)"
        )
    for name in WINDOWED:
        try:
            plt.switch_backend(name)
        except (ImportError, RuntimeError):
            continue
        return
    raise MppiMamlError("--live needs a window toolkit: pip install PyQt6, or install python3-tk")


class Panels:
    """Six panels: path, error, both commands, error so far, and what adaptation is judged by.

    Args:
        jobs: runs that are shown, one a model.
        reference: wanted poses, (T + 1, 3); dt: step [s].
        changes: when the world changes [s].
    """

    def __init__(
        self, jobs: Sequence[Job], reference: np.ndarray, dt: float, changes: Sequence[float] = ()
    ) -> None:
        self._dt, self._reference = dt, reference
        every = colours([job.model for job in jobs])
        self._colours = {job.model: every[job.model] for job in jobs}
        steps = len(reference) - 1
        self._done = dict.fromkeys(self._colours, 0)
        self._values = {model: np.full((steps, 5), np.nan) for model in self._colours}
        self._attempts: dict[str, list] = {model: [] for model in self._colours}
        with plt.rc_context(STYLE):
            self.figure, axes = plt.subplots(2, 3, figsize=(15.0, 8.0), layout="constrained")
            self._path, self._error, self._bars, self._v, self._omega, self._loss = axes.flat
            self._path.plot(*reference[:, :2].T, color=REFERENCE, lw=4.0, alpha=0.6)
            self._path.set_aspect("equal", adjustable="datalim")
            titles = (
                (self._path, "Path [m]"),
                (self._error, "Tracking error [m]"),
                (self._v, "Commanded velocity [m/s]"),
                (self._omega, "Commanded yaw rate [rad/s]"),
                (self._bars, "RMSE so far [m]"),
                (self._loss, "Held-out error of candidates [m²]"),
            )
            for axis, title in titles:
                axis.set_title(title)
            for axis in (self._error, self._v, self._omega, self._loss):
                axis.set_xlim(0.0, steps * dt)
                for at in changes:
                    axis.axvline(at, color=MUTED, lw=1.0, ls=(0, (4, 3)))
            self._lines = {}
            for model, colour in self._colours.items():
                self._lines[model] = [
                    axis.plot([], [], color=colour, lw=1.4, marker=marker, ms=4, label=model)[0]
                    for axis, marker in (
                        (self._path, ""),
                        (self._error, ""),
                        (self._v, ""),
                        (self._omega, ""),
                        (self._loss, "o"),
                    )
                ]
            self._loss.set_yscale("log")
            names = list(self._colours)
            self._rects = self._bars.barh(names, [0.0] * len(names), color=list(self._colours.values()))
            self._bars.invert_yaxis()
            self._bars.grid(False, axis="y")
            title = f"{jobs[0].world}, {jobs[0].trajectory}, seed {jobs[0].seed}"
            self.figure.suptitle(title, x=0.01, ha="left", fontsize=12.5, fontweight="bold", color=INK)

    def add(self, model: str, step: Step, attempts: Sequence[Attempt]) -> None:
        """Take in a step of a model, and all its attempts to adapt so far."""
        k = self._done[model]
        self._values[model][k] = *step.state[:2], step.error, *step.command
        self._done[model] = k + 1
        known = self._attempts[model]
        known.extend(
            (step.time, attempt.verdict.candidate)
            for attempt in attempts[len(known) :]
            if attempt.verdict is not None
        )
        # Attempts that were not judged have to be counted as well.
        known.extend([(np.nan, np.nan)] * (len(attempts) - len(known)))

    def draw(self) -> None:
        """Bring all panels up to date."""
        largest = 1e-3
        for rect, (model, lines) in zip(self._rects, self._lines.items(), strict=True):
            values = self._values[model][: self._done[model]]
            time = self._dt * np.arange(1, len(values) + 1)
            lines[0].set_data(*values[:, :2].T)
            for line, column in zip(lines[1:4], values[:, 2:].T, strict=True):
                line.set_data(time, column)
            judged = np.array(self._attempts[model]).reshape(-1, 2)
            judged = judged[np.isfinite(judged).all(axis=1) & (judged[:, 1] > 0.0)]
            lines[4].set_data(*judged.T)
            if len(values):
                rmse = float(np.sqrt(np.mean(values[:, 2] ** 2)))
                rect.set_width(rmse)
                largest = max(largest, rmse)
        self._bars.set_xlim(0.0, 1.1 * largest)
        for axis in (self._path, self._error, self._v, self._omega, self._loss):
            axis.relim()
            axis.autoscale_view(scalex=axis is self._path)


def show(jobs: Sequence[Job], settings: ComparisonSettings, library: Library) -> Path:
    """Drive ``jobs`` (one world, reference and seed) side by side and show them; returns the last picture.

    Closing the window ends it early. The window of a finished run stays until it is closed.
    """
    meta = MetaModel.load(settings.artifact)
    runs: dict[str, tuple[Generator[Step, None, Run], Contender]] = {}
    panels: Panels | None = None
    for job in jobs:
        world, entrant, steps = begin(job, settings, meta, library)
        runs[job.model] = (steps, entrant)
        if panels is None:
            dt = settings.mppi.model_dt
            times = dt * np.arange(int(round(settings.duration / dt)) + 1)
            reference = FIGURES[job.trajectory]().pose_at(times)
            panels = Panels(jobs, reference, dt, changes_of(world, settings.duration))
    assert panels is not None
    interactive = plt.get_backend().lower() != "agg"
    count = 0
    while runs and (not interactive or plt.fignum_exists(panels.figure.number)):
        for model, (steps, entrant) in list(runs.items()):
            try:
                panels.add(model, next(steps), entrant.attempts)
            except (StopIteration, NoValidControlError):
                del runs[model]
        count += 1
        if count % REFRESH == 0 or not runs:
            panels.draw()
            if interactive:
                plt.pause(0.001)
    first = jobs[0]
    path = library.folder / "images" / f"live_{first.trajectory}_{first.world}_{first.seed}.png"
    if interactive:
        plt.show(block=True)
    return save(panels.figure, path)
