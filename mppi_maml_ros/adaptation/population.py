"""The robot of a bank that this one resembles, beside what an adapter learns of it.

What is fitted to the steps of a few seconds may predict them well and yet be another robot: a lag taken for a
delay, a loop for a gain of 1.7. The robots of the bank (see dynamics.prior_bank) are simulated from commands
alone, and there are few ways of being wrong among them. So the likeliest serves from the first transition
on; what the adapter made takes over once it predicts held-out data about as well, and goes when the bank does
so far better. After a change the bank begins with the data that are left.

Source: Magill, Optimal adaptive estimation of sampled stochastic processes (IEEE TAC 1965); Morse, Mayne and
Goodwin, Applications of hysteresis switching in parameter adaptive control (IEEE TAC 1992).
"""

from __future__ import annotations

import attrs
import numpy as np

from ..dynamics.compiled import correction
from ..dynamics.features import input_size
from ..dynamics.identification.error_models import TYPICAL
from ..dynamics.prior_bank import PriorBank
from ..dynamics.residual import ResidualWeights
from ..dynamics.transitions import Transitions
from .attempt import Attempt, Decision
from .guard import GuardConfig, prediction_error, split

NEWEST = 20  # transitions by which a robot of the bank is held against the kinematic prior
ENTER, STAY, LEAVE = 1.25, 1.5, 0.5
"""Times the held-out error of the bank up to which new weights begin to serve, and go on serving; and share
of the error of weights that serve on, for want of better ones, below which the bank takes their place."""


class Population:
    """Not thread-safe.

    Args:
        model_dt: step [s].
        used: whether it is asked at all.
    """

    def __init__(self, model_dt: float, used: bool = True) -> None:
        self._bank, self._used = PriorBank(model_dt), used
        self.reset()

    def reset(self) -> None:
        """Begin with the typical robot anew, which may serve at once."""
        self.doubt(None)

    def doubt(self, serving: ResidualWeights | None) -> None:
        """The transitions are not to be believed, and ``serving`` serves: what was learned before goes on."""
        self._bank.reset()
        self._known = [(0, self._bank.weights)]  # robots, each from which transition on
        self.forget_serving()
        self._serves = serving is None or serving.is_prior or serving.adapter == self._bank.weights.adapter

    def forget_serving(self) -> None:
        """Nothing of what was offered serves."""
        self._offered: ResidualWeights | None = None
        self._refused: ResidualWeights | None = None
        self._serves = True

    def follow(self, data: Transitions, total: int) -> None:
        """Take transitions, of which there are ``total`` with these."""
        if not self._used:
            return
        self._bank.follow(data)
        if self._known[-1][1] is not self._bank.weights:
            self._known = [*self._known[-100:], (total, self._bank.weights)]

    def restart(self, data: Transitions, kept: int) -> None:
        """Only the newest ``kept`` of ``data`` tell of the robot; those before, of what its axes did."""
        if not self._used:
            return
        self._bank.restart(data, kept)
        self._known = [(0, self._bank.weights)]

    @property
    def due(self) -> bool:
        """Whether another robot of the bank may be to serve."""
        return self._used and self._serves and self._bank.weights not in (self._offered, self._refused)

    def offer(self, attempt: Attempt, reason: str, data: Transitions, config: GuardConfig) -> Attempt:
        """The attempt with the robot of the bank in place of what it came to, where that may serve.

        It has to predict the newest of ``data`` no worse than the kinematic prior, and its corrections to be
        no larger than the guard allows.
        """
        robot, newest = self._bank.weights, data[max(len(data) - NEWEST, 0) :]
        error, starts = prediction_error(robot, newest)
        base, _ = prediction_error(ResidualWeights.prior(), newest)
        inputs = newest.inputs[:, : input_size(robot.delay_taps)]  # as if commands acted at once: no less
        largest = np.abs(correction(robot, inputs)[:, :2]).max(initial=0.0)
        if not (starts and error <= base and largest <= config.max_correction):
            self._refused = robot
            return attempt
        self._offered, self._serves = robot, True
        pushed = attrs.evolve(robot, error_model=TYPICAL)  # what it gets wrong, it gets wrong again
        return attrs.evolve(attempt, decision=Decision.ACCEPTED, weights=pushed, reason=reason)

    def settle(self, attempt: Attempt, data: Transitions, total: int, config: GuardConfig) -> Attempt:
        """What is to serve after an attempt of the adapter to learn from ``data``, ``total`` in all."""
        if not self._used:
            return attempt
        another, goes_on = self._bank.weights is not self._offered, self._serves and self._offered is not None
        if attempt.verdict is None or attempt.adaptation is None:
            if self._serves and another:
                return self.offer(attempt, "the bank, until it can be adapted", data, config)
            return _without(attempt) if goes_on and attempt.weights is not None else attempt
        _, held, lead = split(data, config)
        unseen = total - (len(held) - lead)
        robot = next((robot for since, robot in reversed(self._known) if since <= unseen), self._known[0][1])
        error, _ = prediction_error(robot, held, lead=lead)
        verdict, accepted = attempt.verdict, attempt.decision == Decision.ACCEPTED
        if accepted and verdict.candidate < (ENTER if self._serves else STAY) * error:
            self._serves = False
            return attempt
        against = f"held-out error {verdict.candidate:.3g} m^2, the bank's {error:.3g}"
        if goes_on and not another:
            return attrs.evolve(_without(attempt), reason=against)
        replaced = accepted or self._serves or attempt.decision == Decision.ROLLED_BACK
        if replaced or error < LEAVE * verdict.current < np.inf:
            return self.offer(attempt, against, data, config)
        return attempt


def _without(attempt: Attempt) -> Attempt:
    return attrs.evolve(attempt, decision=Decision.REJECTED_HELD_OUT, weights=None)
