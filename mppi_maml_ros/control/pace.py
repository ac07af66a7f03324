"""Whether the ticks come on time."""

from __future__ import annotations

from .config import ControlConfig

LATE = 1.2  # periods; a longer cycle is late
OVERRUN = 2.0  # periods; a longer one has missed a tick


class Pace:
    """Counts ticks, late ones and missed ones; time comes in with every call.

    Attributes:
        cycles, late_cycles: ticks so far, and those that came late.
        fault: why the robot may not be driven at this pace; None when it may.
    """

    def __init__(self, config: ControlConfig) -> None:
        self._config = config
        self._last: float | None = None
        self._overruns = self._on_time = 0
        self.cycles = self.late_cycles = 0
        self.fault: str | None = None

    def configure(self, config: ControlConfig) -> None:
        """Another period and other limits from the next tick on."""
        self._config = config

    def forgive(self) -> None:
        """Forget a fault; ticks that are missed from now on lead to the next."""
        self.fault = None

    def count(self, steady_now: float) -> float | None:
        """Account for a tick at ``steady_now`` [s]; the time since the last [s], None at the first."""
        self.cycles += 1
        last, self._last = self._last, steady_now
        if last is None:
            return None
        config = self._config
        period = max(0.0, steady_now - last)
        late = period > LATE * config.period
        self.late_cycles += late
        self._on_time = 0 if late else self._on_time + 1
        self._overruns = self._overruns + 1 if period > OVERRUN * config.period else 0
        if self._overruns > config.overrun_limit:
            self.fault = f"control ran at {1.0 / period:.1f} Hz instead of {config.controller_frequency:g} Hz"
        elif self._on_time >= config.overrun_recovery:
            self.fault = None
        return period
