"""A guard that looks at the drive: weights by which the robot strays are taken back and kept away a while.

Predictions tell how well weights describe what was driven, not how well one drives by them. So the tracking
error while they serve is held against what the kinematic prior has. Where that is not known it is tried:
the prior serves for TRIAL seconds. Is it better, its place is its own for twice as long each time; is it
not, the path is difficult, and the weights are suspected again only when they do worse than that.

A trial costs little, since it takes two things: an error that does not shrink, and forecasts over whole
rollouts that are worse than those of the prior.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from ..dynamics.residual import ResidualWeights
from ..dynamics.transitions import Transitions
from .guard import ROLLOUT, prediction_error

WINDOW = 1.0  # [s] over which a tracking error is taken
PAUSE = 0.3  # [s] without one: the robot was not driven
LEAST = 0.02  # [m] of tracking error that nothing is made of
WORSE = 1.5  # times the tracking error of the prior
TRIAL = 2.0  # [s] of the prior, the first of which it needs to make good what it found
KEPT_AWAY = 5.0  # [s] the first time
LONGEST = 60.0  # [s] that weights are kept away
FORGIVEN = 5.0  # times as long as they were kept away, after which the next time is the first again
SETTLED = 3.0  # [s] after the robot was not driven, in which it makes good what it missed


class DriveGuard:
    """Not thread-safe; time enters through stamps.

    Attributes:
        barred_until: stamp up to which nothing that was learned may serve [s].
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything, as after a jump of the clock."""
        self.barred_until = self._kept_until = -math.inf
        self._hold = KEPT_AWAY
        self._accused: float | None = None  # error of the weights for which the prior is tried [m]
        self._accepted = 0.0  # tracking error that is the path's own [m]
        self._errors: deque[tuple[float, float]] = deque()
        self._learned = False
        self._since = self._driven = math.inf  # stamps since which the same serves, and the robot is driven

    def add(self, stamp: float, error: float, learned: bool) -> bool:
        """A tracking error [m] while the robot is driven.

        Args:
            stamp: in order [s].
            learned: whether learned weights serve, or the prior.

        Returns:
            Whether the weights are suspected of it.
        """
        if not math.isfinite(error):
            return False
        paused = bool(self._errors) and not 0.0 <= stamp - self._errors[-1][0] <= PAUSE
        if paused or not self._errors:
            self._driven = stamp
        if paused or learned is not self._learned or not self._errors:
            self._errors.clear()
            self._learned, self._since = learned, stamp
        self._errors.append((stamp, error))
        while stamp - self._errors[0][0] > WINDOW:
            self._errors.popleft()
        if stamp - self._since < WINDOW:
            return False
        errors = np.array([e for _, e in self._errors])
        rms = float(np.sqrt(np.mean(errors**2)))
        if not learned:
            self._try_prior(stamp, rms)
            return False
        if stamp - self._driven < SETTLED:
            return False
        older, newer = np.array_split(errors, 2)
        return bool(rms > max(LEAST, WORSE * self._accepted) and newer.mean() >= older.mean())

    def _try_prior(self, stamp: float, rms: float) -> None:
        if self._accused is None or stamp - self._since < TRIAL:
            return
        if rms * WORSE > self._accused:
            self._accepted = max(self._accepted, rms, self._accused / WORSE)
            self.barred_until = stamp
        else:
            self.bar(stamp)
        self._accused = None

    def unsettle(self) -> None:
        """What came in was not to be believed: the robot has something to make good."""
        self._errors.clear()

    def bar(self, stamp: float) -> None:
        """Keep what is learned away, for twice as long as the last time."""
        again = stamp - self._kept_until < FORGIVEN * self._hold
        self._hold = min(2.0 * self._hold, LONGEST) if again else KEPT_AWAY
        self.barred_until = self._kept_until = stamp + self._hold

    def convict(self, stamp: float) -> None:
        """The suspected weights are taken back: try the prior."""
        errors = np.array([e for _, e in self._errors])
        self._accused = float(np.sqrt(np.mean(errors**2)))
        self.barred_until = stamp + WINDOW + TRIAL

    def barred(self, stamp: float) -> str:
        """Why nothing learned may serve at ``stamp`` [s]; empty when it may."""
        left = self.barred_until - stamp
        if not left > 0.0:  # nor before the first sample, when neither is known
            return ""
        return f"the robot strayed by what was learned: the prior drives for another {left:.1f} s"


def forecasts_worse(weights: ResidualWeights, prior: ResidualWeights, data: Transitions) -> bool:
    """Whether forecasts over whole rollouts of what was driven last are worse than the prior's."""
    newest = data[-2 * ROLLOUT :]
    error, base = (prediction_error(w, newest, ROLLOUT)[0] for w in (weights, prior))
    return not error <= base
