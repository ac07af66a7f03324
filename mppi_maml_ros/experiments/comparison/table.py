"""Rows of a results.csv as the report reads them: means over seeds, and ratios between models."""

from __future__ import annotations

import math
from collections.abc import Iterable

import attrs
import numpy as np

from .. import metrics
from .contenders import KINEMATIC, NOMINAL_ORACLE, ORACLE
from .results import Job, order
from .targets import WORTHWHILE

ORACLES = (ORACLE, NOMINAL_ORACLE)
METRIC = "rmse_after_2s"


@attrs.frozen
class Cell:
    """The runs of one model in one world on one reference, over seeds."""

    mean: float
    margin: float
    count: int


class Table:
    """Rows of a results.csv, by cell and by run."""

    def __init__(self, rows: dict[Job, dict]) -> None:
        self.rows = rows
        jobs = sorted(rows, key=order)
        self.models = tuple(sorted({j.model for j in jobs}, key=lambda m: order(Job(m, "", "", 0))))
        self.worlds = tuple(dict.fromkeys(job.world for job in jobs))
        trajectories = {j.trajectory for j in jobs}
        self.trajectories = tuple(sorted(trajectories, key=lambda t: order(Job("", "", t, 0))))
        self._cells: dict[tuple[str, str, str], list[dict]] = {}
        for job in jobs:
            self._cells.setdefault((job.model, job.world, job.trajectory), []).append(rows[job])

    def values(self, model: str, world: str, trajectory: str, column: str = METRIC) -> np.ndarray:
        """A column over seeds; empty where nothing was run."""
        return np.array([row[column] for row in self._cells.get((model, world, trajectory), [])], dtype=float)

    def cell(self, model: str, world: str, trajectory: str, column: str = METRIC) -> Cell | None:
        """Mean over seeds with its 95 % margin; None where nothing was run."""
        values = self.values(model, world, trajectory, column)
        if not len(values):
            return None
        return Cell(*metrics.mean_and_margin(values), len(values))

    def worlds_of(self, trajectory: str) -> list[str]:
        """Worlds with a run on a reference."""
        return [w for w in self.worlds if any((m, w, trajectory) in self._cells for m in self.models)]

    def ratios(self, model: str, to: str) -> dict[tuple[str, str], float]:
        """Ratio of the cell means of the seeds that both have, by (world, reference)."""
        out = {}
        for world in self.worlds:
            for trajectory in self.trajectories:
                pairs = self._pairs(model, to, world, trajectory)
                if len(pairs):
                    out[world, trajectory] = float(pairs[:, 0].mean() / pairs[:, 1].mean())
        return out

    def _pairs(self, model: str, to: str, world: str, trajectory: str) -> np.ndarray:
        other = {row["seed"]: row[METRIC] for row in self._cells.get((to, world, trajectory), [])}
        rows = self._cells.get((model, world, trajectory), [])
        return np.array([(row[METRIC], other[row["seed"]]) for row in rows if row["seed"] in other])

    def run_ratios(self, model: str, to: str) -> dict[Job, float]:
        """Ratio of every single run to the other model's run of the same seed."""
        out = {}
        for job, row in self.rows.items():
            other = self.rows.get(attrs.evolve(job, model=to))
            if job.model == model and other is not None and other[METRIC] > 0.0:
                out[job] = row[METRIC] / other[METRIC]
        return out

    def gaps(self, model: str) -> dict[tuple[str, str], float]:
        """Gap closed by the cell means, where the gap is worth closing."""
        to_kinematic, oracle = self.ratios(model, KINEMATIC), self.ratios(ORACLE, KINEMATIC)
        return {
            key: metrics.gap_closed(1.0, oracle[key], to_kinematic[key])
            for key in to_kinematic.keys() & oracle.keys()
            if 1.0 - oracle[key] >= WORTHWHILE
        }


def number(value: float, form: str) -> str:
    """As text, also where there is nothing to say or no end."""
    if math.isnan(value):
        return "–"
    return format(value, form) if math.isfinite(value) else "∞"


def extreme(ratios: dict) -> tuple[float, str]:
    """The largest, and where it is; NaN of none."""
    if not ratios:
        return math.nan, ""
    key = max(ratios, key=ratios.__getitem__)
    where = f"{key.world}, {key.trajectory}, seed {key.seed}" if isinstance(key, Job) else ", ".join(key)
    return ratios[key], where


def geometric(values: Iterable[float]) -> float:
    """Their geometric mean; NaN of none."""
    values = np.array(list(values), dtype=float)
    return float(np.exp(np.log(values).mean())) if len(values) else math.nan
