"""Whether odometry is alive, with hysteresis.

Life is judged by the steady time at which good messages arrive AND by the age of their stamps on
the node's clock: either alone can be fooled, the first by a source that repeats old data, the
second by a clock that stands still.
"""

from __future__ import annotations

import math

import attrs

from ..core.errors import InvalidValueError
from .codes import Code


@attrs.frozen
class Health:
    """What the watchdog says.

    Attributes:
        alive: odometry may be used for control.
        code: why not; NONE when alive, and while too little has arrived to tell.
        reason: one sentence; empty when ``code`` is NONE.
    """

    alive: bool
    code: Code = Code.NONE
    reason: str = ""


ALIVE = Health(True)
_SLOWEST = 2.0  # [s] between messages; with more they have no rate


class OdometryWatchdog:
    """Trips when good messages stop; recovers only after a steady run of them.

    A gap between messages that is shorter than ``timeout`` but longer than ``resume_gap`` neither
    trips nor lets it recover, so a source that stutters at the edge does not make it chatter.
    Over any time T there are at most T / ``min_cycle`` + 1 recoveries. While it is tripped, the
    newest rejection of a message, if there is one, tells why better than the silence does; so does
    the rate of messages that keep coming too slowly.

    Args:
        timeout: longest time without a good message [s, steady].
        stamp_timeout: oldest stamp at a check [s, node clock].
        resume_count: good messages in a row before it recovers.
        resume_gap: longest gap between those [s, steady]; None: 0.6 * timeout.
        min_stop: shortest time between tripping and recovering [s, steady].
        min_cycle: shortest time between two recoveries [s, steady].

    Raises:
        InvalidValueError: a time is not finite and above 0, or the count is below 1.
    """

    def __init__(
        self,
        timeout: float = 0.25,
        stamp_timeout: float = 0.5,
        resume_count: int = 5,
        resume_gap: float | None = None,
        min_stop: float = 1.0,
        min_cycle: float = 2.0,
    ) -> None:
        resume_gap = 0.6 * timeout if resume_gap is None else resume_gap
        for name, value in (
            ("timeout", timeout),
            ("stamp_timeout", stamp_timeout),
            ("resume_gap", resume_gap),
            ("min_stop", min_stop),
            ("min_cycle", min_cycle),
        ):
            if not (0.0 < value < math.inf):
                raise InvalidValueError(f"{name} must be finite and above 0, got {value}")
        if not (resume_count >= 1):
            raise InvalidValueError(f"resume_count must be at least 1, got {resume_count}")
        self._timeout, self._stamp_timeout = timeout, stamp_timeout
        self._resume_count, self._resume_gap = resume_count, resume_gap
        self._min_stop, self._min_cycle = min_stop, min_cycle
        self._explains_for = max(min_cycle, timeout)
        self._alive = False
        self._transitions = 0
        self._tripped_at = self._resumed_at = -math.inf
        self._forget(Code.NONE, "")

    def configure(self, timeout: float, stamp_timeout: float, resume_count: int) -> None:
        """Other thresholds from the next check on; what is alive stays so if it meets them."""
        self._timeout, self._stamp_timeout, self._resume_count = timeout, stamp_timeout, resume_count
        self._resume_gap = 0.6 * timeout
        self._explains_for = max(self._min_cycle, timeout)

    def _forget(self, code: Code, reason: str) -> None:
        self._good = self._slow = 0
        self._gap = math.inf
        self._received_at = -math.inf
        self._stamp = -math.inf
        self._code, self._reason = code, reason
        self._rejection: tuple[Code, str] | None = None
        self._rejected_at = -math.inf

    @property
    def transitions(self) -> int:
        """How often it recovered or tripped since the start."""
        return self._transitions

    def accept(self, stamp: float, steady_now: float) -> None:
        """A good message with ``stamp`` [s, node clock] arrived at ``steady_now`` [s, steady]."""
        gap = self._gap = steady_now - self._received_at
        self._good = self._good + 1 if gap <= self._resume_gap else 1
        self._slow = self._slow + 1 if self._resume_gap < gap <= _SLOWEST else 0
        self._received_at = steady_now
        self._stamp = stamp
        self._rejection = None

    def reject(self, code: Code, reason: str, steady_now: float, harmless: bool = False) -> None:
        """A bad message arrived at ``steady_now`` [s, steady]. It postpones nothing.

        Unless ``harmless``, as a message that came twice, it breaks a run of good ones.
        """
        if harmless and steady_now - self._received_at <= self._resume_gap:
            return
        self._rejection = (code, reason)
        self._rejected_at = steady_now
        if not harmless:
            self._good = 0

    def trip(self, code: Code, reason: str, steady_now: float) -> None:
        """Stop trusting odometry now; a whole run of good messages is needed again."""
        if self._alive:
            self._alive = False
            self._transitions += 1
            self._tripped_at = steady_now
        self._good = 0
        self._code, self._reason = code, reason

    def reset(self, code: Code, reason: str) -> None:
        """Forget every message, as after a jump of the clock; recovery is not held back by past trips."""
        if self._alive:
            self._alive = False
            self._transitions += 1
        self._tripped_at = self._resumed_at = -math.inf
        self._forget(code, reason)

    def check(self, now: float, steady_now: float, lookahead: float = 0.0) -> Health:
        """Judge at ``now`` [s, node clock] and ``steady_now`` [s, steady].

        Args:
            lookahead: time until the next check [s]; it trips now when the timeout would pass
                before that, so that a stop begins within the timeout and not one period later.
        """
        silence = steady_now - self._received_at
        if self._alive:
            if not silence + min(lookahead, 0.5 * self._timeout) <= self._timeout:
                self.trip(Code.ODOMETRY_TIMEOUT, f"no usable odometry for {silence:.3f} s", steady_now)
            elif not now - self._stamp <= self._stamp_timeout:
                age = now - self._stamp
                self.trip(Code.ODOMETRY_STALE, f"the newest odometry stamp is {age:.3f} s old", steady_now)
        elif (
            self._good >= self._resume_count
            and silence <= self._resume_gap
            and now - self._stamp <= self._stamp_timeout
            and steady_now - self._tripped_at >= self._min_stop
            and steady_now - self._resumed_at >= self._min_cycle
        ):
            self._alive = True
            self._transitions += 1
            self._resumed_at = steady_now
        if self._alive:
            return ALIVE
        if self._rejection is not None and steady_now - self._rejected_at <= self._explains_for:
            return Health(False, *self._rejection)
        if self._slow >= 2 and silence <= _SLOWEST:
            rates = f"{1.0 / self._gap:.1f} Hz, at least {1.0 / self._resume_gap:.1f} Hz"
            return Health(False, Code.ODOMETRY_TIMEOUT, f"odometry comes at {rates} are needed")
        return Health(False, self._code, self._reason)
