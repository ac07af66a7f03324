"""What a tick decides, and why the robot is not driven."""

from __future__ import annotations

import math

import attrs

from ..core.types import Array
from ..safety.codes import Code, State


@attrs.frozen
class Halt:
    """A reason not to run: the robot is ramped to zero, and ``state`` says so once it is there."""

    state: State
    code: Code = Code.NONE
    reason: str = ""


@attrs.frozen
class ControlOutput:
    """What one tick decided; the fields of ``msg/ControllerStatus``, and more.

    Attributes:
        command: (v [m/s], omega [rad/s]) to publish, shape (2,).
        state, code, reason: what the robot is being told and why; ``reason`` is one sentence.
            A ``code`` while RUNNING is a remark that did not stop the robot.
        reference: pose wanted now, shape (3,), odometry frame; None when there is none.
        tracking_error: distance from ``predicted_pose`` to ``reference`` [m]; NaN when not known.
        heading_error: yaw of ``reference`` minus that of the robot, in (-pi, pi] [rad]; NaN likewise.
        remaining: way left on the path [m]; NaN when not known, infinite on a figure.
        odometry_age: now minus the stamp of the newest good odometry [s]; NaN when there is none.
        step_ms: wall time of this tick [ms].
        period_ms: steady time since the tick before [ms]; 0 at the first.
        cycles, late_cycles: ticks so far, and those that came late.
        weights_version: of the weights used; 0: the prior.
        trajectory: poses that the controller expects to drive, shape (N, 3); None unless asked for,
            and when not running.
        predicted_pose: the robot's pose now, shape (3,); None before any odometry. When not
            running it is the newest good odometry, not moved ahead.
        reference_rate: of the reference, in its own speeds.
        odometry_rejected: messages that the checks dropped so far.
    """

    command: Array
    state: State
    code: Code = Code.NONE
    reason: str = ""
    reference: Array | None = None
    tracking_error: float = math.nan
    heading_error: float = math.nan
    remaining: float = math.nan
    odometry_age: float = math.nan
    step_ms: float = 0.0
    period_ms: float = 0.0
    cycles: int = 0
    late_cycles: int = 0
    weights_version: int = 0
    trajectory: Array | None = None
    predicted_pose: Array | None = None
    reference_rate: float = 1.0
    odometry_rejected: int = 0
