"""The comparison: every model in every world on every reference, over seeds, in parallel.

A run is fully determined by its settings, so a folder of results can be extended and resumed:
``results.csv`` holds one row a run, ``manifest.json`` the settings that all its rows share, and
``traces/`` what the report draws. All models get the same box on commands and, for one seed, the
same sampler seed, the same world and the same noise.
"""

from __future__ import annotations

import copy
import csv
import hashlib
import io
import json
import math
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

import attrs
import numpy as np

from ..adaptation.adapters import ADAPTERS, make_adapter
from ..adaptation.buffer import BufferConfig, TransitionBuffer
from ..adaptation.online import Attempt, Decision, OnlineAdaptation, OnlineConfig
from ..core.errors import InvalidValueError, MppiMamlError, NoValidControlError
from ..core.types import Odometry
from ..dynamics.residual import ResidualWeights
from ..mppi.config import MPPIConfig
from ..references.figures import FIGURES
from ..simulation.disturbances import FrictionStep, Payload, TerrainChange
from ..simulation.seed_world import SEED_GAIN
from ..simulation.world import World
from ..simulation.worlds import WORLD_NAMES, make_world
from ..weights.meta_model import MetaModel
from . import metrics
from .closed_loop import Run, run
from .oracle import Oracle

PACKAGED = Path(__file__).resolve().parent.parent / "artifacts" / "default.safetensors"
KINEMATIC, ORACLE, ADAPTIVE = "kinematic", "oracle", "adaptive"
FORMAT = 1  # of the results; older folders are refused
NOMINAL_FRICTION = 0.1  # [1/s] that the model ``dynamic`` believes in, as the guide's does
ADAPT_INTERVAL = 2.0  # [s] between adaptations
BASELINES = {"rls": 0.05, "ekf": 0.05, "l1": 0.05, "online_learner": ADAPT_INTERVAL}
"""Run as published, without the guard: updated every so many seconds and believed at once."""
WRITE_INTERVAL = 1.0  # [s] between writes of results.csv

_SOURCES = ("adaptation", "core", "dynamics", "mppi", "references", "simulation", "weights")


# -- what is run ----------------------------------------------------------------------------------


def model_names() -> tuple[str, ...]:
    """All models that can be compared; every registered adapter is one of them."""
    fixed = (KINEMATIC, "dynamic", ORACLE, "oracle_nominal", ADAPTIVE)
    return fixed + tuple(name for name in ADAPTERS if name not in fixed)


def usual_models() -> tuple[str, ...]:
    """All but those that mostly repeat another: the nominal oracle and the adapter that is the default."""
    return tuple(n for n in model_names() if n not in ("oracle_nominal", OnlineConfig().adapter))


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


@attrs.frozen
class Settings:
    """What all rows of a folder share.

    Attributes:
        duration: of each run [s], in [2, 3600].
        noise: factor on the worlds' process noise, in [0, 10].
        mppi: the controller; the same for every model.
        artifact: the meta-model.

    Raises:
        InvalidValueError: a value is out of range.
    """

    duration: float = 20.0
    noise: float = 1.0
    mppi: MPPIConfig = attrs.field(factory=lambda: MPPIConfig(batch_size=512, time_steps=30, noise_knots=8))
    artifact: Path = attrs.field(default=PACKAGED, converter=Path)

    def __attrs_post_init__(self):
        if not 2.0 <= self.duration <= 3600.0:
            raise InvalidValueError(f"duration must be in [2, 3600] s, got {self.duration}")
        if not 0.0 <= self.noise <= 10.0:
            raise InvalidValueError(f"noise must be in [0, 10], got {self.noise}")

    def manifest(self) -> dict:
        """Everything that a row depends on besides its key and the code, as JSON."""
        try:
            digest = hashlib.sha256(self.artifact.read_bytes()).hexdigest()
        except OSError as error:
            raise MppiMamlError(f"the meta-model cannot be read: {error}") from error
        online = attrs.asdict(OnlineConfig())
        return {
            "format": FORMAT,
            "duration": self.duration,
            "noise": self.noise,
            "mppi": attrs.asdict(self.mppi),
            "adaptive": online.pop("adapter"),
            "online": online,
            "adapt_interval": ADAPT_INTERVAL,
            "unguarded": BASELINES,
            "meta_model": digest,
        }


def code_digest() -> str:
    """Of all sources that a run depends on; tells whether rows were made by the same code."""
    package = Path(__file__).resolve().parent.parent
    files = [path for name in _SOURCES for path in sorted((package / name).rglob("*.py"))]
    files += [package / "experiments" / name for name in ("closed_loop.py", "oracle.py", "comparison.py")]
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def jobs_of(models, worlds, trajectories, seeds) -> list[Job]:
    """All combinations, without repeats; the models of one world, reference and seed side by side.

    Raises:
        InvalidValueError: an unknown name; the message lists the known ones.
    """
    known = {"model": model_names(), "world": WORLD_NAMES, "trajectory": tuple(FIGURES)}
    for kind, names in (("model", models), ("world", worlds), ("trajectory", trajectories)):
        for name in names:
            if name not in known[kind]:
                raise InvalidValueError(f"unknown {kind} {name!r}; known: {', '.join(known[kind])}")
    for seed in seeds:
        if not 0 <= seed < 2**31:
            raise InvalidValueError(f"seeds must be in [0, {2**31 - 1}], got {seed}")
    every = (Job(m, w, t, s) for w in worlds for t in trajectories for s in seeds for m in models)
    return list(dict.fromkeys(every))


def changes_of(world: World, duration: float) -> list[float]:
    """When a world changes for good during a run [s]: floor and load, not gusts, patches or slow drift."""
    times = []
    for disturbance in world.disturbances:
        if isinstance(disturbance, (FrictionStep, Payload)):
            times.append(disturbance.at)
        elif isinstance(disturbance, TerrainChange):
            times.extend(change.at for change in disturbance.changes)
    return sorted(time for time in times if 0.0 < time < duration)


# -- one run --------------------------------------------------------------------------------------


COLUMNS: dict[str, str] = {
    "model": "",
    "world": "",
    "trajectory": "",
    "seed": "",
    "rmse": "position RMSE over the whole run [m]; inf when the controller found no valid command",
    "rmse_after_2s": "the same from 2 s on, without the start from rest [m]",
    "max_error": "largest distance to the reference [m]",
    "gap_closed": "(kinematic - x) / (kinematic - oracle) of rmse_after_2s, same world, reference and seed",
    "recovery_s": "after a change, until the RMS error over 2 s is within 1.2 x oracle; inf: not at all [s]",
    "step_ms_p50": "control step, median [ms]",
    "step_ms_p99": "control step, 99th percentile [ms]",
    "adapt_ms_p50": "adaptation, median [ms]",
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
"""Columns of results.csv with their meaning."""

_TEXT = ("model", "world", "trajectory")
_COUNTS = ("seed", "swaps", "rejected")
OPEN_LOOP_STEPS = 30
PREDICTION_STRIDE = 5  # predictions start at every fifth step


class _Recorded(OnlineAdaptation):
    """Keeps what a report shows of each attempt."""

    def __init__(self, meta: MetaModel, config: OnlineConfig):
        super().__init__(meta, config)
        self.attempts: list[Attempt] = []

    def attempt(self) -> Attempt:
        self.attempts.append(super().attempt())
        return self.attempts[-1]


class _Unguarded:
    """An identifier without the guard: all that it says is served. As :class:`OnlineAdaptation` to a run."""

    due = False

    def __init__(self, meta: MetaModel, config: OnlineConfig):
        self.adapter = make_adapter(config.adapter, meta, config.sgd)
        self.attempts: list[Attempt] = []
        self._buffer = TransitionBuffer(
            BufferConfig(delay_taps=meta.delay_taps, model_dt=meta.model_dt, size=config.buffer_size)
        )

    def add_command(self, stamp: float, command) -> None:
        self._buffer.add_command(stamp, command)

    def add_odometry(self, sample: Odometry) -> bool:
        self._buffer.add_odometry(sample)
        return False

    def attempt(self) -> Attempt:
        self.attempts.append(self._attempt())
        return self.attempts[-1]

    def _attempt(self) -> Attempt:
        if not len(self._buffer):
            return Attempt(Decision.SKIPPED_TOO_FEW_SAMPLES, "no transition yet")
        started = time.perf_counter()
        try:
            adaptation = self.adapter.adapt(self._buffer.latest())
        except InvalidValueError as error:
            return Attempt(Decision.REJECTED_NOT_FINITE, str(error))
        ms = 1e3 * (time.perf_counter() - started)
        return Attempt(Decision.ACCEPTED, "not judged", adaptation.weights, adaptation, adapt_ms=ms)

    def installed(self) -> None:
        pass


@attrs.frozen(eq=False)
class Outcome:
    """A row and its trace; see :func:`perform`."""

    row: dict
    trace: dict[str, np.ndarray]


def perform(job: Job, settings: Settings, meta: MetaModel) -> Outcome:
    """Do one run and measure it.

    Args:
        job: what to run.
        settings: of all runs.
        meta: the loaded meta-model.

    Returns:
        The row, with NaN in what needs other runs (gap_closed, recovery_s), and the arrays that the
        report draws: ``position`` (T + 1, 2), ``reference`` (T + 1, 2), ``commands`` (T, 2), ``error``
        (T,), ``changes`` [s], ``attempts`` (A, 5): time [s], held-out error [m^2] of candidate, prior
        and what served, decision.
    """
    world = make_world(job.world, job.seed, noise_scale=settings.noise, duration=settings.duration)
    changes = changes_of(world, settings.duration)
    adaptation, options = _model(job.model, world, settings, meta)
    try:
        result = run(
            world, FIGURES[job.trajectory](), settings.mppi, job.seed, settings.duration,
            adaptation=adaptation, **options,
        )  # fmt: skip
    except NoValidControlError:
        return Outcome(_failed(job), {"changes": np.array(changes)})
    attempts = adaptation.attempts if adaptation is not None else []
    row = _measure(job, result, changes, _served(result, attempts, options.get("model")))
    trace = {
        "position": result.states[:, :2],
        "reference": result.reference[:, :2],
        "commands": result.commands,
        "error": result.error,
        "changes": np.array(changes),
        "attempts": _attempt_table(result, attempts),
    }
    return Outcome(row, {name: value.astype(np.float32) for name, value in trace.items()})


def _model(name: str, world: World, settings: Settings, meta: MetaModel):
    """Adaptation, or None, and further arguments of :func:`closed_loop.run`."""
    if name == KINEMATIC:
        return None, {}
    if name == "dynamic":
        rate = SEED_GAIN + NOMINAL_FRICTION
        weights = ResidualWeights.first_order(
            time_constant=(1.0 / rate,) * 2, gain=(SEED_GAIN / rate,) * 2, model_dt=settings.mppi.model_dt
        )
        return None, {"model": weights}
    if name == ORACLE:
        return None, {"model": Oracle(world), "true_state": True}
    if name == "oracle_nominal":
        nominal = copy.copy(world)
        nominal._disturbances = ()  # the copy is read once, before anything moves
        return None, {"model": Oracle(nominal, frozen=True), "true_state": True}
    config = OnlineConfig() if name == ADAPTIVE else OnlineConfig(adapter=name)
    if name in BASELINES:
        adaptation = _Unguarded(meta, config)
        return adaptation, {"adapt_interval": BASELINES[name], "model": adaptation.adapter.start()}
    return _Recorded(meta, config), {"adapt_interval": ADAPT_INTERVAL}


def _served(result: Run, attempts: list[Attempt], initial) -> list[tuple[int, ResidualWeights]] | None:
    """Which residual served from which step on; None for models that are not one."""
    if initial is not None and not isinstance(initial, ResidualWeights):
        return None
    served = [(0, initial if initial is not None else ResidualWeights.prior(0, result.dt))]
    for (now, *_), attempt in zip(result.decisions, attempts, strict=True):
        if attempt.weights is not None:
            served.append((int(round(now / result.dt)), attempt.weights))
    return served


def _attempt_table(result: Run, attempts: list[Attempt]) -> np.ndarray:
    rows = [
        (now, a.verdict.candidate, a.verdict.prior, a.verdict.current, float(a.decision))
        for (now, *_), a in zip(result.decisions, attempts, strict=True)
        if a.verdict is not None
    ]
    return np.array(rows, dtype=float).reshape(-1, 5)


def _failed(job: Job) -> dict:
    row = dict.fromkeys(COLUMNS, math.nan) | attrs.asdict(job) | {"swaps": 0, "rejected": 0}
    return row | dict.fromkeys(("rmse", "rmse_after_2s", "max_error"), math.inf)


def _measure(job: Job, result: Run, changes: list[float], served) -> dict:
    error = result.error
    decisions = [decision for _, decision, _ in result.decisions]
    refused = (
        Decision.REJECTED_NOT_FINITE,
        Decision.REJECTED_NORM,
        Decision.REJECTED_HELD_OUT,
        Decision.ROLLED_BACK,
    )

    def ahead(steps: int) -> float:
        if served is None:
            return math.nan
        return metrics.prediction_error(result.states, result.commands, served, steps, PREDICTION_STRIDE)

    row = attrs.asdict(job) | {
        "rmse": metrics.rms(error),
        "rmse_after_2s": metrics.rmse_after(error, result.dt, 2.0),
        "max_error": float(error.max()),
        "gap_closed": math.nan,
        "recovery_s": math.nan,
        "step_ms_p50": metrics.percentile(result.step_ms, 50),
        "step_ms_p95": metrics.percentile(result.step_ms, 95),
        "step_ms_p99": metrics.percentile(result.step_ms, 99),
        "adapt_ms_p50": metrics.percentile(result.adapt_ms, 50),
        "adapt_ms_p95": metrics.percentile(result.adapt_ms, 95),
        "adapt_ms_p99": metrics.percentile(result.adapt_ms, 99),
        "rmse_after_change": metrics.rmse_after(error, result.dt, changes[0]) if changes else math.nan,
        "one_step_error": ahead(1),
        "open_loop_error": ahead(OPEN_LOOP_STEPS),
        "smoothness": metrics.smoothness(result.commands),
        "swaps": len(result.swaps),
        "rejected": sum(decision in refused for decision in decisions),
    }
    return {name: row[name] for name in COLUMNS}


# -- the folder of results ------------------------------------------------------------------------


def write_file(path: Path, data: bytes) -> None:
    """All of a file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".partial", delete=False) as file:
        partial = Path(file.name)
        file.write(data)
    try:
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _format(value) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)


def _parse(name: str, text: str):
    if name in _TEXT:
        return text
    if name in _COUNTS:
        return int(text)
    return float(text) if text else math.nan


def read_results(path: Path) -> dict[Job, dict]:
    """Rows of a results.csv by their job.

    Raises:
        MppiMamlError: missing or not such a file.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames != list(COLUMNS):
                raise MppiMamlError(f"{path} has other columns than {', '.join(COLUMNS)}")
            rows = [{name: _parse(name, text) for name, text in line.items()} for line in reader]
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise MppiMamlError(f"{path} cannot be read: {error}") from error
    return {Job(row["model"], row["world"], row["trajectory"], row["seed"]): row for row in rows}


class Results:
    """Rows, manifest and traces of one folder; opening it checks that the settings agree.

    Args:
        folder: made when it does not exist.
        settings: of the runs to come; None to read only.

    Raises:
        MppiMamlError: the folder holds results of other settings (each is named), or damaged ones.
    """

    def __init__(self, folder: Path, settings: Settings | None = None):
        self.folder = Path(folder)
        self.path = self.folder / "results.csv"
        self._manifest = self.folder / "manifest.json"
        self.mixed_code = False
        self.manifest = self._read_manifest()
        if settings is not None:
            self._agree(settings.manifest())
        elif self.manifest is None:
            raise MppiMamlError(f"there are no results in {self.folder}")
        self.rows = read_results(self.path) if self.path.exists() else {}
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

    def _agree(self, wanted: dict) -> None:
        code = code_digest()
        found = self.manifest
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
            write_file(self._manifest, (json.dumps(self.manifest, indent=2) + "\n").encode())

    def add(self, outcome: Outcome) -> None:
        """Take a row in and bring the derived columns of its group up to date."""
        row = {name: _parse(name, _format(value)) for name, value in outcome.row.items()}
        job = Job(row["model"], row["world"], row["trajectory"], row["seed"])
        buffer = io.BytesIO()
        np.savez(buffer, **outcome.trace)
        write_file(self._trace_path(job), buffer.getvalue())
        self.rows[job] = row
        self._derive(job)
        self._stale = True

    def _derive(self, job: Job) -> None:
        """Fill in gap_closed and recovery_s; of the whole group when its yardstick has arrived."""
        bars = [self.rows.get(attrs.evolve(job, model=name)) for name in (KINEMATIC, ORACLE)]
        changed = job.model in (KINEMATIC, ORACLE)
        members = [j for j in self._group(job) if changed or j == job]
        oracle = self.trace(attrs.evolve(job, model=ORACLE)) if bars[1] else None
        for member in members:
            row = self.rows[member]
            if None not in bars:
                row["gap_closed"] = _rounded(
                    metrics.gap_closed(*(bar["rmse_after_2s"] for bar in bars), row["rmse_after_2s"])
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
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for job in sorted(self.rows, key=order):
            writer.writerow([_format(self.rows[job][name]) for name in COLUMNS])
        write_file(self.path, text.getvalue().encode())
        self._stale, self._written = False, time.monotonic()


def order(job: Job):
    """Key to sort jobs by: as names are listed where they are registered."""
    known = (WORLD_NAMES, tuple(FIGURES), model_names())
    names = (job.world, job.trajectory, job.model)
    places = [
        (all_.index(name) if name in all_ else len(all_), name)
        for all_, name in zip(known, names, strict=True)
    ]
    return *places[:2], job.seed, places[2]


def _rounded(value: float) -> float:
    return _parse("rmse", _format(float(value)))


def _flat(value, prefix: str = "") -> dict[str, object]:
    if not isinstance(value, dict):
        return {prefix: value}
    parts = [_flat(item, f"{prefix}.{key}" if prefix else key) for key, item in value.items()]
    return {name: item for part in parts for name, item in part.items()}


# -- all runs -------------------------------------------------------------------------------------

_worker: dict = {}


def _start_worker(settings: Settings) -> None:
    """Once in each process: what every run needs, and an end when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent collects what is finished
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    _worker.update(settings=settings, meta=MetaModel.load(settings.artifact))


def _work(job: Job) -> Outcome:
    return perform(job, _worker["settings"], _worker["meta"])


def compare(
    settings: Settings,
    jobs: Sequence[Job],
    results: Results,
    processes: int = 1,
    on_progress: Callable[[Job, dict], None] | None = None,
) -> int:
    """Do the runs that ``results`` does not have yet.

    Args:
        settings: those that ``results`` was opened with.
        jobs: all that are wanted.
        results: receives the rows; written as they come and in any case at the end.
        processes: worker processes, each with one thread; 0 runs here, without any.
        on_progress: called after each run with its job and row.

    Returns:
        The number of runs done.

    Raises:
        MppiMamlError: a run failed for another reason than its model; the message names the run.
    """
    missing = [job for job in jobs if job not in results.rows]
    done = 0
    try:
        for job, outcome in _outcomes(missing, settings, processes):
            results.add(outcome)
            results.write(now=False)
            done += 1
            if on_progress is not None:
                on_progress(job, results.rows[job])
    finally:
        results.write()
    return done


def _outcomes(jobs: list[Job], settings: Settings, processes: int) -> Iterator[tuple[Job, Outcome]]:
    if not jobs:
        return
    if processes == 0:
        meta = MetaModel.load(settings.artifact)
        for job in jobs:
            yield job, _checked(job, lambda job=job: perform(job, settings, meta))
        return
    with _one_thread_each():
        pool = ProcessPoolExecutor(
            min(processes, len(jobs)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(settings,),
        )
        waiting = iter(jobs)
        running: dict[Future, Job] = {}
        try:
            _submit(pool, waiting, running, 2 * processes)
            while running:
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    job = running.pop(future)
                    _submit(pool, waiting, running, 2 * processes)
                    yield job, _checked(job, future.result)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool, waiting: Iterable[Job], running: dict, limit: int) -> None:
    while len(running) < limit and (job := next(waiting, None)) is not None:
        running[pool.submit(_work, job)] = job


def _checked(job: Job, result: Callable[[], Outcome]) -> Outcome:
    try:
        return result()
    except MppiMamlError:
        raise
    except Exception as error:
        raise MppiMamlError(f"the run {job} failed: {type(error).__name__}: {error}") from error


class _one_thread_each:
    """Children started within use one thread; numerical libraries read it when they are imported."""

    _names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

    def __enter__(self):
        self._before = {name: os.environ.get(name) for name in self._names}
        os.environ.update(dict.fromkeys(self._names, "1"))

    def __exit__(self, *_):
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
