"""How well each adapter predicts from few transitions: residual errors on clean held-out data.

Many random robots drive as trackers do. Each adapter gets the newest M transitions of each, as the
odometry shows them, and then predicts the residual of the kinematics over the transitions that
follow, which are clean. No loop is closed, so nothing but the quality of the adaptation counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np
from matplotlib.figure import Figure

from ...adaptation.adapters import ADAPTERS, make_adapter
from ...adaptation.online import OnlineConfig
from ...adaptation.sgd import SGDConfig
from ...core.errors import InvalidValueError, MppiMamlError
from ...core.types import VelocityLimits
from ...dynamics.residual import ResidualWeights, correction, open_loop
from ...dynamics.transitions import Transitions, kinematic_residuals
from ...simulation.commands import tracking_commands
from ...simulation.parameters import PARAMETER_NAMES, WorldParameters
from ...simulation.world import DEFAULT_RANGES, randomize, simulate_batch
from ...weights.meta_model import MetaModel
from ..metrics import mean_and_margin

SIZES = (10, 20, 50, 200)  # transitions to adapt on
QUERY = 100  # transitions after them that are predicted
LEAD = 8  # steps before the longest support, for its command history
OPEN_LOOP_STEPS = 30
DT = 0.05
NOISE = (0.005, 0.005, 0.005, 0.02, 0.02)  # of odometry: x, y, yaw, v, omega
LIMITS = VelocityLimits(vx_max=1.5, vx_min=-0.5, wz_max=1.9)

_LINEAR = {
    "motor_gain_left": (0.6, 1.1),
    "lag_v": (0.05, 0.5),
    "lag_omega": (0.05, 0.5),
    "friction_v": (0.0, 1.0),
    "friction_omega": (0.0, 1.0),
}
_OUTSIDE = {
    "motor_gain_left": (0.3, 1.5),
    "lag_v": (0.02, 1.0),
    "lag_omega": (0.02, 1.0),
    "command_delay": (0.15, 0.3),
    "friction_v": (0.0, 10.0),
    "friction_omega": (0.0, 10.0),
    "coulomb": (0.0, 3.0),
    "dead_zone": (0.0, 0.3),
    "slip": (0.3, 1.0),
    "acceleration_limit": (0.5, 5.0),
}


@attrs.frozen
class Condition:
    """Robots to draw, and how they are measured.

    Attributes:
        name: column of the table.
        ranges: parameter -> (low, high) of robots; what is not named is nominal. Both motors have one gain.
        noise: standard deviations of the odometry (x, y, yaw, v, omega) [m, m, rad, m/s, rad/s].
        speed: factor on the limits of the commands.
    """

    name: str
    ranges: dict = attrs.field(factory=dict)
    noise: tuple = (0.0,) * 5
    speed: float = 1.0


CLEAN, NOISY, DELAYED, FULL = (
    Condition("clean", _LINEAR),
    Condition("noise .02", _LINEAR, NOISE),
    Condition("delay ≤ 3 steps, noise .02", _LINEAR | {"command_delay": (0.0, 0.15)}, NOISE),
    Condition("all factors, noise .02", dict(DEFAULT_RANGES), NOISE),
)
CONDITIONS = (CLEAN, NOISY, DELAYED, FULL)
OUT_OF_DISTRIBUTION = Condition("out of distribution", _OUTSIDE, tuple(5.0 * s for s in NOISE), 3.0)


@attrs.frozen(eq=False)
class Task:
    """One robot: ``support`` (as measured, the longest that is used) and then ``query`` (clean)."""

    support: Transitions
    query: Transitions


def draw_tasks(condition: Condition, count: int, seed: int, delay_taps: int) -> list[Task]:
    """``count`` robots; the same arguments give the same."""
    rng = np.random.default_rng(seed)
    longest = max(SIZES)
    steps = LEAD + longest + QUERY
    robots = []
    for _ in range(count):
        if condition.ranges == DEFAULT_RANGES:
            robot = randomize(rng, condition.ranges)
        else:
            drawn = {name: rng.uniform(*bounds) for name, bounds in condition.ranges.items()}
            if "motor_gain_left" in drawn:
                drawn["motor_gain_right"] = drawn["motor_gain_left"]
            robot = attrs.evolve(WorldParameters(acceleration_limit=50.0), **drawn)
        noise = {f"odometry_noise_{n}": s for n, s in zip(_STATES, condition.noise, strict=True)}
        robots.append(attrs.evolve(robot, odometry_delay=0.0, **noise))
    limits = attrs.evolve(
        LIMITS, **{n: condition.speed * getattr(LIMITS, n) for n in ("vx_max", "vx_min", "wz_max")}
    )
    commands = tracking_commands(rng, count, steps, DT, limits) * rng.uniform(0.3, 1.0, (count, 1, 1))
    vectors = np.stack([robot.as_vector() for robot in robots])
    true, observed = simulate_batch(vectors, commands, DT, rng.integers(0, 2**31, size=count))
    taps = np.arange(1, delay_taps + 1)

    def cut(states: np.ndarray, commands: np.ndarray, first: int, last: int) -> Transitions:
        index = np.arange(first, last)
        return Transitions(
            stamps=DT * index,
            states=states[index],
            commands=commands[index],
            history=commands[index[:, None] - taps],
            next_states=states[index + 1],
            segments=np.zeros(len(index), dtype=int),
            model_dt=DT,
        )

    middle = LEAD + longest
    return [
        Task(cut(observed[i], commands[i], LEAD, middle), cut(true[i], commands[i], middle, steps))
        for i in range(count)
    ]


_STATES = tuple(name.removeprefix("odometry_noise_") for name in PARAMETER_NAMES if "odometry_noise_" in name)


@attrs.frozen
class Row:
    """A way to come from data to a model: ``fit`` takes the meta-model and the support."""

    name: str
    fit: Callable[[MetaModel, Transitions], ResidualWeights]


def _adapter(name: str, sgd: SGDConfig | None = None) -> Callable[[MetaModel, Transitions], ResidualWeights]:
    def fit(meta: MetaModel, data: Transitions) -> ResidualWeights:
        return make_adapter(name, meta, sgd or SGDConfig()).adapt(data).weights

    return fit


def _fixed_steps(rate: float) -> SGDConfig:
    return SGDConfig(inner_lr=rate, inner_steps=100, patience=0)


DEFAULT = OnlineConfig().adapter
NO_ADAPTATION = "no adaptation"
ROWS = (
    Row("kinematics", lambda meta, data: ResidualWeights.prior(meta.delay_taps, meta.model_dt)),
    Row(NO_ADAPTATION, lambda meta, data: make_adapter(DEFAULT, meta, SGDConfig()).start()),
    Row("FOMAML .005 × 100", _adapter("maml", _fixed_steps(0.005))),
    Row("FOMAML .05 × 100", _adapter("maml", _fixed_steps(0.05))),
    *(Row(name, _adapter(name)) for name in ADAPTERS if name != DEFAULT),
    Row(DEFAULT, _adapter(DEFAULT)),
)


def residual_error(weights: ResidualWeights, query: Transitions) -> float:
    """RMS error of the predicted (dv, domega) over clean transitions; inf where it is not finite."""
    truth = kinematic_residuals(query.states, query.commands, query.next_states, query.model_dt)
    error = correction(weights, query.inputs[:, : 4 + 2 * weights.delay_taps])[:, :2] - truth[:, :2]
    with np.errstate(over="ignore"):
        value = float(np.sqrt(np.mean(error**2)))
    return value if math.isfinite(value) else math.inf


def open_loop_error(weights: ResidualWeights, query: Transitions) -> float:
    """RMS position error OPEN_LOOP_STEPS ahead along the recorded commands [m]; inf where not finite."""
    starts = np.arange(0, len(query) - OPEN_LOOP_STEPS + 1, 10)
    index = starts[:, None] + np.arange(OPEN_LOOP_STEPS)
    with np.errstate(over="ignore", invalid="ignore"):
        predicted = open_loop(weights, query.states[starts], query.commands[index], query.history[starts])
    error = predicted[:, -1, :2] - query.next_states[index[:, -1], :2]
    value = float(np.sqrt(np.mean(np.sum(error**2, axis=1))))
    return value if math.isfinite(value) else math.inf


def study(
    meta: MetaModel,
    tasks: int = 200,
    seed: int = 0,
    rows: tuple[Row, ...] | None = None,
    conditions: tuple[Condition, ...] | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> dict:
    """Residual errors of every row in every condition and size, and the stability out of distribution.

    Args:
        meta: meta-model that all adapters share.
        tasks: robots in each condition, 1 to 100000.
        seed: of the robots, their commands and their noise.
        rows, conditions: what to study; None for all.
        on_progress: called with the number of robots done.

    Returns:
        ``table``: condition -> row -> one {mean, margin} for each of SIZES, over robots; and
        ``stability``: row -> what :func:`_stability` counts. Ready for JSON.
    """
    if not 1 <= tasks <= 100_000:
        raise InvalidValueError(f"tasks must be in [1, 100000], got {tasks}")
    rows, conditions = rows or ROWS, conditions or CONDITIONS
    table, done = {}, 0
    for condition in conditions:
        errors = {row.name: np.empty((tasks, len(SIZES))) for row in rows}
        for i, task in enumerate(draw_tasks(condition, tasks, seed, meta.delay_taps)):
            for s, size in enumerate(SIZES):
                data = task.support[-size:]
                for row in rows:
                    errors[row.name][i, s] = residual_error(row.fit(meta, data), task.query)
            done += 1
            on_progress(done)
        table[condition.name] = {
            name: [dict(zip(("mean", "margin"), mean_and_margin(column), strict=True)) for column in values.T]
            for name, values in errors.items()
        }
    outside = draw_tasks(OUT_OF_DISTRIBUTION, tasks, seed, meta.delay_taps)
    found: dict[str, list] = {row.name: [] for row in rows}
    for task in outside:
        for size in SIZES:
            for row in rows:
                weights = row.fit(meta, task.support[-size:])
                prior = ResidualWeights.prior(meta.delay_taps, meta.model_dt)
                found[row.name].append(
                    (
                        residual_error(weights, task.query),
                        open_loop_error(weights, task.query),
                        open_loop_error(prior, task.query),
                    )
                )
        done += 1
        on_progress(done)
    return {
        "sizes": list(SIZES),
        "tasks": tasks,
        "seed": seed,
        "default": DEFAULT,
        "table": table,
        "stability": {name: _stability(np.array(values)) for name, values in found.items()},
    }


BLOW_UP = 10.0  # times the kinematic model's error that count as one


def _stability(values: np.ndarray) -> dict:
    one, ahead, kinematic = values.T
    ratio = ahead / np.maximum(kinematic, 0.01)
    return {
        "fits": len(values),
        "not_finite": int(np.sum(~np.isfinite(one) | ~np.isfinite(ahead))),
        "blow_ups": int(np.sum(ratio > BLOW_UP)),
        "residual_error": float(np.mean(one)),
        "open_loop_error": float(np.mean(ahead)),
        "median_ratio": float(np.median(ratio)),
        "worst_ratio": float(np.max(ratio)),
    }


PUBLISHED = (NO_ADAPTATION, "FOMAML .005 × 100", "FOMAML .05 × 100", "last_layer", "physics")
"""Rows of the table that this study repeats; the classical identifiers and other adapters are added to it."""


def ratios(result: dict, among: tuple[str, ...] | None = None) -> list[dict]:
    """In every column of the table the default adapter beside the best other row.

    Args:
        result: of :func:`study`.
        among: rows to compare with; None, or none that was studied, for all.

    Returns:
        For each (condition, size): their means, the row that is best, and their ratio.
    """
    out = []
    for condition, rows in result["table"].items():
        among = among if among and any(name in rows for name in among) else None
        others = [name for name in rows if name != result["default"] and (not among or name in among)]
        for i, size in enumerate(result["sizes"]):
            best = min(others, key=lambda name: rows[name][i]["mean"])
            ours, theirs = rows[result["default"]][i]["mean"], rows[best][i]["mean"]
            out.append(
                {
                    "condition": condition,
                    "size": size,
                    "default": ours,
                    "best": theirs,
                    "row": best,
                    "ratio": ours / theirs if theirs > 0.0 else math.inf,
                }
            )
    return out


# -- report ---------------------------------------------------------------------------------------


def write(result: dict, folder: Path, command: str) -> list[Path]:
    """Write prediction_study.json, .md and .png into ``folder``; returns their paths."""
    from ...core.files import write_file, write_json
    from ..plots import save

    folder = Path(folder)
    paths = [folder / f"prediction_study.{kind}" for kind in ("json", "md", "png")]
    try:
        write_json(paths[0], result)
        write_file(paths[1], markdown(result, command).encode())
        save(prediction_figure(result), paths[2])
    except OSError as error:
        raise MppiMamlError(f"the study cannot be written to {folder}: {error}") from error
    return paths


def markdown(result: dict, command: str) -> str:
    """The study as a page."""
    sizes = " / ".join(map(str, result["sizes"]))
    lines = [
        "# Prediction study",
        "",
        f"Made by `{command}`. RMS error of the predicted residual (dv [m/s], domega [rad/s]) on the "
        f"{QUERY} clean transitions after the M = {sizes} that were adapted on; mean over "
        f"{result['tasks']} robots, seed {result['seed']}. Bold: the lowest in its column.",
        "",
    ]
    table = result["table"]
    names = list(next(iter(table.values())))
    lines.append("| | " + " | ".join(table) + " |")
    lines.append("|---|" + "---:|" * len(table))
    for name in names:
        cells = []
        for rows in table.values():
            best = [min(rows[other][i]["mean"] for other in names) for i in range(len(result["sizes"]))]
            texts = [f"{cell['mean']:.3f}" for cell in rows[name]]
            cells.append(
                " / ".join(
                    f"**{text}**" if text == f"{low:.3f}" else text
                    for text, low in zip(texts, best, strict=True)
                )
            )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "Robots: gain .6–1.1, lags .05–.5 s, viscous friction 0–1 1/s; *all factors*: the distribution of "
        "meta-training, with dry friction, dead zone, slip and delay. Noise .02: odometry with .02 m/s and "
        ".02 rad/s on the velocities, .005 m and .005 rad on the pose. All rows share one meta-model.",
        "",
        "## Against the best other row",
        "",
        "*Published*: no adaptation, FOMAML, last layer and physics; *all*: the classical identifiers too.",
        "",
        f"| column | M | {result['default']} | best published | ratio | best of all | ratio |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for one, two in zip(ratios(result, PUBLISHED), ratios(result), strict=True):
        lines.append(
            f"| {one['condition']} | {one['size']} | {one['default']:.4f} "
            f"| {one['best']:.4f} ({one['row']}) | {one['ratio']:.2f} "
            f"| {two['best']:.4f} ({two['row']}) | {two['ratio']:.2f} |"
        )
    lines += [
        "",
        "## Out of distribution",
        "",
        "Gains .3–1.5, lags .02–1 s, delays 3–6 steps, heavy friction, wheels that spin, five times the "
        f"noise and three times the speed. A blow-up: an error {OPEN_LOOP_STEPS} steps ahead of more than "
        f"{BLOW_UP:g} times the kinematic model's. Ratios are to that error.",
        "",
        "| | fits | not finite | blow-ups | residual error | 30 steps ahead [m] "
        "| median ratio | worst ratio |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, s in result["stability"].items():
        lines.append(
            f"| {name} | {s['fits']} | {s['not_finite']} | {s['blow_ups']} | {s['residual_error']:.3f} "
            f"| {s['open_loop_error']:.3f} | {s['median_ratio']:.2f} | {s['worst_ratio']:.2f} |"
        )
    return "\n".join([*lines, "", "![errors over M](prediction_study.png)", ""])


def prediction_figure(result: dict) -> Figure:
    """Residual error over the number of transitions; a panel a condition, a line a row of the study."""
    from ..plots import ADAPTIVE, KINEMATIC, MUTED, STYLE, legend_below, plt

    table, sizes = result["table"], result["sizes"]
    names = list(next(iter(table.values())))
    shades = plt.get_cmap("tab20")(np.linspace(0.0, 1.0, 20))
    colour = {name: shades[i % 20] for i, name in enumerate(names)}
    colour |= {"kinematics": KINEMATIC, "no adaptation": MUTED, result["default"]: ADAPTIVE}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(table), figsize=(1.0 + 3.3 * len(table), 4.6), sharey=True, squeeze=False,
            layout="constrained",
        )  # fmt: skip
        for axis, (condition, rows) in zip(axes[0], table.items(), strict=True):
            for name in names:
                ours = name == result["default"]
                means = np.array([max(cell["mean"], 1e-4) for cell in rows[name]])
                axis.plot(
                    sizes, means, "o-", color=colour[name], lw=2.4 if ours else 1.2, ms=5 if ours else 3,
                    zorder=5 if ours else 3, label=name,
                )  # fmt: skip
            axis.set_xscale("log")
            axis.set_yscale("log")
            axis.set_xticks(sizes, [str(size) for size in sizes])
            axis.minorticks_off()
            axis.set_title(condition)
            axis.set_xlabel("transitions")
        axes[0][0].set_ylabel("residual error, RMS (below 1e-4: drawn there)")
        handles, labels = axes[0][0].get_legend_handles_labels()
        legend_below(figure, handles, labels, columns=6)
    return figure
