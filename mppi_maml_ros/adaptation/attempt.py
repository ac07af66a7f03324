"""What an attempt to adapt came to."""

from __future__ import annotations

import enum

import attrs

from ..dynamics.residual import ResidualWeights
from .adapters import Adaptation
from .guard import Verdict


class Decision(enum.IntEnum):
    """What became of an attempt; mirrors msg/AdaptationStatus."""

    NO_ATTEMPT = 0
    ACCEPTED = 1
    SKIPPED_NO_EXCITATION = 2
    SKIPPED_TOO_FEW_SAMPLES = 3
    SKIPPED_BUSY = 4
    REJECTED_NOT_FINITE = 5
    REJECTED_NORM = 6
    REJECTED_HELD_OUT = 7
    REJECTED_BY_CONTROLLER = 8
    SWAP_UNAVAILABLE = 9
    ROLLED_BACK = 10
    SKIPPED_NOT_TRUSTED = 11


@attrs.frozen(eq=False)
class Attempt:
    """One attempt.

    Attributes:
        decision: ACCEPTED means offer ``weights`` to the controller; ROLLED_BACK likewise.
        reason: one sentence.
        weights: what to install, None when nothing is offered.
        adaptation: what the adapter reported, None when it did not run.
        verdict: held-out errors, None when nothing was judged.
        adapt_ms: wall time [ms].
    """

    decision: Decision
    reason: str
    weights: ResidualWeights | None = None
    adaptation: Adaptation | None = None
    verdict: Verdict | None = None
    adapt_ms: float = 0.0
