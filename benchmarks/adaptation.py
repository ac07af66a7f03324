"""Time one adaptation: gradient steps from the meta-learned weights, and the closed-form adapters.

Every way of taking the same gradient steps runs in one process, turn by turn, so that the ratios
hold on a busy machine; medians of process CPU time.

    python benchmarks/adaptation.py --json adaptation.json
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
from _machine import machine
from _timing import measure_together
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mppi_maml_ros.adaptation.adapters.registry import ADAPTERS, make_adapter
from mppi_maml_ros.adaptation.sgd import SGDConfig, restore_then_adapt
from mppi_maml_ros.dynamics.residual import ResidualWeights, open_loop
from mppi_maml_ros.dynamics.transitions import Transitions
from mppi_maml_ros.weights.meta_model import PACKAGED, MetaModel

STEPS, RATE = 100, 0.005
INPUTS, OUTPUTS = 6, 3


def network(hidden: tuple[int, ...], inputs: int = INPUTS, seed: int = 0):
    """(W, b) pairs, float32."""
    rng = np.random.default_rng(seed)
    widths = [inputs, *hidden, OUTPUTS]
    return [
        ((rng.normal(size=(b, a)) / np.sqrt(a)).astype(np.float32), np.zeros(b, np.float32))
        for a, b in zip(widths[:-1], widths[1:], strict=True)
    ]


def ours(layers, activation: str, x, y):
    """The package's inner loop."""
    config = SGDConfig(inner_lr=RATE, inner_steps=STEPS, patience=0)
    return lambda: restore_then_adapt(layers, activation, x, y, config).layers


def by_hand(layers, activation: str, x, y):
    """Back-propagation in preallocated numpy and nothing else: no clipping, no checks."""
    rows = len(x)
    current = [(w.copy(), b.copy()) for w, b in layers]
    out = [np.empty((rows, len(b)), np.float32) for _, b in layers]
    delta = [np.empty_like(a) for a in out]
    grads = [(np.empty_like(w), np.empty_like(b)) for w, b in layers]
    rate = np.float32(RATE)

    def run():
        for (w, b), (w0, b0) in zip(current, layers, strict=True):
            w[:], b[:] = w0, b0
        for _ in range(STEPS):
            source = x
            for i, (w, b) in enumerate(current):
                np.matmul(source, w.T, out=out[i])
                out[i] += b
                if i < len(current) - 1:
                    if activation == "tanh":
                        np.tanh(out[i], out=out[i])
                    else:
                        np.maximum(out[i], 0.0, out=out[i])
                source = out[i]
            np.subtract(out[-1], y, out=delta[-1])
            delta[-1] *= np.float32(2.0 / rows)
            for i in range(len(current) - 1, -1, -1):
                source = x if i == 0 else out[i - 1]
                np.matmul(delta[i].T, source, out=grads[i][0])
                np.sum(delta[i], axis=0, out=grads[i][1])
                if i:
                    np.matmul(delta[i], current[i][0], out=delta[i - 1])
                    if activation == "tanh":
                        np.multiply(source, source, out=source)
                        np.subtract(np.float32(1.0), source, out=source)
                        delta[i - 1] *= source
                    else:
                        delta[i - 1] *= source > 0.0
            for (w, b), (gw, gb) in zip(current, grads, strict=True):
                gw *= rate
                w -= gw
                gb *= rate
                b -= gb
        return current

    return run


def by_torch(layers, activation: str, x, y):
    """torch.nn and torch.optim.SGD."""
    modules = []
    for i, (w, _) in enumerate(layers):
        linear = torch.nn.Linear(w.shape[1], w.shape[0])
        modules += (
            [linear] if i == 0 else [torch.nn.Tanh() if activation == "tanh" else torch.nn.ReLU(), linear]
        )
    model = torch.nn.Sequential(*modules)
    linears = [m for m in model if isinstance(m, torch.nn.Linear)]
    start = [(torch.tensor(w), torch.tensor(b)) for w, b in layers]
    inputs, targets = torch.tensor(x), torch.tensor(y)

    def run():
        with torch.no_grad():
            for linear, (w, b) in zip(linears, start, strict=True):
                linear.weight.copy_(w)
                linear.bias.copy_(b)
        optimiser = torch.optim.SGD(model.parameters(), lr=RATE)
        for _ in range(STEPS):
            optimiser.zero_grad()
            ((model(inputs) - targets) ** 2).sum(1).mean().backward()
            optimiser.step()
        return [(m.weight.detach().numpy(), m.bias.detach().numpy()) for m in linears]

    return run


WAYS = {"ours": ours, "numpy by hand": by_hand, "torch.optim.SGD": by_torch}


def driving(rows: int, taps: int, dt: float, seed: int = 0) -> Transitions:
    """Transitions of a weak and slow robot under commands that change all the time."""
    rng = np.random.default_rng(seed)
    robot = ResidualWeights.first_order((0.3, 0.2), gain=(0.8, 0.9), delay=0.05, model_dt=dt)
    before = np.zeros((taps, 2))
    commands = np.cumsum(0.2 * rng.normal(size=(rows, 2)), axis=0)
    commands = np.sin(commands)
    states = np.concatenate([np.zeros((1, 5)), open_loop(robot, np.zeros(5), commands, before)])
    states[:, 3:] += 0.01 * rng.normal(size=(rows + 1, 2))
    past = np.concatenate([before, commands])
    history = np.stack([past[taps - 1 - k : taps - 1 - k + rows] for k in range(taps)], axis=1)
    return Transitions(
        stamps=dt * np.arange(rows),
        states=states[:-1],
        commands=commands,
        history=history,
        next_states=states[1:],
        segments=np.zeros(rows, dtype=int),
        model_dt=dt,
    )


@click.command()
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="write the numbers here"
)
@click.option("--seconds", default=1.5, show_default=True, help="time for each way of a case")
def main(json_file: Path | None, seconds: float) -> None:
    """Time adaptation steps and the closed-form adapters."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    rows = []
    cases = [(h, a, m) for h in ((32,), (128, 128)) for a in ("tanh", "relu") for m in (20, 50, 200)]
    for hidden, activation, count in track(cases, description="gradient steps"):
        layers = network(hidden)
        x = rng.normal(size=(count, INPUTS)).astype(np.float32)
        y = rng.normal(size=(count, OUTPUTS)).astype(np.float32)
        functions = {name: make(layers, activation, x, y) for name, make in WAYS.items()}
        results = [function() for function in functions.values()]
        for other in results[1:]:
            for (w, _), (v, _) in zip(results[0], other, strict=True):
                np.testing.assert_allclose(w, v, atol=5e-3)  # at a kink of relu the last bit decides
        rows.append(
            {"hidden": list(hidden), "activation": activation, "rows": count}
            | {"ways": measure_together(functions, seconds)}
        )
    table = Table(title=f"restore + {STEPS} SGD steps, CPU ms (median); one thread")
    for column in ("network", "rows", *WAYS, "numpy / ours", "torch / ours"):
        table.add_column(column, justify="left" if column == "network" else "right")
    for row in rows:
        cpu = {name: row["ways"][name]["cpu_ms"] for name in WAYS}
        row["ratio_numpy"] = cpu["numpy by hand"] / cpu["ours"]
        row["ratio_torch"] = cpu["torch.optim.SGD"] / cpu["ours"]
        table.add_row(
            f"{'-'.join(map(str, row['hidden']))} {row['activation']}", str(row["rows"]),
            *(f"{cpu[name]:.2f}" for name in WAYS), f"{row['ratio_numpy']:.2f}", f"{row['ratio_torch']:.2f}",
        )  # fmt: skip
    Console().print(table)

    meta = MetaModel.load(PACKAGED)
    adapters = []
    for name in track(ADAPTERS, description="adapters"):
        for count in (50, 200):
            data = driving(count, meta.delay_taps, meta.model_dt)
            adapter = make_adapter(name, meta, SGDConfig())
            timed = measure_together({name: lambda a=adapter, d=data: a.adapt(d)}, min(seconds, 1.0))[name]
            adapters.append({"adapter": name, "rows": count, **timed})
    table = Table(title="one adaptation of each adapter with the packaged meta-model [ms]")
    for column in ("adapter", "rows", "CPU", "p50", "p95", "p99"):
        table.add_column(column, justify="left" if column == "adapter" else "right")
    for row in adapters:
        figures = (f"{row[key]:.2f}" for key in ("cpu_ms", "p50_ms", "p95_ms", "p99_ms"))
        table.add_row(row["adapter"], str(row["rows"]), *figures)
    Console().print(table)
    if json_file is not None:
        data = {"machine": machine(), "gradient_steps": rows, "adapters": adapters}
        json_file.write_text(json.dumps(data, indent=2) + "\n")


if __name__ == "__main__":
    main()
