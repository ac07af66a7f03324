"""What the default adapter has to reach, judged from a table of results.

Ratios are of means over seeds that both models have. What a table does not hold is not judged.
"""

from __future__ import annotations

import math

import attrs
import numpy as np

from ...simulation.worlds import NONLINEAR_WORLDS, WHEEL_WORLDS
from .. import metrics
from .contenders import ADAPTIVE, KINEMATIC, NOMINAL_ORACLE, ORACLE
from .results import Job

IDENTIFIERS = ("rls", "ekf", "l1")  # the classical ones
WORTHWHILE = 0.15  # a gap below this share of the kinematic error is not worth closing
FROM_2S, WHOLE, AFTER = "rmse_after_2s", "rmse", "rmse_after_change"


@attrs.frozen
class Target:
    """One demand: ``value`` has to be at most (or at least) ``limit``; ``worst`` says where it is not."""

    name: str
    value: float
    limit: float
    at_least: bool = False
    worst: str = ""

    @property
    def met(self) -> bool:
        """Whether it is reached; NaN is not."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


class _Rows:
    def __init__(self, rows: dict[Job, dict]) -> None:
        self.rows = rows
        self.places = list(dict.fromkeys((job.world, job.trajectory) for job in rows))

    def pairs(self, model: str, other: str, place: tuple[str, str], column: str) -> np.ndarray:
        """Values of both over the seeds that both have, (n, 2)."""
        found = []
        for job, row in self.rows.items():
            if job.model == model and (job.world, job.trajectory) == place:
                compared = self.rows.get(attrs.evolve(job, model=other))
                if compared is not None and not math.isnan(row[column]):
                    found.append((row[column], compared[column]))
        return np.array(found, dtype=float).reshape(-1, 2)

    def ratio(self, model: str, other: str, place: tuple[str, str], column: str = FROM_2S) -> float:
        """Of the means; NaN of nothing."""
        pairs = self.pairs(model, other, place, column)
        return float(pairs[:, 0].mean() / pairs[:, 1].mean()) if len(pairs) else math.nan

    def best_identifier(self, place: tuple[str, str], column: str = FROM_2S) -> str | None:
        ratios = {name: self.ratio(name, ADAPTIVE, place, column) for name in IDENTIFIERS}
        ratios = {name: value for name, value in ratios.items() if not math.isnan(value)}
        return min(ratios, key=ratios.__getitem__) if ratios else None


def judge(rows: dict[Job, dict], noise: float = 1.0) -> list[Target]:
    """All demands that ``rows`` say something about.

    Args:
        rows: of :class:`.results.Results`.
        noise: factor on the process noise that they were made with.
    """
    table = _Rows(rows)
    targets = [*_seed_world(table), *_changes(table, noise), *_combined(table), *_all_worlds(table)]
    return [target for target in targets if not math.isnan(target.value)]


def _seed_world(table: _Rows) -> list[Target]:
    circle = ("seed", "circle")
    targets = [Target("seed, circle: RMSE × oracle", table.ratio(ADAPTIVE, ORACLE, circle, WHOLE), 1.05)]
    pairs = table.pairs(ADAPTIVE, KINEMATIC, circle, WHOLE)
    if len(pairs):
        share = float(np.mean(pairs[:, 0] < pairs[:, 1]))
        targets.append(Target("seed, circle: share of runs below kinematic", share, 1.0, at_least=True))
    for trajectory in ("figure8", "sine", "straight"):
        name = f"seed, {trajectory}: RMSE after 2 s × oracle"
        targets.append(Target(name, table.ratio(ADAPTIVE, ORACLE, ("seed", trajectory)), 1.05))
    for trajectory in ("circle", "figure8"):
        name = f"seed_delayed, {trajectory}: RMSE after 2 s × oracle"
        targets.append(Target(name, table.ratio(ADAPTIVE, ORACLE, ("seed_delayed", trajectory)), 1.10))
    return targets


def _changes(table: _Rows, noise: float) -> list[Target]:
    place = ("friction_step", "circle")
    ratio = table.ratio(ADAPTIVE, ORACLE, place, AFTER)
    targets = [Target("friction_step, circle: RMSE after the step × informed oracle", ratio, 1.05)]
    times = [
        row["recovery_s"]
        for job, row in table.rows.items()
        if job.model == ADAPTIVE and (job.world, job.trajectory) == place
    ]
    times = [time for time in times if not math.isnan(time)]
    if times:
        targets.append(Target("friction_step, circle: slowest recovery [s]", max(times), 2.0))
    if noise == 0.0:
        to_kinematic = table.ratio(ADAPTIVE, KINEMATIC, place, AFTER)
        gone = metrics.gap_closed(1.0, to_kinematic / ratio, to_kinematic)
        targets.append(
            Target("friction_step, circle, no noise: kinematic excess gone", gone, 0.9, at_least=True)
        )
    return targets


def _combined(table: _Rows) -> list[Target]:
    place = ("combined_disturbance", "circle")
    targets = [
        Target(
            "combined_disturbance, circle: × nominal oracle",
            table.ratio(ADAPTIVE, NOMINAL_ORACLE, place),
            0.8,
        )
    ]
    best = table.best_identifier(place)
    if best:
        targets.append(
            Target(
                "combined_disturbance, circle: × best identifier",
                table.ratio(ADAPTIVE, best, place),
                1.0,
                worst=best,
            )
        )
    return targets


def _all_worlds(table: _Rows) -> list[Target]:
    gaps, gains = [], []
    for place in table.places:
        kinematic, oracle = (table.ratio(ADAPTIVE, name, place) for name in (KINEMATIC, ORACLE))
        if place[0] in WHEEL_WORLDS and not math.isnan(kinematic + oracle):
            least = kinematic / oracle
            if 1.0 - least >= WORTHWHILE:
                gaps.append(metrics.gap_closed(1.0, least, kinematic))
        best = table.best_identifier(place)
        if place[0] in NONLINEAR_WORLDS and best:
            gains.append(table.ratio(ADAPTIVE, best, place))
    targets = []
    if gaps:
        targets.append(
            Target("wheel-level worlds: mean gap closed", float(np.mean(gaps)), 0.85, at_least=True)
        )
    if gains:
        targets.append(Target("non-linear worlds: × best identifier, mean", float(np.mean(gains)), 0.9))
    means = {place: table.ratio(ADAPTIVE, KINEMATIC, place) for place in table.places}
    means = {place: ratio for place, ratio in means.items() if not math.isnan(ratio)}
    if means:
        worst = max(means, key=means.__getitem__)
        targets.append(Target("worst world × kinematic", means[worst], 1.02, worst=", ".join(worst)))
    runs = {
        job: row[FROM_2S] / table.rows[other][FROM_2S]
        for job, row in table.rows.items()
        if job.model == ADAPTIVE and (other := attrs.evolve(job, model=KINEMATIC)) in table.rows
    }
    if runs:
        job = max(runs, key=runs.__getitem__)
        where = f"{job.world}, {job.trajectory}, seed {job.seed}"
        targets.append(Target("worst run × kinematic", runs[job], 1.10, worst=where))
    return targets
