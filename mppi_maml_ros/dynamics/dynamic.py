"""First-order dynamics of the differential drive: the velocities follow the command, against friction."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..core.angles import wrap
from ..core.errors import InvalidValueError
from ..core.types import Array
from .robot_model import RobotModel

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)


class DifferentialDriveDynamic(RobotModel):
    """v' = gain (u_v - v) - c_v v and omega' = gain (u_omega - omega) - c_omega omega; pose as in kinematics.

    Args:
        c_v, c_omega: viscous friction [1/s], at least 0.
        gain: acceleration per velocity error [1/s], above 0.
        held: True: the acceleration gain (u - v) is taken at the start of a step and held, and the step
            is one Runge-Kutta step of order 4, as the simulated seed world does it. False: the servo
            acts all the time.
    """

    state_dim = 5
    model_type = "dynamic"

    def __init__(self, c_v: float = 0.1, c_omega: float = 0.1, gain: float = 5.0, held: bool = False) -> None:
        for name, value in (("c_v", c_v), ("c_omega", c_omega)):
            if not 0.0 <= value < np.inf:
                raise InvalidValueError(f"{name} must be finite and at least 0, got {value}")
        if not 0.0 < gain < np.inf:
            raise InvalidValueError(f"gain must be finite and above 0, got {gain}")
        self._friction = np.array([c_v, c_omega], dtype=float)
        self._gain, self._held = float(gain), held

    def forward_dynamics(self, state: ArrayLike, control: ArrayLike) -> np.ndarray:
        state, control = self._checked(state, control)
        return self._derivative(state, self._gain * (control - state[..., 3:]))

    def _derivative(self, state: np.ndarray, acceleration: np.ndarray) -> np.ndarray:
        v, omega = state[..., 3], state[..., 4]
        pose = np.stack([v * np.cos(state[..., 2]), v * np.sin(state[..., 2]), omega], axis=-1)
        return np.concatenate([pose, acceleration - self._friction * state[..., 3:]], axis=-1)

    def step(self, state: ArrayLike, control: ArrayLike, dt: float) -> np.ndarray:
        """Exact discretisation; see ``held`` for what it is exact for.

        Velocities and yaw are exponentials in closed form. The position has none: it is integrated
        by a Gauss-Legendre rule of 6 nodes, to rounding error for the steps of a controller.
        """
        state, control = self._checked(state, control)
        if self._held:
            return self._held_step(state, self._gain * (control - state[..., 3:]), dt)
        rate = self._gain + self._friction
        steady = self._gain / rate * control
        excess = state[..., 3:] - steady

        def twist(t: float) -> Array:
            return steady + excess * np.exp(-rate * t)

        def turned(t: float) -> Array:
            return steady[..., 1] * t + excess[..., 1] * -np.expm1(-rate[1] * t) / rate[1]

        x, y = state[..., 0].copy(), state[..., 1].copy()
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            t = 0.5 * dt * (node + 1.0)
            yaw, ahead = state[..., 2] + turned(t), 0.5 * dt * weight * twist(t)[..., 0]
            x += ahead * np.cos(yaw)
            y += ahead * np.sin(yaw)
        pose = np.stack([x, y, wrap(state[..., 2] + turned(dt))], axis=-1)
        return np.concatenate([pose, twist(dt)], axis=-1)

    def _held_step(self, state: np.ndarray, acceleration: np.ndarray, dt: float) -> np.ndarray:
        k1 = self._derivative(state, acceleration)
        k2 = self._derivative(state + 0.5 * dt * k1, acceleration)
        k3 = self._derivative(state + 0.5 * dt * k2, acceleration)
        k4 = self._derivative(state + dt * k3, acceleration)
        after = state + dt / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        after[..., 2] = wrap(after[..., 2])
        return after
