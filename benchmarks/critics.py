"""Time the control step with critics: all of them, one by one, and none, on an empty and a filled map.

Every case is one whole step in one process and thread, all cases in turns; medians of thread CPU time and
of wall time. The ratio to the bare step of the same model and size is what counts. Beside them, pytorch_mppi
with the same seven costs.

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
import torch
from _cases import CELLS, DT, FILLED, LIMITS, PATHS, RESOLUTION, SEVEN, costmap, reference, step
from _machine import machine
from _timing import measure_in_rounds, measure_together
from rich.console import Console
from rich.table import Table

from mppi_maml_ros.mppi.costmap import Costmap
from mppi_maml_ros.mppi.critics import make_critics

SHAPES = ((1000, 56), (2000, 56))
CASES = ("kinematic", "default residual")


def cases(model: str, shape: tuple[int, int]) -> dict[str, Callable[[], object]]:
    """Steps by the critics at work and the map; the bare one first."""
    way = reference(shape[1])
    maps = {"empty": costmap(False, way), "filled": costmap(True, way)}
    functions = {"none": step(model, shape, (), maps["filled"])}
    for where, grid in maps.items():
        functions[f"seven, {where} map"] = step(model, shape, SEVEN, grid)
        functions[f"seven near the goal, {where} map"] = step(model, shape, SEVEN, grid, True)
    filled = maps["filled"]
    functions["seven, temperature 1"] = step(model, shape, SEVEN, filled, temperature=1.0)
    functions["seven, no rollout left out"] = step(model, shape, SEVEN, filled, temperature=1e4)
    for name in SEVEN:
        functions[f"{name} alone"] = step(model, shape, (name,), filled, True)
    return functions


def compare(rounds: int) -> list[dict]:
    """A row for each model, size and case."""
    rows = []
    for model in CASES:
        for samples, steps in SHAPES:
            times = measure_in_rounds(cases(model, (samples, steps)), rounds)
            bare = times["none"]["cpu_ms"]
            rows += [
                {
                    "model": model,
                    "K": samples,
                    "N": steps,
                    "critics": name,
                    **time,
                    "to_bare": time["cpu_ms"] / bare,
                }
                for name, time in times.items()
            ]
    return rows


def theirs(samples: int, steps: int, grid: Costmap) -> Callable[[], object]:
    """A step of pytorch_mppi with kinematics, the same tracking cost and the seven critics."""
    from pytorch_mppi import MPPI

    seven = dict(zip(SEVEN, make_critics(SEVEN, {}), strict=True))
    path = torch.tensor(reference(steps)[1:], dtype=torch.float32)
    q, goal = torch.tensor([10.0, 10.0, 1.0]), path[-1]
    pieces = torch.cat([path[:1], path[1::2]])
    start, along = pieces[:-1, :2], pieces[1:, :2] - pieces[:-1, :2]
    length = (along**2).sum(-1)
    field = torch.tensor(grid.field)
    near = seven["obstacles"]

    def dynamics(state, action, t):
        yaw, v = state[:, 2] + 0.5 * DT * action[:, 1], DT * action[:, 0]
        return torch.stack([state[:, 0] + v * torch.cos(yaw), state[:, 1] + v * torch.sin(yaw),
                            state[:, 2] + DT * action[:, 1]], 1)  # fmt: skip

    def turned(angle):
        return torch.remainder(angle + torch.pi, 2.0 * torch.pi).sub(torch.pi).abs()

    def cost(state, action, t):
        state = state.reshape(-1, 3)
        place, share = state[:, :2], 1.0 / steps
        total = ((state - path[t]) ** 2 * q).sum(-1) + 0.1 * (action.reshape(-1, 2) ** 2).sum(-1)
        cell = ((place - torch.tensor(grid.origin[:2], dtype=torch.float32)) / RESOLUTION).long()
        cell = cell.clamp(0, CELLS - 1)
        clearance = field[cell[:, 1], cell[:, 0]] - near.footprint_radius
        repulsion = torch.exp(-near.cost_scaling_factor * clearance) * (clearance < near.inflation_radius)
        total += near.cost_weight * torch.where(
            clearance <= 0.0, torch.full_like(total, 1e3), share * repulsion
        )
        total += 5.0 * share * (-action.reshape(-1, 2)[:, 0]).clamp(min=0.0)
        total += 5.0 * share * (place - goal[:2]).norm(dim=-1) + 3.0 * share * turned(state[:, 2] - goal[2])
        if t % 4 == 3:
            off = place[:, None] - start
            part = ((off * along).sum(-1) / length).clamp(0.0, 1.0)[..., None]
            total += 40.0 * share * (off - part * along).norm(dim=-1).amin(-1)
        if t == steps - 1:
            total += 5.0 * (place - goal[:2]).norm(dim=-1) + 2.0 * turned(state[:, 2] - goal[2])
        return total

    controller = MPPI(
        dynamics, cost, nx=3, noise_sigma=torch.diag(torch.tensor([0.25, 0.25])), num_samples=samples,
        horizon=steps, lambda_=1.0, u_min=torch.tensor(LIMITS.low, dtype=torch.float32),
        u_max=torch.tensor(LIMITS.high, dtype=torch.float32), step_dependent_dynamics=True,
    )  # fmt: skip
    state = torch.zeros(3)
    return lambda: controller.command(state)


def against_pytorch(seconds: float) -> list[dict]:
    """The kinematic step near the goal on the filled map beside pytorch_mppi with these costs."""
    rows = []
    for samples, steps in SHAPES:
        grid = costmap(True, reference(steps))
        times = measure_together(
            {
                "ours": step("kinematic", (samples, steps), SEVEN, grid, True),
                "pytorch_mppi": theirs(samples, steps, grid),
            },
            seconds,
        )
        ratio = times["pytorch_mppi"]["cpu_ms"] / times["ours"]["cpu_ms"]
        rows.append({"model": "kinematic, seven critics", "K": samples, "N": steps, **times, "ratio": ratio})
    return rows


def table(rows: list[dict]) -> Table:
    """For people."""
    result = Table("model", "K x N", "critics", title="control step with critics, one thread [ms]")
    for column in ("CPU", "wall", "p95", "to bare"):
        result.add_column(column, justify="right")
    for row in rows:
        times = (f"{row[key]:.3f}" for key in ("cpu_ms", "p50_ms", "p95_ms"))
        size = f"{row['K']} x {row['N']}"
        result.add_row(row["model"], size, row["critics"], *times, f"{row['to_bare']:.2f} x")
    return result


@click.command()
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="write the numbers here"
)
@click.option("--rounds", default=400, show_default=True, help="calls of each case")
@click.option("--seconds", default=1.0, show_default=True, help="for each of the two beside pytorch_mppi")
def main(json_file: Path | None, rounds: int, seconds: float) -> None:
    """Time the control step with critics."""
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    about, rows = machine(), compare(rounds)
    Console(width=120).print(table(rows))
    beside = against_pytorch(seconds)
    for row in beside:
        click.echo(
            f"pytorch_mppi with these costs, {row['K']} x {row['N']}: {row['ratio']:.1f} times as long"
        )
    if json_file is not None:
        found = {"machine": about, "temperature": PATHS, "filled": FILLED, "critics": rows, "rows": beside}
        json_file.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
