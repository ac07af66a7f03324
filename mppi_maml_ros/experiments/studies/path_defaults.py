"""Settings for following paths, chosen on some robots and courses and judged on others.

Each setting is changed alone, for the robots of ``TRAIN_ROBOTS`` on the courses to train on. Those that help
by more than :data:`WORTH` are then taken one after the other, the best first, as long as each helps beside
those before it and no drive fails by it; what comes of it is judged on the robots and courses to test on. The
prior is ``auto``.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from ...core.files import write_json, write_rows
from ...mppi.config import MPPIConfig
from . import courses
from .fallback import LONGEST, Drive, drive

BASE = MPPIConfig(temperature=0.3, wz_rate_weight=1.0)
OTHERS = {"obstacles.cost_weight": 10.0, "approach_time": 0.8}
"""Beside which settings are changed: nav2's temperature and a calm yaw rate, the rest as for figures."""
TRAIN_ROBOTS, TEST_ROBOTS = ("train1", "train4", "firmware11"), ("a", "b", "c", "firmware0")
SPEED = 0.5  # [m/s] desired
SETTINGS: dict[str, tuple[float, ...]] = {
    "temperature": (0.1, 0.2, 0.5),
    "vx_std": (0.25,),
    "wz_std": (0.3, 0.8),
    "noise_knots": (5, 12),
    "time_steps": (22, 40),
    "position_weight": (5.0, 20.0, 40.0),
    "heading_weight": (0.3, 3.0),
    "vx_weight": (1.0,),
    "wz_weight": (0.03, 0.3),
    "vx_rate_weight": (1.0, 3.0),
    "wz_rate_weight": (0.3, 3.0),
    "terminal_scale": (1.0, 5.0),
    "obstacles.cost_weight": (5.0, 20.0),
    "approach_time": (0.4, 1.2),
}
"""Values beside the usual one; of the controller, of critics, of the control loop."""
COMBINATIONS = (
    {"position_weight": 20.0, "obstacles.cost_weight": 20.0},
    {"wz_std": 0.3, "noise_knots": 5.0, "position_weight": 20.0, "obstacles.cost_weight": 20.0},
    {"wz_std": 0.3, "position_weight": 20.0, "vx_rate_weight": 3.0, "wz_rate_weight": 3.0,
     "obstacles.cost_weight": 20.0},
)  # fmt: skip
"""What is changed at once, since one is weighed against the other: tighter on the path and off the walls."""
WORTH = 0.02  # of the score
WHOLE = ("noise_knots", "time_steps")
COLUMNS = ("part", "settings", "robot", "path", "rmse", "change_v", "change_omega", "time", "clearance")
KEY = COLUMNS[:4]


def label(settings: dict[str, float]) -> str:
    """Settings as they stand in a table; ``base`` for none."""
    return " ".join(f"{name}={settings[name]:g}" for name in SETTINGS if name in settings) or "base"


def run(robot: str, path: str, settings: dict[str, float]) -> Drive:
    """One drive with settings that differ from :data:`BASE`."""
    settings = {name: int(value) if name in WHOLE else value for name, value in settings.items()}
    of_mppi: dict[str, Any] = {k: v for k, v in settings.items() if k in attrs.fields_dict(MPPIConfig)}
    others: dict[str, Any] = OTHERS | {k: v for k, v in settings.items() if k not in of_mppi}
    return drive(robot, path, SPEED, "auto", mppi=attrs.evolve(BASE, **of_mppi), **others)


def failed(row: dict) -> bool:
    """The robot did not arrive, or touched a wall."""
    return not math.isfinite(row["time"]) or row["clearance"] < 0.0


def score(rows: list[dict], reference: list[dict]) -> float:
    """How bad drives are in proportion to other drives of the same cases; 1: as bad.

    The geometric mean of RMSE, the fourth root of the restlessness and the root of the time; twice as bad is
    one that :func:`failed`.
    """

    def badness(row: dict) -> float:
        time = row["time"] if math.isfinite(row["time"]) else LONGEST
        total = math.log(row["rmse"]) + 0.25 * math.log(row["change_omega"]) + 0.5 * math.log(time)
        return total + failed(row) * math.log(2.0)

    usual = {(row["robot"], row["path"]): badness(row) for row in reference}
    return float(np.exp(np.mean([badness(row) - usual[row["robot"], row["path"]] for row in rows])))


class Study:
    """Drives that are done, and those to do; kept in ``path_defaults.csv``, so that a run may be broken off.

    Args:
        folder: of the files.
        run: see :func:`run`.

    Attributes:
        rows: by part, settings, robot and path.
        chosen: what :meth:`together` came to.
    """

    def __init__(self, folder: Path, run: Callable[[str, str, dict[str, float]], Drive] = run) -> None:
        self._file, self._run = folder / "path_defaults.csv", run
        self.rows: dict[tuple, dict] = {}
        self.chosen: dict[str, float] = {}
        if self._file.exists():
            with self._file.open(newline="") as lines:
                for row in csv.DictReader(lines):
                    named = {k: v if k in KEY else float(v) for k, v in row.items()}
                    self.rows[tuple(named[k] for k in KEY)] = named

    def of(self, part: str, settings: dict[str, float]) -> list[dict]:
        """Rows of settings in a part that are done."""
        return [row for key, row in self.rows.items() if key[:2] == (part, label(settings))]

    def drives(self, part: str, settings: dict[str, float]) -> Iterator[str]:
        """Do what is missing, and say what was done."""
        robots, paths = (TRAIN_ROBOTS, courses.TRAIN) if part == "train" else (TEST_ROBOTS, courses.TEST)
        for robot in robots:
            for path in paths:
                key = (part, label(settings), robot, path)
                if key not in self.rows:
                    done = attrs.asdict(self._run(robot, path, settings))
                    self.rows[key] = dict(zip(KEY, key, strict=True)) | {c: done[c] for c in COLUMNS[4:]}
                yield " ".join(key)
        write_rows(self._file, COLUMNS, self.rows.values(), digits=4)

    def alone(self) -> dict[str, float]:
        """Score of each change alone, on the part to train on."""
        usual = self.of("train", {})
        return {label(s): round(score(self.of("train", s), usual), 4) for s in changes()}

    def together(self) -> Iterator[str]:
        """Take what helps, one change after the other, into ``chosen``; says what is driven for it."""
        usual, alone, self.chosen = self.of("train", {}), self.alone(), {}
        best = 1.0
        for change in sorted(changes(), key=lambda s: alone[label(s)]):
            if alone[label(change)] > 1.0 - WORTH or change.keys() & self.chosen.keys():
                continue
            trial = self.chosen | change
            yield from self.drives("train", trial)
            rows = self.of("train", trial)
            found, fails = score(rows, usual), sum(map(failed, rows)) > sum(map(failed, usual))
            if found < best * (1.0 - WORTH) and not fails:
                self.chosen, best = trial, found

    def write(self) -> dict:
        """``path_defaults.json``; returns what it holds."""
        judged = {
            part: round(score(self.of(part, self.chosen), self.of(part, {})), 4) for part in ("train", "test")
        }
        summary = {"alone": self.alone(), "together": self.chosen, "score": judged}
        write_json(self._file.with_suffix(".json"), summary)
        return summary


def changes() -> list[dict[str, float]]:
    """Every setting changed alone, and the combinations."""
    return [{name: value} for name, values in SETTINGS.items() for value in values] + list(COMBINATIONS)
