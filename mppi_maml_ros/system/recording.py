"""What was heard during one run, and the measures that follow from it."""

from __future__ import annotations

import attrs
import numpy as np

RUNNING = 2  # msg/ControllerStatus
ACCEPTED = 1  # msg/AdaptationStatus
LATEST_TRUTH = 1.0  # [s] from the first tracked period to the first known state


@attrs.frozen
class Truth:
    """True state of the robot at ``stamp`` [s]: pose [m, m, rad], twist (v, omega) [m/s, rad/s]."""

    stamp: float
    x: float
    y: float
    yaw: float
    v: float
    omega: float


@attrs.frozen
class ControlStep:
    """One control period, as the controller reports it (units as in msg/ControllerStatus)."""

    stamp: float
    state: int
    reference_x: float
    reference_y: float
    command_v: float
    command_omega: float
    tracking_error: float
    weights_version: int
    step_ms: float
    period_ms: float
    cycles: int
    late_cycles: int
    reason: str = ""


@attrs.frozen
class AdaptationReport:
    """One report of the adaptation node (units as in msg/AdaptationStatus)."""

    stamp: float
    decision: int
    reason: str
    adapt_ms: float
    swap_ms: float
    swaps_accepted: int
    swaps_rejected: int
    changes_detected: int


@attrs.define
class Recording:
    """Everything heard in one run, in the order of arrival."""

    truth: list[Truth] = attrs.field(factory=list)
    steps: list[ControlStep] = attrs.field(factory=list)
    reports: list[AdaptationReport] = attrs.field(factory=list)
    world: dict[str, float] = attrs.field(factory=dict)

    @property
    def running(self) -> list[ControlStep]:
        """The control periods in which the reference was tracked."""
        return [step for step in self.steps if step.state == RUNNING]


@attrs.frozen(eq=False)
class DemoRun:
    """One run on a common time axis that starts with the first tracked period.

    Attributes:
        time: of each tracked period [s], shape (n,).
        reference, position: wanted and true position at ``time`` [m], shape (n, 2).
        command: (v, omega) as published, shape (n, 2) [m/s, rad/s].
        error: distance between the two [m], shape (n,).
        step_ms: wall time of each control step [ms], shape (n,).
        late_fraction: part of the periods that were late by more than 20 %.
        adapt_ms: wall time of each adaptation [ms], shape (a,).
        swap_times, rejection_times: when swaps were accepted and rejected [s].
        swaps_accepted, swaps_rejected: counted by the adaptation node.
        interruptions: reason of each period in between in which the robot was not driven.
        world: parameters of the world by name.
    """

    time: np.ndarray
    reference: np.ndarray
    position: np.ndarray
    command: np.ndarray
    error: np.ndarray
    step_ms: np.ndarray
    late_fraction: float
    adapt_ms: np.ndarray
    swap_times: np.ndarray
    rejection_times: np.ndarray
    swaps_accepted: int
    swaps_rejected: int
    interruptions: tuple[str, ...]
    world: dict[str, float]

    def rmse(self, after: float = 0.0) -> float:
        """Root mean square of the error from ``after`` [s] on [m]; NaN without a sample."""
        chosen = self.error[self.time >= after]
        return float(np.sqrt(np.mean(chosen**2))) if len(chosen) else float("nan")

    def control_ms(self, percentile: float) -> float:
        """Percentile of the control step's wall time [ms]."""
        return float(np.percentile(self.step_ms, percentile)) if len(self.step_ms) else float("nan")

    @property
    def adapt_ms_p50(self) -> float:
        """Median wall time of an adaptation [ms]; NaN when there was none."""
        return float(np.median(self.adapt_ms)) if len(self.adapt_ms) else float("nan")


def _changes(reports: list[AdaptationReport], counter: str, start: float) -> np.ndarray:
    times, last = [], None
    for report in reports:
        value = getattr(report, counter)
        if value > (0 if last is None else last):
            times.append(report.stamp - start)
        last = value
    return np.array(times)


def analyse(recording: Recording, duration: float) -> DemoRun:
    """Put a recording on one time axis.

    The true position at a control period is interpolated between the two states around it. A
    figure starts at the robot's pose, so that is where it was when the first period was tracked.

    Args:
        recording: of one run.
        duration: what to keep after the first tracked period [s].

    Raises:
        ValueError: no tracked period lies within the recorded truth.
    """
    running = recording.running
    if not running or len(recording.truth) < 2:
        raise ValueError("the controller never tracked the reference while the truth was recorded")
    start = running[0].stamp
    states = sorted((s.stamp, s.x, s.y) for s in recording.truth)
    if start < states[0][0] <= start + LATEST_TRUTH:
        states.insert(0, (start, running[0].reference_x, running[0].reference_y))
    truth = np.array(states)
    kept = [s for s in running if truth[0, 0] <= s.stamp <= truth[-1, 0] and s.stamp - start <= duration]
    if not kept:
        raise ValueError("the controller never tracked the reference while the truth was recorded")
    stamps = np.array([s.stamp for s in kept])
    position = np.stack([np.interp(stamps, truth[:, 0], truth[:, axis]) for axis in (1, 2)], axis=-1)
    reference = np.array([(s.reference_x, s.reference_y) for s in kept])
    cycles = kept[-1].cycles - kept[0].cycles
    reports = [r for r in recording.reports if r.stamp - start <= duration]
    # The counters tell attempts apart: reports repeat the last one.
    adapt_ms, seen = [], None
    for report in reports:
        if report.adapt_ms > 0.0 and report.adapt_ms != seen:
            adapt_ms.append(report.adapt_ms)
        seen = report.adapt_ms
    return DemoRun(
        time=stamps - start,
        reference=reference,
        position=position,
        command=np.array([(s.command_v, s.command_omega) for s in kept]),
        error=np.hypot(*(position - reference).T),
        step_ms=np.array([s.step_ms for s in kept]),
        late_fraction=(kept[-1].late_cycles - kept[0].late_cycles) / cycles if cycles else 0.0,
        adapt_ms=np.array(adapt_ms),
        swap_times=_changes(reports, "swaps_accepted", start),
        rejection_times=_changes(reports, "swaps_rejected", start),
        swaps_accepted=reports[-1].swaps_accepted if reports else 0,
        swaps_rejected=reports[-1].swaps_rejected if reports else 0,
        interruptions=tuple(
            s.reason for s in recording.steps if s.state != RUNNING and start < s.stamp < kept[-1].stamp
        ),
        world=dict(recording.world),
    )
