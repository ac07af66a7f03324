"""When a reference is where: by its own clock, or no faster than the robot can follow.

A reference over time has a phase, the time on its own clock. Retimed, its phase goes on at a rate r <= 1::

    |v| r   + lag_v   max(d|v|/dp, 0) r^2     <= MARGIN reach_v         likewise omega
    |v dr/dt| <= a share of the acceleration, likewise omega

over the horizon that the rollouts see: v and omega are the reference's own velocities at the phase p. A robot
that lags behind all the same slows the phase itself, not what it sees ahead, until the phase waits for it.
"""

from __future__ import annotations

import math

import attrs
import numpy as np

from ..core.kernels.cache import njit
from ..core.types import Array, VelocityLimits
from ..dynamics.reach import Reach
from ..references.path import PathProfile

TIMINGS = ("clock", "progress", "auto")

MARGIN = 0.85  # of what the robot reaches; the rest is left for feedback
SHARE = 0.5  # of the acceleration, for changes of the rate
WAITS = 2.5  # allowances behind at which the phase waits
ASIDE = 0.3  # slowest rate for a robot that is beside the reference, which comes back while it drives
AT_ONCE = 0.3  # of the allowance; with timing progress the phase slows from here on
BACK_AFTER = 1.0  # [s] in which the clock's own rate would have done, until it does again
STARTS = 1.0  # [s] after a start in which nothing is told
SMOOTH = 1.0  # [s] over which the rate is told
TOLD, UNTOLD = 0.95, 0.98  # a rate below the first is told of until it is above the second
LAGS, DELAYS = 2.0, 0.5  # of the robot, in the time of approach
NOTICED = 0.03  # share by which a profile must change for a path to be timed anew
_TIMES = ("desired_speed", "reverse_speed", "wz_max", "deceleration", "approach_time")
_CREEP = 0.02  # least rate, from which a reference at rest gains speed


@njit(cache=True, error_model="numpy")
def _allowed(speed: float, quick: float, most: float) -> float:
    """Largest rate r <= 1 with speed r + max(quick, 0) r^2 <= most."""
    if speed + max(quick, 0.0) <= most:
        return 1.0
    if quick > 1e-9:
        return (math.sqrt(speed * speed + 4.0 * quick * most) - speed) / (2.0 * quick)
    return most / speed


@njit(cache=True, error_model="numpy")
def _rates(
    grid: Array, dt: float, forward: float, backward: float, turn: float, lag_v: float, lag_omega: float,
    change_v: float, change_omega: float, before: float, elapsed: float, share: float, squares: Array,
) -> tuple[float, float]:  # fmt: skip
    """Squared rates at the poses of ``grid`` (N + 1, 3), ``dt`` [s] of phase apart, after a rate ``before``.

    The rates are ``share`` of what is allowed.

    Returns:
        The least rates that v and omega allow.
    """
    count = len(grid) - 1
    before_v = before_omega = 0.0
    least_v = least_omega = 1.0
    rise = np.empty(count)  # of the squared rate a step
    squares[count] = 1.0
    for k in range(count):
        dx, dy = grid[k + 1, 0] - grid[k, 0], grid[k + 1, 1] - grid[k, 1]
        middle = 0.5 * (grid[k, 2] + grid[k + 1, 2])
        v = (dx * math.cos(middle) + dy * math.sin(middle)) / dt
        omega = (grid[k + 1, 2] - grid[k, 2]) / dt
        if k == 0:
            before_v, before_omega = v, omega
        most = forward if v >= 0.0 else backward
        rate_v = _allowed(abs(v), lag_v * (abs(v) - abs(before_v)) / dt, most)
        rate_omega = _allowed(abs(omega), lag_omega * (abs(omega) - abs(before_omega)) / dt, turn)
        least_v, least_omega = min(least_v, rate_v), min(least_omega, rate_omega)
        rate = share * min(rate_v, rate_omega)
        squares[k] = rate * rate if k == 0 else min(squares[k], rate * rate)
        squares[k + 1] = rate * rate
        rise[k] = 2.0 * dt * min(change_v / max(abs(v), 1e-6), change_omega / max(abs(omega), 1e-6))
        before_v, before_omega = v, omega
    for k in range(count - 1, -1, -1):
        squares[k] = min(squares[k], squares[k + 1] + rise[k])
    start = before + elapsed * rise[0] / (2.0 * dt)
    squares[0] = max(min(squares[0], start * start), _CREEP * _CREEP)
    for k in range(count):
        squares[k + 1] = min(squares[k + 1], squares[k] + rise[k])
    return least_v, least_omega


@njit(cache=True, error_model="numpy")
def _resample(grid: Array, squares: Array, out: Array) -> None:
    """Poses (N + 1, 3) at equal steps of time, from ``grid`` at equal steps of phase."""
    count = len(grid) - 1
    at = 0.0
    for k in range(count + 1):
        i = min(int(at), count - 1)
        share = at - i
        for column in range(3):
            out[k, column] = grid[i, column] + share * (grid[i + 1, column] - grid[i, column])
        at = min(at + math.sqrt(squares[i] + share * (squares[i + 1] - squares[i])), float(count))


def _falling(value: float, start: float, end: float) -> float:
    """1 up to ``start``, 0 from ``end`` on."""
    return min(max((end - value) / (end - start), 0.0), 1.0)


class Retiming:
    """The rate of a reference's clock, and what the rollouts see of it ahead; not thread-safe.

    Args:
        timing: ``clock``: always 1; ``progress``: as above; ``auto``: the clock's own while the robot can
            follow, else as progress.
        limits: of the commands.
        allowance: from so far behind on the phase slows [m].

    Attributes:
        reach: of the robot.
        rate: of the clock from now on, in [0, 1].
        remark: what is told of it; empty at about the clock's own rate.
    """

    def __init__(self, timing: str, limits: VelocityLimits, allowance: float) -> None:
        self.configure(timing, limits, allowance)
        self.reach = Reach.of(None, limits)
        self._slow = False
        self.restart()

    def configure(self, timing: str, limits: VelocityLimits, allowance: float) -> None:
        """Other settings from now on."""
        self.timing, self._limits, self._allowance = timing, limits, allowance

    def restart(self) -> None:
        """The robot is not driven: the reference will start from its speed."""
        self.rate = self._shown = 1.0
        self._ahead: float | None = None  # rate without what the robot lags
        self._fits = self._driven = self._low = 0.0
        self._least = 1.0  # rate that the robot's speeds allow
        self.remark = ""

    @staticmethod
    def warm_up() -> None:
        """Compile what a window needs, before the first control step waits for it."""
        grid = np.zeros((3, 3))
        Retiming("progress", VelocityLimits(), 1.0).window(grid, 0.1, np.zeros(5), 0.1)

    def window(self, grid: Array, model_dt: float, state: Array, elapsed: float) -> Array:
        """What is wanted now and at steps of ``model_dt`` [s] ahead, shape (N + 1, 3).

        Args:
            grid: what the clock's own rate would make of it, shape (N + 1, 3).
            state: (x, y, yaw, v, omega) of the robot now, shape (5,).
            elapsed: since the last call [s].
        """
        if self.timing == "clock":
            self.rate, self.remark = 1.0, ""
            return grid
        reach = self.reach
        if self._ahead is None:
            ahead = math.hypot(grid[1, 0] - grid[0, 0], grid[1, 1] - grid[0, 1]) / model_dt
            self._ahead = min(abs(float(state[3])) / max(ahead, 1e-6), 1.0)
        behind, waits, slows = self._lags(grid, state)
        squares = np.empty(len(grid))
        least_v, least_omega = _rates(
            grid, model_dt, MARGIN * reach.forward, max(MARGIN * reach.backward, 1e-3), MARGIN * reach.turn,
            *reach.lag, *self._changes(), self._ahead, elapsed, slows, squares,
        )  # fmt: skip
        self._least = min(least_v, least_omega)
        self._decide(math.sqrt(squares[0]) / slows, waits * slows, elapsed)
        if self._slow:
            self._ahead = math.sqrt(squares[0])
            self.rate = self._ahead * waits
            window = np.empty_like(grid)
            _resample(grid, squares, window)
        else:
            self._ahead = self.rate = 1.0
            window = grid
        self._tell(least_v, least_omega, behind, elapsed)
        return window

    def _changes(self) -> tuple[float, float]:
        """Accelerations that changes of the rate may ask for [m/s^2, rad/s^2]."""
        limits, reach = self._limits, self.reach
        v, omega = min(limits.ax_max, -limits.ax_min), limits.az_max
        if reach.lag[0] > 0.0:
            v = min(v, reach.forward / reach.lag[0])
        if reach.lag[1] > 0.0:
            omega = min(omega, reach.turn / reach.lag[1])
        return SHARE * v, SHARE * omega

    def _lags(self, grid: Array, state: Array) -> tuple[float, float, float]:
        """How far the robot is behind [m]; factors on the clock for that, on all rates for being aside."""
        dx, dy = grid[0, 0] - state[0], grid[0, 1] - state[1]
        along, left = grid[1, 0] - grid[0, 0], grid[1, 1] - grid[0, 1]
        step = math.hypot(along, left)
        if step < 1e-9:
            return 0.0, 1.0, 1.0
        behind = float(dx * along + dy * left) / step
        aside = abs(float(dy * along - dx * left)) / step
        near, far, most = AT_ONCE * self._allowance, self._allowance, WAITS * self._allowance
        eager = self.timing == "progress"
        waits = _falling(behind, near if eager else far, most)
        # A robot at its limits has little left to come back with, unless it drives more slowly.
        slows = _falling(aside, near, far) if eager or self._least < 1.0 else _falling(aside, far, most)
        return behind, waits, max(slows, ASIDE)

    def _decide(self, ahead: float, follows: float, elapsed: float) -> None:
        """Whether the clock's own rate does."""
        if self.timing == "progress":
            self._slow = True
            return
        starts = not self._slow and self._ahead is not None and self._ahead < 1.0
        if starts or self._least < MARGIN or follows < 1.0:
            self._slow, self._fits = True, 0.0
        elif self._slow:
            self._fits = self._fits + elapsed if min(self._least, ahead, follows) >= 1.0 - 1e-6 else 0.0
            self._slow = self._fits < BACK_AFTER

    def _tell(self, least_v: float, least_omega: float, behind: float, elapsed: float) -> None:
        self._driven += elapsed
        if self._driven > STARTS:
            self._shown += min(elapsed / SMOOTH, 1.0) * (self.rate - self._shown)
        if self._shown > (UNTOLD if self.remark else TOLD):
            self.remark, self._low = "", 0.0
            return
        self._low += elapsed
        if self._low < SMOOTH:  # until the first that is told is about right
            return
        reach = self.reach
        if least_v < 1.0 and least_v <= least_omega:
            why = f"the robot reaches at most {reach.forward:.2f} m/s"
        elif least_omega < 1.0:
            why = f"the robot turns at most at {reach.turn:.2f} rad/s"
        else:
            why = f"the robot is {max(behind, 0.0):.2f} m behind"
        self.remark = f"reference slowed to {100.0 * self._shown:.0f} % of its speed: {why}"


def within_reach(profile: PathProfile, reach: Reach | None, timing: str) -> PathProfile:
    """How a robot of that reach can drive a path; ``profile`` itself with timing clock or nothing learned."""
    if timing == "clock" or reach is None or not reach.learned:
        return profile
    braking = reach.forward / max(reach.lag[0], 1e-3)
    approach = LAGS * reach.lag[0] + DELAYS * reach.delay[0]
    return attrs.evolve(
        profile,
        desired_speed=min(profile.desired_speed, MARGIN * reach.forward),
        reverse_speed=min(profile.reverse_speed, MARGIN * reach.backward),
        wz_max=min(profile.wz_max, reach.turn),
        deceleration=min(profile.deceleration, SHARE * braking),
        approach_time=profile.approach_time or approach,
    )


def differ(a: PathProfile, b: PathProfile) -> bool:
    """Whether a path is driven another way by them, by more than ``NOTICED``."""
    pairs = [(getattr(a, name), getattr(b, name)) for name in _TIMES]
    return any(abs(one - other) > NOTICED * max(one, other) for one, other in pairs)
