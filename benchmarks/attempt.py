"""One attempt to adapt, from detection of change to the last test of the guard, beside one control step.

The robot of the demo drives under commands that change all the time; every half second of it an attempt
and a control step of the default residual, network included, take their turn in one process. Medians of CPU
time; the ratio holds on any machine.

    python benchmarks/attempt.py --json attempt.json
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import json
import time
from collections import Counter
from pathlib import Path

import click
import numpy as np
from _cases import MODELS
from _machine import machine
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mppi_maml_ros.adaptation.adapters.registry import ADAPTERS
from mppi_maml_ros.adaptation.attempt import Decision
from mppi_maml_ros.adaptation.online import OnlineAdaptation, OnlineConfig
from mppi_maml_ros.core.types import Odometry, VelocityLimits
from mppi_maml_ros.mppi import MPPIConfig, MPPIController
from mppi_maml_ros.simulation.world import DynamicWorld
from mppi_maml_ros.system.demo import draw_world
from mppi_maml_ros.weights.meta_model import PACKAGED, MetaModel

DEFAULT = MODELS["default residual"]
RATE = 20.0  # [Hz] of odometry and commands
SAMPLES, STEPS = 1000, 30
FULL = 15.0  # [s] until the buffer is full


def run(adapter: str, attempts: int) -> dict:
    """Drive until so many attempts were made with a full buffer, each of which that may is installed.

    Returns:
        CPU time of an attempt and of a control step [ms]: median and p95; decisions; µs a sample of odometry.
    """
    config = OnlineConfig(adapter=adapter)
    meta = MetaModel.load(PACKAGED)
    online, world, dt = OnlineAdaptation(meta, config), DynamicWorld(draw_world(0), seed=0), 1.0 / RATE
    online.warm_up()
    times: dict[str, list[float]] = {"attempt": [], "control_step": [], "odometry": []}
    decisions: Counter[str] = Counter()
    controller = MPPIController(MPPIConfig(batch_size=SAMPLES, time_steps=STEPS), VelocityLimits(), 0)
    reference, history = np.zeros((STEPS + 1, 3)), np.zeros((meta.delay_taps, 2))
    while len(times["attempt"]) < attempts:
        t = world.time
        command = 0.4 + 0.1 * np.sin(0.7 * t), 0.8 * np.sin(0.31 * t) + 0.2 * np.sin(1.3 * t)
        online.add_command(t, command)
        world.step(command, dt)
        seen = world.odometry()
        started = time.process_time()
        online.add_odometry(Odometry(world.time - world.odometry_age, seen[:3], seen[3:]))
        times["odometry"].append(1e3 * (time.process_time() - started))
        if not online.due:
            continue
        started = time.process_time()
        attempt = online.attempt()
        took = 1e3 * (time.process_time() - started)
        if attempt.weights is not None:
            online.installed()
        if world.time < FULL or online.serving is None:
            continue
        decisions[Decision(attempt.decision).name] += 1
        times["attempt"].append(took)
        for _ in range(2):  # the first one brings its memory into the cache
            started = time.process_time()
            controller.compute_control(seen, reference, history, history[0], DEFAULT)
        times["control_step"].append(1e3 * (time.process_time() - started))
    result: dict = {"adapter": adapter, "attempts": attempts, "decisions": dict(decisions)}
    for name, values in times.items():
        result[f"{name}_ms"], result[f"{name}_p95_ms"] = map(float, np.percentile(values, [50, 95]))
    return result | {"ratio": result["attempt_ms"] / result["control_step_ms"]}


@click.command()
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="write the numbers here"
)
@click.option("--attempts", default=200, show_default=True, help="of each adapter")
@click.option("--adapter", "names", multiple=True, type=click.Choice(list(ADAPTERS)), help="default: all")
def main(json_file: Path | None, attempts: int, names: tuple[str, ...]) -> None:
    """Time attempts."""
    about = machine()
    rows = [run(name, attempts) for name in track(list(names) or list(ADAPTERS), description="attempts")]
    table = Table(title=f"CPU [ms]; control step: {SAMPLES} x {STEPS}")
    for column in ("adapter", "attempt", "p95", "control step", "ratio", "odometry", "decisions"):
        table.add_column(column, justify="left" if column in ("adapter", "decisions") else "right")
    for row in rows:
        table.add_row(
            row["adapter"], f"{row['attempt_ms']:.2f}", f"{row['attempt_p95_ms']:.2f}",
            f"{row['control_step_ms']:.2f}", f"{row['ratio']:.1f}", f"{row['odometry_ms']:.3f}",
            ", ".join(f"{count} {name}" for name, count in row["decisions"].items()),
        )  # fmt: skip
    Console().print(table)
    if json_file is not None:
        json_file.write_text(json.dumps({"machine": about, "attempts": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
