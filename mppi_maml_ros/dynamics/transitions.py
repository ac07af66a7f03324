"""Transitions on the model's time step, and the kinematic residuals computed from them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.arrays import locked
from ..core.errors import InvalidValueError
from ..core.kernels.cache import njit
from ..core.kernels.se2 import displacement
from ..core.types import Array
from .residual import ResidualWeights, delayed


def _kept(values: Any, kind: type[np.generic]) -> NDArray[Any] | None:
    """An array that is one already and that nobody writes to, as parts of other transitions are."""
    if not (isinstance(values, np.ndarray) and values.dtype == kind):
        return None
    return values if values.flags.c_contiguous and not values.flags.writeable else None


def _numbers(values: ArrayLike) -> Array:
    kept = _kept(values, np.float64)
    return locked(np.ascontiguousarray(values, dtype=np.float64)) if kept is None else kept


def _whole_numbers(values: ArrayLike) -> NDArray[np.int64]:
    kept = _kept(values, np.int64)
    return locked(np.ascontiguousarray(values, dtype=np.int64)) if kept is None else kept


@attrs.frozen(eq=False)
class Transitions:
    """M transitions in time order; all arrays are read-only, and row after row in memory.

    Attributes:
        stamps: start of each transition [s], shape (M,).
        states: (x, y, yaw, v, omega) at the start, shape (M, 5).
        commands: mean command (v, omega) over the transition, shape (M, 2).
        history: mean commands of the steps before, newest first, shape (M, D, 2).
        next_states: state model_dt later, shape (M, 5).
        segments: transitions with the same number follow each other without a gap, shape (M,).
        model_dt: step [s].
    """

    stamps: Array = attrs.field(converter=_numbers)
    states: Array = attrs.field(converter=_numbers)
    commands: Array = attrs.field(converter=_numbers)
    history: Array = attrs.field(converter=_numbers)
    next_states: Array = attrs.field(converter=_numbers)
    segments: NDArray[np.int64] = attrs.field(converter=_whole_numbers)
    model_dt: float

    def __len__(self) -> int:
        return len(self.stamps)

    def __getitem__(self, which: Any) -> Transitions:
        """Select transitions by slice, mask or index array."""
        return Transitions(
            self.stamps[which],
            self.states[which],
            self.commands[which],
            self.history[which],
            self.next_states[which],
            self.segments[which],
            self.model_dt,
        )

    def delayed(self, weights: ResidualWeights) -> Transitions:
        """With the commands that act on each axis, as far back as ``weights`` read them, as commands.

        Their ``inputs`` and ``residuals`` are those of the weights.

        Raises:
            InvalidValueError: the history is too short.
        """
        self.check_history(weights)
        if not any(weights.transport_delay) and self.history.shape[1] == weights.delay_taps:
            return self
        commands, history = delayed(self.commands, self.history, weights)
        return Transitions(
            self.stamps, self.states, commands, history, self.next_states, self.segments, self.model_dt
        )

    def check_history(self, weights: ResidualWeights) -> None:
        """Raise :class:`InvalidValueError` unless the transitions hold the commands that ``weights`` read."""
        if self.history.shape[1] < weights.history:
            raise InvalidValueError(
                f"{weights.history} past commands are needed, the transitions hold {self.history.shape[1]}"
            )

    @property
    def first(self) -> NDArray[np.bool_]:
        """Which transitions do not follow the one before, shape (M,) bool."""
        first = np.ones(len(self), dtype=np.bool_)
        first[1:] = self.segments[1:] != self.segments[:-1]
        return first

    @cached_property
    def inputs(self) -> Array:
        """Residual inputs z (see dynamics.features), shape (M, 4 + 2 D)."""
        taps = self.history.shape[1]
        parts = [self.states[:, 3:5], self.commands, self.history.reshape(len(self), 2 * taps)]
        return locked(np.concatenate(parts, axis=1))

    @cached_property
    def residuals(self) -> Array:
        """Kinematic residuals (dv, domega, lateral), shape (M, 3)."""
        return locked(kinematic_residuals(self.states, self.commands, self.next_states, self.model_dt))


def runs(data: Transitions, longest: int, lead: int = 0) -> tuple[NDArray[np.int64], int]:
    """First rows of all runs without a gap, each as long as the data allow, and how long they are.

    Args:
        longest: steps of a run at most; they are no more than half the data either.
        lead: rows at the beginning that are left out.

    Returns:
        Shape (S,), and the steps; empty and 0 when there are no data.
    """
    found: tuple[NDArray[np.int64], int] = _runs(data.segments, longest, lead)
    return found


@njit(cache=True)
def _runs(segments: NDArray[np.int64], longest: int, lead: int) -> tuple[NDArray[np.int64], int]:
    count = len(segments) - lead
    starts = np.empty(max(count, 0), dtype=np.int64)
    for steps in range(min(longest, (count + 1) // 2), 0, -1):
        found = 0
        for first in range(lead, len(segments) - steps + 1):
            if segments[first] == segments[first + steps - 1]:
                starts[found] = first
                found += 1
        if found:
            return starts[:found], steps
    return starts[:0], 0


def kinematic_residuals(states: Array, commands: Array, next_states: Array, dt: float) -> Array:
    """What the kinematic prior gets wrong over one step.

    The prior says that the robot has the commanded twist; the residual is what it has at the
    end of the step minus that, and the mean lateral velocity, which the prior says is zero.

    Args:
        states, next_states: shape (M, 5); commands: shape (M, 2); dt: step [s].

    Returns:
        (dv [m/s], domega [rad/s], lateral [m/s, left positive]), shape (M, 3).
    """
    out = np.empty((len(states), 3))
    # Copies, as whatever is read-only or lies otherwise would be compiled for anew.
    start, command, end = (np.array(a, dtype=float, order="C") for a in (states, commands, next_states))
    _residuals(start, command, end, float(dt), out)
    return out


@njit(cache=True)
def _residuals(states: Array, commands: Array, next_states: Array, dt: float, out: Array) -> None:
    for m in range(len(out)):
        out[m, 0], out[m, 1] = next_states[m, 3] - commands[m, 0], next_states[m, 4] - commands[m, 1]
        out[m, 2] = displacement(states[m], next_states[m])[1] / dt
