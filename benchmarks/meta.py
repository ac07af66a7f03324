"""Meta-training at the guide's size: 8 tasks, 100/100 transitions, 10 inner steps, 128-128.

    python benchmarks/meta.py --json meta.json

Times, on this machine and in one run, turn about so that all see the same weather:

* ``training``: an iteration of ``MAMLTrainer.meta_train``, simulating its robots, held-out tests and all;
* ``own step``: its FOMAML iteration alone, on tasks that lie ready;
* ``step``: the same iteration by torch's batched matrix products, one thread;
* ``loop``: with a Python loop over tasks instead of batches, torch's products, two threads;
* ``loop_autograd``: the same with automatic differentiation, as the guide's code has it, two threads.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "2")

import argparse
import json
import time

import numpy as np
import torch
from _machine import machine

from mppi_maml_ros.meta.gradients import batched
from mppi_maml_ros.meta.maml_trainer import MAMLTrainer

GUIDE_SECONDS = 100.0  # the lower end of what the guide's own code takes for 1000 iterations
ROUNDS = 10


def by_products(trainer, support, query, gradients_of):
    """FOMAML's meta-gradient of the tasks, summed."""
    c = trainer.config
    layers = batched.repeat(trainer.layers, len(support[0]))
    for _ in range(c.inner_steps):
        gradients = gradients_of(layers, c, support)
        layers = batched.descend(
            layers, gradients, c.inner_lr, batched.shrink(gradients, c.max_gradient_norm)
        )
    return torch.cat([g.sum(dim=0).reshape(-1) for pair in gradients_of(layers, c, query) for g in pair])


def batched_step(trainer, support, query):
    """One outer iteration, all tasks at once."""
    trainer.optimiser.step(by_products(trainer, support, query, by_hand) / len(support[0]))


def looped_step(trainer, support, query, gradients_of):
    """One outer iteration, one task after the other."""
    total = 0.0
    for i in range(len(support[0])):
        one = [batched.Samples(*(a[i : i + 1] for a in arrays)) for arrays in (support, query)]
        total = total + by_products(trainer, *one, gradients_of)
    trainer.optimiser.step(total / len(support[0]))


def by_hand(layers, config, samples):
    with torch.no_grad():
        return batched.differentiate(layers, config.activation, *samples)[1]


def by_autograd(layers, config, samples):
    leaves = [[p.detach().requires_grad_(True) for p in pair] for pair in layers]
    value = samples.inputs
    for i, (w, b) in enumerate(leaves):
        value = torch.baddbmm(b, value, w.mT)
        value = torch.relu(value) if i < len(leaves) - 1 else value
    loss = (samples.weights * (value - samples.targets) ** 2).sum()
    found = torch.autograd.grad(loss, [p for pair in leaves for p in pair])
    return list(zip(found[::2], found[1::2], strict=True))


def timed(work, count: int) -> float:
    """Milliseconds a call."""
    started = time.perf_counter()
    for _ in range(count):
        work()
    return 1e3 * (time.perf_counter() - started) / count


def measure(iterations: int) -> dict:
    trainer = MAMLTrainer()
    rng = np.random.default_rng(0)
    support, query = (
        batched.Samples(*(torch.as_tensor(a) for a in arrays)) for arrays in trainer.tasks.sample(rng, 8)
    )
    own, ready, hand, auto = (MAMLTrainer().trainer for _ in range(4))
    each = max(iterations // ROUNDS, 1)
    few = max(each // 5, 1)
    works = {
        "own step": (1, lambda: timed(lambda: own.step(support, query, measure=False), each)),
        "step": (1, lambda: timed(lambda: batched_step(ready, support, query), each)),
        "loop": (2, lambda: timed(lambda: looped_step(hand, support, query, by_hand), few)),
        "loop_autograd": (2, lambda: timed(lambda: looped_step(auto, support, query, by_autograd), few)),
    }
    trainer.meta_train(20, verbose=False)  # compiles
    found: dict[str, list[float]] = {name: [] for name in ("training", "training, processor time", *works)}
    for _ in range(ROUNDS):
        for name, (threads, work) in works.items():
            torch.set_num_threads(threads)
            found[name].append(work())
        torch.set_num_threads(2)  # training sets its own
        started, used = time.perf_counter(), time.process_time()
        trainer.meta_train(each, verbose=False)
        found["training"].append(1e3 * (time.perf_counter() - started) / each)
        found["training, processor time"].append(1e3 * (time.process_time() - used) / each)
    return found


def report(found: dict[str, list[float]], iterations: int) -> dict:
    medians = {name: float(np.median(values)) for name, values in found.items()}
    seconds = sum(found["training"]) / len(found["training"])  # ms an iteration = s for 1000
    bars = {
        "training / batched-matmul step alone": (medians["training"] / medians["step"], "at most", 1.3),
        "loop over tasks, 2 threads / training": (medians["loop"] / medians["training"], "at least", 2.0),
        "seconds for 1000 iterations / the guide's 100 s": (seconds / GUIDE_SECONDS, "at most", 0.2),
    }
    return {
        "benchmark": "meta",
        "iterations": iterations,
        "ms": {
            name: {"median": round(medians[name], 3), "min": round(min(v), 3), "max": round(max(v), 3)}
            for name, v in found.items()
        },
        "seconds_for_1000": round(seconds, 2),
        "autograd loop, 2 threads / training": round(medians["loop_autograd"] / medians["training"], 2),
        "bars": {
            name: {
                "value": round(value, 3),
                "bar": f"{kind} {bar}",
                "reached": bool(value <= bar if kind == "at most" else value >= bar),
            }
            for name, (value, kind, bar) in bars.items()
        },
        "machine": machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=1000, help="of the training (default: 1000)")
    parser.add_argument("--json", help="write the numbers there")
    arguments = parser.parse_args()
    result = report(measure(arguments.iterations), arguments.iterations)
    for name, row in result["ms"].items():
        print(f"{name:<25} {row['median']:8.2f} ms an iteration ({row['min']:.2f} to {row['max']:.2f})")
    for name, row in result["bars"].items():
        print(f"{name}: {row['value']:.2f}, {row['bar']}: {'reached' if row['reached'] else 'MISSED'}")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=2)
            file.write("\n")


if __name__ == "__main__":
    main()
