"""Change detection on the normalised innovation of the serving model."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.errors import InvalidValueError
from ..core.kernels.cache import njit
from ..core.types import Array, Float32
from ..dynamics.identification.error_models import whiten
from ..dynamics.identification.evidence import evidences
from ..dynamics.identification.physics import PhysicsPrior
from ..dynamics.transitions import Transitions

ODDS = 8.0  # log of how much likelier two robots in turn must make the data than one
SHORTEST = 4  # transitions
RULED_OUT = 30.0  # log of how much likelier another delay makes the data


class ChangeDetector:
    """Tells when the newest predictions are far worse than those before.

    The innovation of a transition is the one-step error of the serving model in (v, omega).
    Two statistics of the newest ``window`` innovations are watched on each axis: their mean
    square, which a blow shows in, and the square of their mean, in which the small but steady
    bias of a changed gain or lag stands out of the noise. A change is declared when one exceeds
    its threshold times its own average before.

    Args:
        window: newest innovations looked at.
        thresholds: ratios of (mean square, squared mean) that declare a change, above 1; noise
            alone reaches 25 in the second as rarely as five standard deviations.
        reference: innovations after a restart during which nothing is declared.
        floor: smallest deviation of one innovation taken for normal (v [m/s], omega [rad/s]).
    """

    def __init__(
        self,
        window: int = 8,
        thresholds: tuple[float, float] = (8.0, 25.0),
        reference: int = 30,
        floor: tuple[float, float] = (0.005, 0.008),
    ) -> None:
        if not (window >= 2 and reference >= window and min(thresholds) > 1.0):
            raise InvalidValueError(
                "window must be at least 2, reference at least window, thresholds above 1"
            )
        self._window, self._reference = window, reference
        self._thresholds = np.array(thresholds)
        square = np.square(np.asarray(floor, dtype=float))
        self._floor = np.stack([square, square / window])
        self._recent, self._delayed = np.empty((window, 2)), np.empty((window, 2, 2))
        self.restart()

    def new_model(self) -> None:
        """Another model serves: its innovations are not mixed with those of the one before.

        What is normal stays: it is mostly noise, and starting over at every swap would leave the
        detector blind most of the time.
        """
        self._of_model = 0  # innovations seen

    def restart(self) -> None:
        """Begin a new reference period, as after a change or a gap in the data."""
        self.new_model()
        self._normal = np.zeros((2, 2))
        self._count = 0
        self._seen = 0

    def update(self, innovation: ArrayLike) -> bool:
        """Add one (v, omega) innovation; True when a change is declared."""
        self._of_model += 1
        self._seen += 1
        # What is normal lags behind by one window, so that a change does not raise its own bar.
        self._count += self._of_model >= 2 * self._window
        return _exceeds(
            np.asarray(innovation, dtype=float), self._recent, self._delayed, self._normal, self._floor,
            self._thresholds, self._of_model, self._count,
        ) and self._seen > self._reference  # fmt: skip


@njit(cache=True)
def _exceeds(
    innovation: Array,
    recent: Array,
    delayed: Array,
    normal: Array,
    floor: Array,
    thresholds: Array,
    seen: int,
    count: int,
) -> bool:
    """Follow one innovation; whether a statistic of a full window exceeds its threshold.

    Args:
        recent, delayed: rings of the newest innovations (W, 2) and statistics (W, 2, 2).
        normal: average statistics before, (2, 2).
        seen: innovations of the model; count: statistics in ``normal``; both with this one.
    """
    window = len(recent)
    recent[(seen - 1) % window] = innovation
    if seen < window:
        return False
    slot, exceeds = (seen - window) % window, False
    for axis in range(2):
        total = square = 0.0
        for value in recent[:, axis]:
            total += value
            square += value * value
        for kind in range(2):
            statistic = square / window if kind == 0 else (total / window) ** 2
            if seen >= 2 * window:
                share = max(1.0 / count, 0.02)
                normal[kind, axis] += share * (delayed[slot, kind, axis] - normal[kind, axis])
            delayed[slot, kind, axis] = statistic
            bar = thresholds[kind] * max(normal[kind, axis], floor[kind, axis])
            exceeds = exceeds or statistic > bar
    return exceeds


def newest_regime(prior: PhysicsPrior, data: Transitions, error_model: Float32 | None = None) -> int:
    """How many of the newest transitions the present robot and floor made; all, when nothing changed.

    Bayesian comparison of one servo model for all data with one for the older and another for the
    newer part, over splits at geometrically growing distances from the end.

    Args:
        prior: of the servo models.
        data: oldest first.
        error_model: as of the weights, shape (3, 2): what persists is no change; None for white errors.

    Source: Adams and MacKay, Bayesian Online Changepoint Detection (2007), for the evidence of a run.
    """
    count = len(data)
    lengths, length = [], float(SHORTEST)
    while length <= count - SHORTEST:
        lengths.append(int(length))
        length *= 1.35
    if not lengths:
        return count
    base = prior.servo.base(data.inputs, data.residuals)
    if error_model is not None:
        for rows, (pole, push_gain, noise_gain) in zip(base, error_model.T.astype(float), strict=False):
            settled = np.full(1, push_gain), np.full(1, noise_gain), np.ones(1)
            whiten(rows.copy(), data.first, pole, *settled, rows)
    newer = _newest_grams(base, np.array([*lengths, count]))
    newer, whole = newer[:, :-1], newer[:, -1]
    noise = prior.noise[:, :2]

    # Floors and loads change, computers hardly: delays that all the data speak against are left out, and
    # of the others every second, as neighbours say nearly the same.
    every = prior.servo
    by_delay = evidences(every, whole[:, None], np.array([float(count)]), noise).sum(axis=0)[0]
    which = np.arange(by_delay.argmax() % 2, len(by_delay), 2)
    mass = np.log(len(which))
    which = which[by_delay[which] > by_delay.max() - RULED_OUT]
    family = every.only(which)

    def likelihood(grams: Array, sizes: Array) -> Array:
        averaged: Array = np.logaddexp.reduce(evidences(family, grams, sizes, noise).sum(0), axis=-1)
        return averaged - mass

    sizes = np.array(lengths, dtype=float)
    apart = likelihood(newer, sizes) + likelihood(whole[:, None] - newer, count - sizes)
    gain = apart - (np.logaddexp.reduce(by_delay[which]) - mass)
    best = int(gain.argmax())
    return lengths[best] if gain[best] > ODDS else count


@njit(cache=True)
def _newest_grams(base: Array, lengths: NDArray[np.int64]) -> Array:
    """Sum of row row^T over the newest rows, of base (2, M, B) for each of N rising lengths; (2, N, B, B)."""
    axes, rows, size = base.shape
    out = np.zeros((axes, len(lengths), size, size))
    for axis in range(axes):
        done = 0
        for n in range(len(lengths)):
            gram = out[axis, n]
            if n:
                gram[:] = out[axis, n - 1]
            for k in range(done, lengths[n]):
                row = base[axis, rows - 1 - k]
                for i in range(size):
                    for j in range(size):
                        gram[i, j] += row[i] * row[j]
            done = lengths[n]
    return out
