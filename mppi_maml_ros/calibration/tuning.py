"""Parameters of MPPI for a kind of robot, searched by CMA-ES in simulated drives.

What is minimised is the mean, over courses, of e + max(e, 0) + ``effort_weight`` f, with e and f the logs of
error and effort as shares of the defaults': a robot that becomes worse counts twice. Robots and noise are the
same for all candidates. A search can be taken up again: the sampler is seeded, so candidates follow from the
costs of those before, and these are kept. Other robots decide which one is taken: :mod:`.tuning_choice`.

Source: Hansen, The CMA Evolution Strategy: A Tutorial (2016); the library is ``cmaes``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from ..adaptation.online import OnlineAdaptation, OnlineConfig
from ..core.errors import InvalidValueError, MppiMamlError
from ..core.types import Array, VelocityLimits
from ..dynamics.first_order import typical
from ..dynamics.residual import ResidualWeights
from ..experiments.closed_loop import BENCHMARK_LIMITS, run
from ..mppi.config import MPPIConfig
from ..references.figures import Figure, figure8
from ..simulation.world import World
from ..simulation.worlds import make_world
from ..weights.meta_model import PACKAGED, MetaModel
from .result import Calibration
from .verdict import figure_of
from .world import CalibratedWorld

FIGURE = figure8(size=1.5, period=24.0).eased(2.0)
"""Up to 0.4 m/s and 0.8 rad/s, from standstill: weak robots can follow it."""
SETTLED = 4.0  # [s] from which on errors count
SPREAD = 0.12  # of the first candidates, as a share of each range
LOST = 3.0  # cost of a drive that ended early: log of 20 times the error
LOSING, LOOKED_AT = 0.5, 3  # cost above which, after so many robots, a candidate is not driven farther


@attrs.frozen
class Knob:
    """A parameter that is searched on a logarithmic scale; an integer is rounded."""

    name: str
    low: float
    high: float
    whole: bool = False

    def at(self, share: float) -> float:
        """Value at a share of the range, 0 to 1."""
        value = self.low * (self.high / self.low) ** share
        return float(round(value)) if self.whole else float(f"{value:.4g}")

    def share(self, value: float) -> float:
        """Inverse of :meth:`at`, within the range."""
        bounded = min(max(value, self.low), self.high)
        return math.log(bounded / self.low) / math.log(self.high / self.low)


KNOBS = (
    Knob("temperature", 0.02, 5.0),
    Knob("vx_std", 0.05, 1.5),
    Knob("wz_std", 0.1, 2.0),
    Knob("noise_knots", 3, 15, whole=True),
    Knob("position_weight", 1.0, 200.0),
    Knob("heading_weight", 0.03, 30.0),
    Knob("terminal_scale", 0.5, 20.0),
    Knob("vx_weight", 0.003, 3.0),
    Knob("wz_weight", 0.003, 3.0),
    Knob("vx_rate_weight", 0.01, 10.0),
    Knob("wz_rate_weight", 0.01, 10.0),
)
"""What is searched; rate weights begin at their least, as the defaults have none."""


@attrs.frozen(eq=False)
class Course:
    """A robot and what it drives.

    Attributes:
        name: for people.
        world: makes the robot anew.
        reference, limits, duration: of the drive [s].
        model: that it begins with.
        seed: of the sampler.
    """

    name: str
    world: Callable[[], World]
    reference: Figure
    limits: VelocityLimits
    duration: float
    model: ResidualWeights
    seed: int


@attrs.frozen
class Driven:
    """Root mean square error [m], and mean change of the command from step to step [m/s + rad/s]."""

    error: float
    effort: float


def of_worlds(names: Sequence[str], seeds: Sequence[int], duration: float) -> list[Course]:
    """Each world with each seed, on :data:`FIGURE`."""
    return [
        Course(
            f"{name} {seed}",
            lambda name=name, seed=seed: make_world(name, seed, duration=duration),  # type: ignore[misc]
            FIGURE,
            BENCHMARK_LIMITS,
            duration,
            typical(MPPIConfig().model_dt),
            seed,
        )
        for name in names
        for seed in seeds
    ]


def of_calibration(found: Calibration, seeds: Sequence[int], duration: float) -> list[Course]:
    """A robot that was calibrated, on a figure of eight that it can follow; seeds are of its noise."""
    known = found.known.weights(MPPIConfig().model_dt)
    return [
        Course(
            f"calibrated {seed}",
            lambda seed=seed: CalibratedWorld(found, seed),  # type: ignore[misc]
            figure_of(found),
            found.limits,
            duration,
            known,
            seed,
        )  # fmt: skip
        for seed in seeds
    ]


def drive(course: Course, config: MPPIConfig, meta: MetaModel | None) -> Driven | None:
    """One drive, with adaptation where there is a meta-model; None if it could not be finished."""
    adaptation = None if meta is None else OnlineAdaptation(meta, OnlineConfig())
    try:
        done = run(
            course.world(), course.reference, config, course.seed, course.duration, course.limits,
            model=course.model, adaptation=adaptation,
        )  # fmt: skip
    except MppiMamlError:
        return None
    changes = np.abs(np.diff(done.commands, axis=0)).sum(axis=1)
    return Driven(max(done.rmse(SETTLED), 1e-6), max(float(changes.mean()), 1e-6))


def parameters_at(shares: Array) -> dict[str, Any]:
    """Values of KNOBS at shares of their ranges, (len(KNOBS),)."""
    values = {knob.name: knob.at(float(share)) for knob, share in zip(KNOBS, shares, strict=True)}
    return {name: int(v) if name == "noise_knots" else v for name, v in values.items()}


DEFAULTS = np.array([knob.share(float(getattr(MPPIConfig(), knob.name))) for knob in KNOBS])


@attrs.frozen
class Candidate:
    """What was tried: parameters, error and effort as shares of the defaults' (geometric means), and cost.

    ``shares`` are where in the ranges of KNOBS the parameters lie.
    """

    parameters: dict[str, Any]
    error: float
    effort: float
    cost: float
    shares: tuple[float, ...] = ()


@attrs.frozen
class TuningConfig:
    """A search.

    Attributes:
        evaluations: candidates; population: of them a generation.
        effort_weight: of log effort in the cost.
        adapt: with adaptation.
        seed: of the search.
    """

    evaluations: int = 160
    population: int = 10
    effort_weight: float = 0.3
    adapt: bool = True
    seed: int = 0


class Tuning:
    """A search over parameters.

    Args:
        courses: what is driven with each candidate.
        config: how it is searched.
        before: (error, effort, cost) of candidates of an earlier, equal search, in their order.

    Raises:
        InvalidValueError: no course, or one that the defaults cannot drive.
    """

    def __init__(
        self, courses: Sequence[Course], config: TuningConfig, before: Sequence[Sequence[float]] = ()
    ) -> None:
        if not courses:
            raise InvalidValueError("a tuning needs a robot")
        self.courses, self.config = courses, config
        self.before = before
        self.meta = MetaModel.load(PACKAGED) if config.adapt else None
        self.tried: list[Candidate] = []
        self.base: list[Driven] = []

    @property
    def best(self) -> Candidate:
        """The cheapest candidate; the defaults are among them."""
        return min(self.tried, key=lambda candidate: candidate.cost)

    def search(self) -> Iterator[Candidate]:
        """Try the defaults, then one candidate after another, those of ``before`` without driving."""
        try:
            from cmaes import CMA
        except ImportError as error:
            raise MppiMamlError("tuning needs cmaes: pip install 'mppi_maml_ros[tune]'") from error
        self.base = self._base()
        self.tried.append(Candidate({knob.name: getattr(MPPIConfig(), knob.name) for knob in KNOBS}, 1, 1, 0))
        yield self.tried[0]
        bounds = np.tile([0.0, 1.0], (len(KNOBS), 1))
        search = CMA(
            mean=np.clip(DEFAULTS, 0.02, 0.98), sigma=SPREAD, bounds=bounds, seed=self.config.seed,
            population_size=self.config.population,
        )  # fmt: skip
        while len(self.tried) <= self.config.evaluations:
            told = []
            for _ in range(search.population_size):
                shares = search.ask()
                self.tried.append(self._try(shares))
                told.append((shares, self.tried[-1].cost))
                yield self.tried[-1]
            search.tell(told)

    def _base(self) -> list[Driven]:
        return driven_by_defaults(self.courses, self.meta)

    def _try(self, shares: Array) -> Candidate:
        parameters, at = parameters_at(shares), tuple(map(float, shares))
        place = len(self.tried) - 1
        if place < len(self.before):
            error, effort, cost = map(float, self.before[place])
            return Candidate(parameters, error, effort, cost, at)
        weight, config = self.config.effort_weight, MPPIConfig(**parameters)
        logs = compared(self.courses, config, self.base, self.meta, lambda so_far: losing(so_far, weight))
        error, effort, cost = summed(logs, weight)
        return Candidate(parameters, error, effort, cost, at)


def driven_by_defaults(courses: Sequence[Course], meta: MetaModel | None) -> list[Driven]:
    """Each course with the default parameters.

    Raises:
        InvalidValueError: one that they cannot drive.
    """
    found = []
    for course in courses:
        driven = drive(course, MPPIConfig(), meta)
        if driven is None:
            raise InvalidValueError(f"{course.name} cannot be driven with the default parameters")
        found.append(driven)
    return found


def compared(
    courses: Sequence[Course],
    config: MPPIConfig,
    base: Sequence[Driven],
    meta: MetaModel | None,
    enough: Callable[[list[tuple[float, float]]], bool] = lambda so_far: False,
) -> Array | None:
    """Logs of error and effort over those of ``base``, (courses, 2); None where a drive was not finished.

    After the course at which ``enough`` says so, of the rows so far, no other is driven.
    """
    logs: list[tuple[float, float]] = []
    for course, other in zip(courses, base, strict=True):
        driven = drive(course, config, meta)
        if driven is None:
            return None
        logs.append((math.log(driven.error / other.error), math.log(driven.effort / other.effort)))
        if enough(logs):
            break
    return np.array(logs)


def losing(logs: Sequence[tuple[float, float]], effort_weight: float) -> bool:
    """Whether a candidate is so much worse than the defaults that it need not be driven farther."""
    return len(logs) >= LOOKED_AT and summed(np.array(logs), effort_weight)[2] > LOSING


def summed(logs: Array | None, effort_weight: float) -> tuple[float, float, float]:
    """Geometric means of error and effort, as shares, and the cost of what :func:`compared` found."""
    if logs is None:
        return math.inf, math.inf, LOST
    error, effort = logs.mean(axis=0)
    cost = error + np.maximum(logs[:, 0], 0.0).mean() + effort_weight * effort
    return math.exp(error), math.exp(effort), min(float(cost), LOST)


def front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that no other beats in error and effort both, by error."""
    found: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: (c.error, c.effort)):
        if not found or candidate.effort < found[-1].effort:
            found.append(candidate)
    return found


def settings_of(courses: Sequence[Course], config: TuningConfig) -> dict[str, Any]:
    """What makes two searches equal, but for their length."""
    own = attrs.asdict(config)
    del own["evaluations"]
    robots = [
        f"{course.name}, {course.duration:g} s, {course.reference}, {course.limits}" for course in courses
    ]
    knobs = [f"{knob.name} {knob.low:g} {knob.high:g}" for knob in KNOBS]
    return own | {"robots": robots, "knobs": knobs}


def path_of(folder: Path) -> Path:
    """Where a search keeps what it has tried."""
    return folder / "tune.json"
