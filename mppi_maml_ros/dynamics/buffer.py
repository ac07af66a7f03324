"""From odometry and commands at any rate to transitions on the model's time step.

Odometry comes at 20 to 100 Hz and commands at another rate. Transitions form a chain: each
starts where the one before ended. An end is the odometry sample nearest to start + model_dt
when one lies within ``SNAP`` of it (the twist and the displacement are then scaled to exactly
model_dt), else the linear interpolation between the two samples around it.
"""

from __future__ import annotations

import math
from collections import Counter

import attrs
import numpy as np
from numpy.typing import ArrayLike

from ..core.angles import wrap
from ..core.command_history import CommandHistory
from ..core.errors import InvalidValueError
from ..core.kernels.cache import njit
from ..core.kernels.se2 import displacement, moved
from ..core.types import Array, Odometry, VelocityLimits
from .transitions import Transitions

SNAP = 0.15  # share of model_dt
STILL_V = 0.01  # [m/s] below this, commanded and measured, the robot teaches nothing
STILL_OMEGA = 0.02  # [rad/s]


@attrs.frozen
class BufferConfig:
    """Settings of the buffer.

    Attributes:
        delay_taps, model_dt: as in the residual.
        older: past commands kept beyond ``delay_taps``, for transport delays; unlike those they need not be
            known, what was told before the first command counts as zero.
        size: transitions kept; older ones fall out.
        limits: commands at a velocity limit are excluded; None excludes none. The limits also
            bound how far the robot can really move in a step.
        max_gap: a longer pause between odometry samples [s] breaks the chain.
        command_timeout: a transition whose newest command is older [s] is excluded.
    """

    delay_taps: int = 4
    older: int = 0
    model_dt: float = 0.05
    size: int = 200
    limits: VelocityLimits | None = None
    max_gap: float = 0.16
    command_timeout: float = 0.5

    def __attrs_post_init__(self) -> None:
        if not 2 <= self.size <= 100_000:
            raise InvalidValueError(f"size must be in [2, 100000], got {self.size}")
        if not 0.0 < self.max_gap <= 10.0:
            raise InvalidValueError(f"max_gap must be in (0, 10] s, got {self.max_gap}")


class _Rows:
    """The newest transitions, one after the other in arrays of twice their number.

    Rows are only ever added behind the others, and at the end of the arrays others are begun: what
    was handed out stays as it is.
    """

    def __init__(self, size: int, taps: int, model_dt: float) -> None:
        self._size, self._taps, self._model_dt = size, taps, model_dt
        self._begin()

    def _begin(self) -> None:
        count = 2 * self._size
        self._stamps, self._segments = np.empty(count), np.empty(count, dtype=np.int64)
        self._states, self._next_states = np.empty((count, 5)), np.empty((count, 5))
        self._commands, self._history = np.empty((count, 2)), np.empty((count, self._taps, 2))
        self._first = self._end = 0
        self._given: tuple[int, Transitions] | None = None  # newest(count), until something changes

    def __len__(self) -> int:
        return self._end - self._first

    def keep(self, count: int) -> None:
        self._first, self._given = max(self._first, self._end - count), None

    def drop_since(self, stamp: float) -> None:
        """Forget what ends after ``stamp`` [s]; the rest moves: what was handed out stays as it is."""
        ends = self._stamps[self._first : self._end] + self._model_dt
        count = int(np.searchsorted(ends, stamp, side="right"))
        kept = self.newest(len(self))[:count]
        self._refill(kept)

    def add(
        self, stamp: float, state: Array, command: Array, history: Array, next_state: Array, segment: int
    ) -> None:
        if self._end == len(self._stamps):
            self._move()
        k = self._end
        self._stamps[k], self._states[k], self._commands[k] = stamp, state, command
        self._history[k], self._next_states[k], self._segments[k] = history, next_state, segment
        self._end += 1
        self.keep(self._size)

    def _move(self) -> None:
        self._refill(self.newest(len(self)))

    def _refill(self, kept: Transitions) -> None:
        self._begin()
        self._end = k = len(kept)
        self._stamps[:k], self._states[:k], self._commands[:k] = kept.stamps, kept.states, kept.commands
        self._history[:k], self._next_states[:k] = kept.history, kept.next_states
        self._segments[:k] = kept.segments

    def newest(self, count: int) -> Transitions:
        if self._given is not None and self._given[0] == count:
            return self._given[1]
        rows = slice(max(self._first, self._end - count), self._end)
        given = Transitions(
            stamps=self._stamps[rows],
            states=self._states[rows],
            commands=self._commands[rows],
            history=self._history[rows],
            next_states=self._next_states[rows],
            segments=self._segments[rows],
            model_dt=self._model_dt,
        )
        self._given = count, given
        return given


class TransitionBuffer:
    """Matches commands and odometry by time; bounded; not thread-safe.

    Attributes:
        excluded: reason -> transitions left out since the start.
        total: transitions accepted since the start.
    """

    def __init__(self, config: BufferConfig) -> None:
        self.config = config
        self.excluded: Counter[str] = Counter()
        self.total = 0
        self._commands = CommandHistory()
        self._first_command_time = np.inf
        self._last_command_time = self._doubtful_until = -np.inf
        self._rows = _Rows(config.size, config.delay_taps + config.older, config.model_dt)
        self._anchor: Odometry | None = None
        self._newest: Odometry | None = None
        self._segment = 0

    def __len__(self) -> int:
        return len(self._rows)

    def clear(self) -> None:
        """Forget every transition and the start of the next one; commands stay."""
        self._rows.keep(0)
        self._break_chain(None)

    def reset(self) -> None:
        """Forget everything, commands too; for a clock that jumped."""
        self.clear()
        self._newest = None
        self._commands.reset()
        self._first_command_time = np.inf
        self._last_command_time = self._doubtful_until = -np.inf

    def keep_newest(self, count: int) -> None:
        """Drop all but the newest ``count`` transitions."""
        self._rows.keep(max(count, 0))

    def drop_since(self, stamp: float) -> None:
        """Drop the transitions that end after ``stamp`` [s], and the start of the next one."""
        self._rows.drop_since(stamp)
        self._break_chain(None)

    def add_command(self, stamp: float, command: ArrayLike) -> None:
        """A command (v, omega) that acts from ``stamp`` [s] on; one that is not finite is ignored."""
        v, omega = np.asarray(command, dtype=float).tolist()
        if not (math.isfinite(stamp) and math.isfinite(v) and math.isfinite(omega)):
            self.excluded["command not finite"] += 1
            return
        if stamp < self._last_command_time:
            return
        self._commands.record(stamp, (v, omega))
        if self._newest is not None and self._first_command_time == np.inf and _is_still(self._newest.twist):
            # A robot that stands still when the first command comes was told nothing before it.
            self._first_command_time = -np.inf
        self._first_command_time = min(self._first_command_time, stamp)
        self._last_command_time = stamp

    def doubt_commands(self, stamp: float) -> None:
        """The robot may have been told something else up to ``stamp`` [s], as by another publisher."""
        self._doubtful_until = max(self._doubtful_until, stamp)

    def add_odometry(self, sample: Odometry) -> int:
        """A checked odometry sample; returns how many transitions it completed."""
        if not all(map(math.isfinite, (sample.stamp, *sample.pose.tolist(), *sample.twist.tolist()))):
            self.excluded["odometry not finite"] += 1
            return 0
        before = self._newest
        if before is not None and sample.stamp <= before.stamp:
            self.excluded["stamp not newer"] += 1
            return 0
        self._newest = sample
        if before is None or self._anchor is None:
            self._break_chain(sample)
            return 0
        if sample.stamp - before.stamp > self.config.max_gap:
            self.excluded["gap in odometry"] += 1
            self._break_chain(sample)
            return 0
        if self._jumped(before, sample):
            self.excluded["teleport"] += 1
            self._break_chain(sample)
            return 0
        done = 0
        dt = self.config.model_dt
        while self._anchor.stamp + dt <= sample.stamp + 1e-9:
            target = self._anchor.stamp + dt
            near = min((before, sample), key=lambda s: abs(s.stamp - target))
            if abs(near.stamp - target) > SNAP * dt or near.stamp <= self._anchor.stamp:
                near = _interpolate(before, sample, target)
            done += self._append(self._anchor, near)
            self._anchor = near
        return done

    def _break_chain(self, start: Odometry | None) -> None:
        self._anchor = start
        self._segment += 1

    def _jumped(self, a: Odometry, b: Odometry) -> bool:
        limits = self.config.limits
        fastest = 2.0 * max(limits.vx_max, -limits.vx_min) if limits else 10.0
        spin = 2.0 * limits.wz_max if limits else 20.0
        span, (ax, ay, ayaw), (bx, by, byaw) = b.stamp - a.stamp, a.pose.tolist(), b.pose.tolist()
        far = math.hypot(bx - ax, by - ay) > fastest * span + 0.1
        return bool(far or abs(wrap(byaw - ayaw)) > spin * span + 0.2)

    def _append(self, start: Odometry, end: Odometry) -> int:
        c = self.config
        taps, dt, t = c.delay_taps, c.model_dt, start.stamp
        if t - taps * dt < self._first_command_time:
            return self._exclude("no command known")
        if t - taps * dt < self._doubtful_until:
            return self._exclude("command in doubt")
        if end.stamp - self._last_command_time > c.command_timeout:
            return self._exclude("command too old")
        span = end.stamp - start.stamp
        command = self._commands.mean_over(t, end.stamp)
        history = self._commands.history(t, taps + c.older, dt)
        if c.limits is not None and self._saturated(command, c.limits):
            return self._exclude("saturated")
        if _is_still(command, start.twist, end.twist):
            return self._exclude("still")
        before = start.state
        after = _scaled(before, end.state, dt / span)
        self._rows.add(t, before, command, history, after, self._segment)
        self.total += 1
        return 1

    @staticmethod
    def _saturated(command: Array, limits: VelocityLimits) -> bool:
        return bool(
            command[0] >= 0.999 * limits.vx_max
            or (limits.vx_min < 0.0 and command[0] <= 0.999 * limits.vx_min)
            or abs(command[1]) >= 0.999 * limits.wz_max
        )

    def _exclude(self, reason: str) -> int:
        self.excluded[reason] += 1
        self._segment += 1
        return 0

    def latest(self, count: int | None = None) -> Transitions:
        """The newest ``count`` transitions (all when None), oldest first; read-only, and never changed."""
        return self._rows.newest(count or len(self))


def _is_still(*twists: Array) -> bool:
    for twist in twists:
        v, omega = twist.tolist()
        if abs(v) >= STILL_V or abs(omega) >= STILL_OMEGA:
            return False
    return True


@njit(cache=True)
def _scaled(start: Array, end: Array, share: float) -> Array:
    """The state where a motion from one state to another is a share of itself, shape (5,)."""
    forward, lateral, turn = displacement(start, end)
    out = np.empty(5)
    out[0], out[1], out[2] = moved(start, share * forward, share * lateral, share * turn)
    for i in range(3, 5):
        out[i] = start[i] + (end[i] - start[i]) * share
    return out


def _interpolate(a: Odometry, b: Odometry, stamp: float) -> Odometry:
    share = (stamp - a.stamp) / (b.stamp - a.stamp)
    pose = a.pose + share * (b.pose - a.pose)
    pose[2] = wrap(a.pose[2] + share * wrap(b.pose[2] - a.pose[2]))
    return Odometry(stamp, pose, a.twist + share * (b.twist - a.twist))
