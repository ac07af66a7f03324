"""Whether a robot answers commands before they are given: its clock is behind that of the commands.

Velocities are explained by the commands behind a first-order lag, shifted by d steps, on each axis

    v(k) = gain f(k - d) + c p^k + e(k),    f(k) = p f(k - 1) + (1 - p) u(k),

for all d and poles p of a grid. No robot answers what it has not been told yet: a negative d that explains
the data better than every other tells that the stamps of odometry lie behind.

Source: Ljung, System Identification (1999), 4.2 (output error) and 16.4 (choice of structure).
"""

from __future__ import annotations

import attrs
import numpy as np

from ...core.kernels.cache import njit
from ...core.types import Array
from ..transitions import Transitions

EARLIEST, LATEST = -8, 12  # steps
TOLERATED = 1  # steps that stamps may be early by: those of a period's begin rather than of its end
LAGS = np.array([1e-3, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6])  # [s]
FEWEST, MOST = 24, 100  # transitions with all shifted commands
SMALLEST = 1e-6  # variance of e that is not believed to be smaller [m^2/s^2, rad^2/s^2]
UNMODELLED = 0.05  # and likewise share of the deviation of the velocities
SURE, SURE_OF_EACH, REFUTED = 8.0, 1.5, -2.0  # log likelihood ratios: of both axes, each, and both
EXPLAINED = 0.9  # share of the variance of both velocities


@attrs.frozen
class Earliness:
    """How well shifts that are impossible explain the data.

    Attributes:
        ratio: log likelihood of the best of them over that of the best possible one, by axis, shape (2,).
        explained: share of the variance of the velocities that the best shift of all explains, shape (2,).
        lead: by how much the answer comes before the command by that shift; below 0: after it [s].
    """

    ratio: Array
    explained: Array
    lead: float

    @property
    def sure(self) -> bool:
        """Odometry is stamped too early.

        What both axes say, and how much is explained, tells it from pushes and from other robots than a lag.
        """
        clear = self.ratio.sum() > SURE and (self.ratio > SURE_OF_EACH).all()
        return bool(clear and (self.explained > EXPLAINED).all() and self.lead > 0.0)

    @property
    def refuted(self) -> bool:
        """It is not."""
        return bool(self.ratio.sum() < REFUTED)


def earliness(data: Transitions) -> Earliness | None:
    """Look at the newest stretch without a gap; None when it is too short.

    Args:
        data: oldest first.
    """
    breaks = np.flatnonzero(data.first)
    start = max(int(breaks[-1]) if len(breaks) else 0, len(data) - MOST - LATEST + EARLIEST)
    commands, velocities = data.commands[start:], data.next_states[start:, 3:5]
    rows = slice(LATEST, len(commands) + EARLIEST)
    count = rows.stop - rows.start
    if count < FEWEST:
        return None
    shifts = np.arange(EARLIEST, LATEST + 1)
    left = np.empty((len(shifts), 2))
    _unexplained(commands.T.copy(), velocities.T.copy(), np.exp(-data.model_dt / LAGS), left)
    left /= count
    variance = velocities[rows].var(axis=0)
    likelihood = -0.5 * count * np.log(left + SMALLEST + UNMODELLED**2 * variance)
    impossible, best = shifts < -TOLERATED, int(likelihood.sum(axis=1).argmax())
    return Earliness(
        ratio=likelihood[impossible].max(axis=0) - likelihood[~impossible].max(axis=0),
        explained=1.0 - left[best] / (variance + SMALLEST),
        lead=float(-shifts[best] * data.model_dt),
    )


@njit(cache=True, fastmath={"reassoc", "contract"})
def _unexplained(commands: Array, velocities: Array, poles: Array, left: Array) -> None:
    """Least squared error over the poles of the velocities regressed on f and the decay, (shift, axis).

    Args:
        commands, velocities: of one stretch, shape (2, N) each.
    """
    steps = commands.shape[1]
    count, lagged, decay = steps + EARLIEST - LATEST, np.empty(steps), np.empty(steps + EARLIEST - LATEST)
    left[:] = np.inf
    for axis in range(2):
        y = velocities[axis, LATEST : steps + EARLIEST]
        power = (y * y).sum()
        for pole in poles:
            value = commands[axis, 0]
            for k in range(steps):
                value = pole * value + (1.0 - pole) * commands[axis, k]
                lagged[k] = value
            fade = 1.0
            for k in range(count):
                fade *= pole
                decay[k] = fade
            dd, dy = (decay * decay).sum(), (decay * y).sum()
            for s in range(len(left)):
                f, ff, fd, fy = lagged[LATEST - EARLIEST - s :], 0.0, 0.0, 0.0
                for k in range(count):
                    ff += f[k] * f[k]
                    fd += f[k] * decay[k]
                    fy += f[k] * y[k]
                determinant, rest = ff * dd - fd * fd, power
                if determinant > 1e-12 * ff * dd:
                    rest -= ((dd * fy - fd * dy) * fy + (ff * dy - fd * fy) * dy) / determinant
                left[s, axis] = min(left[s, axis], max(rest, 0.0))


class ClockOffset:
    """Remembers whether the answers came before the commands."""

    def __init__(self) -> None:
        self.lead = 0.0
        """By how much at least odometry is stamped too early [s]; 0: it is not."""

    def update(self, data: Transitions) -> float:
        """Look at the newest data; returns :attr:`lead`."""
        found = earliness(data)
        if found is not None and found.sure:
            self.lead = found.lead
        elif found is not None and found.refuted:
            self.lead = 0.0
        return self.lead
