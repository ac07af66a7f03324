"""Tasks of N classes with K images each, drawn from characters."""

from __future__ import annotations

import attrs
import numpy as np

from ..core.errors import InvalidValueError
from .omniglot import Characters

HELD_OUT, HELD_OUT_SEED = 20, 1_000_003
Set = list[np.ndarray]  # images (T, S, 28, 28) and labels (T, S)


@attrs.frozen(eq=False)
class FewShotTasks:
    """N-way K-shot tasks for :func:`..meta.loop.run`.

    Attributes:
        training, judging: characters to draw from.
        ways, shots, queries: N, K, and how many images of each class judge.
        count: tasks that judge.
        alike: share of the training's tasks whose classes are of one alphabet, which are harder to tell
            apart; alphabets with fewer than ``ways`` do not serve.
        distortion: of the training's images, see :func:`..images.distortion.distorted`.

    Raises:
        InvalidValueError: more than there is.
    """

    training: Characters
    judging: Characters
    ways: int = 5
    shots: int = 1
    queries: int = 1
    count: int = HELD_OUT
    alike: float = 0.0
    distortion: float = 0.0

    def __attrs_post_init__(self) -> None:
        for characters in (self.training, self.judging):
            drawers = characters.images.shape[1]
            if not 2 <= self.ways <= len(characters):
                raise InvalidValueError(f"ways must be in [2, {len(characters)}], got {self.ways}")
            if self.shots < 1 or self.queries < 1 or self.shots + self.queries > drawers:
                raise InvalidValueError(
                    f"shots and queries must be at least 1 and at most {drawers} together, "
                    f"got {self.shots} and {self.queries}"
                )

    def sample(self, rng: np.random.Generator, tasks: int) -> tuple[Set, Set]:
        """Support and query: images (T, S, 28, 28), labels (T, S)."""
        sets = self._drawn(self.training, rng, tasks, self.alike)
        if self.distortion:
            from .distortion import distorted  # needs torch, which the tasks do not

            for part in sets:
                part[0] = distorted(part[0], rng, self.distortion)
        return sets

    def held_out(self) -> tuple[Set, Set]:
        """The same at each call."""
        return self._drawn(self.judging, np.random.default_rng(HELD_OUT_SEED), self.count)

    def _classes(self, of: Characters, rng: np.random.Generator, tasks: int, alike: float) -> np.ndarray:
        """Of each task, (T, ways)."""
        classes = rng.permuted(np.tile(np.arange(len(of)), (tasks, 1)), axis=1)[:, : self.ways]
        groups = [rows for rows in of.by_alphabet() if len(rows) >= self.ways] if alike else []
        for task in np.flatnonzero(rng.random(tasks) < alike) if groups else ():
            classes[task] = rng.choice(groups[rng.integers(len(groups))], self.ways, replace=False)
        return classes

    def _drawn(
        self, of: Characters, rng: np.random.Generator, tasks: int, alike: float = 0.0
    ) -> tuple[Set, Set]:
        classes = self._classes(of, rng, tasks, alike)
        drawers = rng.permuted(np.tile(np.arange(of.images.shape[1]), (tasks, self.ways, 1)), axis=2)
        sets = []
        for part in (slice(self.shots), slice(self.shots, self.shots + self.queries)):
            chosen = drawers[..., part]
            images = of.images[classes[..., None], chosen].reshape(tasks, -1, *of.images.shape[2:])
            labels = np.repeat(np.arange(self.ways), chosen.shape[2])
            sets.append([images, np.tile(labels, (tasks, 1))])
        return sets[0], sets[1]
