"""The interface of a robot model: state and command in, change of the state out."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike

from ..core.angles import wrap
from ..core.errors import InvalidValueError

YAW = 2


class RobotModel(ABC):
    """A differential-drive robot as an ordinary differential equation.

    States are (x, y, yaw) or (x, y, yaw, v, omega) [m, m, rad, m/s, rad/s], commands are
    (v, omega) [m/s, rad/s]. Every method takes one state of shape (nx,) or any batch (..., nx).
    """

    @property
    @abstractmethod
    def state_dim(self) -> int:
        """nx: length of the state."""

    @property
    def control_dim(self) -> int:
        """nu: length of the command."""
        return 2

    @property
    @abstractmethod
    def model_type(self) -> str:
        """``kinematic``, ``dynamic`` or ``learned``."""

    @abstractmethod
    def forward_dynamics(self, state: ArrayLike, control: ArrayLike) -> np.ndarray:
        """Time derivative of the state.

        Args:
            state: shape (..., nx).
            control: shape (..., nu), broadcast against ``state``.

        Returns:
            state_dot of shape (..., nx) [units of the state per second].

        Raises:
            InvalidValueError: a shape does not fit.
        """

    def step(self, state: ArrayLike, control: ArrayLike, dt: float) -> np.ndarray:
        """State after ``dt`` [s] under a command that is held; yaw in [-pi, pi).

        One Runge-Kutta step of order 4; models that know better say so.
        """
        state, control = self._checked(state, control)
        k1 = self.forward_dynamics(state, control)
        k2 = self.forward_dynamics(state + 0.5 * dt * k1, control)
        k3 = self.forward_dynamics(state + 0.5 * dt * k2, control)
        k4 = self.forward_dynamics(state + dt * k3, control)
        after = state + dt / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        after[..., YAW] = wrap(after[..., YAW])
        return after

    def _checked(self, state: ArrayLike, control: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Both as float arrays of one batch shape."""
        state, control = np.asarray(state, dtype=float), np.asarray(control, dtype=float)
        for name, array, width in (("state", state, self.state_dim), ("control", control, self.control_dim)):
            if array.ndim < 1 or array.shape[-1] != width:
                raise InvalidValueError(f"{name} must have shape (..., {width}), got {array.shape}")
        try:
            batch = np.broadcast_shapes(state.shape[:-1], control.shape[:-1])
        except ValueError:
            raise InvalidValueError(
                f"state {state.shape} and control {control.shape} must have one batch shape"
            ) from None
        state = np.broadcast_to(state, (*batch, self.state_dim))
        return state, np.broadcast_to(control, (*batch, self.control_dim))


def transitions_of(
    model: RobotModel, states: ArrayLike, controls: ArrayLike, next_states: ArrayLike, dt: float
) -> tuple[np.ndarray, ...]:
    """Recorded transitions of a model, checked, and the mean state_dot over each.

    Args:
        states: (M, nx); controls: (M, nu); next_states: (M, nx); dt: step [s], above 0.

    Returns:
        states (M, nx), controls (M, nu), state_dot (M, nx): (next - state) / dt, the yaw by the
        shorter way round.

    Raises:
        InvalidValueError: a shape does not fit, a value is not finite, or there is no transition.
    """
    if not 0.0 < dt < np.inf:
        raise InvalidValueError(f"dt must be finite and above 0, got {dt}")
    arrays = []
    for name, array, width in (
        ("states", states, model.state_dim),
        ("controls", controls, model.control_dim),
        ("next_states", next_states, model.state_dim),
    ):
        array = np.asarray(array, dtype=float)
        if array.ndim != 2 or array.shape[1] != width or not len(array):
            raise InvalidValueError(f"{name} must have shape (M, {width}) with M >= 1, got {array.shape}")
        if not np.isfinite(array).all():
            raise InvalidValueError(f"{name} must be finite")
        arrays.append(array)
    states, controls, next_states = arrays
    if not len(states) == len(controls) == len(next_states):
        raise InvalidValueError("states, controls and next_states must have the same length")
    change = next_states - states
    change[:, YAW] = wrap(change[:, YAW])
    return states, controls, change / dt


def body_rates(state_dots: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """state_dot (..., nx) with its translation in the frame of a robot that looks along ``yaw`` (...)."""
    c, s = np.cos(yaw), np.sin(yaw)
    x, y = state_dots[..., 0], state_dots[..., 1]
    return np.concatenate([np.stack([c * x + s * y, c * y - s * x], axis=-1), state_dots[..., 2:]], axis=-1)


def world_rates(body: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """Inverse of :func:`body_rates`."""
    c, s = np.cos(yaw), np.sin(yaw)
    x, y = body[..., 0], body[..., 1]
    return np.concatenate([np.stack([c * x - s * y, s * x + c * y], axis=-1), body[..., 2:]], axis=-1)
