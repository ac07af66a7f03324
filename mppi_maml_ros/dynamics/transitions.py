"""Transitions on the model's time step, and the kinematic residuals computed from them."""

from __future__ import annotations

import attrs
import numpy as np

from ..core import se2


@attrs.frozen(eq=False)
class Transitions:
    """M transitions in time order.

    Attributes:
        stamps: start of each transition [s], shape (M,).
        states: (x, y, yaw, v, omega) at the start, shape (M, 5).
        commands: mean command (v, omega) over the transition, shape (M, 2).
        history: mean commands of the steps before, newest first, shape (M, D, 2).
        next_states: state model_dt later, shape (M, 5).
        segments: transitions with the same number follow each other without a gap, shape (M,).
        model_dt: step [s].
    """

    stamps: np.ndarray
    states: np.ndarray
    commands: np.ndarray
    history: np.ndarray
    next_states: np.ndarray
    segments: np.ndarray
    model_dt: float

    def __len__(self) -> int:
        return len(self.stamps)

    def __getitem__(self, which) -> Transitions:
        """Select transitions by slice, mask or index array."""
        return attrs.evolve(
            self,
            stamps=self.stamps[which],
            states=self.states[which],
            commands=self.commands[which],
            history=self.history[which],
            next_states=self.next_states[which],
            segments=self.segments[which],
        )

    @property
    def first(self) -> np.ndarray:
        """Which transitions do not follow the one before, shape (M,) bool."""
        return np.diff(self.segments, prepend=np.nan) != 0

    @property
    def inputs(self) -> np.ndarray:
        """Residual inputs z (see dynamics.features), shape (M, 4 + 2 D)."""
        taps = self.history.shape[1]
        return np.concatenate(
            [self.states[:, 3:5], self.commands, self.history.reshape(-1, 2 * taps)], axis=1
        )

    @property
    def residuals(self) -> np.ndarray:
        """Kinematic residuals (dv, domega, lateral), shape (M, 3)."""
        return kinematic_residuals(self.states, self.commands, self.next_states, self.model_dt)


def kinematic_residuals(states, commands, next_states, dt: float) -> np.ndarray:
    """What the kinematic prior gets wrong over one step.

    The prior says that the robot has the commanded twist; the residual is what it has at the
    end of the step minus that, and the mean lateral velocity, which the prior says is zero.

    Args:
        states, next_states: shape (M, 5); commands: shape (M, 2); dt: step [s].

    Returns:
        (dv [m/s], domega [rad/s], lateral [m/s, left positive]), shape (M, 3).
    """
    twist = next_states[:, 3:5] - commands
    lateral = se2.displacement_twist(states[:, :3], next_states[:, :3], dt)[:, 1]
    return np.column_stack([twist, lateral])
