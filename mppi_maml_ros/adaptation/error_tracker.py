"""The push on the next step, from what the serving weights got wrong over the last ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..core.types import Array, Odometry
from ..dynamics.buffer import SNAP, BufferConfig, TransitionBuffer
from ..dynamics.features import input_size
from ..dynamics.identification.error_models import TYPICAL, pushes
from ..dynamics.residual import ResidualWeights, correction

MEMORY = 60  # transitions that tell of the push
MAX_ERROR = np.array([0.5, 1.0])  # [m/s, rad/s] nothing pushes a robot harder within a step


class ErrorTracker:
    """Follows commands and odometry at any rate; not thread-safe.

    Args:
        delay_taps: as many as any weights have.
        model_dt: step [s].
    """

    def __init__(self, delay_taps: int, model_dt: float) -> None:
        config = BufferConfig(delay_taps=delay_taps, model_dt=model_dt, size=MEMORY)
        self._buffer = TransitionBuffer(config)
        self.reset()

    def reset(self) -> None:
        """Forget everything, as after a jump of the clock."""
        self._buffer.reset()
        self._newest = self._end = -np.inf
        self._follow(None)

    def warm_up(self) -> None:
        """Compile what :meth:`push` needs, before the first control step waits for it."""
        pushes(np.zeros((1, 2)), np.ones(1, dtype=bool), TYPICAL, np.zeros((2, 2)))

    def _follow(self, weights: ResidualWeights | None) -> None:
        self._weights, self._state, self._segment = weights, np.zeros((2, 2)), None
        self._used = self._buffer.total - len(self._buffer)

    def add_command(self, stamp: float, command: ArrayLike) -> None:
        """A command (v, omega) in force from ``stamp`` [s]."""
        self._buffer.add_command(stamp, command)

    def add_odometry(self, sample: Odometry) -> None:
        """A checked odometry sample."""
        self._buffer.add_odometry(sample)
        self._newest = sample.stamp

    def push(self, weights: ResidualWeights | None, after: float = 0.0) -> np.ndarray:
        """On (v, omega) over the step that begins ``after`` [s] the newest odometry, shape (2,) [m/s, rad/s].

        Zero for weights without a model of their errors, and while no transition ends now.
        """
        if weights is None or not weights.error_model[1].any():
            return np.zeros(2)
        if weights is not self._weights:
            self._follow(weights)
        fresh = min(self._buffer.total - self._used, len(self._buffer))
        if fresh:
            data = self._buffer.latest(fresh)
            inputs = data.inputs[:, : input_size(weights.delay_taps)]
            errors = data.residuals[:, :2] - correction(weights, inputs)[:, :2]
            errors = np.clip(errors, -MAX_ERROR, MAX_ERROR)
            first = data.first
            first[0] = data.segments[0] != self._segment
            pushes(errors, first, weights.error_model, self._state)
            self._segment, self._used = data.segments[-1], self._buffer.total
            self._end = data.stamps[-1] + data.model_dt
        dt = self._buffer.config.model_dt
        if not self._newest - self._end <= (1.0 + SNAP) * dt:
            return np.zeros(2)
        push: Array = self._state[0] * weights.error_model[0] ** max(
            (self._newest + after - self._end) / dt, 0.0
        )
        return push
