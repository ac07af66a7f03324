"""Equations of motion of a differential drive, at its wheels.

With ``t`` the surface speed that a wheel is driven to and ``w`` the one it has::

    t     = battery * gain * (1 -/+ radius_asymmetry / 2) * dead_zone(u)             left, right
    s     = clip((t - w) / (lag_v * mass), acceleration_limit) - coulomb * sign(w)   per wheel
    v'    = (s_l + s_r) / 2                - c_v v         + external acceleration
    omega' = k (s_r - s_l) / track         - c_omega omega + external acceleration
    k     = lag_v * mass / (lag_omega * inertia)

so without dry friction, dead zone and limit ``v' = (g u - v) / (lag_v mass) - c_v v`` and alike
for omega. Dry friction and traction go with the weight on the wheel, hence both are
accelerations and do not depend on ``mass``. In a turn the body drifts outwards::

    lateral velocity = -slip * a |a| / (|a| + SLIP_KNEE),   a = v * omega

which is quadratic in gentle turns (tyres creep little), linear in hard ones.
"""

from __future__ import annotations

import math

from ..core.kernels.cache import njit
from ..core.types import Array
from .parameters import (
    ACCELERATION_LIMIT,
    BATTERY,
    COULOMB,
    DEAD_ZONE,
    FRICTION_OMEGA,
    FRICTION_V,
    INERTIA,
    LAG_OMEGA,
    LAG_V,
    MASS,
    MOTOR_GAIN_LEFT,
    MOTOR_GAIN_RIGHT,
    RADIUS_ASYMMETRY,
    SLIP,
    TRACK,
)

SUBSTEP = 0.005
"""Longest internal step [s]."""

SLIP_KNEE = 0.2
"""Lateral acceleration at which slip turns from quadratic to linear [m/s^2]."""


@njit(cache=True)
def lateral_velocity(v: float, omega: float, slip: float) -> float:
    """Velocity to the left [m/s] at forward speed v, yaw rate omega: outwards in a turn."""
    a = v * omega
    return -slip * a * abs(a) / (abs(a) + SLIP_KNEE)


@njit(cache=True)
def _through_dead_zone(command: float, dead_zone: float) -> float:
    if command > dead_zone:
        return command - dead_zone
    if command < -dead_zone:
        return command + dead_zone
    return 0.0


@njit(cache=True)
def _response(rate: float, h: float) -> tuple[float, float]:
    """(exp(-rate h), its integral over [0, h]) for rate >= 0."""
    z = rate * h
    if z < 1e-6:
        return 1.0 - z, h * (1.0 - 0.5 * z)
    decay = math.exp(-z)
    return decay, (1.0 - decay) / rate


@njit(cache=True)
def _dry_friction(left: float, right: float, own: float, cross: float, limit: float) -> tuple[float, float]:
    """Dry friction (f_l, f_r) that a pair of wheels feels within one substep.

    ``left`` and ``right`` are the surface speeds that the wheels would reach without it; a
    friction f lowers a wheel's own speed by ``own * f`` and the other's by ``cross * f``. A
    wheel that still moves feels the whole ``limit`` against its motion; one that stands feels
    what keeps it standing, at most ``limit``. own > |cross|, so there is one solution.
    """
    # Both slide on as they go: by far the most frequent case.
    f_l = math.copysign(limit, left)
    f_r = math.copysign(limit, right)
    if (left - own * f_l - cross * f_r) * f_l > 0.0 and (right - own * f_r - cross * f_l) * f_r > 0.0:
        return f_l, f_r
    # Both stand.
    determinant = own * own - cross * cross
    f_l = (own * left - cross * right) / determinant
    f_r = (own * right - cross * left) / determinant
    if abs(f_l) <= limit and abs(f_r) <= limit:
        return f_l, f_r
    # One stands and the other slides; at the border to other cases rounding must not exclude them all.
    slack = 1e-12 * limit
    for sign in (-1.0, 1.0):
        f_r = sign * limit
        f_l = (left - cross * f_r) / own
        if abs(f_l) <= limit + slack and (right - own * f_r - cross * f_l) * sign >= -own * slack:
            return min(max(f_l, -limit), limit), f_r
        f_l = sign * limit
        f_r = (right - cross * f_l) / own
        if abs(f_r) <= limit + slack and (left - own * f_l - cross * f_r) * sign >= -own * slack:
            return f_l, min(max(f_r, -limit), limit)
    # Both slide, one of them turned round by the other's friction.
    for sign_l in (-1.0, 1.0):
        for sign_r in (-1.0, 1.0):
            f_l = sign_l * limit
            f_r = sign_r * limit
            if (left - own * f_l - cross * f_r) * sign_l >= 0.0 and (
                right - own * f_r - cross * f_l
            ) * sign_r >= 0.0:
                return f_l, f_r
    return 0.0, 0.0


@njit(cache=True)
def advance(
    x: float,
    y: float,
    yaw: float,
    v: float,
    omega: float,
    command_v: float,
    command_omega: float,
    dt: float,
    p: Array,
    friction: float,
    acceleration_v: float,
    acceleration_omega: float,
) -> tuple[float, float, float, float, float]:
    """Move the robot by ``dt`` under a command that already acts on the motors.

    Between substeps of at most 5 ms everything linear, and sliding friction, is integrated
    exactly; the pose with the mean velocities and the mid-step heading. Command delay, battery
    sag over time and noise are the caller's.

    Args:
        x, y, yaw, v, omega: state [m, m, rad, m/s, rad/s].
        command_v, command_omega: acting command [m/s, rad/s].
        dt: duration [s], at least 0.
        p: parameter vector, shape (P,), see :class:`WorldParameters`.
        friction: factor on viscous and dry friction (1: as in ``p``).
        acceleration_v, acceleration_omega: external acceleration in the body frame [m/s^2, rad/s^2].

    Returns:
        (x, y, yaw, v, omega) after ``dt``; yaw is not wrapped.
    """
    if dt <= 0.0:
        return x, y, yaw, v, omega
    count = max(math.ceil(dt / SUBSTEP - 1e-6), 1)
    h = dt / count

    half_track = 0.5 * p[TRACK]
    gain = p[BATTERY]
    target_l = (
        gain
        * p[MOTOR_GAIN_LEFT]
        * (1.0 - 0.5 * p[RADIUS_ASYMMETRY])
        * _through_dead_zone(command_v - command_omega * half_track, p[DEAD_ZONE])
    )
    target_r = (
        gain
        * p[MOTOR_GAIN_RIGHT]
        * (1.0 + 0.5 * p[RADIUS_ASYMMETRY])
        * _through_dead_zone(command_v + command_omega * half_track, p[DEAD_ZONE])
    )
    drive_v = 1.0 / (p[LAG_V] * p[MASS])
    drive_omega = 1.0 / (p[LAG_OMEGA] * p[INERTIA])
    ratio = drive_omega / drive_v
    viscous_v = friction * p[FRICTION_V]
    viscous_omega = friction * p[FRICTION_OMEGA]
    limit = p[ACCELERATION_LIMIT]
    coulomb = friction * p[COULOMB]
    slip = p[SLIP]

    rate_v = drive_v + viscous_v
    rate_omega = drive_omega + viscous_omega
    decay_v, gain_v = _response(rate_v, h)
    decay_omega, gain_omega = _response(rate_omega, h)
    free_decay_v, free_gain_v = _response(viscous_v, h)
    free_decay_omega, free_gain_omega = _response(viscous_omega, h)
    # Accelerations that do not depend on the velocities, while no wheel is at its limit.
    push_v = drive_v * 0.5 * (target_l + target_r) + acceleration_v
    push_omega = drive_omega * (target_r - target_l) / (2.0 * half_track) + acceleration_omega

    c = math.cos(yaw)
    s = math.sin(yaw)
    for _ in range(count):
        pull_l = drive_v * (target_l - v + omega * half_track)
        pull_r = drive_v * (target_r - v - omega * half_track)
        if abs(pull_l) <= limit and abs(pull_r) <= limit:
            next_v = v * decay_v + gain_v * push_v
            next_omega = omega * decay_omega + gain_omega * push_omega
            response_v = gain_v
            response_omega = gain_omega
        else:
            pull_l = min(max(pull_l, -limit), limit)
            pull_r = min(max(pull_r, -limit), limit)
            next_v = v * free_decay_v + free_gain_v * (0.5 * (pull_l + pull_r) + acceleration_v)
            next_omega = omega * free_decay_omega + free_gain_omega * (
                ratio * (pull_r - pull_l) / (2.0 * half_track) + acceleration_omega
            )
            response_v = free_gain_v
            response_omega = free_gain_omega
        if coulomb > 0.0:
            along = 0.5 * response_v
            across = 0.5 * response_omega * ratio
            f_l, f_r = _dry_friction(
                next_v - next_omega * half_track,
                next_v + next_omega * half_track,
                along + across,
                along - across,
                coulomb,
            )
            if abs(f_l) < coulomb and abs(f_r) < coulomb:
                next_v = 0.0
                next_omega = 0.0
            else:
                next_v -= along * (f_l + f_r)
                next_omega -= across * (f_r - f_l) / half_track

        mean_v = 0.5 * (v + next_v)
        mean_omega = 0.5 * (omega + next_omega)
        v = next_v
        omega = next_omega
        turn = 0.5 * h * mean_omega
        # Turning (c, s) by a small angle is much cheaper than taking cos and sin anew.
        if abs(turn) < 0.03:
            q = turn * turn
            cos_turn = 1.0 - 0.5 * q * (1.0 - q / 12.0)
            sin_turn = turn * (1.0 - q / 6.0 * (1.0 - q / 20.0))
        else:
            cos_turn = math.cos(turn)
            sin_turn = math.sin(turn)
        middle_c = c * cos_turn - s * sin_turn
        middle_s = s * cos_turn + c * sin_turn
        side = 0.0
        if slip > 0.0:
            side = lateral_velocity(mean_v, mean_omega, slip)
        x += h * (middle_c * mean_v - middle_s * side)
        y += h * (middle_s * mean_v + middle_c * side)
        yaw += 2.0 * turn
        c = middle_c * cos_turn - middle_s * sin_turn
        s = middle_s * cos_turn + middle_c * sin_turn
    return x, y, yaw, v, omega
