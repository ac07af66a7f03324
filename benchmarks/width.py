"""Accuracy of the meta-learned residual against its width, and what it costs in a control step.

Each width is meta-trained alike, for fewer iterations than the packaged weights, and judged on worlds
that it was not trained on: mean square error of the network's part of the prediction after
adaptation, in units of what there is to learn.

    python benchmarks/width.py --json docs/results/width.json
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import json
from pathlib import Path

import attrs
import click
import numpy as np
from _machine import machine
from _timing import measure_together
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from mppi_maml_ros.core.types import VelocityLimits
from mppi_maml_ros.meta.pipeline import meta_train
from mppi_maml_ros.meta.trainers.fomaml import FOMAMLConfig
from mppi_maml_ros.mppi import MPPIConfig, MPPIController

WIDTHS = ((8,), (16,), (32,), (64,), (128,), (128, 128))
SAMPLES, STEPS = 1000, 30


def control_step(weights):
    """One control step with ``weights``, as a function without arguments."""
    controller = MPPIController(MPPIConfig(batch_size=SAMPLES, time_steps=STEPS), VelocityLimits(), seed=0)
    controller.warm_up(weights)
    reference = np.column_stack([0.025 * np.arange(STEPS + 1), np.zeros((STEPS + 1, 2))])
    state, history = np.zeros(5), np.zeros((8, 2))
    return lambda: controller.compute_control(state, reference, history, history[0], weights)


@click.command()
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="write the numbers here"
)
@click.option("--iterations", default=300, show_default=True, help="of each meta-training")
@click.option("--seed", default=0, show_default=True)
def main(json_file: Path | None, iterations: int, seed: int) -> None:
    """Meta-train each width and judge it."""
    rows = []
    table = Table(title=f"held-out loss after {iterations} meta-iterations; control step {SAMPLES} x {STEPS}")
    columns = ("hidden", "physics+maml", "unadapted", "maml", "unadapted", "control step [ms]")
    for column in columns:
        table.add_column(column, justify="left" if column == "hidden" else "right")
    with Progress() as progress:
        for hidden in WIDTHS:
            config = attrs.evolve(FOMAMLConfig(), hidden=hidden, iterations=iterations, seed=seed)
            task = progress.add_task("-".join(map(str, hidden)), total=2 * iterations)
            outcome = meta_train(config, on_progress=lambda report, t=task: progress.advance(t, 10))
            losses = outcome.meta.provenance["held_out_loss"]
            weights = outcome.meta.weights("maml", layers=outcome.meta.networks["maml"])
            ms = measure_together({"step": control_step(weights)}, 1.0)["step"]["cpu_ms"]
            rows.append({"hidden": list(hidden), "loss": losses, "step_cpu_ms": ms})
            (before, after), (before_alone, after_alone) = losses["physics+maml"], losses["maml"]
            figures = (after, before, after_alone, before_alone)
            table.add_row("-".join(map(str, hidden)), *(f"{x:.4f}" for x in figures), f"{ms:.2f}")
            if json_file is not None:
                about = {"machine": machine(), "iterations": iterations, "seed": seed}
                json_file.parent.mkdir(parents=True, exist_ok=True)
                json_file.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")
    Console().print(table)


if __name__ == "__main__":
    main()
