"""Which candidate of a search is taken, and what it buys: both on robots that the search has not seen.

The cheapest of many candidates owes part of its low cost to the noise of the few robots it was tried on. So
the best ones, and what lies half way to them, are driven by other robots. The cheapest there is taken, if
its error is below the defaults' by more than twice the standard error; else the defaults are kept. Yet other
robots say what that buys.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs
import numpy as np

from ..core.errors import InvalidValueError
from ..mppi.config import MPPIConfig
from ..weights.meta_model import PACKAGED, MetaModel
from .tuning import (
    DEFAULTS,
    KNOBS,
    Candidate,
    Course,
    Driven,
    compared,
    drive,
    driven_by_defaults,
    parameters_at,
    summed,
)

FINALISTS = 3  # cheapest candidates that are validated, beside the mean of the
CENTRE = 10  # cheapest
SURE = 2.0  # standard errors
REPEATS = 3  # drives of a robot that judges, each with noise of its own


@attrs.frozen
class Validated:
    """A candidate on robots that it was not searched on.

    Attributes:
        parameters: of it.
        error, effort: as shares of the defaults', geometric means; cost: as in the search.
        spread: standard error of log(error).
    """

    parameters: dict[str, Any]
    error: float
    effort: float
    cost: float
    spread: float

    @property
    def better(self) -> bool:
        """Than the defaults, by more than ``SURE`` standard errors, and worth its effort."""
        return self.cost < 0.0 and math.log(self.error) + SURE * self.spread < 0.0


def finalists(tried: Sequence[Candidate]) -> list[dict[str, Any]]:
    """Parameters to validate: the cheapest candidates, the mean of them, and each half way from the defaults.

    Mean and middle are those of the searched scales.
    """
    found = [c for c in sorted(tried, key=lambda c: c.cost) if c.shares and c.cost < 0.0]
    if not found:
        return []
    mean = np.mean([c.shares for c in found[:CENTRE]], axis=0)
    bold = [mean, *(np.array(c.shares) for c in found[:FINALISTS])]
    return [parameters_at(shares) for full in bold for shares in (full, 0.5 * (DEFAULTS + full))]


def validated(
    courses: Sequence[Course], candidates: Sequence[dict[str, Any]], effort_weight: float, adapt: bool
) -> Iterator[Validated]:
    """Each candidate on robots of its own, as they come.

    Raises:
        InvalidValueError: a robot that the defaults cannot drive.
    """
    meta = MetaModel.load(PACKAGED) if adapt else None
    base = driven_by_defaults(courses, meta)
    for parameters in candidates:
        logs = compared(courses, MPPIConfig(**parameters), base, meta)
        spread = 0.0
        if logs is not None and len(logs) > 1:
            spread = float(logs[:, 0].std(ddof=1)) / math.sqrt(len(logs))
        yield Validated(parameters, *summed(logs, effort_weight), spread)


def chosen(found: Sequence[Validated]) -> Validated | None:
    """The cheapest of those that are better; None where the defaults are to be kept."""
    return min((v for v in found if v.better), key=lambda v: v.cost, default=None)


def defaults() -> dict[str, Any]:
    """The parameters that are searched, as they are by default."""
    return {knob.name: getattr(MPPIConfig(), knob.name) for knob in KNOBS}


def tested(
    courses: Sequence[Course],
    parameters: dict[str, Any],
    adapt: bool,
    done: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """Defaults and chosen parameters on robots that decided nothing, a row each.

    Errors and efforts are geometric means over ``REPEATS`` drives, since one of them may be lucky.

    Raises:
        InvalidValueError: a robot that either of them cannot drive.
    """
    meta = MetaModel.load(PACKAGED) if adapt else None
    rows = []
    for course in courses:
        default, tuned = (_mean(course, MPPIConfig(**given), meta) for given in ({}, parameters))
        done()
        rows.append(
            {
                "robot": course.name,
                "default_error": round(default.error, 5),
                "tuned_error": round(tuned.error, 5),
                "gain": round(1.0 - tuned.error / default.error, 4),
                "default_effort": round(default.effort, 5),
                "tuned_effort": round(tuned.effort, 5),
            }
        )
    return rows


def _mean(course: Course, config: MPPIConfig, meta: MetaModel | None) -> Driven:
    drives = [drive(attrs.evolve(course, seed=course.seed + 1000 * k), config, meta) for k in range(REPEATS)]
    logs = [(math.log(d.error), math.log(d.effort)) for d in drives if d is not None]
    if len(logs) < REPEATS:
        raise InvalidValueError(f"{course.name} cannot be driven")
    return Driven(*map(float, np.exp(np.mean(logs, axis=0))))
