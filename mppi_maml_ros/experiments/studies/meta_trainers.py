"""Each meta-trainer on worlds that it has not seen, and the time-ordered ones on worlds that change.

Two questions. On held-out worlds: does adapting help, and is it better than one plain supervised net?
Every trainer has the same network, the same worlds and the same number of iterations. In a world that
changes while the robot drives: who predicts best if each model is updated at every step?
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import attrs
import numpy as np

from ...adaptation.adapters import make_adapter
from ...adaptation.adapters.base import Adapter
from ...adaptation.adapters.mb import MBAdapter, dynamic_evaluation
from ...adaptation.sgd import SGDConfig
from ...core.files import write_file, write_json
from ...core.types import Odometry, VelocityLimits
from ...dynamics.buffer import BufferConfig, TransitionBuffer
from ...dynamics.features import input_size
from ...dynamics.residual import correction, open_loop
from ...dynamics.transitions import Transitions
from ...meta import loop
from ...meta.config import TrainingConfig
from ...meta.gradients.batched import ArraySet
from ...meta.loop import Controls
from ...meta.tasks.residual import ResidualTasks
from ...meta.tasks.worlds import TaskPool, WorldTasks
from ...meta.trainers.base import Trainer
from ...meta.trainers.registry import TRAINERS
from ...simulation.commands import tracking_commands
from ...simulation.worlds import make_world
from ...weights.meta_model import MetaModel

POOL_TASKS = 1000
SETTINGS: dict[str, dict] = {
    "maml": {"meta_lr": 3.5e-3},
    "fomaml": {},
    "reptile": {"inner_steps": 30},
    "anil": {"inner_lr": 0.03},
    "meta_sgd": {"meta_lr": 3.5e-3},
    "alpaca": {},
    "grbal": {"support_size": 32, "query_size": 16},
    "rebal": {"support_size": 32, "query_size": 16},
    "supervised": {},
}
"""Where a trainer differs from the common settings."""

COMMON = TrainingConfig(
    hidden=(32,), iterations=1000, task_batch_size=16, support_size=100, query_size=100, inner_lr=0.01,
    inner_steps=10, meta_lr=5e-3, outer="annealed_adam",
)  # fmt: skip
CONTEXTS = {"next": (32, 16), "far": (100, 100)}
"""How models are judged: transitions to adapt on, and how many right after them to predict."""
HELD_OUT_COLUMNS = ("start", "adapted", "gain_on_start", "gain_on_supervised")

CHANGING = (
    "friction_step",
    "terrain_change",
    "wind_gust",
    "sinusoidal",
    "combined_disturbance",
    "payload",
    "battery_sag",
    "friction_patches",
    "everything",
)
"""Every named world whose equations change while it is driven in."""

MODELS = ("mb", "mb+de", "grbal", "rebal")
PAIRS = (("grbal", "mb+de"), ("mb+de", "mb"), ("rebal", "mb"))
"""(better, worse), as Nagabandi et al. have it."""
DURATION, DT = 20.0, 0.05
AHEAD = 16  # steps of the prediction that is judged
WARM_UP = 40  # steps before the first prediction


# -- held-out worlds ------------------------------------------------------------------------------


def held_out(
    seed: int,
    iterations: int,
    worlds: int,
    names: Sequence[str] = tuple(SETTINGS),
    on_progress: Callable[[loop.Progress], None] = lambda progress: None,
    cancel: threading.Event | None = None,
) -> dict:
    """Train each trainer and judge it on the same held-out worlds.

    Args:
        seed: of worlds, initialisation and sampling.
        iterations: outer iterations of each.
        worlds: held-out ones.

    Returns:
        name -> context -> normalised mean squared error at theta and adapted, how much the latter is
        below the former and below the supervised net in the same world (mean and 95 % half-width over
        worlds each), and the share of worlds in which adapting beat the supervised net.
    """
    common = attrs.evolve(COMMON, seed=seed, iterations=iterations)
    tasks = WorldTasks()
    pool, held = tasks.pool(seed + 2, POOL_TASKS), tasks.pool(seed + 3, worlds)
    scale = 1.0 / np.maximum(pool.clean_inputs.std(axis=(0, 1)), 1e-3)
    judges: dict[str, Sequence[ArraySet]] = {}
    trained = {}
    for name in names:
        config, kind = attrs.evolve(common, **SETTINGS[name]), TRAINERS[name]
        source = ResidualTasks(pool, held, config, None, pool.noise, scale, kind.sequential)
        spread = np.sqrt(np.mean(pool.clean_residuals**2, axis=(0, 1)))
        source.output_scale = np.maximum(spread, np.sqrt(pool.noise))  # the same for all
        trainer = kind(config, input_size(tasks.delay_taps), 3)
        started = time.monotonic()
        loop.run(name, trainer, source, Controls(on_progress, cancel))
        trained[name] = trainer, time.monotonic() - started
        if not judges:
            judges = {kind: _judges(source, held, *sizes) for kind, sizes in CONTEXTS.items()}
    out: dict = {}
    plain = {kind: _losses(trained["supervised"][0], judges[kind])[0] for kind in CONTEXTS}
    for name, (trainer, seconds) in trained.items():
        out[name] = {"seconds": round(seconds, 1)}
        for context in CONTEXTS:
            before, after = _losses(trainer, judges[context])
            out[name][context] = {
                "start": _mean(before),
                "adapted": _mean(after),
                "gain_on_start": _mean(before - after),
                "gain_on_supervised": _mean(plain[context] - after),
                "better_than_supervised": round(float(np.mean(after < plain[context])), 3),
            }
    return out


def _judges(source: ResidualTasks, held: TaskPool, size: int, ahead: int) -> Sequence[ArraySet]:
    """The newest ``size`` transitions at half a run to adapt on, the next ``ahead`` to judge by."""
    half, rows = held.inputs.shape[1] // 2, np.arange(len(held))
    index = np.tile(half - size + np.arange(size), (len(rows), 1))
    query = np.tile(half + np.arange(ahead), (len(rows), 1))
    return source._batch(held, rows, index, np.full((len(rows), size), 1.0 / size), query)


def _losses(trainer: Trainer, judges: Sequence[ArraySet]) -> tuple[np.ndarray, np.ndarray]:
    support, query = judges
    losses = trainer.losses(support, query).double().cpu().numpy()
    return losses[0], losses[-1]


def _mean(values: np.ndarray) -> list[float]:
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return [round(float(values.mean()), 5), round(float(half), 5)]


# -- worlds that change ---------------------------------------------------------------------------


def record_run(world_name: str, seed: int) -> tuple[Transitions, float]:
    """Odometry of a robot driven by tracking-like commands while its world changes.

    Returns:
        Transitions, and when the world changes for good for the first time [s]; 0 where it never stays
        as it is.
    """
    from ..comparison.runs import changes_of

    world = make_world(world_name, seed, duration=DURATION)
    change = next(iter(changes_of(world, DURATION)), 0.0)
    rng = np.random.default_rng([seed, 77])
    limits = VelocityLimits(vx_max=1.5, vx_min=-0.5, wz_max=1.9)
    steps = int(DURATION / DT)
    commands = tracking_commands(rng, 1, steps, DT, limits)[0]
    buffer = TransitionBuffer(BufferConfig(delay_taps=4, model_dt=DT, size=steps + 1))
    world.reset(start=(0.0, 0.0, 0.0))
    observed = world.odometry()
    for k in range(steps):
        buffer.add_odometry(Odometry(k * DT, observed[:3].copy(), observed[3:].copy()))
        buffer.add_command(k * DT, commands[k])
        observed = world.step(commands[k], DT)
    return buffer.latest(), change


def changing_worlds(
    meta: MetaModel,
    seeds: Iterable[int],
    worlds: Sequence[str] = CHANGING,
    models: Sequence[str] = MODELS,
    on_progress: Callable[[], None] = lambda: None,
) -> list[dict]:
    """Update each model at every step of a drive and let it predict what comes.

    Returns:
        One row for each world, seed and model: root mean square position error AHEAD steps ahead [m]
        and of the twist one step ahead (normalised by the spread of the residuals), from WARM_UP on and
        after the first change.
    """
    rows = []
    for world in worlds:
        for seed in seeds:
            data, change = record_run(world, seed)
            scale = data.residuals.std(axis=0)[:2] + 1e-9
            for model in models:
                rows.append({"world": world, "seed": int(seed), "model": model, "change": round(change, 2)}
                            | _follow(meta, model, data, change, scale))  # fmt: skip
                on_progress()
    return rows


def _follow(meta: MetaModel, model: str, data: Transitions, change: float, scale: np.ndarray) -> dict:
    baselines: dict[str, Callable[[MetaModel], Adapter]] = {"mb": MBAdapter, "mb+de": dynamic_evaluation}
    adapter = baselines[model](meta) if model in baselines else make_adapter(model, meta, SGDConfig())
    ahead, next_, after = [], [], []
    for t in range(WARM_UP, len(data) - AHEAD):
        weights = adapter.adapt(data[:t]).weights
        following = data[t : t + AHEAD]
        if (following.segments != following.segments[0]).any():
            continue
        predicted = open_loop(weights, data.states[t], following.commands, data.history[t])
        ahead.append(np.sum((predicted[-1, :2] - following.next_states[-1, :2]) ** 2))
        miss = (correction(weights, data.inputs[t]) - data.residuals[t])[:2] / scale
        next_.append(np.mean(miss**2))
        after.append(data.stamps[t] >= change)
    far, near, late = np.array(ahead), np.array(next_), np.array(after)
    return {
        "ahead_m": float(np.sqrt(far.mean())),
        "ahead_m_after": float(np.sqrt(far[late].mean())),
        "one_step": float(np.sqrt(near.mean())),
        "one_step_after": float(np.sqrt(near[late].mean())),
    }


def student_t(freedom: int) -> float:
    """Two-sided 95 % quantile of Student's t (Abramowitz and Stegun, 26.7.5)."""
    z = 1.959964
    terms = (
        z,
        (z**3 + z) / 4.0,
        (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / 96.0,
        (3.0 * z**7 + 19.0 * z**5 + 17.0 * z**3 - 15.0 * z) / 384.0,
        (79.0 * z**9 + 776.0 * z**7 + 1482.0 * z**5 - 1920.0 * z**3 - 945.0 * z) / 92160.0,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))


def paired(rows: list[dict], better: str, worse: str, column: str) -> dict:
    """How many times as large the error of ``worse`` is, in the same world and seed.

    Returns:
        Geometric mean over worlds and seeds and, as runs of one seed share their commands, its 95 %
        interval over seeds (Student's t); in how many runs ``better`` has the lower error.
    """
    errors = {(r["world"], r["seed"], r["model"]): r[column] for r in rows}
    worlds, seeds = (sorted({key[i] for key in errors}) for i in (0, 1))
    logs = np.log([[errors[w, s, worse] / errors[w, s, better] for w in worlds] for s in seeds])
    means = logs.mean(axis=1)
    half = student_t(len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means)) if len(means) > 1 else np.nan
    low, high = np.exp([means.mean() - half, means.mean() + half])
    return {
        "better": better,
        "worse": worse,
        "column": column,
        "ratio": round(float(np.exp(means.mean())), 3),
        "ci95": [round(float(low), 3), round(float(high), 3)],
        "wins": int(np.sum(logs > 0.0)),
        "runs": logs.size,
    }


# -- the report -----------------------------------------------------------------------------------


def write(result: dict, folder: Path, command: str) -> Path:
    """``meta_comparison.json`` and ``.md`` into a folder; returns the latter."""
    result = {"command": command} | result
    write_json(folder / "meta_comparison.json", result)
    page = folder / "meta_comparison.md"
    write_file(page, _markdown(result).encode())
    return page


def _markdown(result: dict) -> str:
    lines = ["# Meta-trainers compared", "", f"`{result['command']}`", ""]
    if "held_out" in result:
        lines += [
            "## Held-out worlds",
            "",
            f"Mean squared error of the residual in {result['worlds']} worlds that nobody trained on, in "
            "units of its variance, judged without measurement noise; ± half the 95 % interval over worlds. "
            f"{result['iterations']} iterations each, the same network, and as the outer update Adam with a "
            "rate that falls to 0, Reptile's too (on theta - theta'). The gains are paired: by how much the "
            "error of the adapted model is lower in the same world than that of the trainer's own start "
            "and than that of the supervised net, and in how many worlds it is lower than the latter. "
            f"`grbal` and `rebal` are trained for the next {CONTEXTS['next'][1]} steps.",
            "",
        ]
        for kind, (size, ahead) in CONTEXTS.items():
            title = f"### The next {ahead} steps, adapted on {size}"
            lines += [title, "", *_held_out_table(result, kind), ""]
    if "changing" in result:
        lines += _changing_tables(result["changing"])
    return "\n".join(lines)


def _held_out_table(result: dict, kind: str) -> list[str]:
    head = "| trainer | s | start | adapted | gain on its start | gain on the supervised net | better in |"
    lines = [head, "|" + "---|" * (head.count("|") - 1)]
    for name, row in result["held_out"].items():
        values = ["{:.4f} ± {:.4f}".format(*row[kind][key]) for key in HELD_OUT_COLUMNS]
        cells = [name, f"{row['seconds']:.0f}", *values, f"{row[kind]['better_than_supervised']:.0%}"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _changing_tables(rows: list[dict]) -> list[str]:
    seeds = sorted({row["seed"] for row in rows})
    lines = [
        "## Worlds that change during the run",
        "",
        f"Seeds {seeds[0]}-{seeds[-1]}, {DURATION:g} s each, in every named world whose equations change; "
        f"every model is updated at every step and predicts the next {AHEAD} steps ({AHEAD * DT:g} s). "
        "Position error at their end [m], median and range over seeds; and the error of the twist one step "
        "ahead, in units of the residual's spread. Judged from the first change on where the floor or the "
        f"load changes for good, else from {WARM_UP * DT:g} s on.",
        "",
        "| world | model | position error [m] | one step ahead |",
        "|---|---|---|---|",
    ]
    for world in dict.fromkeys(row["world"] for row in rows):
        for model in dict.fromkeys(row["model"] for row in rows):
            chosen = [row for row in rows if (row["world"], row["model"]) == (world, model)]
            cells = [
                f"{np.median(v):.4f} ({min(v):.4f}–{max(v):.4f})"
                for v in ([row[column] for row in chosen] for column in ("ahead_m_after", "one_step_after"))
            ]
            lines.append("| " + " | ".join([world, model, *cells]) + " |")
    lines += [
        "",
        "Ratio of errors, worse / better: geometric mean over worlds and seeds, 95 % interval over seeds:",
        "",
        "| | position | runs won | one step | runs won |",
        "|---|---|---|---|---|",
    ]
    there = {row["model"] for row in rows}
    pairs = [pair for pair in PAIRS if {*pair} <= there]
    for better, worse in pairs:
        cells = [f"{better} against {worse}"]
        for column in ("ahead_m_after", "one_step_after"):
            cells += _ratio(rows, better, worse, column)
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "In each world, position:",
        "",
        "| world |" + "".join(f" {better} against {worse} | runs won |" for better, worse in pairs),
        "|---|" + "---|---|" * len(pairs),
    ]
    for world in dict.fromkeys(row["world"] for row in rows):
        here = [row for row in rows if row["world"] == world]
        cells = [cell for pair in pairs for cell in _ratio(here, *pair, "ahead_m_after")]
        lines.append("| " + " | ".join([world, *cells]) + " |")
    lines.append("")
    return lines


def _ratio(rows: list[dict], better: str, worse: str, column: str) -> list[str]:
    p = paired(rows, better, worse, column)
    return [f"{p['ratio']:.2f} [{p['ci95'][0]:.2f}, {p['ci95'][1]:.2f}]", f"{p['wins']}/{p['runs']}"]
