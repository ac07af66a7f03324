"""The folder of a comparison: rows, settings and traces, and what follows from several rows.

``results.csv`` holds one row a run, ``metrics.csv`` further measures of the same runs,
``manifest.json`` the settings that all of them share, ``traces/`` what the report draws.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import attrs
import numpy as np

from ...core.errors import MppiMamlError
from ...core.files import write_file, write_json
from ...references.figures import FIGURES
from ...simulation.worlds import WORLDS
from .. import metrics
from .contenders import KINEMATIC, ORACLE, model_names

WRITE_INTERVAL = 5.0  # [s] between writes of results.csv

KEY = ("model", "world", "trajectory", "seed")
RESULTS: dict[str, str] = {
    "rmse": "position RMSE over the whole run [m]; inf when the controller found no valid command",
    "rmse_after_2s": "the same from 2 s on, without the start from rest [m]",
    "max_error": "largest distance to the reference [m]",
    "gap_closed": "(kinematic - x) / (kinematic - oracle) of rmse_after_2s, same world, reference and seed",
    "recovery_s": "after a change, until the RMS error over 2 s is within 1.2 x oracle; inf: not at all [s]",
    "step_ms_p50": "control step, median [ms]",
    "step_ms_p99": "control step, 99th percentile [ms]",
    "adapt_ms_p50": "adaptation, median [ms]",
}
"""Columns of results.csv after the key, with their meaning."""
METRICS: dict[str, str] = {
    "step_ms_p95": "control step, 95th percentile [ms]",
    "adapt_ms_p95": "adaptation, 95th percentile [ms]",
    "adapt_ms_p99": "adaptation, 99th percentile [ms]",
    "rmse_after_change": "position RMSE from the (first) change on [m]",
    "one_step_error": "position error one step ahead, RMS, by what served on what then happened [m]",
    "open_loop_error": "position error 30 steps ahead, likewise [m]",
    "smoothness": "mean |du| between control steps, Euclidean over m/s and rad/s",
    "swaps": "accepted swaps",
    "rejected": "attempts that were refused or rolled back",
}
"""Columns of metrics.csv after the key."""
COLUMNS = (*KEY, *RESULTS, *METRICS)

_TEXT = ("model", "world", "trajectory")
_COUNTS = ("seed", "swaps", "rejected")
_SOURCES = (
    "adaptation",
    "control",
    "core",
    "dynamics",
    "mppi",
    "policies",
    "references",
    "safety",
    "simulation",
    "weights",
)
_EXPERIMENTS = (
    "closed_loop.py",
    "comparison/runs.py",
    "comparison/contenders.py",
    "comparison/offline.py",
    "comparison/policies.py",
    "oracle.py",
)


@attrs.frozen
class Job:
    """One run, and the key of its row."""

    model: str
    world: str
    trajectory: str
    seed: int

    @property
    def group(self) -> tuple[str, str, int]:
        """Runs that differ in the model only."""
        return self.world, self.trajectory, self.seed

    def __str__(self) -> str:
        return f"{self.model} in {self.world} on {self.trajectory}, seed {self.seed}"


@attrs.frozen(eq=False)
class JobResult:
    """A row, a value for each of COLUMNS, and the arrays that the report draws."""

    row: dict
    trace: dict[str, np.ndarray]


class Described(Protocol):
    """Settings that can be told apart."""

    def manifest(self) -> dict:
        """Everything that a row depends on besides its key and the code, as JSON."""


def code_digest() -> str:
    """Of all sources that a run depends on; tells whether rows were made by the same code."""
    package = Path(__file__).resolve().parents[2]
    files = [path for name in _SOURCES for path in sorted((package / name).rglob("*.py"))]
    files += [package / "experiments" / name for name in _EXPERIMENTS]
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _format(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)


def _parse(name: str, text: str) -> str | int | float:
    if name in _TEXT:
        return text
    if name in _COUNTS:
        return int(text)
    return float(text) if text else math.nan


def _table(path: Path, columns: tuple[str, ...]) -> dict[Job, dict]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames != list(columns):
                raise MppiMamlError(f"{path} has other columns than {', '.join(columns)}")
            rows: list[dict[str, Any]] = [
                {name: _parse(name, text) for name, text in line.items()} for line in reader
            ]
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise MppiMamlError(f"{path} cannot be read: {error}") from error
    return {Job(*(row[name] for name in KEY)): row for row in rows}


def read_results(folder: Path) -> dict[Job, dict]:
    """Rows of results.csv by their job, with what metrics.csv says of them.

    Raises:
        MppiMamlError: one of the two is missing, damaged or of other runs.
    """
    rows = _table(Path(folder) / "results.csv", (*KEY, *RESULTS))
    more = _table(Path(folder) / "metrics.csv", (*KEY, *METRICS))
    if rows.keys() != more.keys():
        raise MppiMamlError(f"results.csv and metrics.csv in {folder} are of different runs")
    return {job: row | more[job] for job, row in rows.items()}


class Results:
    """Rows, manifest and traces of one folder; opening it checks that the settings agree.

    Args:
        folder: made when it does not exist.
        settings: of the runs to come; None to read only.

    Raises:
        MppiMamlError: the folder holds results of other settings (each is named), or damaged ones.
    """

    manifest: dict[str, Any]

    def __init__(self, folder: Path, settings: Described | None = None) -> None:
        self.folder = Path(folder)
        self.path = self.folder / "results.csv"
        self._manifest = self.folder / "manifest.json"
        self.mixed_code = False
        found = self._read_manifest()
        if settings is not None:
            self._agree(settings.manifest(), found)
        elif found is None:
            raise MppiMamlError(f"there are no results in {self.folder}")
        else:
            self.manifest = found
        self.rows = read_results(self.folder) if self.path.exists() else {}
        self._stale = False
        self._written = 0.0

    def _read_manifest(self) -> dict | None:
        if not self._manifest.exists():
            if self.path.exists():
                raise MppiMamlError(f"{self.path} has no manifest.json beside it: use another folder")
            return None
        try:
            return json.loads(self._manifest.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise MppiMamlError(f"{self._manifest} cannot be read: {error}") from error

    def _agree(self, wanted: dict, found: dict | None) -> None:
        code = code_digest()
        if found is not None:
            old, new = _flat(found), _flat(json.loads(json.dumps(wanted)))
            old = {name: value for name, value in old.items() if not name.startswith("code")}
            differing = [
                f"{name} is {old.get(name)}, now {new.get(name)}"
                for name in sorted(old.keys() | new.keys())
                if old.get(name) != new.get(name)
            ]
            if differing:
                listed = "; ".join(differing)
                raise MppiMamlError(
                    f"{self.folder} holds results of other settings ({listed}): "
                    "use another folder or remove it"
                )
            self.mixed_code = found.get("code", []) not in ([], [code])
        codes = list(dict.fromkeys([*(found or {}).get("code", []), code]))
        self.manifest = wanted | {"code": codes}
        if found is None or found.get("code") != codes:
            write_json(self._manifest, self.manifest)

    def add(self, outcome: JobResult) -> None:
        """Take a row in and bring the derived columns of its group up to date."""
        row: dict[str, Any] = {name: _parse(name, _format(value)) for name, value in outcome.row.items()}
        job = Job(*(row[name] for name in KEY))
        buffer = io.BytesIO()
        np.savez(buffer, **outcome.trace)  # type: ignore[arg-type]  # not allow_pickle, as the stub has it
        write_file(self._trace_path(job), buffer.getvalue())
        self.rows[job] = row
        self._derive(job)
        self._stale = True

    def _derive(self, job: Job) -> None:
        """Fill in gap_closed and recovery_s; of the whole group when its yardstick has arrived."""
        kinematic, best = (self.rows.get(attrs.evolve(job, model=name)) for name in (KINEMATIC, ORACLE))
        changed = job.model in (KINEMATIC, ORACLE)
        members = [j for j in self._group(job) if changed or j == job]
        oracle = self.trace(attrs.evolve(job, model=ORACLE)) if best else None
        for member in members:
            row = self.rows[member]
            if kinematic is not None and best is not None:
                row["gap_closed"] = _rounded(
                    metrics.gap_closed(
                        kinematic["rmse_after_2s"], best["rmse_after_2s"], row["rmse_after_2s"]
                    )
                )
            if oracle is not None and len(oracle["changes"]) and "error" in oracle:
                row["recovery_s"] = _rounded(self._recovery(member, oracle))

    def _recovery(self, job: Job, oracle: dict) -> float:
        trace = self.trace(job)
        if trace is None:
            return self.rows[job]["recovery_s"]
        if "error" not in trace:
            return math.inf
        dt = self.manifest["mppi"]["model_dt"]
        changes = [float(time) for time in oracle["changes"]]
        return metrics.longest_recovery(trace["error"], oracle["error"], dt, changes)

    def _group(self, job: Job) -> Iterator[Job]:
        return (other for name in model_names() if (other := attrs.evolve(job, model=name)) in self.rows)

    def _trace_path(self, job: Job) -> Path:
        name = f"{job.model}_{job.seed}.npz".replace("/", "-")
        return self.folder / "traces" / job.world / job.trajectory / name

    def trace(self, job: Job) -> dict[str, np.ndarray] | None:
        """What :func:`perform` recorded; None when it is not there."""
        try:
            with np.load(self._trace_path(job), allow_pickle=False) as file:
                return dict(file)
        except (OSError, ValueError, EOFError):
            return None

    def write(self, now: bool = True) -> None:
        """Bring results.csv up to date; without ``now`` only when the last time is a while ago."""
        if not self._stale or not (now or time.monotonic() - self._written > WRITE_INTERVAL):
            return
        jobs = sorted(self.rows, key=order)
        # The one that says what has been done comes last.
        for name, columns in (("metrics.csv", METRICS), ("results.csv", RESULTS)):
            text = io.StringIO(newline="")
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow((*KEY, *columns))
            for job in jobs:
                writer.writerow([_format(self.rows[job][column]) for column in (*KEY, *columns)])
            write_file(self.folder / name, text.getvalue().encode())
        self._stale, self._written = False, time.monotonic()


def order(job: Job) -> tuple:
    """Key to sort jobs by: as names are listed where they are registered."""
    known = (tuple(WORLDS), tuple(FIGURES), model_names())
    names = (job.world, job.trajectory, job.model)
    places = [
        (all_.index(name) if name in all_ else len(all_), name)
        for all_, name in zip(known, names, strict=True)
    ]
    return *places[:2], job.seed, places[2]


def _rounded(value: float) -> float:
    return float(_parse("rmse", _format(float(value))))


def _flat(value: object, prefix: str = "") -> dict[str, object]:
    if not isinstance(value, dict):
        return {prefix: value}
    parts = [_flat(item, f"{prefix}.{key}" if prefix else key) for key, item in value.items()]
    return {name: item for part in parts for name, item in part.items()}
