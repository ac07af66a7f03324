"""Time the control step with critics: all of them, one by one, and none, on an empty and a filled map.

Every case is one whole step in one process, in turns; medians of process CPU time and of wall time, one
thread. The ratio to the bare step of the same model and size is what counts.

    python benchmarks/critics.py --json critics.json
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import json
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from _machine import machine
from _timing import measure_together
from mppi import DT, LIMITS, MODELS
from rich.console import Console
from rich.table import Table

from mppi_maml_ros.mppi import MPPIConfig, MPPIController
from mppi_maml_ros.mppi.costmap import Costmap
from mppi_maml_ros.mppi.critics import Critic, Scene, make_critics

SEVEN = ("obstacles", "goal", "goal_angle", "path_align", "path_follow", "path_angle", "prefer_forward")
AT_WORK = {"goal.threshold_to_consider": 100.0, "goal_angle.threshold_to_consider": 100.0}
SHAPES = ((1000, 56), (2000, 56))
CASES = ("kinematic", "default residual")
SPEED, CURVATURE = 0.5, 0.8  # [m/s, 1/m] of the reference
CELLS, RESOLUTION = 120, 0.05  # a local costmap of 6 m
REACH = 0.55  # [m] from an obstacle where `obstacles` still costs something, with its defaults
FILLED = 0.62  # share of the cells within that reach


def reference(steps: int) -> np.ndarray:
    """An S of two arcs of a figure of eight, shape (steps + 1, 3)."""
    speeds = np.full(steps, SPEED)
    turns = np.where(np.arange(steps) < steps // 2, CURVATURE, -CURVATURE) * speeds * DT
    yaw = np.concatenate([[0.0], np.cumsum(turns)])
    middle = yaw[:-1] + 0.5 * turns
    ahead = np.stack([np.cos(middle), np.sin(middle)], axis=1) * (speeds * DT)[:, None]
    return np.column_stack([np.concatenate([np.zeros((1, 2)), np.cumsum(ahead, axis=0)]), yaw])


def costmap(filled: bool, way: np.ndarray, seed: int = 0) -> Costmap:
    """A grid around the robot: free but for one cell far away, or with posts beside the way."""
    data = np.zeros((CELLS, CELLS), dtype=np.int8)
    data[0, 0] = 100
    half = 0.5 * CELLS * RESOLUTION
    rng = np.random.default_rng(seed)
    grid = Costmap(data, RESOLUTION, (-half, -half))
    while filled and (grid.field < REACH).mean() < FILLED:
        row, column = rng.integers(0, CELLS, 2)
        place = (np.array([column, row]) + 0.5) * RESOLUTION - half
        if np.hypot(*(way[:, :2] - place).T).min() > 0.35:
            data[row, column] = 100
            grid = Costmap(data, RESOLUTION, (-half, -half))
    return grid


def step(model: str, shape: tuple[int, int], critics: tuple[Critic, ...], grid: Costmap) -> Callable:
    """One control step, as a function without arguments."""
    samples, steps = shape
    way, weights = reference(steps), MODELS[model]
    controller = MPPIController(
        MPPIConfig(batch_size=samples, time_steps=steps), LIMITS, 0, critics=critics
    )
    controller.warm_up(weights)
    scene = Scene(goal=way[-1], remaining=5.0, costmap=grid)
    state, past = np.array([0.0, 0.0, 0.0, SPEED, 0.0]), np.tile([SPEED, 0.0], (8, 1))
    return lambda: controller.compute_control(state, way, past, past[0], weights, DT, scene)


def cases(model: str, shape: tuple[int, int]) -> dict[str, Callable]:
    """Steps by the critics at work and the map."""
    way = reference(shape[1])
    empty, filled = costmap(False, way), costmap(True, way)
    functions = {"none": step(model, shape, (), filled)}
    for where, grid in (("empty", empty), ("filled", filled)):
        for name, names, values in (
            ("all at work", SEVEN, AT_WORK),
            ("all, goal far away", SEVEN, {}),
        ):
            functions[f"{name}, {where} map"] = step(model, shape, make_critics(names, values), grid)
        functions[f"obstacles, {where} map"] = step(model, shape, make_critics(["obstacles"], {}), grid)
    for name in SEVEN[1:]:
        functions[name] = step(model, shape, make_critics([name], AT_WORK), filled)
    return functions


def compare(seconds: float) -> list[dict]:
    """A row for each model and size."""
    rows = []
    for model in CASES:
        for shape in SHAPES:
            times = measure_together(cases(model, shape), seconds)
            bare = times["none"]
            rows += [
                {"model": model, "K": shape[0], "N": shape[1], "critics": name, **time}
                | {"to_bare": time["cpu_ms"] / bare["cpu_ms"]}
                for name, time in times.items()
            ]
    return rows


def table(rows: list[dict]) -> Table:
    """For people."""
    result = Table("model", "K x N", "critics", title="control step with critics, one thread [ms]")
    for column in ("CPU", "wall", "p95", "to bare"):
        result.add_column(column, justify="right")
    for row in rows:
        result.add_row(
            row["model"],
            f"{row['K']} x {row['N']}",
            row["critics"],
            *(f"{row[key]:.3f}" for key in ("cpu_ms", "p50_ms", "p95_ms")),
            f"{row['to_bare']:.2f} x",
        )
    return result


@click.command()
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="write the numbers here"
)
@click.option("--seconds", default=0.5, show_default=True, help="time for each measurement")
def main(json_file: Path | None, seconds: float) -> None:
    """Time the control step with critics."""
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    rows = compare(seconds)
    Console(width=120).print(table(rows))
    if json_file is not None:
        json_file.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
