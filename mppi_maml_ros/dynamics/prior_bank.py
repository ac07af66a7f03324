"""Which of a few simple robots this one resembles, told by its commands and its measured twist alone.

The robots of the bank have a lag and a delay. On each axis all are simulated from the commands, without a
look at the measurements, and three sums tell the gain that fits best and what it leaves unexplained::

    x+ = k x + (1 - k) u(t - delay);    sums of x x, x y, y y of the measured y;    gain = sum x y / sum x x

The sums fade only as far as the robots of the bank disagree: driving that tells nothing makes nothing
forgotten. Both axes of a base mostly have the same lag and delay, so that what one shows holds for the other
until that shows something else. The robot that serves does so until another is likelier by a margin.

Source: Magill, Optimal adaptive estimation of sampled stochastic processes (IEEE TAC 1965), for the bank;
Morse, Mayne and Goodwin, Applications of hysteresis switching in parameter adaptive control (IEEE TAC 1992),
for the margin.
"""

from __future__ import annotations

import attrs
import numpy as np

from ..core.kernels.cache import njit
from ..core.types import Array
from .features import MAX_HISTORY, MAX_TRANSPORT_DELAY
from .first_order import TYPICAL
from .residual import ResidualWeights
from .transitions import Transitions

LAGS = np.array([0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.65])  # [s], the typical robot's among them
LONGEST_DELAY = 0.45  # [s]
LAG_SPREAD, DELAY_SPREAD = 0.5, 0.4  # [s] about the typical robot's, of the population
NOISE = np.array([0.02, 0.04])  # [m/s, rad/s] that no robot needs to explain
MEMORY = 5.0  # [s] of driving that tells the robots apart
GAIN_SPREAD, GAINS = 0.15, (0.5, 1.2)  # about 1, and within
GAIN_STEP = 0.05  # a gain serves until it is wrong by more
CORRELATED = 1.5  # samples that tell as much as an independent one
MARGIN = 0.5  # of log probability
ALIKE, LAG_ALIKE, DELAY_ALIKE = 0.8, 0.1, 0.05  # probability that both axes have the same, within so much [s]


@njit(cache=True)
def _follow(
    start: Array, first: bool, acting: Array, measured: Array, keep: Array, noise: Array, fading: float,
    simulated: Array, sums: Array,
) -> None:  # fmt: skip
    delays, lags = simulated.shape[1:]
    for axis in range(2):
        y, mean, square = measured[axis], 0.0, 0.0
        for d in range(delays):
            for k in range(lags):
                before = start[axis] if first else simulated[axis, d, k]
                x = acting[d, axis] + keep[k] * (before - acting[d, axis])
                simulated[axis, d, k] = x
                mean += x / (delays * lags)
                square += x * x / (delays * lags)
        # Of a constant velocity the gain is told, if less well.
        spread = square - mean * mean + (0.1 * mean) ** 2
        share = spread / (spread + noise[axis] ** 2)
        left = 1.0 - share * fading
        for d in range(delays):
            for k in range(lags):
                x, s = simulated[axis, d, k], sums[axis, d, k]
                s[0] = left * s[0] + share * x * x
                s[1] = left * s[1] + share * x * y
                s[2] = left * s[2] + share * y * y
                s[3] = left * s[3] + share


class PriorBank:
    """Follows transitions; not thread-safe.

    Args:
        model_dt: step [s].
        history: past commands that the weights may read.

    Attributes:
        weights: the robot that serves, the typical one at first.
    """

    def __init__(self, model_dt: float, history: int = MAX_HISTORY) -> None:
        self._dt, self._keep = model_dt, np.exp(-model_dt / LAGS)
        count = min(int(LONGEST_DELAY / model_dt + 1e-9), history, MAX_TRANSPORT_DELAY) + 1
        lag, late = (values.ravel() for values in np.meshgrid(LAGS, model_dt * np.arange(count)))
        typical = TYPICAL.time_constant_v
        self._log_prior = -0.5 * (((lag - typical) / LAG_SPREAD) ** 2 + (late / DELAY_SPREAD) ** 2)
        apart = (np.subtract.outer(lag, lag) / LAG_ALIKE) ** 2
        apart += (np.subtract.outer(late, late) / DELAY_ALIKE) ** 2
        near = np.exp(-0.5 * apart)
        self._other = ALIKE * near / near.sum(axis=0) + (1.0 - ALIKE) / len(lag)
        self._simulated, self._sums = (np.zeros((2, count, len(LAGS), *more)) for more in ((), (4,)))
        self._typical = int(np.argmin(np.abs(lag - typical) + late))
        self._segment: int | None = None
        self.reset()

    def reset(self) -> None:
        """Begin with the typical robot anew."""
        self._sums[:] = 0.0
        self._chosen, self._gain = [self._typical, self._typical], np.ones(2)
        self.weights = self._robot()

    def warm_up(self) -> None:
        """Compile what a drive needs, before the first control step waits for it."""
        row, past = np.zeros((1, 5)), np.zeros((1, MAX_HISTORY, 2))
        nothing = np.zeros(1, dtype=np.int64)
        PriorBank(self._dt).follow(Transitions(nothing, row, row[:, :2], past, row, nothing, self._dt))

    def follow(self, data: Transitions) -> None:
        """Take transitions in the order of time, each once."""
        count = self._simulated.shape[1]
        for m, segment in enumerate(data.segments.tolist()):
            course = np.concatenate([data.commands[m, None], data.history[m, : count - 1]])
            _follow(
                data.states[m, 3:].copy(), segment != self._segment, course, data.next_states[m, 3:].copy(),
                self._keep, NOISE, self._dt / MEMORY, self._simulated, self._sums,
            )  # fmt: skip
            self._segment = segment
        if len(data) and self._choose():
            self.weights = self._robot()

    def restart(self, data: Transitions, kept: int) -> None:
        """Only the newest ``kept`` tell of the robot; those before, where the bank's robots are by then."""
        self._segment = None
        self.follow(data[: len(data) - kept])
        self._sums[:] = 0.0
        self.follow(data[len(data) - kept :])

    def _choose(self) -> bool:
        """Choose on each axis; whether another robot serves from now on."""
        xx, xy, yy, count = np.moveaxis(self._sums.reshape(2, -1, 4), -1, 0)
        doubt = CORRELATED * (NOISE[:, None] / GAIN_SPREAD) ** 2
        gain = np.clip((xy + doubt) / (xx + doubt), *GAINS)
        unexplained = np.maximum(yy - gain * (2.0 * xy - gain * xx), 0.0) + doubt * (gain - 1.0) ** 2
        unexplained /= np.maximum(count, 1e-9)
        # As Student's t has it where the variance of the noise is not known.
        log = -0.5 * count / CORRELATED * np.log(unexplained + NOISE[:, None] ** 2) + self._log_prior
        share = np.exp(log - log.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        changed = False
        for axis in range(2):
            both = log[axis] + np.log(self._other @ share[1 - axis])
            best = int(both.argmax())
            if both[best] > both[self._chosen[axis]] + MARGIN:
                self._chosen[axis], changed = best, True
            found = gain[axis, self._chosen[axis]]
            if abs(found - self._gain[axis]) > GAIN_STEP:
                self._gain[axis], changed = found, True
        return changed

    def _robot(self) -> ResidualWeights:
        late, lag = np.unravel_index(self._chosen, self._simulated.shape[1:])
        lags, gains = LAGS[lag].tolist(), self._gain.tolist()
        made = ResidualWeights.first_order((lags[0], lags[1]), (gains[0], gains[1]), 0.0, self._dt)
        return attrs.evolve(made, transport_delay=late, adapter="auto")
