"""Figures of the MuJoCo study: errors by seed, one run over time, and pictures of the robot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from ...core.errors import MppiMamlError
from ...simulation.mujoco_world import MuJoCoWorld, save_picture
from ..closed_loop import Run
from .mujoco import StudySettings, draw

COLOURS = {"kinematic": "#c44e52", "fixed": "#8c8c8c", "adaptive": "#2a7f62"}
LABELS = {"kinematic": "kinematic", "fixed": "best fixed model, fitted offline", "adaptive": "adaptive"}
_SMOOTH = 1.0  # [s] window of the moving RMS


def draw_study(
    folder: Path, rows: list[dict], seed: int, runs: dict[str, Run], settings: StudySettings
) -> None:
    """``mujoco_study.png`` and, where pictures can be rendered, ``mujoco_robot.png``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    parameters, load = draw(seed, settings.duration)
    world = MuJoCoWorld(parameters, seed)
    figure = Figure(figsize=(11, 7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplot_mosaic([["bars", "map"], ["time", "time"]])
    _bars(axes["bars"], rows)
    _map(axes["map"], world, runs, seed)
    _over_time(axes["time"], runs, load.at, seed)
    figure.savefig(folder / "mujoco_study.png", dpi=110)
    try:
        save_picture(folder / "mujoco_robot.png", picture(seed, runs["adaptive"], settings))
    except MppiMamlError:
        (folder / "mujoco_robot.png").unlink(missing_ok=True)


def _bars(axes: Axes, rows: list[dict]) -> None:
    at, width = np.arange(len(rows)), 0.27
    for i, name in enumerate(COLOURS):
        heights = [row[name] for row in rows]
        axes.bar(at + (i - 1) * width, heights, width, color=COLOURS[name], label=LABELS[name])
    axes.set(xticks=at, xticklabels=[row["seed"] for row in rows], xlabel="seed", ylabel="RMSE [m]")
    axes.legend(frameon=False)
    axes.set_title("tracking error in each robot's world")


def _map(axes: Axes, world: MuJoCoWorld, runs: dict[str, Run], seed: int) -> None:
    reference = runs["adaptive"].reference
    low, high = reference[:, :2].min(axis=0) - 0.6, reference[:, :2].max(axis=0) + 0.6
    x, y = np.arange(low[0], high[0], 0.02), np.arange(low[1], high[1], 0.02)
    grip = np.array([[world.grip_at(a, b) for a in x] for b in y])
    slippery = np.ma.masked_where(grip >= 1.0, grip)
    axes.pcolormesh(x, y, slippery, cmap="Blues", vmin=-1.0, vmax=2.0, shading="nearest", rasterized=True)
    axes.plot(*reference[:, :2].T, "k--", lw=1.0)
    for name, result in runs.items():
        axes.plot(*result.states[:, :2].T, color=COLOURS[name], lw=1.2)
    axes.set(aspect="equal", xlabel="x [m]", ylabel="y [m]", xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    axes.set_title(f"seed {seed}; blue: slippery")


def _over_time(axes: Axes, runs: dict[str, Run], loaded_at: float, seed: int) -> None:
    for name, result in runs.items():
        window = max(1, int(_SMOOTH / result.dt))
        mean = np.convolve(result.error**2, np.ones(window) / window, mode="same")
        axes.plot(result.dt * np.arange(len(mean)), np.sqrt(mean), color=COLOURS[name], label=LABELS[name])
    axes.axvline(loaded_at, color="k", lw=1.0, ls=":")
    axes.annotate("load", (loaded_at, axes.get_ylim()[1]), ha="left", va="top", xytext=(4, -2),
                  textcoords="offset points")  # fmt: skip
    swaps = runs["adaptive"].swaps
    axes.plot(swaps, np.zeros(len(swaps)), "|", color=COLOURS["adaptive"], ms=10)
    axes.set(xlabel="time [s]", ylabel="error [m], 1 s RMS", ylim=(0.0, None))
    axes.set_title(f"seed {seed}; strokes: accepted swaps")
    axes.legend(frameon=False, loc="upper right")


def _replay(seed: int, result: Run, settings: StudySettings) -> Iterator[tuple[int, MuJoCoWorld]]:
    """The world after each command of a run; yields (step, world)."""
    parameters, load = draw(seed, settings.duration)
    world = MuJoCoWorld(parameters, seed, (load,), start=result.reference[0])
    for k, command in enumerate(result.commands):
        world.step(command, result.dt)
        yield k, world


def picture(seed: int, result: Run, settings: StudySettings) -> np.ndarray:
    """The robot two thirds through a run, with the way that it came; (height, width, 3) uint8.

    Raises:
        MppiMamlError: nothing can be rendered on this machine.
    """
    wanted = 2 * len(result.commands) // 3
    world = next(world for k, world in _replay(seed, result, settings) if k == wanted)
    return world.render(result.states[max(0, wanted - 200) : wanted, :2], distance=3.0)


def record(path: Path, seed: int, result: Run, settings: StudySettings, frame_rate: int = 10) -> None:
    """A run as an animated GIF in real time.

    Raises:
        MppiMamlError: nothing can be rendered on this machine.
    """
    from PIL import Image

    every = max(1, round(1.0 / (frame_rate * result.dt)))
    frames = [
        Image.fromarray(world.render(result.states[max(0, k - 200) : k + 1, :2], 480, 320, 3.0))
        for k, world in _replay(seed, result, settings)
        if k % every == 0
    ]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=1000 // frame_rate, loop=0)
