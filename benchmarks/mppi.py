"""Time one control step, side by side with pytorch_mppi, in one process.

Both controllers sample, roll out, score and average with the same model, K, N and cost; medians
of process CPU time, threads as given. The ratio is what counts: milliseconds differ between
machines.

    python benchmarks/mppi.py --json mppi.json
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import json
import platform
import time
from pathlib import Path

import click
import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mppi_maml_ros.core.types import VelocityLimits
from mppi_maml_ros.dynamics.features import feature_size, input_size
from mppi_maml_ros.dynamics.residual import ResidualWeights
from mppi_maml_ros.mppi import MPPIConfig, MPPIController

DT = 0.05
SHAPES = ((512, 30), (1000, 30), (1000, 56), (2000, 30), (2000, 56))
LIMITS = VelocityLimits(vx_max=1.0, vx_min=-0.35, wz_max=1.9, ax_max=1e3, ax_min=-1e3, az_max=1e3)
DEFAULT_TAPS, DEFAULT_HIDDEN = 4, (32,)


def residual(taps: int, hidden: tuple[int, ...], activation: str, seed: int = 0) -> ResidualWeights:
    """A residual of the given size with small random weights."""
    rng = np.random.default_rng(seed)
    widths = [input_size(taps), *hidden, 3]
    layers = [
        (rng.normal(size=(b, a)) / np.sqrt(a), np.zeros(b))
        for a, b in zip(widths[:-1], widths[1:], strict=True)
    ]
    layers[-1] = (0.01 * layers[-1][0], layers[-1][1])
    return ResidualWeights(
        linear=0.01 * rng.normal(size=(3, feature_size(taps))),
        layers=layers,
        input_scale=np.ones(input_size(taps)),
        displacement_blend=1.0,
        activation=activation,
        delay_taps=taps,
        model_dt=DT,
        adapter="benchmark",
    )


MODELS = {
    "kinematic": None,
    "default residual": residual(DEFAULT_TAPS, DEFAULT_HIDDEN, "tanh"),
    "residual 128-128 relu": residual(0, (128, 128), "relu"),
    "residual 128-128 tanh": residual(0, (128, 128), "tanh"),
}


def ours(weights: ResidualWeights | None, samples: int, steps: int):
    """One step of this package's controller, as a function without arguments."""
    controller = MPPIController(MPPIConfig(batch_size=samples, time_steps=steps), LIMITS, seed=0)
    controller.warm_up(weights)
    reference = np.column_stack([0.5 * DT * np.arange(steps + 1), np.zeros((steps + 1, 2))])
    state, history = np.zeros(5), np.zeros((8, 2))
    return lambda: controller.compute_control(state, reference, history, history[0], weights)


def theirs(weights: ResidualWeights | None, samples: int, steps: int):
    """One step of pytorch_mppi with the same model and cost."""
    from pytorch_mppi import MPPI

    reference = torch.stack(
        [0.5 * DT * torch.arange(1, steps + 1), torch.zeros(steps), torch.zeros(steps)], dim=1
    )
    q = torch.tensor([10.0, 10.0, 1.0])

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
        layers = [(torch.tensor(w), torch.tensor(b)) for w, b in weights.layers]
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
        noise_sigma=torch.diag(torch.tensor([0.25, 0.25])),
        num_samples=samples,
        horizon=steps,
        lambda_=1.0,
        u_min=torch.tensor(LIMITS.low, dtype=torch.float32),
        u_max=torch.tensor(LIMITS.high, dtype=torch.float32),
        step_dependent_dynamics=True,
    )
    state = torch.zeros(size)
    return lambda: controller.command(state)


def measure(step, seconds: float) -> dict[str, float]:
    """Median of process CPU time, and median, p95 and p99 of wall time [ms]."""
    for _ in range(3):
        step()
    cpu, wall = [], []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(wall) < 10:
        c, w = time.process_time(), time.perf_counter()
        step()
        cpu.append(1e3 * (time.process_time() - c))
        wall.append(1e3 * (time.perf_counter() - w))
    p50, p95, p99 = np.percentile(wall, [50, 95, 99])
    return {"cpu_ms": float(np.median(cpu)), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "count": len(wall)}


def machine() -> dict:
    """What the figures were measured on."""
    info = Path("/proc/cpuinfo")
    names = (
        [x.split(":")[1].strip() for x in info.read_text().splitlines() if x.startswith("model name")]
        if info.exists()
        else []
    )
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


@click.command()
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="write the numbers here"
)
@click.option("--threads", default=1, show_default=True, help="torch threads; numba kernels use one")
@click.option("--seconds", default=1.5, show_default=True, help="time for each measurement")
def main(json_file: Path | None, threads: int, seconds: float) -> None:
    """Time the control step against pytorch_mppi."""
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    try:
        import pytorch_mppi  # noqa: F401 - is it there?
    except ImportError:
        raise click.ClickException("pytorch_mppi is missing: pip install pytorch_mppi") from None
    cases = [(model, samples, steps) for model in MODELS for samples, steps in SHAPES]
    rows = []
    for model, samples, steps in track(cases, description="measuring"):
        mine = measure(ours(MODELS[model], samples, steps), seconds)
        other = measure(theirs(MODELS[model], samples, steps), seconds)
        ratio = other["cpu_ms"] / mine["cpu_ms"]
        rows.append(
            {"model": model, "K": samples, "N": steps, "ours": mine, "pytorch_mppi": other, "ratio": ratio}
        )
    about = machine() | {"threads": threads}
    table = Table(title=f"control step, CPU ms (median), {about['cpu']}, {threads} thread(s)")
    for name in ("model", "K x N", "ours", "p95", "p99", "pytorch_mppi", "faster by"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for row in rows:
        mine, other = row["ours"], row["pytorch_mppi"]
        table.add_row(
            row["model"],
            f"{row['K']} x {row['N']}",
            *(f"{mine[key]:.2f}" for key in ("cpu_ms", "p95_ms", "p99_ms")),
            f"{other['cpu_ms']:.2f}",
            f"{row['ratio']:.1f} x",
        )
    Console().print(table)
    if json_file is not None:
        json_file.write_text(json.dumps({"machine": about, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
