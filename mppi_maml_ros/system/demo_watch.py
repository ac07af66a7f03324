"""Waits for a run of the demo to get on, and kills what is to be killed meanwhile."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from typing import Protocol

from rich.markup import escape
from rich.progress import Progress

from ..core.errors import MppiMamlError
from ..simulation import faults
from .processes import ProcessGroup
from .recording import RUNNING, AdaptationReport, ControlStep, Recording, Truth

START_TIMEOUT = 120.0  # [s] from the start of the processes to the first tracked period
SILENCE_TIMEOUT = 5.0  # [s] without a control report before the run is given up
RESPAWN_TIMEOUT = 30.0  # [s] likewise, when a process is killed on purpose and started again


class Monitor(Protocol):
    """What hears the running system; see :class:`.monitor.DemoMonitor`."""

    def recording(self) -> Recording:
        """A copy of everything heard so far."""

    def latest(self) -> tuple[Truth | None, ControlStep | None, AdaptationReport | None]:
        """The newest of each kind."""


class Kills:
    """Kills processes when it is time to, and starts them again.

    Args:
        wanted: faults on processes.
        group: that the processes belong to.
        start: starts a node by its name.
    """

    def __init__(
        self, wanted: tuple[faults.Fault, ...], group: ProcessGroup, start: Callable[[str], None]
    ) -> None:
        self._group, self._start = group, start
        kills = [(fault.start, "kill", fault) for fault in wanted]
        respawns = [(fault.end, "start", fault) for fault in wanted if math.isfinite(fault.end)]
        self._due = sorted([*kills, *respawns], key=lambda event: event[0])
        self.patience = RESPAWN_TIMEOUT if wanted else SILENCE_TIMEOUT

    def act(self, elapsed: float) -> None:
        """Do what is due at ``elapsed`` [s]."""
        while self._due and self._due[0][0] <= elapsed:
            _, what, fault = self._due.pop(0)
            node = faults.NODES[fault.kind]
            if what == "start":
                self._start(node)
            elif process := self._group.members.pop(node, None):
                process.send(signal.SIGKILL)
                process.wait(SILENCE_TIMEOUT)


class Watch:
    """Waits for a run to get on; raises when it does not."""

    def __init__(
        self,
        variant: str,
        duration: float,
        group: ProcessGroup,
        monitor: Monitor,
        progress: Progress,
        kills: Kills,
        adapts: bool,
    ) -> None:
        self._variant, self._duration, self._kills = variant, duration, kills
        self._group, self._monitor, self._progress = group, monitor, progress
        self._task = progress.add_task(variant, total=duration, line="starting")
        self._begun = time.monotonic()
        self._adapts = adapts

    def until_heard(self) -> None:
        """Until controller and adaptation node have reported."""
        while any(newest is None for newest in self._monitor.latest()[1:]):
            self._check_start("a node said nothing")
            time.sleep(0.05)

    def until_driven(self) -> None:
        """Until ``duration`` seconds have passed since the first tracked period, and the truth is known."""
        first = self._first_tracked()
        heard, heard_at = None, time.monotonic()
        begun, patience = heard_at, self._kills.patience
        while True:
            self._group.check()
            truth, step, report = self._monitor.latest()
            assert step is not None  # see until_heard
            now = time.monotonic()
            self._kills.act(now - begun)
            if step.stamp != heard:
                heard, heard_at = step.stamp, now
            elif now - heard_at > patience:
                self._fail(f"no word from the controller for {patience:g} s")
            elapsed = min(step.stamp - first, self._duration)
            self._progress.update(self._task, completed=elapsed, line=self._line(elapsed, step, report))
            if truth is not None and truth.stamp >= first + self._duration <= step.stamp:
                return
            if step.stamp > first + self._duration + patience:
                self._fail("no word from the world")
            time.sleep(0.1)

    def _first_tracked(self) -> float:
        while True:
            step = self._monitor.latest()[1]
            assert step is not None  # see until_heard
            if step.state == RUNNING:
                return next(s.stamp for s in self._monitor.recording().steps if s.state == RUNNING)
            self._check_start(
                f"the controller stays in state {step.state}, {step.reason or 'without a reason'}"
            )
            time.sleep(0.05)

    def _line(self, elapsed: float, step: ControlStep, report: AdaptationReport | None) -> str:
        doing = f"error {step.tracking_error:.3f} m" if step.state == RUNNING else f"stopped: {step.reason}"
        swaps = f"   swaps {report.swaps_accepted}" if self._adapts and report is not None else ""
        return escape(f"{elapsed:4.1f}/{self._duration:g} s   {doing}{swaps}")

    def _check_start(self, problem: str) -> None:
        self._group.check()
        if time.monotonic() - self._begun > START_TIMEOUT:
            self._fail(f"{problem} for {START_TIMEOUT:g} s")

    def _fail(self, problem: str) -> None:
        raise MppiMamlError(f"run {self._variant}: {problem}")
