"""Closed-loop cost against milliseconds for ways to draw the samples.

A weak and slow robot, whose model the controller knows exactly, is driven along a figure of
eight and around a square with sharp corners. Nothing is random but the sampler, so a lower cost
is the sampler's merit alone. Each way runs with several batch sizes; its cost at a given budget of
CPU time is read off its curve, which is how ways with dearer samples are compared fairly.

    python benchmarks/sampling.py --json sampling.json --plot sampling.png
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import json
import time
from collections import defaultdict
from pathlib import Path

import attrs
import click
import numpy as np
import torch
from _machine import machine
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mppi_maml_ros.core import se2
from mppi_maml_ros.core.types import VelocityLimits
from mppi_maml_ros.dynamics.residual import ResidualWeights, step
from mppi_maml_ros.mppi import MPPIConfig, MPPIController
from mppi_maml_ros.mppi.sampling import Noise, Sampler, batch_width, interpolation
from mppi_maml_ros.references.figures import figure8

DT, STEPS = 0.05, 30
SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096)
ROBOT = ResidualWeights.first_order((0.25, 0.15), gain=(0.9, 0.9), delay=0.05, model_dt=DT)
LIMITS = VelocityLimits(vx_max=2.0, vx_min=-0.35, wz_max=2.5, ax_max=3.0, ax_min=-3.0, az_max=6.0)
SETTLED = 2.0  # [s] left out at the beginning, where the robot starts from rest


# -- references -----------------------------------------------------------------------------------


def corners(t: np.ndarray, side: float = 2.0, speed: float = 0.6) -> np.ndarray:
    """Poses around a square at constant speed; the heading jumps at its corners."""
    along = np.maximum(np.asarray(t), 0.0) * speed
    edge = np.floor(along / side)
    rest = along - edge * side
    yaw = 0.5 * np.pi * (edge % 4)
    start = np.array([[0, 0], [side, 0], [side, side], [0, side]])[(edge % 4).astype(int)]
    return np.stack(
        [start[..., 0] + rest * np.cos(yaw), start[..., 1] + rest * np.sin(yaw), 0.5 * np.pi * edge], axis=-1
    )


REFERENCES = {"figure8": figure8().pose_at, "corners": corners}


# -- ways to sample -------------------------------------------------------------------------------


class Independent:
    """Normal numbers at knots, linear between them, every sample its own: no antithetic pairs."""

    def __init__(self, config: MPPIConfig, seed: int):
        half = attrs.evolve(config, batch_size=2 * batch_width(config.batch_size))
        self._sampler = Sampler(half, seed)

    def sample(self) -> Noise:
        return attrs.evolve(self._sampler.sample(), mirrored=False)


class Cubic:
    """Antithetic; uniform cubic B-splines over the horizon instead of straight lines."""

    def __init__(self, config: MPPIConfig, seed: int):
        knots = config.noise_knots
        self._sampler = Sampler(config, seed)
        position = np.linspace(0.0, knots - 3.0, config.time_steps)
        first = np.minimum(position.astype(np.int64), knots - 4)
        u = (position - first)[:, None]
        share = np.concatenate(
            [(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3], axis=1
        )
        share /= np.linalg.norm(share, axis=1, keepdims=True)
        self._first, self._share = first, share.astype(np.float32)

    def sample(self) -> Noise:
        return attrs.evolve(self._sampler.sample(), first=self._first, share=self._share)


class Coloured:
    """Antithetic; power spectrum 1 / f^exponent (Timmer and Koenig 1995, as in iCEM, CoRL 2020)."""

    def __init__(self, config: MPPIConfig, seed: int, exponent: float):
        rng = np.random.default_rng(seed)
        self._rng, self._half = rng, batch_width(config.batch_size) // 2
        steps, pool = config.time_steps, 8 * self._half
        frequency = np.fft.rfftfreq(steps)
        scale = np.maximum(frequency, 1.0 / steps) ** (-exponent / 2.0)
        spectrum = scale[:, None, None] * (
            rng.normal(size=(len(scale), 2, pool)) + 1j * rng.normal(size=(len(scale), 2, pool))
        )
        noise = np.fft.irfft(spectrum, n=steps, axis=0)
        noise = (noise / noise.std()).astype(np.float32)
        self._pool, values = pool, noise.ravel()
        first, share = interpolation(steps, steps)
        self._rows = np.arange(2 * steps).reshape(steps, 2) * pool
        self._noise = Noise(values, self._rows.copy(), np.ones((steps, 2), np.float32), first, share, True)

    def sample(self) -> Noise:
        # One column a sample and axis, so that a sample keeps its colour.
        offset = self._rng.integers(0, self._pool - self._half, size=2)
        np.add(self._rows, offset, out=self._noise.start)
        self._noise.sign[:] = self._rng.choice([-1.0, 1.0], size=2)
        return self._noise


class LowDiscrepancy:
    """Antithetic; scrambled Sobol points at the knots, another scrambling in turn each step."""

    SETS = 16

    def __init__(self, config: MPPIConfig, seed: int):
        knots, half = config.noise_knots, batch_width(config.batch_size) // 2
        self._rng = np.random.default_rng(seed)
        sets = []
        for i in range(self.SETS):
            points = torch.quasirandom.SobolEngine(2 * knots, scramble=True, seed=1000 * seed + i).draw(half)
            sets.append(torch.erfinv((2 * points - 1).clamp(-1 + 1e-6, 1 - 1e-6)).numpy().T * np.sqrt(2.0))
        self._size = 2 * knots * half
        self._rows = np.arange(2 * knots).reshape(knots, 2) * half
        values = np.ascontiguousarray(np.stack(sets), dtype=np.float32).ravel()
        sign = np.ones((knots, 2), np.float32)
        self._noise = Noise(values, self._rows.copy(), sign, *interpolation(config.time_steps, knots), True)

    def sample(self) -> Noise:
        np.add(self._rows, self._size * self._rng.integers(self.SETS), out=self._noise.start)
        self._noise.sign[:] = self._rng.choice([-1.0, 1.0], size=self._noise.sign.shape)
        return self._noise


@attrs.frozen
class Way:
    """A way to sample: changes to the configuration, and a noise source (None: the package's)."""

    config: dict
    source: type | None = None
    options: dict = {}


DEFAULT = "default"
PLAIN = "plain Gaussian"
WAYS = {
    PLAIN: Way({"noise_knots": 0}, Independent),
    "antithetic": Way({"noise_knots": 0}),
    "coloured 1": Way({}, Coloured, {"exponent": 1.0}),
    "coloured 2": Way({}, Coloured, {"exponent": 2.0}),
    "5 knots": Way({"noise_knots": 5}),
    "8 knots, not antithetic": Way({"noise_knots": 8}, Independent),
    DEFAULT: Way({}),
    "12 knots": Way({"noise_knots": 12}),
    "8 knots, cubic": Way({"noise_knots": 8}, Cubic),
    "8 knots, Sobol": Way({"noise_knots": 8}, LowDiscrepancy),
    "default, 2 iterations": Way({"iteration_count": 2}),
    "default, 3 iterations": Way({"iteration_count": 3}),
}


# -- runs -----------------------------------------------------------------------------------------


def drive(way: Way, size: int, reference, seed: int, duration: float, base: MPPIConfig) -> dict[str, float]:
    """One closed loop; mean cost a second after SETTLED [1/s], RMSE [m], smoothness, CPU ms a step."""
    config = attrs.evolve(base, batch_size=size, **way.config)
    source = way.source(config, seed, **way.options) if way.source else None
    controller = MPPIController(config, LIMITS, seed, source)
    state = np.concatenate([reference(np.float64(0.0)), np.zeros(2)])
    history, commands, costs, errors, times = np.zeros((8, 2)), [], [], [], []
    for k in range(int(duration / DT)):
        window = reference(DT * (k + np.arange(STEPS + 1)))
        started = time.process_time()
        command = controller.compute_control(state, window, history, history[0], ROBOT).command
        times.append(time.process_time() - started)
        state = step(ROBOT, state, command, history)
        history = np.concatenate([command[None], history[:-1]])
        error = se2.to_body(window[1], state[:3])
        wanted = np.clip(se2.displacement_twist(window[0], window[1], DT)[[0, 2]], LIMITS.low, LIMITS.high)
        effort = config.vx_weight, config.wz_weight
        squares = (
            config.position_weight * (error[0] ** 2 + error[1] ** 2) + config.heading_weight * error[2] ** 2
        )
        costs.append(squares + np.dot(effort, (command - wanted) ** 2))
        errors.append(error[0] ** 2 + error[1] ** 2)
        commands.append(command)
    skip = int(SETTLED / DT)
    return {
        "cost": float(np.mean(costs[skip:]) / DT),
        "rmse": float(np.sqrt(np.mean(errors[skip:]))),
        "smoothness": float(np.abs(np.diff(commands[skip:], axis=0)).mean()),
        "ms": 1e3 * float(np.median(times)),
    }


def at_budget(ms, cost, budget: float) -> float:
    """Cost at a budget of milliseconds, log-log between the measured sizes; NaN outside them."""
    order = np.argsort(ms)
    ms, cost = np.asarray(ms)[order], np.asarray(cost)[order]
    if not ms[0] <= budget <= ms[-1]:
        return float("nan")
    return float(np.exp(np.interp(np.log(budget), np.log(ms), np.log(cost))))


def plot(points: list[dict], file: Path) -> None:
    """Cost against milliseconds, one panel a reference."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import LogLocator, NullFormatter

    figure, axes = pyplot.subplots(1, len(REFERENCES), figsize=(12.5, 4.6), constrained_layout=True)
    colours = pyplot.get_cmap("tab20")
    for axis, reference in zip(axes, REFERENCES, strict=True):
        for i, name in enumerate(WAYS):
            chosen = [p for p in points if p["way"] == name and p["reference"] == reference]
            strong = name in (DEFAULT, PLAIN)
            colour = {DEFAULT: "black", PLAIN: "tab:red"}.get(name, colours(i))
            axis.plot(
                [p["ms"] for p in chosen], [p["cost"] for p in chosen], "o-", ms=3, label=name, color=colour,
                lw=2.2 if strong else 1.0, zorder=3 if strong else 2,
            )  # fmt: skip
        axis.set(xscale="log", yscale="log", title=reference, xlabel="CPU time of a control step [ms]")
        axis.set_ylabel("closed-loop cost [1/s]")
        axis.grid(alpha=0.3, which="both")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("{x:.2g}")
        axis.yaxis.set_major_formatter("{x:.2g}")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, loc="outside right upper", frameon=False)
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


@click.command()
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="write the numbers here"
)
@click.option(
    "--plot", "plot_file", type=click.Path(dir_okay=False, path_type=Path), help="draw the curves here"
)
@click.option("--seeds", default=5, show_default=True, help="sampler seeds of each point")
@click.option("--duration", default=20.0, show_default=True, help="of a run [s]")
@click.option("--budgets", default="0.1,0.2,0.3", show_default=True, help="CPU ms a step to compare at")
@click.option("--ways", default="", help="names, separated by commas; default: all")
@click.option(
    "--set", "changes", multiple=True, metavar="NAME=VALUE", help="change the controller's settings"
)
def main(json_file, plot_file, seeds, duration, budgets, ways, changes) -> None:
    """Compare ways to draw the samples at the same milliseconds."""
    torch.set_num_threads(1)
    base = attrs.evolve(
        MPPIConfig(time_steps=STEPS, model_dt=DT), **{k: float(v) for k, v in (c.split("=") for c in changes)}
    )
    chosen = [name.strip() for name in ways.split(",") if name.strip()] or list(WAYS)
    cases = [(r, w, k) for r in REFERENCES for w in chosen for k in SIZES]
    points = []
    for reference, name, size in track(cases, description="driving"):
        runs = [drive(WAYS[name], size, REFERENCES[reference], s, duration, base) for s in range(seeds)]
        point = {key: float(np.mean([r[key] for r in runs])) for key in runs[0]}
        point["ms"] = float(np.median([r["ms"] for r in runs]))
        point["cost_std"] = float(np.std([r["cost"] for r in runs]))
        points.append({"reference": reference, "way": name, "K": size, **point})
    limits = [float(b) for b in budgets.split(",")]
    curves = defaultdict(lambda: ([], []))
    for p in points:
        curves[p["reference"], p["way"]][0].append(p["ms"])
        curves[p["reference"], p["way"]][1].append(p["cost"])
    results = []
    for reference in REFERENCES:
        title = f"{reference}: closed-loop cost [1/s] at the same CPU time, and relative to plain Gaussian; "
        table = Table(title=f"{title}{seeds} seeds")
        table.add_column("way")
        for budget in limits:
            table.add_column(f"{budget:g} ms", justify="right")
        for name in chosen:
            cells = []
            for budget in limits:
                cost = at_budget(*curves[reference, name], budget)
                plain = at_budget(*curves[reference, PLAIN], budget) if PLAIN in chosen else float("nan")
                results.append(
                    {"reference": reference, "way": name, "budget_ms": budget, "cost": cost}
                    | {"relative": cost / plain}
                )
                relative = "" if np.isnan(plain) else f" ({100 * (cost / plain - 1):+.0f} %)"
                cells.append("" if np.isnan(cost) else f"{cost:.3f}{relative}")
            table.add_row(name, *cells)
        Console().print(table)
    if json_file is not None:
        about = {"machine": machine(), "seeds": seeds, "duration": duration}
        json_file.write_text(json.dumps(about | {"points": points, "at_budget": results}, indent=1) + "\n")
    if plot_file is not None:
        plot(points, plot_file)


if __name__ == "__main__":
    main()
