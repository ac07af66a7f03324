"""What each knob of the controller and of the adaptation does: the same drives, one parameter changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from matplotlib.figure import Figure

from ...adaptation.guard import GuardConfig
from ...adaptation.online import OnlineAdaptation, OnlineConfig
from ...core.files import write_rows
from ...mppi.config import MPPIConfig
from ...references.figures import FIGURES
from ...simulation.worlds import make_world
from ...weights.meta_model import MetaModel
from .. import metrics, plots
from ..closed_loop import run

WORLD, REFERENCE, DURATION = "friction_patches", "figure8", 12.0  # [s]
SETTLED = 2.0  # [s] from which on errors count
COLUMNS = ("parameter", "value", "seed", "rmse", "smoothness", "step_ms")


@attrs.frozen
class Knob:
    """One parameter and the values that it is given, the default among them."""

    name: str
    values: tuple
    default: float


_MPPI = MPPIConfig()
KNOBS = (
    *(
        Knob(name, values, getattr(_MPPI, name))
        for name, values in (
            ("temperature", (0.05, 0.2, 1.0, 5.0, 20.0)),
            ("batch_size", (64, 250, 1000, 2000)),
            ("time_steps", (8, 15, 30, 45)),
            ("vx_std", (0.1, 0.25, 0.5, 1.0)),
            ("noise_knots", (3, 5, 8, 15, 0)),
            ("position_weight", (1.0, 3.0, 10.0, 30.0, 100.0)),
            ("heading_weight", (0.0, 0.3, 1.0, 5.0, 20.0)),
            ("vx_rate_weight", (0.0, 0.3, 1.0, 5.0)),
            ("iteration_count", (1, 2, 4)),
        )
    ),
    Knob("adapt_interval", (0.1, 0.5, 2.0, 8.0), OnlineConfig().adapt_interval),
    Knob("buffer_size", (20, 50, 200, 400), OnlineConfig().buffer_size),
    Knob("guard.margin", (0.0, 0.02, 0.2, 0.5), GuardConfig().margin),
)


def drive(knob: str, value: float, seed: int, meta: MetaModel) -> dict:
    """One drive with adaptation; a row of COLUMNS."""
    mppi = MPPIConfig()
    online: dict[str, Any] = {}
    if knob in ("adapt_interval", "buffer_size"):
        online = {knob: value}
    elif knob == "guard.margin":
        online = {"guard": GuardConfig(margin=value)}
    else:
        changed: dict[str, Any] = {knob: value}
        mppi = MPPIConfig(**changed)
    result = run(
        make_world(WORLD, seed, duration=DURATION), FIGURES[REFERENCE](), mppi, seed, DURATION,
        adaptation=OnlineAdaptation(meta, OnlineConfig(**online)),
    )  # fmt: skip
    measured = (result.rmse(SETTLED), metrics.smoothness(result.commands), float(np.median(result.step_ms)))
    return dict(zip(COLUMNS, (knob, value, seed, *measured), strict=True))


def study(meta: MetaModel, seeds: Iterable[int]) -> Iterator[dict]:
    """Rows of all drives, as they are done."""
    for knob in KNOBS:
        for value in knob.values:
            for seed in seeds:
                yield drive(knob.name, value, seed, meta)


def write(rows: list[dict], out: Path) -> Path:
    """tuning_study.csv and tuning_study.png in ``out``; the path of the picture."""
    write_rows(out / "tuning_study.csv", COLUMNS, rows)
    seeds = len({row["seed"] for row in rows})
    title = f"One parameter changed at a time: {REFERENCE} in {WORLD}, {seeds} seeds"
    return plots.save(_figure(rows, title), out / "tuning_study.png")


def _figure(rows: list[dict], title: str) -> Figure:
    plt = plots.plt
    with plt.rc_context(plots.STYLE):
        figure, axes = plt.subplots(4, 3, figsize=(13.0, 13.0), layout="constrained")
        figure.suptitle(title, fontsize=14, fontweight="bold", x=0.01, ha="left")
        for axis, knob in zip(axes.flat, KNOBS, strict=True):
            mine = [row for row in rows if row["parameter"] == knob.name]
            places = np.arange(len(knob.values))

            def mean(column: str, mine: list[dict] = mine, knob: Knob = knob) -> list[float]:
                return [np.mean([r[column] for r in mine if r["value"] == v]) for v in knob.values]

            error = 1e3 * np.array(mean("rmse"))
            for place, value in zip(places, knob.values, strict=True):
                each = [1e3 * row["rmse"] for row in mine if row["value"] == value]
                axis.plot([place] * len(each), each, ".", color=plots.ADAPTIVE, alpha=0.35)
            axis.plot(places, error, "o-", color=plots.ADAPTIVE, label="error [mm]")
            axis.set_ylim(0.0, None)
            axis.set_ylabel("RMSE [mm]", color=plots.ADAPTIVE)
            rough = axis.twinx()
            rough.plot(places, mean("smoothness"), "s--", color=plots.KINEMATIC, ms=4)
            rough.set_ylim(0.0, None)
            rough.set_ylabel("mean change of the command", color=plots.KINEMATIC)
            rough.grid(False)
            labels = [f"{v:g}" + (" *" if v == knob.default else "") for v in knob.values]
            axis.set_xticks(places, labels)
            axis.set_title(knob.name)
        figure.supxlabel("blue: error, a dot a seed; orange: how restless the commands are; *: the default")
    return figure
