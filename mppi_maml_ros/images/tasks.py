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

    Raises:
        InvalidValueError: more than there is.
    """

    training: Characters
    judging: Characters
    ways: int = 5
    shots: int = 1
    queries: int = 1
    count: int = HELD_OUT

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
        return self._drawn(self.training, rng, tasks)

    def held_out(self) -> tuple[Set, Set]:
        """The same at each call."""
        return self._drawn(self.judging, np.random.default_rng(HELD_OUT_SEED), self.count)

    def _drawn(self, of: Characters, rng: np.random.Generator, tasks: int) -> tuple[Set, Set]:
        classes = rng.permuted(np.tile(np.arange(len(of)), (tasks, 1)), axis=1)[:, : self.ways]
        drawers = rng.permuted(np.tile(np.arange(of.images.shape[1]), (tasks, self.ways, 1)), axis=2)
        sets = []
        for part in (slice(self.shots), slice(self.shots, self.shots + self.queries)):
            chosen = drawers[..., part]
            images = of.images[classes[..., None], chosen].reshape(tasks, -1, *of.images.shape[2:])
            labels = np.repeat(np.arange(self.ways), chosen.shape[2])
            sets.append([images, np.tile(labels, (tasks, 1))])
        return sets[0], sets[1]
