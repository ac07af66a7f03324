"""Figures to track: circle, figure of eight, sine and straight line, with exact derivatives.

Each is built in the frame of the benchmark and can be :meth:`Figure.anchored` to where a robot
stands. Headings are tangent to the path. :meth:`Figure.pose_at` wraps them to [-pi, pi);
:meth:`Figure.window` starts there and is continuous from then on, so neighbouring rows never
differ by a turn and may be interpolated.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import partial
from typing import Protocol

import attrs
import numpy as np
from numpy.typing import ArrayLike

from ..core.angles import wrap
from ..core.errors import InvalidValueError
from ..core.kernels.se2 import unwrap
from ..core.se2 import compose
from ..core.tunable import tunable
from ..core.types import Array

_Motion = tuple[Array, Array, Array, Array, Array]  # x, y, yaw, v, omega


class Reference(Protocol):
    """Where the robot should be at which time."""

    duration: float
    """Seconds after which the reference ends; inf if it never does."""

    def pose_at(self, t: ArrayLike) -> np.ndarray:
        """Pose(s) (x, y, yaw) at ``t`` [s] since the start: t of shape (...), poses (..., 3)."""

    def window(self, t: float, steps: int, dt: float) -> np.ndarray:
        """Poses at t, t + dt, ..., t + steps * dt, shape (steps + 1, 3)."""


_shape = partial(tunable, dynamic=False)


class Figure(ABC):
    """A path with a clock, defined for all times.

    Attributes:
        duration: inf, a figure never ends.
        turns_right_first: whether its first turn is to the right.
    """

    duration = math.inf
    turns_right_first = False

    @abstractmethod
    def _path(self, t: Array) -> _Motion:
        """x, y [m], yaw [rad], v [m/s] and omega [rad/s] at ``t``, each of its shape."""

    def pose_at(self, t: ArrayLike) -> np.ndarray:
        """Pose(s) at ``t`` [s]: t of shape (...), (x, y, yaw) of shape (..., 3), yaw in [-pi, pi).

        Raises:
            InvalidValueError: a time that is not finite.
        """
        x, y, yaw, _, _ = self._path(_finite_time(t))
        return np.stack([x, y, wrap(yaw)], axis=-1)

    def twist_at(self, t: ArrayLike) -> np.ndarray:
        """Velocities (v, omega) along the figure at ``t`` [s], shape (..., 2) [m/s, rad/s]."""
        _, _, _, v, omega = self._path(_finite_time(t))
        return np.stack([v, omega], axis=-1)

    def window(self, t: float, steps: int, dt: float) -> np.ndarray:
        """Poses at t, t + dt, ..., t + steps * dt, shape (steps + 1, 3).

        The first yaw lies in [-pi, pi); the others follow it without a jump, provided that the
        figure turns by less than pi within ``dt``.
        """
        poses = self.pose_at(t + dt * np.arange(steps + 1))
        unwrap(poses[:, 2])
        return poses

    def anchored(self, origin: ArrayLike) -> Figure:
        """The figure moved rigidly so that it starts at ``origin``, along its heading, turning left first.

        A figure whose first turn is to the right is mirrored.

        Args:
            origin: pose (x, y, yaw) of the start [m, m, rad].

        Raises:
            InvalidValueError: an origin that is not three finite numbers.
        """
        return _Anchored(self, origin)

    def eased(self, ramp_time: float) -> Figure:
        """The same path from standstill: its clock gains speed evenly over ``ramp_time`` [s].

        From then on the figure runs at its own speed, ``ramp_time / 2`` late. 0 changes nothing.

        Raises:
            InvalidValueError: a ramp time below 0 or not finite.
        """
        if not (0.0 <= ramp_time < math.inf):
            raise InvalidValueError(f"ramp_time must be finite and at least 0 s, got {ramp_time}")
        return _Eased(self, float(ramp_time)) if ramp_time > 0.0 else self


def _finite_time(t: ArrayLike) -> np.ndarray:
    t = np.asarray(t, dtype=float)
    if not np.isfinite(t).all():
        raise InvalidValueError(f"t must be finite, got {t}")
    return t


@attrs.frozen
class circle(Figure):
    """Counter-clockwise circle about the origin, from (radius, 0).

    ``x = R cos(w t), y = R sin(w t), yaw = w t + pi / 2`` with ``w = speed / R``.

    Attributes:
        radius: R [m].
        speed: [m/s].
    """

    radius: float = _shape(5.0, 1e-2, 1000.0, "Radius of the circle", "m")
    speed: float = _shape(0.5, 1e-3, 20.0, "Speed along the circle", "m/s")

    def _path(self, t: Array) -> _Motion:
        rate = self.speed / self.radius
        angle = rate * t
        return (
            self.radius * np.cos(angle),
            self.radius * np.sin(angle),
            angle + 0.5 * np.pi,
            np.full(t.shape, self.speed),
            np.full(t.shape, rate),
        )


@attrs.frozen
class figure8(Figure):
    """Lemniscate of Bernoulli about the origin, from (size, 0) upwards, turning left first.

    ``x = a cos(p) / (1 + sin(p)^2), y = x sin(p)`` with ``p = 2 pi t / period``; the speed is
    ``a p' / sqrt(1 + sin(p)^2)``.

    Attributes:
        size: a, half the width [m].
        period: of the whole figure [s].
    """

    size: float = _shape(5.0, 1e-2, 1000.0, "Half the width of the figure of eight", "m")
    period: float = _shape(20.0, 1e-1, 10000.0, "Time for the whole figure", "s")

    def _path(self, t: Array) -> _Motion:
        rate = 2.0 * np.pi / self.period
        c, s = np.cos(rate * t), np.sin(rate * t)
        q = 1.0 + s * s
        x = self.size * c / q
        # The common factor size / q^2 of both derivatives is positive and does not turn them.
        yaw = np.arctan2(1.0 - 3.0 * s * s, -s * (3.0 - s * s))
        return x, x * s, yaw, self.size * rate / np.sqrt(q), 3.0 * rate * c / q


@attrs.frozen
class sine(Figure):
    """A sine wave about the x axis, turning right first.

    ``x = speed t, y = A sin(2 pi t / period)``.

    Attributes:
        speed: along x [m/s].
        amplitude: A [m].
        period: [s].
    """

    speed: float = _shape(1.0, 1e-3, 20.0, "Speed along the axis of the sine", "m/s")
    amplitude: float = _shape(2.0, 1e-3, 1000.0, "Amplitude of the sine", "m")
    period: float = _shape(10.0, 1e-1, 10000.0, "Period of the sine", "s")

    turns_right_first = True

    def _path(self, t: Array) -> _Motion:
        rate = 2.0 * np.pi / self.period
        c, s = np.cos(rate * t), np.sin(rate * t)
        dy = self.amplitude * rate * c
        ddy = -self.amplitude * rate * rate * s
        square = self.speed**2 + dy**2
        return (
            self.speed * t,
            self.amplitude * s,
            np.arctan2(dy, self.speed),
            np.sqrt(square),
            self.speed * ddy / square,
        )


@attrs.frozen
class straight(Figure):
    """Along the x axis from the origin: ``x = speed t``.

    Attributes:
        speed: [m/s].
    """

    speed: float = _shape(1.0, 1e-3, 20.0, "Speed along the straight line", "m/s")

    def _path(self, t: Array) -> _Motion:
        zero = np.zeros(t.shape)
        return self.speed * t, zero, zero, np.full(t.shape, self.speed), zero


FIGURES: dict[str, type[Figure]] = {figure.__name__: figure for figure in (circle, figure8, sine, straight)}
"""The figures by name."""


def _pose(value: ArrayLike) -> np.ndarray:
    pose = np.array(value, dtype=float)
    if pose.shape != (3,) or not np.isfinite(pose).all():
        raise InvalidValueError(f"origin must be three finite numbers (x, y, yaw), got {value!r}")
    return pose


@attrs.frozen(eq=False)
class _Anchored(Figure):
    figure: Figure
    origin: np.ndarray = attrs.field(converter=_pose)
    _frame: np.ndarray = attrs.field(init=False)

    @_frame.default
    def _find_frame(self) -> Array:
        """Pose of the figure's own frame, mirrored or not, in the frame of ``origin``."""
        x, y, yaw = self._mirrored(np.zeros(()))[:3]
        c, s = np.cos(yaw), np.sin(yaw)
        return compose(self.origin, np.array([-c * x - s * y, s * x - c * y, -yaw]))

    def _mirrored(self, t: Array) -> _Motion:
        x, y, yaw, v, omega = self.figure._path(t)
        return (x, -y, -yaw, v, -omega) if self.figure.turns_right_first else (x, y, yaw, v, omega)

    def _path(self, t: Array) -> _Motion:
        x, y, yaw, v, omega = self._mirrored(t)
        moved = compose(self._frame, np.stack([x, y, yaw], axis=-1))
        return moved[..., 0], moved[..., 1], moved[..., 2], v, omega


@attrs.frozen(eq=False)
class _Eased(Figure):
    figure: Figure
    ramp_time: float

    @property
    def turns_right_first(self) -> bool:  # type: ignore[override]  # it never changes
        return self.figure.turns_right_first

    def _path(self, t: Array) -> _Motion:
        ramp = np.clip(t, 0.0, self.ramp_time)
        rate = ramp / self.ramp_time
        clock = 0.5 * rate * ramp + (t - ramp)
        rate = np.where(t < 0.0, 1.0, rate)
        x, y, yaw, v, omega = self.figure._path(clock)
        return x, y, yaw, v * rate, omega * rate
