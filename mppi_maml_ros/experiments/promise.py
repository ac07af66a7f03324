"""The promise of the package, held on closed loops that are drawn at random.

A robot that something happens to is driven twice, with the kinematic model and with an adapter behind its
guard. From ``AFTER`` on after the fault, adaptation errs by at most ``WORSE`` times what the kinematic
model does, and ``MARGIN``; see issue 18.
"""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from ..adaptation.adapters import ADAPTERS
from ..adaptation.online import OnlineConfig
from ..core.errors import InvalidValueError
from ..core.files import write_file
from ..core.kernels.cache import stamp
from ..references.figures import Figure, circle, figure8, sine
from ..simulation.faults import KINDS, Fault, Target
from ..simulation.firmware_worlds import FIRMWARE_WORLDS, firmware_world
from ..weights.meta_model import PACKAGED, MetaModel
from .comparison.runs import one_thread_each
from .faulty_drive import FaultyRun, drive_faulty

WORSE, MARGIN = 1.25, 0.01  # times the kinematic error, and [m] on top
AFTER, JUDGED = 3.0, 8.0  # [s] left out after a fault, and held to the promise
EASING = 2.0  # [s] in which a figure gains its speed
SAME_BASE = 10.0  # a base changes in the middle of a run that is so many times longer than the drive

FAULTS = tuple(n for n, k in KINDS.items() if k.target in (Target.ODOMETRY, Target.COMMAND, Target.BASE))
"""Kinds that end, and that a robot drives on after without being started again."""

VALUES = {
    "odom_stutter": (0.1, 0.5),
    "odom_drop": (0.2, 0.95),
    "odom_late": (0.05, 0.6),
    "odom_teleport": (-5.0, 5.0),
    "odom_jumping": (-5.0, 5.0),
    "odom_future": (0.02, 0.6),
    "odom_stale": (0.05, 1.0),
    "odom_flood": (2.0, 20.0),
    "quaternion_scale": (0.98, 1.02),
    "twist_scale": (0.3, 2.5),
    "clock_offset": (-0.3, 0.3),
    "bumped": (-0.5, 0.5),
}
"""What a fault's value is drawn from."""


@attrs.frozen(eq=False)
class Case:
    """What is driven.

    Attributes:
        seed: of all of it.
        family: of the base.
        adapter: what adapts.
        fault: what happens.
        path: words for what is driven along.
        reference: a figure, or poses of a path (M, 3).
        duration: of the drive [s].
    """

    seed: int
    family: str
    adapter: str
    fault: Fault
    path: str
    reference: Figure | np.ndarray
    duration: float

    def drive(self, meta: MetaModel | None, faulty: bool = True) -> FaultyRun:
        """Drive it, with the kinematic model when ``meta`` is None."""
        return drive_faulty(
            firmware_world(
                self.family, np.random.default_rng([self.seed, 19]), self.seed, SAME_BASE * self.duration
            ),
            self.reference,
            (self.fault,) if faulty else (),
            meta,
            self.duration,
            seed=self.seed,
            online=OnlineConfig(adapter=self.adapter),
            timing="clock",  # a reference that waits for the robot would hide what is compared
            break_loose=False,
            learned_effort=False,
        )


@attrs.frozen
class Outcome:
    """One case held to the promise; errors are RMS [m] in the time that is judged.

    Attributes:
        seed, family, adapter, path: see :class:`Case`.
        fault: as :func:`..simulation.faults.parse` reads it.
        kinematic, adaptive: errors; NaN where the robot was not driven.
        kinematic_driven, adaptive_driven: share of the time in which it was.
        kinematic_sound, adaptive_sound: errors without the fault; NaN unless the promise is broken.
    """

    seed: int
    family: str
    adapter: str
    path: str
    fault: str
    kinematic: float
    adaptive: float
    kinematic_driven: float
    adaptive_driven: float
    kinematic_sound: float = math.nan
    adaptive_sound: float = math.nan

    @property
    def kept(self) -> bool:
        """The promise; a robot that stands where the kinematic model drives breaks it, too."""
        return self.kinematic_driven == 0.0 or _kept(self.kinematic, self.adaptive)

    @property
    def kept_sound(self) -> bool:
        """The promise without the fault."""
        return _kept(self.kinematic_sound, self.adaptive_sound)

    def __str__(self) -> str:
        return (
            f"case {self.seed}: {self.family}, {self.fault}, {self.path}, {self.adapter}: "
            f"{self.kinematic:.3f} -> {self.adaptive:.3f} m"
        )


def _kept(kinematic: float, adaptive: float) -> bool:
    return bool(adaptive <= WORSE * kinematic + MARGIN)


def draw(seed: int) -> Case:
    """The case of a seed.

    Families, adapters and kinds of faults take turns, the kinds with one left out after each round so that
    all meet. The fault begins at U(3, 9) s and lasts U(.5, 6) s, its value is drawn as in ``VALUES``.
    """
    rng = np.random.default_rng([seed, 18])
    adapters = tuple(ADAPTERS)
    kind = FAULTS[(seed + seed // len(FAULTS)) % len(FAULTS)]
    value = float(rng.uniform(*VALUES[kind])) if kind in VALUES else None
    start, lasts = round(rng.uniform(3.0, 9.0), 2), round(rng.uniform(0.5, 6.0), 2)
    fault = Fault.of(kind, start, lasts, value)
    path, reference = _reference(rng)
    return Case(
        seed,
        FIRMWARE_WORLDS[seed % len(FIRMWARE_WORLDS)],
        adapters[seed % len(adapters)],
        fault,
        path,
        reference,
        fault.end + AFTER + JUDGED,
    )


def _reference(rng: np.random.Generator) -> tuple[str, Figure | np.ndarray]:
    match rng.integers(4):
        case 0:
            figure: Figure = circle(radius=rng.uniform(0.8, 3.0), speed=rng.uniform(0.2, 0.5))
        case 1:
            figure = figure8(size=rng.uniform(1.0, 2.5), period=rng.uniform(18.0, 30.0))
        case 2:
            figure = sine(rng.uniform(0.25, 0.45), rng.uniform(0.2, 0.5), rng.uniform(8.0, 14.0))
        case _:
            return "path", _winding(rng)
    return type(figure).__name__, figure.eased(EASING)


def _winding(rng: np.random.Generator, step: float = 0.05) -> np.ndarray:
    """A path of 20 m whose curvature changes evenly between values U(-1, 1) 1/m, 1.5 m apart, from 0."""
    s = np.arange(0.0, 20.0, step)
    knots = np.arange(0.0, 22.0, 1.5)
    bends = np.concatenate([[0.0], rng.uniform(-1.0, 1.0, len(knots) - 1)])
    yaw = step * np.cumsum(np.interp(s, knots, bends))
    ahead = step * np.stack([np.cos(yaw), np.sin(yaw)], axis=1)
    places = np.concatenate([np.zeros((1, 2)), np.cumsum(ahead, axis=0)[:-1]])
    return np.column_stack([places, yaw])


def hold(seed: int, meta: MetaModel) -> Outcome:
    """Drive the case of a seed and compare; without its fault as well when the promise is broken."""
    case = draw(seed)
    begin = case.fault.end + AFTER

    def errors(faulty: bool) -> tuple[float, float, float, float]:
        runs = [case.drive(start, faulty) for start in (None, meta)]
        rows = [run.error[run.times >= begin] for run in runs]
        driven = [float(np.isfinite(row).mean()) for row in rows]
        rms = [run.rmse(begin) if share else math.nan for run, share in zip(runs, driven, strict=True)]
        return rms[0], rms[1], driven[0], driven[1]

    outcome = Outcome(seed, case.family, case.adapter, case.path, case.fault.spec, *errors(True))
    if outcome.kept:
        return outcome
    kinematic, adaptive, *_ = errors(False)
    return attrs.evolve(outcome, kinematic_sound=kinematic, adaptive_sound=adaptive)


def hold_all(seeds: Sequence[int], artifact: Path = PACKAGED, jobs: int = 1) -> Iterator[Outcome]:
    """The cases of many seeds in ``jobs`` processes, as they are done.

    Raises:
        InvalidValueError: an artifact that cannot be read.
    """
    one = partial(hold, meta=MetaModel.load(artifact))
    if jobs == 1 or len(seeds) < 2:
        yield from map(one, seeds)
        return
    with one_thread_each():
        pool = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))
        try:
            yield from pool.map(partial(_hold_from, artifact), seeds)
        finally:
            pool.shutdown(cancel_futures=True)


def _hold_from(artifact: Path, seed: int) -> Outcome:
    return hold(seed, MetaModel.load(artifact))


def tree(artifact: Path = PACKAGED) -> str:
    """Hash of what outcomes depend on: this file, all of the package that it imports, and the artifact."""
    parts = stamp(Path(__file__).resolve()).encode(), artifact.read_bytes()
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def read(path: Path, made_by: str | None = None) -> dict[int, Outcome]:
    """What :func:`write` wrote, by seed; nothing where there is no such file.

    Args:
        made_by: :func:`tree` that is asked for: of another there is nothing; None: of any.

    Raises:
        InvalidValueError: not a file of outcomes.
    """
    if not path.exists():
        return {}
    try:
        document = json.loads(path.read_bytes())
        rows: list[dict[str, Any]] = document["cases"]
        if made_by not in (None, document.get("tree")):
            return {}
        outcomes = [Outcome(**{k: _given(v) for k, v in row.items()}) for row in rows]
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidValueError(f"{path} does not hold cases of the promise: {error}") from error
    return {outcome.seed: outcome for outcome in outcomes}


def write(path: Path, outcomes: Iterable[Outcome], made_by: str = "") -> None:
    """One case a line after what they come to, see :func:`summary`, and the :func:`tree` that drove them."""
    outcomes = sorted(outcomes, key=lambda o: o.seed)
    rows = [json.dumps({k: _plain(v) for k, v in attrs.asdict(o).items()}) for o in outcomes]
    head = json.dumps({"tree": made_by} | summary(outcomes), indent=2).removesuffix("\n}")
    write_file(path, (head + ',\n  "cases": [\n    ' + ",\n    ".join(rows) + "\n  ]\n}\n").encode())


def _given(value: Any) -> Any:
    return math.nan if value is None else value


def _plain(value: float | str) -> float | str | None:
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    return value


def summary(outcomes: Iterable[Outcome]) -> dict[str, object]:
    """How many there are, are above the promise, and of these without their fault, too; and which."""
    outcomes = list(outcomes)
    broken = [outcome for outcome in outcomes if not outcome.kept]
    return {
        "worse": WORSE,
        "margin": MARGIN,
        "held": len(outcomes),
        "above": len(broken),
        "above_without_the_fault_too": sum(not outcome.kept_sound for outcome in broken),
        "not_driven_by_either": sum(o.kinematic_driven == o.adaptive_driven == 0.0 for o in outcomes),
        "seeds_above": [outcome.seed for outcome in broken],
    }
