"""From a record to what each axis of the robot does: gain, lag, delay, dead band, acceleration, and how sure.

Prediction errors of twist and displacement, weighted by their own deviations, are least over the whole record
(Ljung, System Identification (1999), 7.2); a dead band that has to be overcome and bounds of the acceleration
are part of the model where they make the errors clearly likelier. Confidence is the curvature's, widened by
blocks of scores where errors are correlated (White, Econometrica 50 (1982): the sandwich).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

import attrs
import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidValueError
from ..core.types import Array
from . import least_squares
from .record import LONGEST_GAP, Record
from .response import BIAS, CROSS, DEAD, DELAY, DOWN, GAIN, KALMAN, LOST, TAU, UP, predict

AXES = ("v", "omega")
UNITS = ("m/s", "rad/s")
LONGEST_DELAY = 1.0  # [s]
DELAYS = np.arange(0.0, 0.85, 0.05)  # [s] that are tried first, as are these:
TAUS = np.array([0.03, 0.08, 0.2, 0.45, 1.0])  # [s]
SHARES = np.array([0.0, 0.25, 0.6])  # dead bands, as shares of the largest command
LIMITS = np.array([0.7, 1.3, 2.5, 5.0, 10.0])  # [1/s] accelerations, over the largest velocity
CLEARLY = 6.0  # log likelihood that one more parameter must bring
LIKELIER = 1.0  # likewise a dead band: to miss one is to miss the gain as well
BLOCK = 2.0  # [s] of scores that are summed as one
NOISE_FLOOR = 1e-4  # [m/s, rad/s] that no odometry is better than
MOVES = 4.0  # times its noise that an axis must move by to be identified
TWO_SIDED = 1.96  # deviations of a 95 % interval

_LOW = np.array([0.01, 0.005, 0.0, 0.0, 0.0, -1.0, -0.5, 0.01, 0.01, 0.0])
_HIGH = np.array([5.0, 5.0, LONGEST_DELAY, 3.0, 3.0, 1.0, 0.5, 1e3, 1e3, 0.95])
_SCALE = np.array([0.5, 0.1, 0.05, 0.05, 0.05, 0.1, 0.02, 0.5, 0.5, 0.2])
_FREE = (GAIN, TAU, DELAY, CROSS, BIAS, KALMAN)
_Found = tuple[Array, tuple[int, ...]]  # parameters, and which of them are free
_Variant = Callable[[_Found, list[Array]], _Found | None]


@attrs.frozen
class Estimate:
    """A value and the half width of its 95 % interval."""

    value: float
    within: float


@attrs.frozen(eq=False)
class Axis:
    """What was found of one axis.

    Attributes:
        name: v or omega.
        gain: velocity reached per commanded one, beyond the dead band.
        time_constant, delay: of the first-order lag, and from a command to its effect [s].
        dead: largest command that moves nothing; lost: part of every larger one that is lost [m/s or rad/s].
        acceleration, deceleration: bounds of the velocity's change [m/s^2 or rad/s^2]; inf: none was met.
        cross: velocity of this axis per command of the other one.
        noise: deviation of one-step predictions [m/s or rad/s].
        explained: share of the variance that a simulation over the whole record explains.
        held_out: the same where the drive was left out of the fit; NaN: nothing was.
        plain: gain, time constant [s] and delay [s] of the best robot without dead band and bounds: what a
            linear model takes.
        source: twist, or pose and why.
        parameters: of :func:`.response.predict`, (PARAMETERS,).
    """

    name: str
    gain: Estimate
    time_constant: Estimate
    delay: Estimate
    dead: Estimate
    lost: float
    acceleration: float
    deceleration: float
    cross: float
    noise: float
    explained: float
    held_out: float
    plain: tuple[float, float, float]
    source: str
    parameters: Array


def identify(record: Record) -> tuple[Axis, Axis]:
    """Both axes, v and omega.

    Raises:
        InvalidValueError: an axis was not commanded, or did not move: the message says which.
    """
    untrue = record.untrue_twists()
    v, omega = (_Problem(record, axis, untrue.get(axis, "")).solve() for axis in (0, 1))
    return v, omega


def simulated(record: Record, axis: Axis) -> Array:
    """Velocity that the axis would have had by its commands alone, at each sample (N,)."""
    p = axis.parameters.copy()
    p[KALMAN] = 0.0
    return _Problem(record, AXES.index(axis.name), "" if axis.source == "twist" else axis.source).predicted(
        p
    )[:, 0]


def _with(p: Array, places: tuple[int, ...], value: float) -> Array:
    """A copy with other values."""
    q = p.copy()
    q[list(places)] = value
    return q


class _Problem:
    """One axis of a record."""

    def __init__(self, record: Record, axis: int, untrue: str) -> None:
        self.axis, self.untrue, self.record = axis, untrue, record
        self.commands = np.ascontiguousarray(record.commands[:, axis])
        self.others = np.ascontiguousarray(record.commands[:, 1 - axis])
        self.twists = np.ascontiguousarray(record.twists[:, axis])
        self.rates = np.ascontiguousarray(record.rates[:, axis])
        self.breaks = np.concatenate([[True], np.diff(record.stamps) > LONGEST_GAP])
        self.fitted = ~self.breaks & (record.stamps < record.held_out_from)
        self.weights = np.ones(2)

    def predicted(self, p: Array) -> Array:
        """See :func:`.response.predict`."""
        out = np.empty((len(self.twists), 3))
        predict(
            p, self.record.command_stamps, self.commands, self.others, self.record.stamps, self.twists,
            self.rates, self.breaks, bool(self.untrue), out,
        )  # fmt: skip
        return out

    def errors(self, p: Array) -> tuple[Array, Array]:
        """Of twist and of displacement, where they are fitted."""
        out, at = self.predicted(p), self.fitted
        return self.twists[at] - out[at, 0], self.rates[at] - out[at, 1]

    def weigh(self, p: Array) -> None:
        """Weights of both kinds of errors from what they are with these parameters."""
        deviations = [max(float(np.sqrt(np.mean(e**2))), NOISE_FLOOR) for e in self.errors(p)]
        self.weights = 1.0 / np.array(deviations)
        if self.untrue:
            self.weights[0] = 0.0

    def residuals(self, p: Array) -> Array:
        """Weighted errors."""
        twist, rate = self.errors(p)
        return np.concatenate([self.weights[0] * twist, self.weights[1] * rate])

    def unlikely(self, p: Array) -> float:
        """Negative log likelihood, each deviation at its best, constants left out."""
        kinds = self.errors(p)[1:] if self.untrue else self.errors(p)
        return sum(0.5 * len(e) * float(np.log(np.mean(e**2) + NOISE_FLOOR**2)) for e in kinds)

    def improved(
        self, p: Array, free: tuple[int, ...], iterations: int = 25
    ) -> tuple[Array, least_squares.Fit]:
        """Least squares over some of the parameters; a dead band not free goes with what it swallows."""
        places, tied = list(free), LOST in free and DEAD not in free and p[DEAD] == p[LOST]

        def whole(values: Array) -> Array:
            q = p.copy()
            q[places] = values
            if tied:
                q[DEAD] = q[LOST]
            elif LOST in free:
                q[LOST] = min(q[LOST], q[DEAD])
            return q

        fit = least_squares.minimise(
            lambda values: self.residuals(whole(values)), p[places], _LOW[places], _HIGH[places],
            _SCALE[places], iterations,
        )  # fmt: skip
        return whole(fit.values), fit

    def solve(self) -> Axis:
        self._check()
        starts = list(self._starts())
        plain = self._likeliest(self._first(_with(start, (LOST, DEAD), 0.0), _FREE) for start in starts)
        ways = (self._band, self._stiction, self._bounded), (self._bounded, self._band, self._stiction)
        best = min((self._refined(plain, way, starts) for way in ways), key=self._price)
        p, free = best
        self.weigh(p)
        p, fit = self.improved(p, free, 40)
        return self._axis(p, free, fit, plain[0])

    def _refined(self, best: _Found, way: Iterable[_Variant], starts: list[Array]) -> _Found:
        """With what makes the errors clearly likelier; what is found depends on what is looked for first."""
        for variant in way:
            tried = variant(best, starts)
            if tried is not None and self._price(tried) < self._price(best):
                best = tried
        return best

    def _price(self, found: _Found) -> float:
        """Negative log likelihood and what its parameters cost."""
        p, free = found
        price = self.unlikely(p) + CLEARLY * (UP in free) * 2.0
        return price + LIKELIER * (LOST in free) + CLEARLY * (p[DEAD] != p[LOST])

    def _check(self) -> None:
        name, unit = AXES[self.axis], UNITS[self.axis]
        most = float(np.abs(self.commands).max())
        if most < 1e-3 or self.commands.std() < 1e-3:
            raise InvalidValueError(f"{name} was not commanded: nothing can be said of it")
        y = self.rates if self.untrue else self.twists
        still = float(np.median(np.abs(np.diff(y[self.fitted]))))
        spread = float(np.percentile(np.abs(y[self.fitted]), 98.0))
        if spread < MOVES * still or spread < 1e-3:
            raise InvalidValueError(
                f"{name} did not move by commands of up to {most:.2f} {unit}: is its dead band larger, "
                "is the base switched on, does it listen to this topic?"
            )

    def _starts(self) -> Iterable[Array]:
        """The most promising of a grid, by a regression on simulated responses."""
        y = (self.rates if self.untrue else self.twists)[self.fitted]
        most, column = float(np.abs(self.commands).max()), 1 if self.untrue else 0
        found: list[tuple[float, int, Array]] = []
        for delay in DELAYS:
            for tau in TAUS:
                for share in SHARES:
                    p = np.array([1.0, tau, delay, share * most, share * most, 0.0, 0.0, 1e3, 1e3, 0.0])
                    x = self.predicted(p)[self.fitted, column]
                    gain, bias = np.linalg.lstsq(np.column_stack([x, np.ones_like(x)]), y, rcond=None)[0]
                    p[GAIN], p[BIAS] = np.clip([gain, bias], _LOW[[GAIN, BIAS]], _HIGH[[GAIN, BIAS]])
                    found.append((float(np.sum((y - gain * x - bias) ** 2)), len(found), p))
        found.sort(key=lambda entry: entry[:2])
        chosen: list[Array] = []
        for _, _, p in found:
            if all(abs(p[DELAY] - q[DELAY]) > 0.06 or p[LOST] != q[LOST] for q in chosen):
                chosen.append(p)
            if len(chosen) == 3:
                break
        return chosen

    def _first(self, p: Array, free: tuple[int, ...]) -> _Found:
        for some in (tuple(place for place in free if place != KALMAN), free):
            self.weigh(p)
            p, _ = self.improved(p, some)
        return p, free

    def _likeliest(self, found: Iterable[_Found]) -> _Found:
        return min(found, key=lambda entry: self.unlikely(entry[0]))

    def _band(self, best: _Found, starts: list[Array]) -> _Found | None:
        """A dead band that swallows part of every command."""
        wide = float(np.median(np.abs(self.commands[self.commands != 0.0])))
        banded = [_with(p, (LOST, DEAD), max(p[LOST], 0.2 * wide)) for p in (best[0], *starts)]
        free = tuple({*best[1], LOST})
        return self._likeliest(self._first(p, free) for p in banded[:3])

    def _stiction(self, best: _Found, starts: list[Array]) -> _Found | None:
        """A dead band that swallows less than itself of what overcomes it."""
        levels = np.unique(np.round(np.abs(self.commands), 3))
        between = 0.5 * (levels[1:] + levels[:-1])
        if not len(between):
            return None
        free, tried = tuple({*best[1], LOST}), []
        for dead in between[np.unique(np.linspace(0, len(between) - 1, 12).astype(int))]:
            for lost in {0.0, min(float(best[0][LOST]), float(dead))}:
                q = _with(_with(best[0], (DEAD,), dead), (LOST,), lost)
                tried.append((self.improved(q, (GAIN, LOST, BIAS), 4)[0], free))
        found, _ = self.improved(self._likeliest(tried)[0], free, 15)
        near = [_with(found, (DEAD,), max(d, found[LOST])) for d in found[DEAD] * np.linspace(0.85, 1.15, 13)]
        costs = np.array([self.unlikely(q) for q in near])
        alike = np.flatnonzero(costs <= costs.min() + 0.5)
        return self.improved(near[int(alike[len(alike) // 2])], free, 15)[0], free

    def _bounded(self, best: _Found, starts: list[Array]) -> _Found | None:
        """Bounds of the acceleration."""
        # a model that leans on the last sample hides what it gets wrong
        p, free = _with(best[0], (KALMAN,), 0.0), (*best[1], UP, DOWN)
        y = np.abs((self.rates if self.untrue else self.twists)[self.fitted])
        fastest, largest = np.percentile(y, 97.0), np.percentile(np.abs(self.commands), 97.0)
        tried: list[tuple[float, int, Array]] = []
        for gain in (p[GAIN], fastest / max(largest - p[LOST], 0.1 * largest)):
            for tau in (0.05, 0.2):
                for up, down in itertools.product(fastest * LIMITS, repeat=2):
                    q = _with(_with(p, (GAIN,), gain), (TAU,), tau)
                    q[UP], q[DOWN] = up, down
                    tried.append((self.unlikely(q), len(tried), q))
        tried.sort(key=lambda entry: entry[:2])
        rough = tuple(place for place in free if place != KALMAN)
        ends = []
        for _, _, q in tried[:3]:
            for some in (rough, free):
                self.weigh(q)
                q = self.improved(q, some, 40)[0]
            ends.append((q, free))
        return self._likeliest(ends)

    def _axis(self, p: Array, free: tuple[int, ...], fit: least_squares.Fit, plain: Array) -> Axis:
        within = dict(zip(free, self._within(fit, free), strict=True))

        def estimate(place: int) -> Estimate:
            return Estimate(float(p[place]), float(within.get(place, 0.0)))

        y, column = (self.rates, 1) if self.untrue else (self.twists, 0)
        blind = p.copy()
        blind[KALMAN] = 0.0
        alone = self.predicted(blind)[:, column]

        def explained(at: NDArray[np.bool_]) -> float:
            return float(1.0 - np.mean((y[at] - alone[at]) ** 2) / max(float(np.var(y[at])), 1e-12))

        later = ~self.breaks & ~self.fitted
        dead = Estimate(float(p[DEAD]), float(within.get(LOST, 0.0)))
        return Axis(
            name=AXES[self.axis],
            gain=estimate(GAIN),
            time_constant=estimate(TAU),
            delay=estimate(DELAY),
            dead=dead,
            lost=float(p[LOST]),
            acceleration=float(p[UP]) if UP in free else np.inf,
            deceleration=float(p[DOWN]) if DOWN in free else np.inf,
            cross=float(p[CROSS]),
            noise=float(1.0 / self.weights[1 if self.untrue else 0]),
            explained=explained(self.fitted),
            held_out=explained(later) if later.sum() > 20 else float("nan"),
            plain=(float(plain[GAIN]), float(plain[TAU]), float(plain[DELAY])),
            source=f"pose: {self.untrue}" if self.untrue else "twist",
            parameters=p,
        )

    def _within(self, fit: least_squares.Fit, free: tuple[int, ...]) -> Array:
        """Half widths of 95 % intervals, by curvature or by blocks of scores, whichever is wider."""
        jacobian, places = fit.jacobian, list(free)
        gram = jacobian.T @ jacobian
        inverse = np.linalg.pinv(gram)
        count = int(self.fitted.sum())
        variance = fit.square / max(len(fit.residuals) - len(free), 1)
        scores = jacobian * fit.residuals[:, None]
        both = scores[:count] + scores[count:]
        block = max(int(BLOCK / self.record.period), 1)
        sums = np.add.reduceat(both, np.arange(0, count, block), axis=0)
        sandwich = inverse @ (sums.T @ sums) @ inverse
        spread = np.sqrt(
            np.maximum.reduce([np.diag(variance * inverse), np.diag(sandwich), np.zeros(len(free))])
        )
        return TWO_SIDED * spread * _SCALE[places]
