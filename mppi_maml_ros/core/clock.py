"""Time is injected: every component takes ``now`` as an argument or a :class:`Clock`."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Anything that tells the time."""

    def now(self) -> float:
        """Seconds since an arbitrary, fixed origin."""


class SteadyClock:
    """Monotonic wall time; never jumps, goes on while simulated time stands still."""

    def now(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told to; for tests and simulated runs."""

    def __init__(self, start: float = 0.0):
        self._now = float(start)

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> float:
        """Move on by ``seconds`` (negative: a jump back) and return the new time."""
        self._now += float(seconds)
        return self._now
