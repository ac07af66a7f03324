"""What odometry and commands may be learned from, and since when they may not.

A twist that contradicts its pose, a robot that is held, and a base whose clock is behind look like another
robot. What was learned from them is taken back: :class:`Evidence` says from which stamp on.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

import numpy as np

from ..core.se2 import displacement_twist
from ..core.types import Odometry, VelocityLimits
from ..dynamics.identification.clock import ClockOffset
from ..dynamics.residual import ResidualWeights
from ..dynamics.transitions import Transitions
from ..safety.blocked import BRAKING, BlockedCheck
from ..safety.deaf import DeafCheck
from ..safety.odometry_consistency import FLOOR, UNEXPLAINED
from ..safety.twist_source import TwistSource

REMEMBERED = 64  # installations
COMPARED = 8  # newest transitions whose twist is held against their pose before anything is learned
CONSTANT = 1.0  # [s] a twist that is the same to the last bit for longer tells nothing, or hangs


def contradictory(data: Transitions) -> bool:
    """Whether the twist says another motion than the pose over the newest transitions.

    Weights may be learned from so few of them that they serve before :class:`OdometryConsistency`, which
    bears with a twist that is late, has made up its mind. In the mean, as from one pose to the next noise is
    large.
    """
    newest = data[-COMPARED:]
    if len(newest) < COMPARED // 2:
        return False
    moved = displacement_twist(newest.states[:, :3], newest.next_states[:, :3], data.model_dt)[:, [0, 2]]
    said = 0.5 * (newest.states[:, 3:5] + newest.next_states[:, 3:5])
    return bool((np.abs(np.mean(moved - said, axis=0)) > UNEXPLAINED * FLOOR).any())


class Evidence:
    """Judges what comes in; not thread-safe.

    Args:
        twist_source: see :class:`TwistSource`.
        limits: of the commands; None: not known.

    Attributes:
        untrusted_since: stamp from which on nothing is to be believed, newly found [s]; the caller takes it.
    """

    def __init__(self, twist_source: str, limits: VelocityLimits | None) -> None:
        self.twist = TwistSource(twist_source)
        self.blocked, self.deaf = BlockedCheck(limits), DeafCheck()
        self.clock = ClockOffset()
        self._stopped = self._was_blocked = self._was_deaf = False
        self._newest = -math.inf
        self._same: Odometry | None = None  # first sample with the newest twist
        self._said: list[float] = []  # the newest twist
        self.untrusted_since = math.inf

    def reset(self) -> None:
        """Forget samples and commands, as after a jump of the clock."""
        self.twist.reset()
        self.blocked.reset()
        self.deaf.reset()
        self.clock.lead = 0.0
        self._was_blocked = self._was_deaf = False

    def add_command(self, stamp: float, command: Iterable[float]) -> None:
        """A command (v, omega) in force from ``stamp`` [s]."""
        command = tuple(command)
        self.twist.add_command(stamp, command)
        self.blocked.add_command(stamp, command)
        self.deaf.add_command(stamp, command)

    def set_emergency_stop(self, pressed: bool) -> None:
        """Whether an emergency stop is pressed, which brakes the robot in a way of its own."""
        if pressed and not self._stopped:
            self.distrust(self._newest - BRAKING)
        self._stopped = pressed

    def distrust(self, since: float) -> None:
        """What came from ``since`` [s] on is not to be believed."""
        self.untrusted_since = min(self.untrusted_since, since)

    def take(self, sample: Odometry, continuous: bool = True) -> Odometry | None:
        """The sample to learn from; None when it tells nothing of the robot."""
        said = sample.twist.tolist()
        if said != self._said or not continuous:
            self._same, self._said = sample, said
        self._newest = sample.stamp
        found = self._contradicted()
        given = self.twist.take(sample, continuous)
        if newly := self._contradicted() - found:
            self.distrust(self.twist.consistency.since(newly))
        self.blocked.add_odometry(given, continuous)
        if self.blocked.blocked and not self._was_blocked:
            self.distrust(self.blocked.since)
        self._was_blocked = self.blocked.blocked
        self.deaf.add_odometry(given, continuous)
        if self.deaf.deaf and not self._was_deaf:
            self.distrust(self.deaf.since)
        self._was_deaf = self.deaf.deaf
        constant = self._same_for(sample.stamp) >= CONSTANT
        if self._stopped or self.blocked.blocked or self.deaf.deaf or not self.twist.trusted or constant:
            return None
        return given

    def _contradicted(self) -> set[int]:
        """Axes on which the twist is contradicted."""
        consistency = self.twist.consistency
        return {axis for axis in (0, 1) if consistency.contradicted(axis)} if consistency.findings else set()

    def _same_for(self, now: float) -> float:
        """Time over which the twist in use has not changed by a bit [s]; 0 at rest."""
        if self._same is None or not any(self._said) or not self.twist.believed:
            return 0.0
        return now - self._same.stamp

    def look_at_clock(self, data: Transitions) -> bool:
        """Whether ``data`` show for the first time that the clock of the base is behind, or is no more."""
        before = self.clock.lead > 0.0
        return (self.clock.update(data) > 0.0) != before

    @property
    def objection(self) -> str:
        """Why nothing may be learned at present; empty when it may."""
        if self._stopped:
            return "the emergency stop is pressed"
        if self.blocked.suspected:
            still = f"it has not moved for {self.blocked.still_for:.1f} s against its commands"
            return f"the robot {'is' if self.blocked.blocked else 'may be'} blocked: {still}"
        if self.deaf.deaf:
            return f"the robot does not obey: it has gone on as before for {self.deaf.told_for:.1f} s"
        if not self.twist.trusted:
            return self.twist.remark
        if self.twist.suspected:
            return "the twist of odometry may contradict its pose"
        if self._same_for(self._newest) >= CONSTANT:
            return f"the twist of odometry has been the same for {self._same_for(self._newest):.1f} s"
        if self.clock.lead > 0.0:
            return (
                f"odometry answers commands {self.clock.lead:.2f} s before they are given: "
                "the clock of the base is behind by at least that"
            )
        return ""

    @property
    def remark(self) -> str:
        """What is wrong, whether or not it keeps from learning; empty when nothing is."""
        return self.objection or self.twist.remark


class Installed:
    """Which weights served when; None stands for the kinematic prior."""

    def __init__(self) -> None:
        self._history: deque[tuple[float, ResidualWeights | None]] = deque(maxlen=REMEMBERED)

    def add(self, stamp: float, weights: ResidualWeights | None) -> None:
        """``weights`` serve from ``stamp`` [s] on."""
        self._history.append((stamp, weights))

    def clear(self) -> None:
        """The prior serves, and has done so for ever."""
        self._history.clear()

    def before(self, stamp: float) -> ResidualWeights | None:
        """What served before ``stamp`` [s]; the prior where that is not known."""
        return next((weights for since, weights in reversed(self._history) if since <= stamp), None)

    def served(self, weights: ResidualWeights | None, stamp: float) -> bool:
        """Whether ``weights`` served at or before ``stamp`` [s], as far as is known."""
        return any(known is weights and since <= stamp for since, known in self._history)
