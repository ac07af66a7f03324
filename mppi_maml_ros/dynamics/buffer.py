"""From odometry and commands at any rate to transitions on the model's time step.

Odometry comes at 20 to 100 Hz and commands at another rate. Transitions form a chain: each
starts where the one before ended. An end is the odometry sample nearest to start + model_dt
when one lies within ``SNAP`` of it (the twist and the displacement are then scaled to exactly
model_dt), else the linear interpolation between the two samples around it.
"""

from __future__ import annotations

from collections import Counter, deque

import attrs
import numpy as np

from ..core import se2
from ..core.angles import wrap
from ..core.command_history import CommandHistory
from ..core.errors import InvalidValueError
from ..core.types import Odometry, VelocityLimits
from .transitions import Transitions

SNAP = 0.15  # share of model_dt
STILL_V = 0.01  # [m/s] below this, commanded and measured, the robot teaches nothing
STILL_OMEGA = 0.02  # [rad/s]


@attrs.frozen
class BufferConfig:
    """Settings of the buffer.

    Attributes:
        delay_taps, model_dt: as in the residual.
        size: transitions kept; older ones fall out.
        limits: commands at a velocity limit are excluded; None excludes none. The limits also
            bound how far the robot can really move in a step.
        max_gap: a longer pause between odometry samples [s] breaks the chain.
        command_timeout: a transition whose newest command is older [s] is excluded.
    """

    delay_taps: int = 4
    model_dt: float = 0.05
    size: int = 200
    limits: VelocityLimits | None = None
    max_gap: float = 0.16
    command_timeout: float = 0.5

    def __attrs_post_init__(self):
        if not 2 <= self.size <= 100_000:
            raise InvalidValueError(f"size must be in [2, 100000], got {self.size}")
        if not 0.0 < self.max_gap <= 10.0:
            raise InvalidValueError(f"max_gap must be in (0, 10] s, got {self.max_gap}")


@attrs.frozen(eq=False)
class _Row:
    stamp: float
    state: np.ndarray
    command: np.ndarray
    history: np.ndarray
    next_state: np.ndarray
    segment: int


class TransitionBuffer:
    """Matches commands and odometry by time; bounded; not thread-safe.

    Attributes:
        excluded: reason -> transitions left out since the start.
        total: transitions accepted since the start.
    """

    def __init__(self, config: BufferConfig):
        self.config = config
        self.excluded: Counter[str] = Counter()
        self.total = 0
        self._commands = CommandHistory()
        self._first_command_time = np.inf
        self._last_command_time = -np.inf
        self._rows: deque[_Row] = deque(maxlen=config.size)
        self._anchor: Odometry | None = None
        self._newest: Odometry | None = None
        self._segment = 0

    def __len__(self) -> int:
        return len(self._rows)

    def clear(self) -> None:
        """Forget every transition and the start of the next one; commands stay."""
        self._rows.clear()
        self._break_chain(None)

    def reset(self) -> None:
        """Forget everything, commands too; for a clock that jumped."""
        self.clear()
        self._newest = None
        self._commands.reset()
        self._first_command_time = np.inf
        self._last_command_time = -np.inf

    def keep_newest(self, count: int) -> None:
        """Drop all but the newest ``count`` transitions."""
        while len(self._rows) > max(count, 0):
            self._rows.popleft()

    def add_command(self, stamp: float, command) -> None:
        """A command (v, omega) that acts from ``stamp`` [s] on; one that is not finite is ignored."""
        command = np.asarray(command, dtype=float)
        if not (np.isfinite(stamp) and np.isfinite(command).all()):
            self.excluded["command not finite"] += 1
            return
        if stamp < self._last_command_time:
            return
        self._commands.record(stamp, command)
        if self._newest is not None and self._first_command_time == np.inf and _is_still(self._newest.twist):
            # A robot that stands still when the first command comes was told nothing before it.
            self._first_command_time = -np.inf
        self._first_command_time = min(self._first_command_time, stamp)
        self._last_command_time = stamp

    def add_odometry(self, sample: Odometry) -> int:
        """A checked odometry sample; returns how many transitions it completed."""
        if not (
            np.isfinite(sample.pose).all() and np.isfinite(sample.twist).all() and np.isfinite(sample.stamp)
        ):
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
        span = b.stamp - a.stamp
        far = np.hypot(*(b.pose[:2] - a.pose[:2])) > fastest * span + 0.1
        return bool(far or abs(wrap(b.pose[2] - a.pose[2])) > spin * span + 0.2)

    def _append(self, start: Odometry, end: Odometry) -> int:
        c = self.config
        taps, dt, t = c.delay_taps, c.model_dt, start.stamp
        if t - taps * dt < self._first_command_time:
            return self._exclude("no command known")
        if end.stamp - self._last_command_time > c.command_timeout:
            return self._exclude("command too old")
        span = end.stamp - start.stamp
        command = self._commands.mean_over(t, end.stamp)
        history = self._commands.history(t, taps, dt)
        if c.limits is not None and self._saturated(command, c.limits):
            return self._exclude("saturated")
        if _is_still(command, start.twist, end.twist):
            return self._exclude("still")
        pose = se2.integrate(start.pose, se2.displacement_twist(start.pose, end.pose, span), dt)
        twist = start.twist + (end.twist - start.twist) * (dt / span)
        row = _Row(t, start.state, command, history, np.concatenate([pose, twist]), self._segment)
        self._rows.append(row)
        self.total += 1
        return 1

    @staticmethod
    def _saturated(command, limits: VelocityLimits) -> bool:
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
        """The newest ``count`` transitions (all when None), oldest first."""
        rows = list(self._rows)[-count:] if count else list(self._rows)
        taps = self.config.delay_taps
        return Transitions(
            stamps=np.array([r.stamp for r in rows]),
            states=np.array([r.state for r in rows]).reshape(-1, 5),
            commands=np.array([r.command for r in rows]).reshape(-1, 2),
            history=np.array([r.history for r in rows]).reshape(-1, taps, 2),
            next_states=np.array([r.next_state for r in rows]).reshape(-1, 5),
            segments=np.array([r.segment for r in rows], dtype=int),
            model_dt=self.config.model_dt,
        )


def _is_still(*twists) -> bool:
    v, omega = np.abs(twists).max(axis=0)
    return bool(v < STILL_V and omega < STILL_OMEGA)


def _interpolate(a: Odometry, b: Odometry, stamp: float) -> Odometry:
    share = (stamp - a.stamp) / (b.stamp - a.stamp)
    pose = a.pose + share * (b.pose - a.pose)
    pose[2] = wrap(a.pose[2] + share * wrap(b.pose[2] - a.pose[2]))
    return Odometry(stamp, pose, a.twist + share * (b.twist - a.twist))
