"""A guard that looks at the drive: whether the robot strays, and who adapts then.

Predictions tell how well weights describe what was driven, not how well one drives by them: a robot that
does half of what it is told follows a path well by a model that knows nothing of it, at half the speed. And a
loop may be calm near its path and swing for ever once something has pushed it off: the accelerations of
many bases are limited, and neither the kinematic model nor most adapters know of that. So an adapter
by which the robot strays is relieved by the physics layer, which knows what robots are like, for longer
each time.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

WINDOW = 1.0  # [s] over which a tracking error is taken
PAUSE = 0.3  # [s] without one: the robot was not driven
LEAST = 0.02  # [m] of tracking error that nothing is made of
RELIEVED = 60.0  # [s] the first time
LONGEST = 960.0  # [s] that an adapter is relieved
FORGIVEN = 5.0  # times as long as it was relieved, after which the next time is the first again
AT_FIRST = 3.0  # [s] from the start, over which nothing is suspected
SETTLED = 5.0  # [s] after the robot was not driven, in which it makes good what it missed


class DriveGuard:
    """Not thread-safe; time enters through stamps."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything, as after a jump of the clock."""
        self._until = -math.inf  # stamp up to which the adapter is relieved [s]
        self._relieved_at = -math.inf
        self._hold = RELIEVED
        self._errors: deque[tuple[float, float]] = deque()
        self._driven = math.inf  # stamp since which the robot is driven

    def add(self, stamp: float, error: float) -> bool:
        """Whether the robot strays, by a tracking error [m] while it is driven; stamps [s] in order."""
        if not math.isfinite(error):
            return False
        paused = bool(self._errors) and not 0.0 <= stamp - self._errors[-1][0] <= PAUSE
        if paused or not self._errors:
            self._driven = stamp if math.isfinite(self._driven) else stamp - SETTLED + AT_FIRST
            self._errors.clear()
        self._errors.append((stamp, error))
        while stamp - self._errors[0][0] > WINDOW:
            self._errors.popleft()
        if stamp - self._driven < SETTLED:
            return False
        errors = np.array([e for _, e in self._errors])
        older, newer = np.array_split(errors, 2)
        return bool(np.sqrt(np.mean(errors**2)) > LEAST and newer.mean() >= older.mean())

    def unsettle(self, since: float) -> bool:
        """What came in from ``since`` [s] on was not to be believed: the robot has something to make good.

        Returns:
            Whether the adapter was relieved by that, which is undone.
        """
        self._errors.clear()
        if self._relieved_at < since:
            return False
        self._until = self._relieved_at = -math.inf
        self._hold = RELIEVED
        return True

    def relieve(self, stamp: float) -> None:
        """Another adapter from ``stamp`` [s] on, for twice as long as the last time."""
        again = stamp - self._until < FORGIVEN * self._hold
        self._hold = min(2.0 * self._hold, LONGEST) if again else RELIEVED
        self._relieved_at, self._until = stamp, stamp + self._hold

    def relieved(self, stamp: float) -> bool:
        """Whether the adapter is to be relieved at ``stamp`` [s]."""
        return stamp < self._until
