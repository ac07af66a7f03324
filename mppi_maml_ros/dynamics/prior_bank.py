"""Which of a few robots this one resembles most, told by its commands and its measured twist alone.

Each robot of the bank has a lag and a delay; on each axis it is simulated from the commands, without looking at
the measurements, and three sums over the past tell its best gain and what it leaves unexplained. Sums fade, and only as
far as the robots of the bank disagree: steady driving neither tells anything nor makes what was told forgotten.
The robot that serves stays until another one is likelier by a margin.

Source: Magill, Optimal adaptive estimation of sampled stochastic processes (1965), for the bank; Morse, Mayne and
Goodwin, Applications of hysteresis switching in parameter adaptive control (1992), for the margin.
"""

from __future__ import annotations

import attrs
import numpy as np

from ..core.kernels.cache import njit
from ..core.types import Array
from .residual import ResidualWeights
from .transitions import Transitions

LAGS = np.array([0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.65])  # [s]
LONGEST_DELAY = 0.45  # [s]
NOISE = np.array([0.03, 0.06])  # [m/s, rad/s] of a twist; what is explained to this degree is explained
MEMORY = 5.0  # [s] of driving that tells the robots apart
GAIN_SPREAD = 0.2
GAINS = (0.5, 1.2)
CORRELATED = 4.0  # samples that tell as much as an independent one
MARGIN = 2.0  # in log probability
SAME = 0.8  # probability that both axes have the same lag and delay


@njit(cache=True)
def _follow(measured, command, acting, keep, simulated, sums, noise, fading, first):  # type: ignore[no-untyped-def]
    for axis in range(2):
        y = measured[axis]
        mean = square = 0.0
        count = 0
        for d in range(acting.shape[0]):
            for k in range(len(keep)):
                x = simulated[axis, d, k]
                if not first:
                    x = keep[k] * x + (1.0 - keep[k]) * acting[d, axis]
                    simulated[axis, d, k] = x
                mean += x
                square += x * x
                count += 1
        mean /= count
        spread = square / count - mean * mean + (0.1 * mean) ** 2
        share = spread / (spread + noise[axis] ** 2)
        left = 1.0 - share * fading
        for d in range(acting.shape[0]):
            for k in range(len(keep)):
                x = simulated[axis, d, k]
                s = sums[axis, d, k]
                s[0] = left * s[0] + share * x * x
                s[1] = left * s[1] + share * x * y
                s[2] = left * s[2] + share * y * y
                s[3] = left * s[3] + share


class PriorBank:
    """Follows transitions and says which prior fits.

    Args:
        model_dt: step [s].
    """

    def __init__(self, model_dt: float) -> None:
        self._dt = model_dt
        self._keep = np.exp(-model_dt / LAGS)
        self._delays = np.arange(int(LONGEST_DELAY / model_dt + 1e-9) + 1)
        self._fading = model_dt / MEMORY
        shape = (2, len(self._delays), len(LAGS))
        lag, late = np.meshgrid(LAGS, self._delays * model_dt)
        # The typical robot is likeliest.
        self._log_prior = (-0.5 * ((lag - 0.1) / 0.25) ** 2 - 0.5 * (late / 0.2) ** 2).ravel()
        size = lag.size
        near = np.exp(
            -0.5 * ((lag.ravel()[:, None] - lag.ravel()) / 0.1) ** 2
            - 0.5 * ((late.ravel()[:, None] - late.ravel()) / 0.05) ** 2
        )
        self._coupling = SAME * near / near.sum(axis=0) + (1.0 - SAME) / size
        self._simulated, self._sums = np.zeros(shape), np.zeros((*shape, 4))
        self._segment: int | None = None
        start = int(np.ravel_multi_index((0, 1), shape[1:]))
        self._chosen = [start, start]
        self._gain = np.ones(2)
        self.weights = self._make()

    def follow(self, data: Transitions) -> None:
        """Take the transitions that came since the last call."""
        for m in range(len(data)):
            first = data.segments[m] != self._segment
            self._segment = int(data.segments[m])
            if first:
                self._simulated[:] = data.states[m, 3:5][:, None, None]
            course = np.concatenate([data.commands[m][None], data.history[m]])
            _follow(
                data.next_states[m, 3:5].copy(), data.commands[m], course[: len(self._delays)].copy(), self._keep,
                self._simulated, self._sums, NOISE, self._fading, False,
            )  # fmt: skip
        if len(data):
            self._choose()

    def _choose(self) -> None:
        xx, xy, yy, n = np.moveaxis(self._sums.reshape(2, -1, 4), -1, 0)
        ridge = (NOISE[:, None] / GAIN_SPREAD) ** 2
        gain = np.clip((xy + ridge) / (xx + ridge), *GAINS)
        error = np.maximum(yy - 2.0 * gain * xy + gain**2 * xx, 0.0) / np.maximum(n, 1e-9) + NOISE[:, None] ** 2
        log = -0.5 * n / CORRELATED * np.log(error) + self._log_prior
        log -= log.max(axis=1, keepdims=True)
        for axis in range(2):
            other = np.exp(log[1 - axis])
            total = log[axis] + np.log(self._coupling @ (other / other.sum()))
            best = int(total.argmax())
            if total[best] > total[self._chosen[axis]] + MARGIN:
                self._chosen[axis] = best
            self._gain[axis] = gain[axis, self._chosen[axis]]
        self.weights = self._make()

    def _make(self) -> ResidualWeights:
        late, lag = np.unravel_index(self._chosen, (len(self._delays), len(LAGS)))
        gain = np.round(self._gain / 0.05) * 0.05
        key = (*late, *lag, *gain)
        if key == getattr(self, "_key", None):
            return self.weights
        self._key = key
        made = ResidualWeights.first_order((LAGS[lag[0]], LAGS[lag[1]]), tuple(gain), 0.0, self._dt)
        return attrs.evolve(made, transport_delay=tuple(int(d) for d in late), adapter="auto")
