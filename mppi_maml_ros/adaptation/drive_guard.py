"""A guard that looks at the drive: weights by which the robot strays are taken back and kept away a while.

Predictions tell how well weights describe what was driven, not how well one drives by them: a robot that
does half of what it is told follows a path well by a model that knows nothing of it, at half the speed.
So the tracking error while they serve is held against what the kinematic prior has. Where that is not
known it is tried: the prior serves for TRIAL seconds. Is it better, its place is its own for twice as long
each time; is it not, the path is difficult, and the weights are suspected again only when they do worse
than that, or after as long a time.

A trial costs little: it ends as soon as the robot is much farther off than by the weights. So does the
time for which a better prior serves.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

WINDOW = 1.0  # [s] over which a tracking error is taken
PAUSE = 0.3  # [s] without one: the robot was not driven
LEAST = 0.02  # [m] of tracking error that nothing is made of
WORSE = 1.5  # times the tracking error of the prior: the weights are suspected
BETTER = 1.2  # times as far off by the weights as by the prior: it is better
SWITCH = 0.5  # [s] that the robot needs to drive by something else
FARTHER = 2.0  # times as far off as at the switch: the trial is over
TRIAL = 2.0  # [s] of the prior, the first of which it needs to make good what it found
LONGEST_TRIAL = 5.0  # [s] while it is still making good
KEPT_AWAY = 5.0  # [s] the first time
LONGEST = 60.0  # [s] that weights are kept away, or not suspected of what the path is blamed for
FORGIVEN = 5.0  # times as long as they were kept away, after which the next time is the first again
AT_FIRST = 3.0  # [s] from the start, over which weights are not suspected
SETTLED = 5.0  # [s] after the robot was not driven, in which it makes good what it missed


class DriveGuard:
    """Not thread-safe; time enters through stamps.

    Attributes:
        barred_until: stamp up to which nothing that was learned may serve [s].
        acquitted: the weights that were convicted last are to serve again; the caller takes it.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything, as after a jump of the clock."""
        self.barred_until = self._kept_until = -math.inf
        self.acquitted = False
        self._hold = KEPT_AWAY
        self._accused: float | None = None  # error of the weights for which the prior is tried [m]
        self._convicted = self._peak = math.inf  # error by which the prior serves, and at the switch [m]
        self._accepted = 0.0  # tracking error that is the path's own [m], up to a stamp [s]
        self._accepted_until, self._trusted = -math.inf, KEPT_AWAY
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
            self._driven = stamp if math.isfinite(self._driven) else stamp - SETTLED + AT_FIRST
        if paused or learned is not self._learned or not self._errors:
            self._errors.clear()
            self._learned, self._since = learned, stamp
        self._errors.append((stamp, error))
        while stamp - self._errors[0][0] > WINDOW:
            self._errors.popleft()
        switched = not learned and stamp - self._since >= SWITCH
        if switched and self._accused is not None and error > FARTHER * self._peak:
            self._acquit(stamp, self._accused)
        if stamp - self._since < WINDOW:
            return False
        errors = np.array([e for _, e in self._errors])
        rms = float(np.sqrt(np.mean(errors**2)))
        older, newer = np.array_split(errors, 2)
        shrinks = bool(newer.mean() < older.mean())
        if not learned:
            self._try_prior(stamp, rms, shrinks)
            return False
        if stamp - self._driven < SETTLED:
            return False
        accepted = self._accepted if stamp < self._accepted_until else 0.0
        return rms > max(LEAST, WORSE * accepted) and not shrinks

    def _try_prior(self, stamp: float, rms: float, shrinks: bool) -> None:
        """The prior serves, and has done so for WINDOW seconds at least."""
        if self._accused is None:
            if rms > self._convicted and stamp < self.barred_until:
                self._acquit(stamp, rms)
        elif stamp - self._since >= TRIAL:
            if rms * BETTER <= self._accused:
                self.bar(stamp)
                self._convicted, self._accused = self._accused, None
            elif shrinks and stamp - self._since < LONGEST_TRIAL:
                self.barred_until = stamp + WINDOW
            else:
                self._acquit(stamp, max(rms, self._accused / WORSE))

    def _acquit(self, stamp: float, error: float) -> None:
        """The prior does no better: the path is as difficult as ``error`` [m] tells."""
        again = stamp < self._accepted_until
        self._accepted = max(self._accepted, error) if again else error
        self._trusted = min(2.0 * self._trusted, LONGEST)
        self._accepted_until = stamp + self._trusted
        self.barred_until, self.acquitted = stamp, True
        self._accused, self._convicted = None, math.inf

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
        self._accused, self.acquitted = float(np.sqrt(np.mean(errors**2))), False
        self._peak = max(self._accused, float(errors[-1]))
        self.barred_until = stamp + WINDOW + TRIAL

    def barred(self, stamp: float) -> str:
        """Why nothing learned may serve at ``stamp`` [s]; empty when it may."""
        left = self.barred_until - stamp
        if not left > 0.0:  # nor before the first sample, when neither is known
            return ""
        return f"the robot strayed by what was learned: the prior drives for another {left:.1f} s"
