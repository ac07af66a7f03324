"""The two worlds of the guide: the seed world (first-order with viscous friction) and the perturbed one."""

from __future__ import annotations

import math
from collections.abc import Iterable

import attrs
import numpy as np
from numpy.typing import ArrayLike

from ..core.errors import InvalidValueError
from ..core.kernels.cache import njit
from ..core.types import Array
from .disturbances import Disturbance, State
from .parameters import (
    COMMAND_DELAY,
    FRICTION_OMEGA,
    FRICTION_V,
    ODOMETRY_DELAY,
    PROCESS_NOISE,
    WorldParameters,
)
from .world import HELD, SCALED, Equations, World

SEED_NOISE = (0.005, 0.005, 0.002, 0.01, 0.005)
"""Process noise of a 0.05 s step: x, y, yaw, v, omega [m, m, rad, m/s, rad/s]."""

SEED_GAIN = 5.0
"""Acceleration per velocity error, of v and of omega [1/s]."""

PERTURBATION = (0.12, -0.05, 0.55, 0.80)
"""Of the perturbed world: bias_v [m/s], bias_omega [rad/s], scale_v, scale_omega."""

PERTURBED_NOISE = (0.005, 0.005, 0.002, 0.0, 0.0)


@njit(cache=True)
def forced_seed_step(
    x: float,
    y: float,
    yaw: float,
    v: float,
    omega: float,
    uv: float,
    uw: float,
    cv: float,
    cw: float,
    av: float,
    aw: float,
    dt: float,
) -> State:
    """:func:`seed_step` with an external acceleration (av, aw) [m/s^2, rad/s^2], held over the step."""
    a = SEED_GAIN * (uv - v) + av
    b = SEED_GAIN * (uw - omega) + aw
    half = 0.5 * dt
    v1 = a - cv * v
    w1 = b - cw * omega
    v_2 = v + half * v1
    w_2 = omega + half * w1
    v2 = a - cv * v_2
    w2 = b - cw * w_2
    v_3 = v + half * v2
    w_3 = omega + half * w2
    v3 = a - cv * v_3
    w3 = b - cw * w_3
    v_4 = v + dt * v3
    w_4 = omega + dt * w3
    v4 = a - cv * v_4
    w4 = b - cw * w_4
    yaw_2 = yaw + half * omega
    yaw_3 = yaw + half * w_2
    yaw_4 = yaw + dt * w_3
    sixth = dt / 6.0
    return (
        x
        + sixth
        * (
            v * math.cos(yaw)
            + 2.0 * v_2 * math.cos(yaw_2)
            + 2.0 * v_3 * math.cos(yaw_3)
            + v_4 * math.cos(yaw_4)
        ),
        y
        + sixth
        * (
            v * math.sin(yaw)
            + 2.0 * v_2 * math.sin(yaw_2)
            + 2.0 * v_3 * math.sin(yaw_3)
            + v_4 * math.sin(yaw_4)
        ),
        yaw + sixth * (omega + 2.0 * w_2 + 2.0 * w_3 + w_4),
        v + sixth * (v1 + 2.0 * v2 + 2.0 * v3 + v4),
        omega + sixth * (w1 + 2.0 * w2 + 2.0 * w3 + w4),
    )


@njit(cache=True)
def seed_step(
    x: float,
    y: float,
    yaw: float,
    v: float,
    omega: float,
    uv: float,
    uw: float,
    cv: float,
    cw: float,
    dt: float,
) -> State:
    """One step of the seed world, exactly, without noise.

    a = 5 (uv - v) and alpha = 5 (uw - omega) are taken at the start and held; one Runge-Kutta
    step of order 4 of x' = v cos yaw, y' = v sin yaw, yaw' = omega, v' = a - cv v,
    omega' = alpha - cw omega, its four stages written out.

    Args:
        x, y, yaw, v, omega: state [m, m, rad, m/s, rad/s].
        uv, uw: command [m/s, rad/s].
        cv, cw: viscous friction [1/s].
        dt: step [s].

    Returns:
        (x, y, yaw, v, omega) after the step; yaw is not wrapped.
    """
    return forced_seed_step(x, y, yaw, v, omega, uv, uw, cv, cw, 0.0, 0.0, dt)


@njit(cache=True)
def scaled_step(
    x: float,
    y: float,
    yaw: float,
    uv: float,
    uw: float,
    bias_v: float,
    bias_omega: float,
    scale_v: float,
    scale_omega: float,
    dt: float,
) -> State:
    """One step of the perturbed world, exactly, without noise.

    The pose change of the biased command (one Runge-Kutta step of order 4 of the kinematics),
    its translation scaled by ``scale_v`` and its rotation by ``scale_omega``.

    Returns:
        (x, y, yaw, v, omega): pose after the step, not wrapped, and the velocities realised.
    """
    v = uv + bias_v
    omega = uw + bias_omega
    middle = yaw + 0.5 * dt * omega
    end = yaw + dt * omega
    step = scale_v * v * dt / 6.0
    return (
        x + step * (math.cos(yaw) + 4.0 * math.cos(middle) + math.cos(end)),
        y + step * (math.sin(yaw) + 4.0 * math.sin(middle) + math.sin(end)),
        yaw + scale_omega * omega * dt,
        scale_v * v,
        scale_omega * omega,
    )


class SeedWorld(World):
    """Velocity loop of gain 5, held over the step, against viscous friction; see :func:`seed_step`.

    Args:
        c_v, c_omega: viscous friction [1/s].
        noise: with the process noise ``SEED_NOISE``, or none.
        seed: of the noise.
        disturbances: may change friction and push; nothing else exists in this world.
        start: pose [m, m, rad].
        command_delay: from command to motors [s].
    """

    kind = HELD

    def __init__(
        self,
        c_v: float = 0.5,
        c_omega: float = 0.3,
        noise: bool = True,
        seed: int = 0,
        disturbances: Iterable[Disturbance] = (),
        start: ArrayLike = (0.0, 0.0, 0.0),
        command_delay: float = 0.0,
    ) -> None:
        parameters = WorldParameters(
            lag_v=1.0 / SEED_GAIN,
            lag_omega=1.0 / SEED_GAIN,
            friction_v=c_v,
            friction_omega=c_omega,
            command_delay=command_delay,
        )
        if noise:
            parameters = parameters.with_process_noise(SEED_NOISE)
        super().__init__(parameters, seed, disturbances, start)

    def _check(self, parameters: WorldParameters) -> None:
        given = attrs.asdict(parameters)
        fixed = attrs.asdict(WorldParameters(lag_v=1.0 / SEED_GAIN, lag_omega=1.0 / SEED_GAIN))
        free = ("friction_", "process_noise_", "odometry_", "command_delay")
        for name, value in fixed.items():
            if not name.startswith(free) and given[name] != value:
                raise InvalidValueError(
                    f"{name} is {value:g} in the seed world and cannot be {given[name]:g}"
                )

    def _move(
        self, state: State, command: tuple[float, float], dt: float, vector: Array, acceleration: Array
    ) -> State:
        friction_v, friction_omega = vector[FRICTION_V], vector[FRICTION_OMEGA]
        return forced_seed_step(
            *state, *command, friction_v, friction_omega, acceleration[0], acceleration[1], dt
        )


class PerturbedWorld(World):
    """The guide's second world: kinematics with biased commands and scaled displacements.

    Velocity follows the command at once: v = 0.55 (u_v + 0.12 m/s), omega = 0.80 (u_omega - 0.05
    rad/s), so it creeps under a zero command; see :func:`scaled_step`. Only noise and delay of
    its :class:`WorldParameters` mean anything.

    Args:
        noise: with process noise (.005 m, .005 m, .002 rad), or none.
        seed: of the noise.
        start: pose [m, m, rad].
        perturbation: (bias_v, bias_omega, scale_v, scale_omega).
    """

    kind = SCALED

    def __init__(
        self,
        noise: bool = True,
        seed: int = 0,
        start: ArrayLike = (0.0, 0.0, 0.0),
        perturbation: tuple[float, float, float, float] = PERTURBATION,
    ) -> None:
        self._perturbation = np.array(perturbation, dtype=float)
        if self._perturbation.shape != (4,) or not np.isfinite(self._perturbation).all():
            raise InvalidValueError(f"perturbation must be four finite numbers, got {perturbation!r}")
        parameters = WorldParameters()
        if noise:
            parameters = parameters.with_process_noise(PERTURBED_NOISE)
        super().__init__(parameters, seed, (), start)

    def equations(self) -> Equations:
        return Equations(self.kind, self._perturbation.copy(), 0.0, 0.0, float(self._vector[COMMAND_DELAY]))

    def _check(self, parameters: WorldParameters) -> None:
        vector, plain = parameters.as_vector(), WorldParameters().as_vector()
        for i in (COMMAND_DELAY, *range(PROCESS_NOISE, ODOMETRY_DELAY + 1)):
            plain[i] = vector[i]
        if (vector != plain).any():
            raise InvalidValueError("only noise and delays can be set in the perturbed world")

    def _move(
        self, state: State, command: tuple[float, float], dt: float, vector: Array, acceleration: Array
    ) -> State:
        bias_v, bias_omega, scale_v, scale_omega = self._perturbation
        return scaled_step(*state[:3], *command, bias_v, bias_omega, scale_v, scale_omega, dt)
