"""The newest rows of numbers, one after the other in memory, for compiled code to look at."""

from __future__ import annotations

import numpy as np

from .types import Array


class Recent:
    """Rows are added at the end and dropped at the beginning; memory grows with what is kept, and no further.

    Args:
        width: numbers in a row.
        capacity: rows that there is room for at first.
    """

    def __init__(self, width: int, capacity: int = 64) -> None:
        self._data = np.empty((capacity, width))
        self._first = self._end = 0

    def __len__(self) -> int:
        return self._end - self._first

    @property
    def rows(self) -> Array:
        """All of them, the oldest first, shape (N, width); until the next one is added."""
        return self._data[self._first : self._end]

    def add(self) -> Array:
        """The row behind all others, to be filled, shape (width,)."""
        if self._end == len(self._data):
            kept, data = self.rows, self._data
            if 2 * len(kept) > len(data):
                data = np.empty((2 * len(data), data.shape[1]))
            data[: len(kept)] = kept  # numpy copies what overlaps in the right order
            self._data, self._first, self._end = data, 0, len(kept)
        self._end += 1
        return self._data[self._end - 1]

    def drop(self, count: int) -> None:
        """Forget the ``count`` oldest; none below 1."""
        self._first = min(self._first + max(count, 0), self._end)
