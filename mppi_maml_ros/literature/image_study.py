"""Omniglot: 5-way one-shot on alphabets held out, and the 20 official runs of 20-way one-shot."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import attrs
import numpy as np

from ..core.errors import InvalidValueError
from ..images.omniglot import characters, official_runs
from ..images.tasks import FewShotTasks
from ..images.trainers import IMAGE_TRAINERS, FewShotConfig, ImageTrainer
from ..meta import loop
from ..meta.loop import Controls
from .study import Part, Study

METHODS = ("prototypes", "maml", "fomaml", "anil", "reptile")
WAYS = (5, 20)
HELD_OUT = ("Sanskrit", "Tagalog")  # whose characters judge 5-way classification
TEST_TASKS, TEST_SEED = 600, 1
CHUNK = 20  # test tasks that are answered at once

SETTINGS: dict[tuple[str, int], dict] = {
    ("prototypes", 5): {"ways": 60, "iterations": 6000, "task_batch_size": 1, "meta_lr": 2e-3},
    ("prototypes", 20): {"ways": 60, "iterations": 4000, "task_batch_size": 1, "meta_lr": 2e-3},
    ("maml", 5): {"iterations": 6000, "task_batch_size": 16, "inner_lr": 0.4},
    ("maml", 20): {
        "iterations": 6000, "task_batch_size": 4, "inner_lr": 0.1, "inner_steps": 5, "test_steps": 5,
    },
    ("reptile", 5): {
        "iterations": 6000, "task_batch_size": 5, "inner_lr": 0.1, "inner_steps": 5, "meta_lr": 1.0,
    },
    ("reptile", 20): {
        "iterations": 6000, "task_batch_size": 5, "inner_lr": 0.1, "inner_steps": 10, "test_steps": 10,
        "meta_lr": 1.0,
    },
}  # fmt: skip
"""By method and ways; first-order MAML and ANIL have those of MAML, prototypes learn with more ways."""

ALIKE, DISTORTION = 0.5, 1.0  # in training
QUERIES = {"prototypes": 2, "reptile": 1}


def settings(method: str, ways: int, scale: float, seed: int = 0) -> FewShotConfig:
    """Of a training at a share of the effort."""
    chosen = dict(SETTINGS.get((method, ways), SETTINGS["maml", ways]))
    chosen["iterations"] = max(1, round(scale * chosen["iterations"]))
    every = max(1, chosen["iterations"] // 10)
    return FewShotConfig(**{"ways": ways, "seed": seed, "evaluate_every": every, **chosen})


def run(folder: Path | None, method: str, seed: int, scale: float, controls: Controls) -> Part:
    """Learn from the background set, then answer.

    Raises:
        InvalidValueError: no folder was given.
    """
    if folder is None:
        raise InvalidValueError("omniglot needs --data, the folder of Omniglot's zip files")
    drawn = characters(folder)
    names = sorted(set(drawn.alphabets))
    judges = HELD_OUT if {*HELD_OUT} < {*names} else names[-max(1, len(names) // 3) :]
    values = []
    for ways in WAYS:
        trainer = IMAGE_TRAINERS[method](settings(method, ways, scale, seed))
        learned, judging = drawn, drawn
        if ways == WAYS[0]:
            learned, judging = drawn.of([n for n in names if n not in judges]), drawn.of(judges)
        turned = learned.turned()
        tasks = FewShotTasks(
            turned, judging, min(trainer.config.ways, len(judging), len(turned)), 1, QUERIES.get(method, 1),
            alike=ALIKE, distortion=DISTORTION,
        )  # fmt: skip
        loop.run(f"{method}-{ways}", trainer, tasks, _named(controls, f"{method} {ways}-way"))
        trainer.settle(learned.images.reshape(-1, *learned.images.shape[2:]))
        if ways == WAYS[0]:
            values.append(_held_out(trainer, attrs.evolve(tasks, ways=ways, count=TEST_TASKS)))
        else:
            values.append(_official(trainer, folder))
    return Part(WAYS, [100.0 * (1.0 - wrong) for wrong in values])


def _named(controls: Controls, name: str) -> Controls:
    show = controls.on_progress
    return attrs.evolve(controls, on_progress=lambda p: show(attrs.evolve(p, phase=name)))


def _held_out(trainer: ImageTrainer, tasks: FewShotTasks) -> np.ndarray:
    (shown, labels), (asked, answers) = tasks.held_out()
    wrong = []
    for i in range(0, tasks.count, CHUNK):
        part = slice(i, i + CHUNK)
        losses = trainer.losses([shown[part], labels[part]], [asked[part], answers[part]])
        wrong.append(losses[1].numpy())
    return np.concatenate(wrong)


def _official(trainer: ImageTrainer, folder: Path) -> np.ndarray:
    runs = official_runs(folder)
    labels = np.tile(np.arange(len(runs[0].shown)), (len(runs), 1))
    shown, asked = np.stack([r.shown for r in runs]), np.stack([r.asked for r in runs])
    return trainer.losses([shown, labels], [asked, np.stack([r.labels for r in runs])])[1].numpy()


def iterations(method: str, scale: float) -> int:
    """Of both trainings."""
    return sum(settings(method, ways, scale).iterations for ways in WAYS)


def _placed(folder: Path | None) -> Study:
    return attrs.evolve(STUDY, run=partial(run, folder))


STUDY: Study = Study(
    name="omniglot",
    title="Omniglot, one-shot",
    source="Lake et al., Science 2015 and Current Opinion 2019: prototypical networks on the minimal set",
    x="ways",
    value="accuracy [%]",
    methods=METHODS,
    run=partial(run, None),
    iterations=iterations,
    published={"prototypes": {20.0: 70.0}},
    notes=(
        "20 ways: the official runs, each within one alphabet, learned from all characters of the background "
        "set in the folder; people are right in 95.5 % and BPL in 95.8 %. 5 ways: tasks of alphabets "
        "held out for them. Images of 28 x 28 pixels. In training, characters turned by 90 degrees are "
        "further classes, half of the tasks are of one alphabet where one has enough characters (none has "
        "the 60 that prototypes learn with), and images are mapped by small affine maps (as in Koch et al., "
        "2015). Batch statistics are those of the images that are asked, as in MAML's "
        "paper, for prototypical networks at test those of the training images."
    ),
    place=_placed,
)
