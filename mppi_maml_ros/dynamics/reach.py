"""What a robot reaches under the largest commands, by the weights that were learned of it."""

from __future__ import annotations

import math

import attrs
import numpy as np

from ..core.types import Array, VelocityLimits
from .compiled import open_loop
from .residual import ResidualWeights

SETTLING = 4.0  # [s] after which a response is taken for its steady value
BEND = 0.5  # share of the forward limit at which it is asked how fast the robot turns
LEAST, MOST = 0.05, 1.5  # of a limit; a model that says less or more of it is not followed there
FARTHEST = 5.0  # times a velocity, of the command that is reckoned to make it
EDGES = (0.1, 0.9)  # shares of the steady value between which a response rises
RISE = math.log((1.0 - EDGES[0]) / (1.0 - EDGES[1]))  # in time constants of a lag of first order
RUNS_AWAY = 100.0  # [m/s, rad/s] where no robot gets


@attrs.frozen
class Reach:
    """Steady velocities under the largest commands, and how fast they are reached.

    Attributes:
        forward, backward, turn: speeds, above 0 but for ``backward`` [m/s, m/s, rad/s].
        lag: time constant of (v, omega) [s].
        delay: until a command begins to act on (v, omega) [s].
        learned: by weights that somebody learned; else these are the limits of the commands.
    """

    forward: float
    backward: float
    turn: float
    lag: tuple[float, float] = (0.0, 0.0)
    delay: tuple[float, float] = (0.0, 0.0)
    learned: bool = False

    @classmethod
    def of(cls, weights: object, limits: VelocityLimits) -> Reach:
        """What ``weights`` say; the limits for what is no residual, is a prior, or runs away.

        Args:
            weights: residual snapshot; anything else tells nothing.
            limits: of the commands.
        """
        largest = cls(limits.vx_max, -limits.vx_min, limits.wz_max)
        if not isinstance(weights, ResidualWeights) or weights.is_prior or weights.adapter == "typical":
            return largest
        steps, bend = max(round(SETTLING / weights.model_dt), 2), BEND * limits.vx_max
        left, right = limits.wz_max, -limits.wz_max
        told = np.array([[limits.vx_max, 0.0], [limits.vx_min, 0.0], [bend, left], [bend, right]])
        commands = np.repeat(told[:, None], steps, axis=1)
        past = np.zeros((len(told), max(weights.history, 1), 2))
        course = open_loop(weights, np.zeros((len(told), 5)), commands, past)[..., 3:]
        if not (np.abs(course) <= RUNS_AWAY).all():
            return largest
        forward, lag_v, delay_v = _response(course[0, :, 0], weights.model_dt)
        backward = -float(course[1, -1, 0])
        to_left, to_right = (_response(row, weights.model_dt) for row in (course[2, :, 1], -course[3, :, 1]))
        turn, lag_omega, delay_omega = min(to_left, to_right)
        return cls(
            _within(forward, limits.vx_max),
            _within(backward, -limits.vx_min),
            _within(turn, limits.wz_max),
            (lag_v, lag_omega),
            (delay_v, delay_omega),
            True,
        )

    def command_per_speed(self, limits: VelocityLimits) -> Array:
        """Steady command per (v, omega) that it makes, forwards, shape (2,); ones with nothing learned."""
        reached = np.array([self.forward, self.turn])
        return np.clip(limits.high / reached, 1.0 / MOST, FARTHEST) if self.learned else np.ones(2)


def _within(speed: float, limit: float) -> float:
    return min(max(speed, LEAST * limit), MOST * limit)


def _response(course: Array, dt: float) -> tuple[float, float, float]:
    """Steady value, lag [s] and delay [s] of a response (T,) to a step; 0 of one that does not rise."""
    steady = float(course[-1])
    if steady <= 0.0:
        return steady, 0.0, 0.0
    times = dt * np.arange(len(course) + 1)
    highest = np.maximum.accumulate(np.concatenate([[0.0], course]))
    first, last = (float(np.interp(edge * steady, highest, times)) for edge in EDGES)
    lag = max(last - first, 0.0) / RISE
    return steady, lag, max(first + lag * math.log(1.0 - EDGES[0]), 0.0)
