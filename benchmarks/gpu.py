"""Time control steps and meta-training on a CUDA device beside the processor, in one process.

A control step is the whole of it: sampling, rollouts, costs and weights, with the copies to the device
and back; wall time, since the processor waits for the device. ``pytorch_mppi`` runs on the device too.

    python benchmarks/gpu.py --json gpu.json
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import contextlib
import json
import time
from pathlib import Path

import click
import numpy as np
import torch
from _cases import LIMITS, MODELS
from _machine import machine
from _timing import measure_together
from mppi import ours, theirs

from mppi_maml_ros.meta.maml_trainer import MAMLTrainer
from mppi_maml_ros.mppi import MPPIConfig, MPPIController
from mppi_maml_ros.mppi.rollouts.backends import rollout_on

SHAPES = ((1000, 30), (2000, 56), (8192, 56))
TASKS = (8, 128)


def largest_difference(weights, samples: int, steps: int) -> float:
    """Of the first sequence of either backend from the same samples [m/s, rad/s]."""
    reference = np.column_stack([0.025 * np.arange(steps + 1), np.zeros((steps + 1, 2))])
    state, past = np.array([0.0, 0.1, 0.2, 0.3, -0.1]), np.zeros((8, 2))
    found = []
    for device in ("cpu", "cuda"):
        backend, config = rollout_on(device), MPPIConfig(batch_size=samples, time_steps=steps)
        MPPIController(config, LIMITS, seed=0, rollout=backend).warm_up(weights)
        controller = MPPIController(config, LIMITS, seed=0, rollout=backend)
        found.append(controller.compute_control(state, reference, past, past[0], weights).sequence)
    return float(np.abs(found[1] - found[0]).max())


def control_steps(seconds: float) -> list[dict]:
    rows = []
    for name, weights in MODELS.items():
        if weights is None:
            continue
        for samples, steps in SHAPES:
            functions = {
                "compiled": ours(weights, samples, steps),
                "cuda": ours(weights, samples, steps, rollout_on("cuda")),
            }
            with contextlib.suppress(ImportError):
                functions["pytorch_mppi, cuda"] = theirs(weights, samples, steps, "cuda")
            times = measure_together(functions, seconds)
            rows.append(
                {"model": name, "samples": samples, "steps": steps, "ms": times}
                | {"largest_difference": largest_difference(weights, samples, steps)}
            )
            print(name, samples, steps, *(f"{k} {v['p50_ms']:.2f} ms" for k, v in times.items()), flush=True)
    return rows


def meta_training(iterations: int) -> list[dict]:
    rows = []
    for trainer in ("fomaml", "maml"):
        for tasks in TASKS:
            row: dict = {"trainer": trainer, "tasks": tasks, "ms": {}, "loss": {}}
            for device in ("cpu", "cuda"):
                learner = MAMLTrainer(task_batch_size=tasks, device=device, trainer=trainer)
                learner.meta_train(3, verbose=False)
                learner = MAMLTrainer(task_batch_size=tasks, device=device, trainer=trainer)
                count = max(iterations // (1 if tasks < 32 else 8), 4)
                started = time.perf_counter()
                curve = learner.meta_train(count, verbose=False)
                row["ms"][device] = 1e3 * (time.perf_counter() - started) / count
                row["loss"][device] = [float(value) for value in curve.final]
            rows.append(row)
            print(row, flush=True)
    return rows


@click.command(help=__doc__.splitlines()[0])
@click.option("--seconds", default=1.0, show_default=True, help="For each timing.")
@click.option("--iterations", default=200, show_default=True, help="Of meta-training.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write the numbers there.")
def main(seconds: float, iterations: int, file: Path | None) -> None:
    if not torch.cuda.is_available():
        raise click.ClickException("torch sees no CUDA device")
    result = {
        "benchmark": "gpu",
        "device": torch.cuda.get_device_name(),
        "machine": machine(),
        "control_step": control_steps(seconds),
        "meta_training": meta_training(iterations),
    }
    if file:
        file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
