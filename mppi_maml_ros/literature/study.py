"""A protocol: methods that are run with several seeds, each part kept when done, and what comes of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from ..core.errors import ArtifactError, InvalidValueError
from ..core.files import write_json
from ..experiments.studies.meta_trainers import student_t
from ..meta.checkpoint import Checkpoint
from ..meta.loop import Controls, Progress, check

Published = Mapping[str, Mapping[float, float]]  # by method and x


@attrs.frozen(eq=False)
class Part:
    """What one method came to with one seed.

    Attributes:
        x: where it was measured: gradient steps, pulls, episodes, ways.
        values: of each test task there.
        env_steps: taken in training.
    """

    x: Sequence[float]
    values: Sequence[np.ndarray]
    env_steps: int = 0


@attrs.frozen
class Study:
    """A table or a figure of a paper.

    Attributes:
        name: on the command line.
        title, source: of what is reproduced, and where it was published.
        x, value: what stands on the axes.
        methods: run one after the other.
        run: method, seed, scale and controls to a :class:`Part`.
        iterations: method and scale to the outer iterations that ``run`` reports.
        published: the paper's figures.
        seeds: of a full run.
        notes: what a reader has to know of the protocol.
        place: a folder of data to the study that reads it; None where none is read.
    """

    name: str
    title: str
    source: str
    x: str
    value: str
    methods: tuple[str, ...]
    run: Callable[[str, int, float, Controls], Part]
    iterations: Callable[[str, float], int]
    published: Published
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    notes: str = ""
    place: Callable[[Path | None], Study] | None = None


@attrs.frozen
class Row:
    """A mean at ``x``, the half-width of its 95 % interval, and the paper's figure if it has one."""

    method: str
    x: float
    mean: float
    ci95: float
    paper: float | None


@attrs.frozen
class Result:
    """All that a study came to.

    Attributes:
        interval: what the intervals are over.
        env_steps: taken in training, by method, a seed.
        cpu_s: processor time, by method, a seed [s].
    """

    name: str
    scale: float
    seeds: tuple[int, ...]
    interval: str
    rows: tuple[Row, ...]
    env_steps: dict[str, int]
    cpu_s: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """For the file."""
        return attrs.asdict(self) | {
            "total_env_steps": len(self.seeds) * sum(self.env_steps.values()),
            "total_cpu_s": round(len(self.seeds) * sum(self.cpu_s.values()), 1),
        }


def reproduce(
    study: Study,
    seeds: Sequence[int],
    scale: float,
    folder: Path,
    methods: Iterable[str] | None = None,
    controls: Controls | None = None,
    on_part: Callable[[str, int], None] = lambda method, seed: None,
) -> Result:
    """Run what is not there yet, and put everything together.

    Args:
        scale: share of the whole effort, in (0, 1].
        folder: of the parts; those that lie there with the same scale are taken, and a training that was
            interrupted is taken up.
        methods: a choice of the study's.
        controls: progress and cancelling; checkpoints go into the folder.
        on_part: called when a method is done with a seed.

    Raises:
        InvalidValueError: a method that the study has not, or a scale out of range.
        Cancelled: on request; what is done stays.
    """
    chosen = tuple(study.methods if methods is None else methods)
    unknown = [m for m in chosen if m not in study.methods]
    if unknown:
        raise InvalidValueError(f"methods must be of {', '.join(study.methods)}, got {', '.join(unknown)}")
    if not 0.0 < scale <= 1.0:
        raise InvalidValueError(f"scale must be in (0, 1], got {scale}")
    parts: dict[str, list[dict[str, Any]]] = {}
    for method in chosen:
        for seed in seeds:
            parts.setdefault(method, []).append(
                _part(study, method, seed, scale, folder, controls or Controls())
            )
            on_part(method, seed)
    rows, interval = [], "seeds" if len(seeds) > 1 else "test tasks"
    for method, of_seeds in parts.items():
        means = np.array([part["mean"] for part in of_seeds])
        for i, x in enumerate(of_seeds[0]["x"]):
            half = of_seeds[0]["ci95"][i] if len(seeds) == 1 else _half(means[:, i])
            paper = study.published.get(method, {}).get(x)
            rows.append(Row(method, x, float(means[:, i].mean()), half, paper))
    steps = {method: round(np.mean([p["env_steps"] for p in found])) for method, found in parts.items()}
    cpu = {method: float(np.mean([p["cpu_s"] for p in found])) for method, found in parts.items()}
    return Result(study.name, scale, tuple(seeds), interval, tuple(rows), steps, cpu)


def _half(values: np.ndarray) -> float:
    """Half the 95 % interval of a mean (Student's t)."""
    return float(student_t(len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))


def _part(study: Study, method: str, seed: int, scale: float, folder: Path, controls: Controls) -> dict:
    file = folder / f"{method}-{seed}.json"
    settings = {"study": study.name, "method": method, "seed": seed, "scale": scale}
    if file.is_file():
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            same = found.get("settings") == settings
        except (ValueError, AttributeError) as error:
            raise ArtifactError(f"{file} is damaged: delete it to run it again") from error
        if not same:
            raise ArtifactError(f"{file} is of another run: delete it, or choose another folder")
        return found
    check(controls.cancel)
    place = folder / f"{method}-{seed}"
    checkpoint = Checkpoint(place, settings, resume=True)
    spent, began = _Spent(place / "cpu_s.json"), time.process_time()
    try:
        on_progress = controls.on_progress
        inner = attrs.evolve(
            controls,
            checkpoint=checkpoint,
            checkpoint_every=20,
            on_progress=lambda p: on_progress(attrs.evolve(p, phase=f"{p.phase} {seed}")),
        )
        part = study.run(method, seed, scale, inner)
    finally:
        spent.add(time.process_time() - began)
    values = [np.asarray(v, dtype=np.float64) for v in part.values]
    found = {
        "settings": settings,
        "x": [float(x) for x in part.x],
        "mean": [round(float(v.mean()), 5) for v in values],
        "ci95": [round(float(1.96 * v.std(ddof=1) / np.sqrt(len(v))), 5) for v in values],
        "tasks": [len(v) for v in values],
        "env_steps": int(part.env_steps),
        "cpu_s": round(spent.seconds, 1),
    }
    write_json(file, found)
    spent.remove()
    checkpoint.remove()
    return found


class _Spent:
    """Processor time of a part, over all its interruptions."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.seconds = float(json.loads(file.read_text())) if file.is_file() else 0.0

    def add(self, seconds: float) -> None:
        self.seconds += seconds
        write_json(self._file, self.seconds)

    def remove(self) -> None:
        self._file.unlink(missing_ok=True)


def report(controls: Controls, name: str, done: int, total: int, loss: float = float("nan")) -> None:
    """Say how far something is that has a loop of its own."""
    controls.on_progress(Progress(name, done, total, loss, float("nan")))
