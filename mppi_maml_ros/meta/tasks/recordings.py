"""Tasks from recorded runs, see :mod:`...bags`.

A task is a window of consecutive transitions; the end of every run is held out. The truth behind a
recording is unknown: queries are judged against what was measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from ...bags.run import RecordedRun, read_run
from ...core.errors import InvalidValueError, MppiMamlError
from ...dynamics.transitions import Transitions
from .worlds import TaskPool, WorldTasks

HELD_OUT_SHARE = 0.2  # of each run, at its end
SHORTEST = 40  # transitions of a task at least

_Stretches = list[tuple[np.ndarray, np.ndarray]]


@attrs.frozen
class RunReport:
    """What became of one recorded run.

    Attributes:
        path: of the run.
        duration: of its odometry [s]; NaN when it was not read.
        usable: transitions that are trained on or held out.
        excluded: messages and transitions that were left out, by reason.
        refusal: why nothing of the run is used; empty when something is.
        remarks: what was not as it should be, what was done about it, and what would help.
    """

    path: Path
    duration: float = float("nan")
    usable: int = 0
    excluded: dict[str, int] = attrs.field(factory=dict)
    refusal: str = ""
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(cls, run: RecordedRun) -> RunReport:
        """Of a run that could be read."""
        remarks = (*run.remarks, run.advice) if run.advice else run.remarks
        usable = 0 if run.refusal else len(run.transitions)
        return cls(run.path, run.duration, usable, dict(run.excluded.most_common()), run.refusal, remarks)

    def left_out(self) -> str:
        """What was left out, in words."""
        return ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in self.excluded.items())

    def __str__(self) -> str:
        parts = (self.refusal, f"left out: {self.left_out()}" if self.excluded else "", *self.remarks)
        return f"{self.path}: {self.usable} transitions; " + "; ".join(filter(None, parts))


def _segments(data: Transitions) -> _Stretches:
    """(inputs, residuals) of each stretch without a gap."""
    inputs, residuals = data.inputs, data.residuals
    ends = np.flatnonzero(np.diff(data.segments)) + 1
    return list(zip(np.split(inputs, ends), np.split(residuals, ends), strict=True))


def _longest(stretches: Iterable[_Stretches]) -> int:
    return max((len(inputs) for stretch in stretches for inputs, _ in stretch), default=0)


def _windows(
    stretches: Sequence[tuple[np.ndarray, np.ndarray]], length: int, rng: np.random.Generator, tasks: int
) -> tuple[np.ndarray, np.ndarray]:
    """``tasks`` windows, drawn uniformly from all places; (tasks, length, ...)."""
    places = np.array([max(len(x) - length + 1, 0) for x, _ in stretches])
    ends = np.cumsum(places)
    chosen = rng.integers(0, ends[-1], size=tasks)
    which = np.searchsorted(ends, chosen, side="right")
    first = chosen - (ends - places)[which]
    inputs = np.concatenate([x for x, _ in stretches])
    residuals = np.concatenate([y for _, y in stretches])
    offset = np.cumsum([0, *(len(x) for x, _ in stretches)])[which] + first
    index = offset[:, None] + np.arange(length)
    return inputs[index], residuals[index]


@attrs.frozen(eq=False)
class RecordedTasks:
    """A task distribution made of recorded runs.

    Attributes:
        training, held: (inputs, residuals) of stretches without gaps.
        steps: length of a task [steps].
        sources: name and checksum of each run that is used.
        delay_taps, model_dt: as in the residual.
        runs: what became of each run that was named.
    """

    training: _Stretches
    held: _Stretches
    steps: int
    sources: list[dict[str, Any]]
    delay_taps: int = 4
    model_dt: float = 0.05
    runs: tuple[RunReport, ...] = ()

    @classmethod
    def read(
        cls, paths: Iterable[Path], odom_topic: str = "/odom", cmd_topic: str = "/cmd_vel",
        cmd_type: str = "", delay_taps: int = 4, model_dt: float = 0.05, steps: int = 240,
    ) -> RecordedTasks:  # fmt: skip
        """From rosbag2 recordings; see :func:`read_run`.

        Runs that cannot be used are left out, and ``runs`` says why. Tasks are shorter than ``steps`` when
        no run has that many transitions without a gap.

        Raises:
            InvalidValueError: none of the runs can be used; the message says of each why.
        """
        reports: list[RunReport] = []
        parts: list[tuple[_Stretches, _Stretches]] = []
        for path in map(Path, paths):
            try:
                run = read_run(path, odom_topic, cmd_topic, cmd_type, delay_taps, model_dt)
            except MppiMamlError as error:
                reports.append(RunReport(path, refusal=str(error)))
                parts.append(([], []))
                continue
            reports.append(RunReport.of(run))
            data = run.transitions[:0] if run.refusal else run.transitions
            cut = int(round((1.0 - HELD_OUT_SHARE) * len(data)))
            parts.append((_segments(data[:cut]), _segments(data[cut:])))
        longest = min((_longest(part) for part in zip(*parts, strict=True)), default=0)
        if longest < SHORTEST:
            lines = "".join(f"\n  {report}" for report in reports)
            raise InvalidValueError(
                f"the recorded runs must hold {SHORTEST} transitions without a gap in their first "
                f"{1 - HELD_OUT_SHARE:.0%} and in the rest, {SHORTEST * model_dt:g} s of driving each; "
                f"the longest have {longest}:{lines}"
            )
        steps = min(steps, longest)
        training, held = [], []
        for k, part in enumerate(parts):
            if _longest(part) < steps and not reports[k].refusal:
                short = f"no {steps} transitions without a gap, which a task has here"
                reports[k] = attrs.evolve(reports[k], usable=0, refusal=short)
            if not reports[k].refusal:
                training += part[0]
                held += part[1]
        sources = [
            {"name": r.path.name, "sha256": _digest(r.path), "transitions": r.usable}
            for r in reports
            if not r.refusal
        ]
        return cls(training, held, steps, sources, delay_taps, model_dt, tuple(reports))

    def pool(self, seed: int, tasks: int, held_out: bool = False) -> TaskPool:
        """Windows of the runs; the end of each run belongs to the held-out tasks alone."""
        stretches = self.held if held_out else self.training
        rng = np.random.default_rng(seed)
        inputs, residuals = _windows(stretches, self.steps, rng, tasks)
        noise = np.full((tasks, 3), np.nan)
        return TaskPool(inputs, residuals, inputs, residuals, noise[:, 0], self._noise())

    def changing_pool(self, seed: int, tasks: int, held_out: bool = False) -> TaskPool:
        """As :meth:`pool`: a recorded world changes by itself."""
        return self.pool(seed, tasks, held_out)

    def _noise(self) -> np.ndarray:
        """Variance of the residuals about a smooth course, from third differences, shape (3,)."""
        squares = [np.diff(y, n=3, axis=0) ** 2 / 20.0 for _, y in self.training if len(y) > 3]
        return np.maximum(np.median(np.concatenate(squares), axis=0) / 0.455, 1e-8)

    def prior_pool(self, seed: int, tasks: int) -> TaskPool:
        """Simulated worlds: a handful of runs says nothing about how robots differ."""
        return WorldTasks(delay_taps=self.delay_taps, model_dt=self.model_dt).pool(seed, tasks)

    def describe(self) -> dict:
        """The runs by name and checksum."""
        return {
            "kind": "recorded",
            "sources": self.sources,
            "steps": self.steps,
            "delay_taps": self.delay_taps,
            "model_dt": self.model_dt,
        }


def _digest(path: Path) -> str:
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
