"""The slot: where the newest weights wait for the next control step.

A control step takes one :class:`Snapshot` and uses nothing else until it ends. Installing
replaces the reference under a lock; readers never wait.
"""

from __future__ import annotations

import threading

import attrs

from ..dynamics.residual import ResidualWeights
from .admission import check_step


@attrs.frozen(eq=False)
class Snapshot:
    """Weights and their version; ``weights=None``, as in version 0, is the prior of whoever reads it."""

    weights: ResidualWeights | None
    version: int


class WeightsSlot:
    """Holds the serving snapshot.

    Args:
        model_dt: step that installed weights must predict over [s].
        initial: weights to start with; None for the prior.
    """

    def __init__(self, model_dt: float, initial: ResidualWeights | None = None) -> None:
        self._model_dt = model_dt
        self._lock = threading.Lock()
        self._current = Snapshot(initial, 0)
        self._last_version = 0

    @property
    def current(self) -> Snapshot:
        """The serving snapshot; one atomic read."""
        return self._current

    def install(self, weights: ResidualWeights | None) -> Snapshot:
        """Make ``weights`` serve from the next step on; versions only grow.

        Raises:
            SwapError: model_dt differs; the serving snapshot is unchanged.
        """
        if weights is not None:
            check_step(weights, self._model_dt)
        with self._lock:
            self._last_version += 1
            self._current = Snapshot(weights, self._last_version)
            return self._current
