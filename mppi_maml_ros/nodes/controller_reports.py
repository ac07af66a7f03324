"""What ``mppi_controller`` says of itself under ``/diagnostics``: one function a concern."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from ..control.config import ControlConfig
from ..control.output import ControlOutput, Halt
from ..ros.diagnostics import ERROR, OK, WARN, Report
from ..safety.codes import Code, State
from ..safety.frames import FrameLatch

_WAITING = (State.WAITING_FOR_ODOMETRY, State.WAITING_FOR_PLAN)
_LATE, _LATE_SHARE = 1.2, 0.05  # periods longer by this factor are late; this share of them is a warning
_NEWS = 3.0  # [s] that the graph may take to tell of who has just offered weights
BEYOND_RATE = "beyond_rate"  # the outcome of a message that came too soon after others to be looked at


class Window:
    """What happened since the last look.

    Args:
        steady: time of a steady clock [s].
    """

    def __init__(self, steady: float) -> None:
        self._odometry: Counter[str] = Counter()
        self._looked = steady
        self._steps: list[tuple[float, float]] = []

    def forget(self, steady: float) -> None:
        """Look, and say nothing; ``steady`` is the time of the steady clock [s]."""
        self.take_odometry(steady)
        self._steps = []

    def odometry(self, outcome: str) -> None:
        """A message of odometry came, and what became of it."""
        self._odometry[outcome] += 1

    def tick(self, output: ControlOutput) -> None:
        """A control period has passed."""
        self._steps.append((output.step_ms, output.period_ms))

    def take_odometry(self, steady: float) -> tuple[Counter[str], float]:
        """Messages by outcome, and the time they came in [s]."""
        counts, seconds = self._odometry, max(steady - self._looked, 1e-3)
        self._odometry, self._looked = Counter(), steady
        return counts, seconds

    def take_timing(self, period: float) -> tuple[dict[str, float], bool]:
        """Step and period figures, and whether more than one period in twenty was late."""
        steps, self._steps = [pair for pair in self._steps if pair[1] > 0.0], []
        if not steps:
            return {}, False
        step, periods = np.array(steps).T
        values = {
            "frequency": 1e3 / float(periods.mean()),
            "step_ms_mean": float(step.mean()),
            "step_ms_max": float(step.max()),
            "period_ms_max": float(periods.max()),
        }
        return values, float(np.mean(periods > 1e3 * _LATE * period)) > _LATE_SHARE


def control_report(output: ControlOutput | None, reference: str) -> Report:
    """What the controller does, by its last period."""
    if output is None:
        return Report(WARN, "no control period so far")
    if output.state in _WAITING:
        level = WARN
    else:
        level = ERROR if output.state in (State.STOPPING, State.STOPPED) else OK
        level = WARN if level == OK and output.code is Code.REFERENCE_SLOWED else level
    values = {
        "state": output.state.name,
        "code": output.code.name,
        "reference": reference,
        "reference_rate": output.reference_rate,
        "tracking_error": output.tracking_error,
        "heading_error": output.heading_error,
    }
    return Report(level, output.reason or output.state.name, values)


def odometry_report(
    counts: Counter[str],
    seconds: float,
    output: ControlOutput | None,
    publishers: int,
    frames: FrameLatch,
    counters: Mapping[str, int],
    allowed_rate: float,
) -> Report:
    """How odometry comes in.

    Args:
        counts: messages by outcome.
        seconds: in which they came.
        output: of the last period; None before the first.
        publishers: that are alive.
        frames: that are expected.
        counters: of the control loop, handed on.
        allowed_rate: messages a second that are looked at.
    """
    rate = counts["accepted"] / seconds
    unread = counts.pop(BEYOND_RATE, 0)
    values = {
        "rate": rate,
        "age": math.nan if output is None else output.odometry_age,
        "publishers": publishers,
        "odom_frame": frames.odom_frame,
        "base_frame": frames.base_frame,
        **counters,
        "unread": unread,
    }
    rejected = sum(counts.values()) - counts["accepted"]
    if publishers > 1:
        return Report(ERROR, f"{publishers} publishers, expected one", values)
    if not counts["accepted"]:
        return Report(ERROR, "nothing usable in the last second", values)
    if output is not None and output.code is Code.ODOMETRY_TIMEOUT:
        return Report(WARN, output.reason, values)
    if unread:
        return Report(WARN, f"{unread} messages in the last second were beyond {allowed_rate:g} Hz", values)
    if rejected:
        return Report(WARN, f"{rejected} messages rejected in the last second", values)
    return Report(OK, f"{rate:.0f} Hz", values)


def with_remark(report: Report, remark: Halt | None) -> Report:
    """The report, or in place of a good one what is wrong without stopping the robot."""
    if remark is None or report.level != OK:
        return report
    return Report(WARN, remark.reason, report.values)


def timing_report(window: Window, output: ControlOutput | None, config: ControlConfig) -> Report:
    """Whether the control periods keep to the clock."""
    figures, late = window.take_timing(config.period)
    if not figures or output is None:
        return Report(WARN, "no control period in the last second")
    values = {**figures, "cycles": output.cycles, "late_cycles": output.late_cycles}
    if late:
        wanted = config.controller_frequency
        return Report(WARN, f"control runs at {values['frequency']:.1f} Hz, {wanted:g} Hz are wanted", values)
    return Report(OK, f"{values['frequency']:.1f} Hz", values)


def critics_report(terms: Sequence[float], critics: Sequence[str]) -> Report:
    """What the chosen way costs, and who says so.

    Args:
        terms: see :meth:`..mppi.controller.MPPIController.terms`.
        critics: their names.
    """
    if not terms:
        return Report(OK, "nothing was chosen so far")
    values = dict(zip(("tracking", "commands", *critics), terms, strict=True))
    return Report(OK, f"most: {max(values, key=lambda name: values[name])}", values)


def weights_report(
    model: str, version: int, adapter: str, age: float, refused: int, expired: bool, offering: int
) -> Report:
    """Which weights serve.

    Args:
        model: that is predicted with.
        version: of the weights.
        adapter: that made them.
        age: of the last installation [s]; NaN where there was none.
        refused: offers.
        expired: whether the weights grew too old.
        offering: clients of the service that swaps weights.
    """
    values = {"model": model, "version": version, "adapter": adapter, "age": age, "refused": refused}
    if expired:
        return Report(WARN, "back to the prior: no weights came within weights_ttl", values)
    if age > _NEWS and not offering:
        return Report(WARN, f"nobody offers weights any more: those of {age:.0f} s ago stay", values)
    return Report(OK, adapter, values)
