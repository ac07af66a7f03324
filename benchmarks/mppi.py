"""Time one control step, side by side with pytorch_mppi, in one process.

Both controllers sample, roll out, score and average with the same model, K, N and cost, in turns;
medians of process CPU time with one thread, of wall time with two (this package's kernels use one
in either case). The ratio is what counts: milliseconds differ between machines.

    python benchmarks/mppi.py --json mppi.json
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import json
from pathlib import Path

import click
import numpy as np
import torch
from _cases import DEFAULT_HIDDEN, DT, LIMITS, MODELS
from _machine import machine
from _timing import measure_together
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mppi_maml_ros.dynamics.residual import ResidualWeights
from mppi_maml_ros.mppi import MPPIConfig, MPPIController

SHAPES = ((512, 30), (1000, 30), (1000, 56), (2000, 30), (2000, 56))
BARS = ((1000, 30), (1000, 56), (2000, 56))
WIDTHS = Path(__file__).resolve().parent.parent / "docs" / "results" / "width.json"


def ours(weights: ResidualWeights | None, samples: int, steps: int, rollout=None):
    """One step of this package's controller, as a function without arguments."""
    config = MPPIConfig(batch_size=samples, time_steps=steps)
    controller = MPPIController(config, LIMITS, seed=0, rollout=rollout)
    controller.warm_up(weights)
    reference = np.column_stack([0.5 * DT * np.arange(steps + 1), np.zeros((steps + 1, 2))])
    state, history = np.zeros(5), np.zeros((8, 2))
    return lambda: controller.compute_control(state, reference, history, history[0], weights)


def theirs(weights: ResidualWeights | None, samples: int, steps: int, device: str = "cpu"):
    """One step of pytorch_mppi with the same model and cost; waits for the device."""
    from pytorch_mppi import MPPI

    reference = torch.stack(
        [0.5 * DT * torch.arange(1, steps + 1), torch.zeros(steps), torch.zeros(steps)], dim=1
    ).to(device)
    q = torch.tensor([10.0, 10.0, 1.0], device=device)

    def cost(state, action, t):
        return ((state[..., :3] - reference[t]) ** 2 * q).sum(-1) + 0.1 * (action**2).sum(-1)

    if weights is None:
        size = 3

        def dynamics(state, action, t):
            yaw = state[:, 2] + 0.5 * DT * action[:, 1]
            v = DT * action[:, 0]
            return torch.stack(
                [
                    state[:, 0] + v * torch.cos(yaw),
                    state[:, 1] + v * torch.sin(yaw),
                    state[:, 2] + DT * action[:, 1],
                ],
                1,
            )
    else:
        size = 5
        layers = [[torch.tensor(part, device=device) for part in pair] for pair in weights.layers]
        inputs = weights.layers[0][0].shape[1]
        activate = torch.tanh if weights.activation == "tanh" else torch.relu

        def dynamics(state, action, t):
            hidden = torch.cat([state[:, 3:], action], 1)
            if inputs > 4:  # past commands: the newest stands in for them, which costs the same
                hidden = torch.cat([hidden, action.repeat(1, (inputs - 4) // 2)], 1)
            for w, b in layers[:-1]:
                hidden = activate(torch.nn.functional.linear(hidden, w, b))
            delta = torch.nn.functional.linear(hidden, *layers[-1])
            end = action + delta[:, :2]
            mean = 0.5 * (state[:, 3:] + end)
            yaw = state[:, 2] + 0.5 * DT * mean[:, 1]
            cos, sin = torch.cos(yaw), torch.sin(yaw)
            x = state[:, 0] + DT * (mean[:, 0] * cos - delta[:, 2] * sin)
            y = state[:, 1] + DT * (mean[:, 0] * sin + delta[:, 2] * cos)
            return torch.stack([x, y, state[:, 2] + DT * mean[:, 1], end[:, 0], end[:, 1]], 1)

    controller = MPPI(
        dynamics,
        cost,
        nx=size,
        noise_sigma=torch.diag(torch.tensor([0.25, 0.25])).to(device),
        num_samples=samples,
        horizon=steps,
        lambda_=1.0,
        u_min=torch.tensor(LIMITS.low, dtype=torch.float32, device=device),
        u_max=torch.tensor(LIMITS.high, dtype=torch.float32, device=device),
        step_dependent_dynamics=True,
        device=device,
    )
    state = torch.zeros(size, device=device)
    return lambda: controller.command(state).cpu()


def accuracy() -> dict[str, float]:
    """Held-out loss after adaptation of the meta-trained networks, by model; from ``width.py``."""
    if not WIDTHS.exists():
        return {}
    loss = {tuple(row["hidden"]): row["loss"]["maml"][1] for row in json.loads(WIDTHS.read_text())["rows"]}
    found = {"default residual": loss.get(DEFAULT_HIDDEN), "residual 128-128 tanh": loss.get((128, 128))}
    return {name: value for name, value in found.items() if value is not None}


def compare(shapes, seconds: float, threads: int, description: str) -> list[dict]:
    """Both controllers with every model, a row for each shape."""
    torch.set_num_threads(threads)
    key = "cpu_ms" if threads == 1 else "p50_ms"
    rows, errors = [], accuracy()
    cases = [(model, samples, steps) for model in MODELS for samples, steps in shapes]
    for model, samples, steps in track(cases, description=description):
        weights = MODELS[model]
        both = {"ours": ours(weights, samples, steps), "pytorch_mppi": theirs(weights, samples, steps)}
        times = measure_together(both, seconds)
        rows.append(
            {"model": model, "K": samples, "N": steps, "threads": threads}
            | times
            | {"ratio": times["pytorch_mppi"][key] / times["ours"][key]}
            | ({"held_out_loss": errors[model]} if model in errors else {})
        )
    return rows


def table(rows: list[dict], about: dict, key: str) -> Table:
    """The rows side by side; ``key``: what the ratio compares."""
    threads = rows[0]["threads"]
    what = "CPU ms (median)" if key == "cpu_ms" else "ms (median)"
    result = Table(title=f"control step, {what}; {about['cpu']}, {threads} thread{'s' * (threads > 1)}")
    names = (
        "model",
        "held-out loss",
        "K x N",
        "ours",
        "p95",
        "p99",
        "pytorch_mppi",
        "p95",
        "p99",
        "faster by",
    )
    for i, name in enumerate(names):
        result.add_column(name, justify="left" if i == 0 else "right")
    for row in rows:
        mine, other = row["ours"], row["pytorch_mppi"]
        result.add_row(
            row["model"],
            f"{row['held_out_loss']:.3f}" if "held_out_loss" in row else "",
            f"{row['K']} x {row['N']}",
            *(f"{mine[name]:.2f}" for name in (key, "p95_ms", "p99_ms")),
            *(f"{other[name]:.1f}" for name in (key, "p95_ms", "p99_ms")),
            f"{row['ratio']:.1f} x",
        )
    return result


@click.command()
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="write the numbers here"
)
@click.option("--seconds", default=1.0, show_default=True, help="time for each measurement")
@click.option(
    "--two-threads/--one-thread", default=True, show_default=True, help="also with two torch threads"
)
def main(json_file: Path | None, seconds: float, two_threads: bool) -> None:
    """Time the control step against pytorch_mppi."""
    torch.set_grad_enabled(False)
    try:
        import pytorch_mppi  # noqa: F401 - is it there?
    except ImportError:
        raise click.ClickException("pytorch_mppi is missing: pip install pytorch_mppi") from None
    about = machine()
    console = Console(width=120)
    rows = compare(SHAPES, seconds, 1, "one thread")
    console.print(table(rows, about, "cpu_ms"))
    result = {"machine": about, "rows": rows}
    if two_threads:
        result["two_threads"] = compare(BARS, 0.5 * seconds, 2, "two threads")
        console.print(table(result["two_threads"], about, "p50_ms"))
    if json_file is not None:
        json_file.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
