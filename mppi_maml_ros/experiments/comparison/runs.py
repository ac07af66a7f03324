"""The comparison: every model in every world on every reference, over seeds, in parallel.

A run is fully determined by its settings, so a folder of results can be extended and resumed:
``results.csv`` holds one row a run, ``manifest.json`` the settings that all its rows share, and
``traces/`` what the report draws. All models get the same box on commands and, for one seed, the
same sampler seed, the same world and the same noise.
"""

from __future__ import annotations

import hashlib
import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from pathlib import Path

import attrs
import numpy as np

from ...adaptation.attempt import Attempt, Decision
from ...adaptation.online import OnlineConfig
from ...core.errors import InvalidValueError, MppiMamlError, NoValidControlError
from ...dynamics.residual import ResidualWeights
from ...mppi.config import MPPIConfig
from ...mppi.rollouts.base import RolloutModel
from ...references.figures import FIGURES
from ...simulation.disturbances import FrictionStep, Payload, TerrainChange
from ...simulation.firmware_world import FirmwareChange
from ...simulation.world import World
from ...simulation.worlds import WORLDS, make_world
from ...weights.meta_model import PACKAGED, MetaModel
from .. import metrics
from ..closed_loop import Run, Step, drive, finish
from ..oracle import Oracle
from .contenders import BASELINES, Contender, contender, model_names
from .offline import OFFLINE, Library, OfflineConfig
from .results import COLUMNS, Job, JobResult, Results

FORMAT = 2  # of the results; older folders are refused


# -- what is run ----------------------------------------------------------------------------------


@attrs.frozen
class ComparisonSettings:
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

    def __attrs_post_init__(self) -> None:
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
            "unguarded": BASELINES,
            "offline": attrs.asdict(OfflineConfig()),
            "meta_model": digest,
        }


def jobs_of(
    models: Sequence[str], worlds: Sequence[str], trajectories: Sequence[str], seeds: Iterable[int]
) -> list[Job]:
    """All combinations, without repeats; the models of one world, reference and seed side by side.

    Raises:
        InvalidValueError: an unknown name; the message lists the known ones.
    """
    known = {"model": model_names(), "world": WORLDS, "trajectory": tuple(FIGURES)}
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
        if isinstance(disturbance, (FrictionStep, Payload, FirmwareChange)):
            times.append(disturbance.at)
        elif isinstance(disturbance, TerrainChange):
            times.extend(change.at for change in disturbance.changes)
    return sorted(time for time in times if 0.0 < time < duration)


# -- one run --------------------------------------------------------------------------------------


OPEN_LOOP_STEPS = 30
PREDICTION_STRIDE = 5  # predictions start at every fifth step


def perform(job: Job, settings: ComparisonSettings, meta: MetaModel, library: Library) -> JobResult:
    """Do one run and measure it.

    Args:
        job: what to run.
        settings: of all runs.
        meta: the loaded meta-model.
        library: of models learned offline.

    Returns:
        The row, with NaN in what needs other runs (gap_closed, recovery_s), and the arrays that the
        report draws: ``position`` (T + 1, 2), ``reference`` (T + 1, 2), ``commands`` (T, 2), ``error``
        (T,), ``changes`` [s], ``attempts`` (A, 5): time [s], held-out error [m^2] of candidate, prior
        and what served, decision.
    """
    world, entrant, steps = begin(job, settings, meta, library)
    changes = changes_of(world, settings.duration)
    try:
        result = finish(steps)
    except NoValidControlError:
        return JobResult(failed(job), {"changes": np.array(changes)})
    row = _measure(job, result, changes, _served(result, entrant))
    trace = {
        "position": result.states[:, :2],
        "reference": result.reference[:, :2],
        "commands": result.commands,
        "error": result.error,
        "changes": np.array(changes),
        "attempts": _attempt_table(result, entrant.attempts),
    }
    return JobResult(row, {name: value.astype(np.float32) for name, value in trace.items()})


def begin(
    job: Job, settings: ComparisonSettings, meta: MetaModel, library: Library
) -> tuple[World, Contender, Generator[Step, None, Run]]:
    """World, contender and the run itself, not yet begun: see :func:`closed_loop.drive`."""
    world = make_world(job.world, job.seed, noise_scale=settings.noise, duration=settings.duration)
    entrant = contender(job.model, world, job.seed, settings.mppi.model_dt, meta, library)
    steps = drive(
        world, FIGURES[job.trajectory](), settings.mppi, job.seed, settings.duration,
        model=entrant.model,
        adaptation=entrant.adaptation,  # type: ignore[arg-type]  # Unguarded does as OnlineAdaptation does
        true_state=entrant.true_state, controller=entrant.controller,
    )  # fmt: skip
    return world, entrant, steps


def _served(result: Run, entrant: Contender) -> list[tuple[int, ResidualWeights | RolloutModel]] | None:
    """Which model served from which step on; None for oracles, whose equations change, and for policies."""
    initial = entrant.model
    if isinstance(initial, Oracle) or entrant.controller is not None:
        return None
    served = [(0, initial if initial is not None else ResidualWeights.prior(0, result.dt))]
    for (now, *_), attempt in zip(result.decisions, entrant.attempts, strict=True):
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


def failed(job: Job) -> dict:
    """The row of a run that found no valid command: infinite errors, NaN elsewhere."""
    row = dict.fromkeys(COLUMNS, math.nan) | attrs.asdict(job) | {"swaps": 0, "rejected": 0}
    return row | dict.fromkeys(("rmse", "rmse_after_2s", "max_error"), math.inf)


def _measure(
    job: Job,
    result: Run,
    changes: list[float],
    served: list[tuple[int, ResidualWeights | RolloutModel]] | None,
) -> dict:
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
        return metrics.prediction_error(
            result.states, result.commands, served, steps, PREDICTION_STRIDE, result.dt
        )

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


# -- all runs -------------------------------------------------------------------------------------

_worker: dict = {}


def _start_worker(settings: ComparisonSettings, folder: Path) -> None:
    """Once in each process: what every run needs, and an end when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent collects what is finished
    parent = multiprocessing.parent_process()
    if parent is not None:  # what join returns is only passed over
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()  # type: ignore[func-returns-value]
    _worker.update(tools=_tools(settings, folder))


def _tools(settings: ComparisonSettings, folder: Path) -> tuple[ComparisonSettings, MetaModel, Library]:
    return settings, MetaModel.load(settings.artifact), Library(folder, settings.noise)


def _work(
    job: Job | Preparation, tools: tuple[ComparisonSettings, MetaModel, Library] | None = None
) -> JobResult | None:
    settings, meta, library = tools or _worker["tools"]
    if isinstance(job, Job):
        return perform(job, settings, meta, library)
    job.do(library)
    return None


@attrs.frozen
class Preparation:
    """Something that runs need and that is made once.

    Attributes:
        what: ``data`` or ``models``.
        world, seed: of which.
    """

    what: str
    world: str
    seed: int

    def do(self, library: Library) -> None:
        """Make it; what it needs itself is made first."""
        if self.what == "data":
            library.data(self.world, self.seed)
        else:
            library.models(self.world, self.seed)

    def done(self, library: Library) -> bool:
        """Whether it is there."""
        if self.what == "data":
            return library.data_path(self.world, self.seed).exists()
        return library.has_models(self.world, self.seed)

    def __str__(self) -> str:
        return f"{self.what} of {self.world}, seed {self.seed}"


def preparations(jobs: Iterable[Job], library: Library, what: str = "models") -> list[Preparation]:
    """What is missing for ``jobs``: ``models`` (with the data they need), or only ``data``."""
    places = dict.fromkeys((job.world, job.seed) for job in jobs if job.model in OFFLINE)
    wanted = [Preparation(what, *place) for place in places]
    return [preparation for preparation in wanted if not preparation.done(library)]


def prepare(
    settings: ComparisonSettings,
    wanted: Sequence[Preparation],
    folder: Path,
    processes: int = 1,
    on_progress: Callable[[Preparation], None] | None = None,
) -> None:
    """Make what is ``wanted``, in processes as :func:`compare`; what is finished stays."""
    for preparation, _ in _outcomes(list(wanted), settings, folder, processes):
        if on_progress is not None:
            on_progress(preparation)


def compare(
    settings: ComparisonSettings,
    jobs: Sequence[Job],
    results: Results,
    processes: int = 1,
    on_progress: Callable[[Job, dict], None] | None = None,
) -> int:
    """Do the runs that ``results`` does not have yet; models that they need are there or made on the way.

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
        for job, outcome in _outcomes(missing, settings, results.folder, processes):
            results.add(outcome)
            results.write(now=False)
            done += 1
            if on_progress is not None:
                on_progress(job, results.rows[job])
    finally:
        results.write()
    return done


def _outcomes(jobs: list, settings: ComparisonSettings, folder: Path, processes: int) -> Iterator[tuple]:
    if not jobs:
        return
    if processes == 0:
        tools = _tools(settings, folder)
        for job in jobs:
            yield job, _checked(job, lambda job=job: _work(job, tools))
        return
    with one_thread_each():
        pool = ProcessPoolExecutor(
            min(processes, len(jobs)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(settings, folder),
        )
        waiting = iter(jobs)
        running: dict[Future, Job | Preparation] = {}
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


def _submit(pool: Executor, waiting: Iterator, running: dict, limit: int) -> None:
    while len(running) < limit and (job := next(waiting, None)) is not None:
        running[pool.submit(_work, job)] = job


def _checked(job: Job | Preparation, result: Callable) -> JobResult | None:
    try:
        return result()
    except MppiMamlError:
        raise
    except Exception as error:
        raise MppiMamlError(f"the run {job} failed: {type(error).__name__}: {error}") from error


class one_thread_each:
    """Children started within use one thread; numerical libraries read it when they are imported."""

    _names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

    def __enter__(self) -> None:
        self._before = {name: os.environ.get(name) for name in self._names}
        os.environ.update(dict.fromkeys(self._names, "1"))

    def __exit__(self, *_: object) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
