"""A path of poses without times, such as a planner gives, made into a reference that can be tracked.

The path is a polyline over arc length s [m]. A speed profile turns s into time, the robot's
projection says where on it the robot is, and :meth:`PathReference.window` reads the poses ahead.

Where the direction of travel flips (a cusp between driving forwards and in reverse, or a corner
sharper than 115 degrees) the path is cut: the next piece is not looked at before the cut is reached.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.angles import wrap
from ..core.types import Array
from ..core.validators import above_zero, not_negative, within
from .polyline import thinned, validated
from .smoothing import smoothed

_MIN_SPEED = 0.02  # m/s; keeps the time to a place with a wanted speed of zero finite
_GRID = 0.05  # m; spacing on which heading, curvature and speed are computed
_SMOOTHING = 0.1  # m; tangents are chords over twice this length
_CURVATURE_SHARE = 0.8  # of wz_max that curves may use; the rest is left for feedback
_CORNER_COSINE = math.cos(math.radians(115.0))
_ALONG_COSINE = 0.5  # poses within 60 degrees of the direction of travel, or of its opposite, agree
_SHORT_RUN = 0.05  # m; shorter flips of the travel direction are noise
_DISAGREEING_SHARE = 0.1  # of the length; with more the yaws of the poses mean nothing
_SECTION_LENGTH = 200.0  # m
_SECTION_POSES = 20000
_SECTION_OVERLAP = 20.0  # m; the next section is built this far before the end of the present one
_EARLIEST_WITHIN = 0.2  # m; of equally near places on the path the robot starts at the first

_Indices = NDArray[np.int64]
_Smooth = Callable[[Array, Array, _Indices], Array]  # (a, b, step): the mean of something over [a, b]


@attrs.frozen
class PathProfile:
    """How a path is driven.

    Attributes:
        desired_speed: where nothing else limits it [m/s].
        reverse_speed: largest speed in reverse [m/s]; 0: never in reverse, headings follow the
            direction of travel.
        wz_max: yaw rate limit, of which curves may use 80 % [rad/s].
        deceleration: towards the goal and the cuts [m/s^2].
        approach_time: the speed is at most the distance to goal or cut divided by this [s]; four times
            the robot's lag or more lets it come to rest there without going too far. 0: no such bound.
        tolerance: noise is smoothed out of the path, moving no pose by more [m]; 0: it is kept.
        resolution: poses nearer to each other along the path are thinned out [m].
        search_distance: how far ahead of the last progress the robot is looked for [m].
        turn_tolerance: a cut is reached within this distance of it [m].
    """

    desired_speed: float = attrs.field(default=0.5, converter=float, validator=above_zero)
    reverse_speed: float = attrs.field(default=0.35, converter=float, validator=not_negative)
    wz_max: float = attrs.field(default=1.9, converter=float, validator=above_zero)
    deceleration: float = attrs.field(default=1.0, converter=float, validator=above_zero)
    approach_time: float = attrs.field(default=0.0, converter=float, validator=not_negative)
    tolerance: float = attrs.field(default=0.1, converter=float, validator=not_negative)
    resolution: float = attrs.field(default=0.02, converter=float, validator=within(0.01, 1.0))
    search_distance: float = attrs.field(default=1.0, converter=float, validator=above_zero)
    turn_tolerance: float = attrs.field(default=0.1, converter=float, validator=above_zero)


class PathReference:
    """Tracks progress along a path and gives the poses ahead of it.

    The work per call does not depend on the number of poses; construction is one vectorised pass.
    Progress never goes back.

    Args:
        poses: shape (M, 3), (x [m], y [m], yaw [rad]) in the odometry frame. Where the yaws
            contradict the direction of travel they are ignored, but for the last one, the goal's.
        profile: how to drive it.
        headed: the yaws mean something; else none is wanted, neither on the way nor at the goal.

    Attributes:
        poses, headed: as given.

    Raises:
        InvalidPathError: no pose, a pose that is not finite or absurdly far, or another shape.
    """

    def __init__(self, poses: ArrayLike, profile: PathProfile = PathProfile(), headed: bool = True) -> None:
        self._profile, self.headed = profile, headed
        poses = self.poses = validated(poses)
        self._goal = np.array([poses[-1, 0], poses[-1, 1], wrap(poses[-1, 2])])
        self._vertices, self._arc = thinned(smoothed(poses, profile.tolerance), profile.resolution)
        self._length = float(self._arc[-1])
        self._use_yaw = None if headed else False
        if not headed:
            before = self._vertices[-min(2, len(self._vertices)), :2]
            self._goal[2] = wrap(math.atan2(*(self._goal[:2] - before)[::-1]))
        self.restart()

    def restart(self) -> None:
        """Forget the progress; the robot is looked for anew from the beginning on."""
        self._section: _Section | None = self._build_section(0.0) if self._length > 0.0 else None
        self._s: float | None = None
        self._stop = 0
        self._found: tuple[tuple[float, float], float, float] | None = None

    def resume(self, progress: float) -> None:
        """Go on ``progress`` [m] along the path, as when a path is made anew with another profile."""
        if self._length > 0.0 and progress > 0.0:
            self._s = min(progress, self._length)
            self._section = self._build_section(self._s)
            self._stop = int(np.searchsorted(self._section.stops[:-1], self._s, side="right"))
            self._found = None

    def retime(self, profile: PathProfile) -> None:
        """Drive the same way, and on it from where the robot is, by the speeds of another profile."""
        self._profile = profile
        if self._section is not None:
            self._section.retime(profile)

    @property
    def started(self) -> bool:
        """The robot has been looked for on the path."""
        return self._s is not None

    @property
    def goal(self) -> np.ndarray:
        """Last pose of the path, shape (3,); where no heading is wanted, with that of arrival."""
        return self._goal.copy()

    @property
    def length(self) -> float:
        """Length of the path [m]; 0 when there is only one place to be."""
        return self._length

    @property
    def progress(self) -> float:
        """How far along the path the robot has come [m]."""
        return self._s or 0.0

    @property
    def remaining(self) -> float:
        """Way left along the path [m]."""
        return self._length - self.progress

    def distance(self, state: Array) -> float:
        """Distance from the robot to the part of the path where it can be [m].

        Args:
            state: (x, y, ...) in the frame of the path.
        """
        return self._locate(state)[1]

    def window(self, state: Array, steps: int, dt: float, lead: float = 0.0) -> np.ndarray:
        """Poses wanted now and after each of ``steps`` steps of ``dt`` [s].

        Moves the progress on to the robot's projection on the path, where the window starts.

        Args:
            state: (x, y, ...) in the frame of the path.
            lead: by which the window starts farther along the path, but not beyond a cut [m].

        Returns:
            Shape (steps + 1, 3), in the frame of the path.
        """
        if self._section is None:
            return np.repeat(self._goal[None], steps + 1, axis=0)
        section, start = self._advance(state, self._section)
        end = section.stops[self._stop]
        first = np.interp(min(start + lead, end), section.s, section.time)
        time = first + dt * np.arange(steps + 1)
        s = np.minimum(np.interp(time, section.time, section.s), end)
        poses = section.at(s, start, end)
        if section.is_last and self.headed:
            poses[s >= self._length - 1e-6, 2] = self._goal[2]
        return poses

    def _advance(self, state: Array, section: _Section) -> tuple[_Section, float]:
        x, y = float(state[0]), float(state[1])
        s, _ = self._locate(state)
        self._s = s if self._s is None else max(self._s, s)
        while self._stop < len(section.stops) - 1:
            stop = section.stops[self._stop]
            if stop >= self._s:
                stop_x, stop_y = section.stop_places[self._stop]
                if not (
                    stop - self._s <= self._profile.turn_tolerance
                    and math.hypot(x - stop_x, y - stop_y) <= self._profile.turn_tolerance
                ):
                    break
                self._s = stop
            self._stop += 1
            self._found = None
        if not section.is_last and self._s > section.s[-1] - _SECTION_OVERLAP:
            section = self._section = self._build_section(self._s)
            self._stop = int(np.searchsorted(section.stops[:-1], self._s, side="right"))
            self._found = None
        return section, self._s

    def _locate(self, state: Array) -> tuple[float, float]:
        """Arc length of the robot's projection, not behind the progress, and the distance to it."""
        x, y = float(state[0]), float(state[1])
        if self._found is not None and self._found[0] == (x, y):
            return self._found[1], self._found[2]
        section = self._section
        if section is None:
            s, distance = 0.0, math.hypot(x - self._goal[0], y - self._goal[1])
        elif self._s is None:
            s, distance = section.first_near(x, y, section.stops[0], self._profile.search_distance)
        else:
            end = min(self._s + self._profile.search_distance, section.stops[self._stop])
            s, distance = section.nearest(x, y, self._s, end)
        self._found = ((x, y), s, distance)
        return s, distance

    def _build_section(self, start: float) -> _Section:
        """The piece of the path around and after arc length ``start``."""
        arc = self._arc
        first = max(0, int(np.searchsorted(arc, start - 2.0 * _SMOOTHING, side="right")) - 1)
        end = start + _SECTION_LENGTH
        last = min(int(np.searchsorted(arc, end)), len(arc) - 1, first + _SECTION_POSES)
        section = _Section(
            vertices=self._vertices[first : last + 1],
            arc=arc[first : last + 1],
            profile=self._profile,
            use_yaw=self._use_yaw,
            start=start,
            end=end,
            is_last=last == len(arc) - 1,
        )
        self._use_yaw = section.use_yaw
        return section


class _Section:
    """A piece of a path, sampled densely enough for headings, curvature and speed.

    Attributes:
        s: arc lengths of the samples [m], shape (n,), increasing.
        time: when they are reached under the speed profile, from the first on [s], shape (n,).
        stops: arc lengths of the cuts and, last, of the end of the piece [m].
        stop_places: where they are, shape (len(stops), 2).
        use_yaw: the yaws of the poses are headings of the robot.
        is_last: the piece ends at the goal.
    """

    def __init__(
        self, vertices: Array, arc: Array, profile: PathProfile, use_yaw: bool | None,
        start: float, end: float, is_last: bool,
    ) -> None:  # fmt: skip
        step, ds = np.diff(vertices[:, :2], axis=0), np.diff(arc)
        unit = step / ds[:, None]
        corners = np.flatnonzero(np.einsum("ij,ij->i", unit[:-1], unit[1:]) < _CORNER_COSINE) + 1
        yaws = vertices[:-1, 2]
        along = np.cos(yaws) * unit[:, 0] + np.sin(yaws) * unit[:, 1]
        gear = np.where(along > _ALONG_COSINE, 1, np.where(along < -_ALONG_COSINE, -1, 0))
        unclear = float(ds[gear == 0].sum()) / float(ds.sum())
        gear = _without_short_runs(gear, ds)
        flips = np.flatnonzero(gear[:-1] != gear[1:]) + 1
        if use_yaw is None:
            use_yaw = unclear <= _DISAGREEING_SHARE and _yaws_are_headings(
                yaws, gear, flips, corners, profile
            )
        self.use_yaw, self.is_last = use_yaw, is_last
        if not use_yaw:
            gear, flips = np.ones_like(gear), flips[:0]

        low = max(arc[0], start - 2.0 * _SMOOTHING)
        high = min(arc[-1], end)
        self.is_last = is_last and high == arc[-1]
        s = np.union1d(arc, np.arange(low, high, _GRID))
        s = s[(s >= low) & (s <= high)]
        s = s[np.concatenate([np.diff(s) > 1e-9, [True]])]
        if s[-1] < high:
            s = np.append(s, high)
        x, y = np.interp(s, arc, vertices[:, 0]), np.interp(s, arc, vertices[:, 1])
        self.s, self._x, self._y = s, x, y
        self._dx, self._dy, self._ds = np.diff(x), np.diff(y), np.diff(s)
        self._squared = np.maximum(self._dx**2 + self._dy**2, 1e-18)

        cut_arc = arc[np.union1d(corners, flips)]
        cut_arc = cut_arc[(cut_arc > low) & (cut_arc < high)]
        cuts = np.unique(np.searchsorted(s, cut_arc - 1e-8))
        cuts = cuts[(cuts > 0) & (cuts < len(s) - 1)]
        self.stops = np.append(s[cuts], s[-1])
        self.stop_places = np.column_stack([np.append(x[cuts], x[-1]), np.append(y[cuts], y[-1])])

        middle = 0.5 * (s[:-1] + s[1:])
        vertex = np.clip(np.searchsorted(arc, middle) - 1, 0, len(gear) - 1)
        bounds = np.concatenate([s[:1], self.stops])
        run = np.searchsorted(self.stops[:-1], middle)
        low, high = bounds[run], bounds[run + 1]
        tangent_start, tangent_end = _at_both_ends(self._chord, s, low, high, cuts)
        if use_yaw:
            direction = np.arctan2(unit[:, 1], unit[:, 0]) + np.where(gear > 0, 0.0, np.pi)
            mean = self._mean_heading(_agreeing(vertices[:, 2], direction), arc, vertex)
            self._heading_start, heading_end = _at_both_ends(mean, s, low, high, cuts)
        else:
            self._heading_start, heading_end = tangent_start, tangent_end
        gear = gear[vertex]
        self._turn = wrap(heading_end - self._heading_start)

        curvature = np.maximum(np.abs(wrap(tangent_end - tangent_start)), np.abs(self._turn)) / self._ds
        # Near the ends of a run there is too little to smooth over, so the curvature further in is
        # taken; and that ahead counts already here, for a robot does not turn in at once.
        here = np.clip(middle, low + _SMOOTHING, np.maximum(high - _SMOOTHING, low))
        ahead = np.clip(middle + _SMOOTHING, low, np.maximum(high - _SMOOTHING, low))
        curvature = np.maximum(np.interp(here, middle, curvature), np.interp(ahead, middle, curvature))
        self._gear, self._curvature, self._cuts = gear, curvature, cuts
        self.retime(profile)

    def retime(self, profile: PathProfile) -> None:
        """Reach the samples by the speeds of a profile."""
        self.time = self._times(self._gear, self._curvature, self._cuts, profile)

    def _chord(self, a: Array, b: Array, step: _Indices) -> Array:
        """Direction of travel over [a, b]; that of the step itself where the chord closes on itself."""
        dx = np.interp(b, self.s, self._x) - np.interp(a, self.s, self._x)
        dy = np.interp(b, self.s, self._y) - np.interp(a, self.s, self._y)
        closed = dx * dx + dy * dy < 1e-12
        return np.arctan2(np.where(closed, self._dy[step], dy), np.where(closed, self._dx[step], dx))

    def _mean_heading(self, heading: Array, arc: Array, vertex: _Indices) -> _Smooth:
        """A function (a, b, step): the mean over [a, b] of ``heading`` (n, 2), at both ends of path steps."""
        share = (np.stack([self.s[:-1], self.s[1:]], axis=1) - arc[vertex, None]) / np.diff(arc)[vertex, None]
        value = heading[vertex, :1] + share * (heading[vertex, 1:] - heading[vertex, :1])
        integral = np.concatenate([[0.0], np.cumsum(value.mean(axis=1) * self._ds)])

        def mean(a: Array, b: Array, step: _Indices) -> Array:
            width = b - a
            narrow = width < 1e-6
            total = np.interp(b, self.s, integral) - np.interp(a, self.s, integral)
            at_end = np.abs(a - self.s[step]) > 0.5 * self._ds[step]
            return np.where(narrow, value[step, at_end.astype(int)], total / np.where(narrow, 1.0, width))

        return mean

    def _times(self, gear: _Indices, curvature: Array, cuts: _Indices, profile: PathProfile) -> Array:
        fastest = np.where(gear > 0, profile.desired_speed, min(profile.desired_speed, profile.reverse_speed))
        fastest = np.minimum(fastest, _CURVATURE_SHARE * profile.wz_max / np.maximum(curvature, 1e-9))
        speed = np.minimum(np.append(fastest, np.inf), np.append(np.inf, fastest))
        speed[cuts] = _MIN_SPEED
        if self.is_last:
            speed[-1] = _MIN_SPEED
        # v(s)^2 <= v(s')^2 + 2 a (s' - s) for every s' ahead: one running minimum from the end.
        rise = 2.0 * profile.deceleration * (self.s - self.s[0])
        squared = np.minimum.accumulate((speed**2 + rise)[::-1])[::-1] - rise
        speed = np.sqrt(np.maximum(squared, 0.0))
        if profile.approach_time > 0.0:
            stops = self.stops if self.is_last else self.stops[:-1]
            left = np.append(stops, np.inf)[np.searchsorted(stops, self.s)] - self.s
            speed = np.minimum(speed, left / profile.approach_time)
        speed = np.maximum(speed, _MIN_SPEED)
        return np.concatenate([[0.0], np.cumsum(2.0 * self._ds / (speed[:-1] + speed[1:]))])

    def at(self, s: Array, low: float, high: float) -> np.ndarray:
        """Poses (n, 3) at arc lengths ``s`` in [low, high], on the steps after low and before high."""
        step = np.searchsorted(self.s, s) - 1
        first = int(np.searchsorted(self.s, low, side="right")) - 1
        last = max(int(np.searchsorted(self.s, high)) - 1, 0)
        step = np.minimum(np.maximum(step, first), last)
        share = (s - self.s[step]) / self._ds[step]
        poses = np.empty((len(s), 3))
        poses[:, 0] = self._x[step] + share * self._dx[step]
        poses[:, 1] = self._y[step] + share * self._dy[step]
        poses[:, 2] = wrap(self._heading_start[step] + share * self._turn[step])
        return poses

    def nearest(self, x: float, y: float, low: float, high: float) -> tuple[float, float]:
        """Arc length in [low, high] of the place nearest to (x, y), and its distance [m]."""
        first = int(np.searchsorted(self.s, low, side="right")) - 1
        last = int(np.searchsorted(self.s, high))
        if last <= first:
            first = last - 1
        step = slice(max(first, 0), max(last, 1))
        s, squared = self._project(x, y, step)
        best = int(np.argmin(squared))
        return min(max(float(s[best]), low), high), math.sqrt(squared[best])

    def first_near(self, x: float, y: float, high: float, search: float) -> tuple[float, float]:
        """As :meth:`nearest` on all up to ``high``, but the first of several places about as near.

        A path that crosses itself, or ends where it starts, is so begun at its beginning.
        """
        last = max(int(np.searchsorted(self.s, high)), 1)
        s, squared = self._project(x, y, slice(0, last))
        within = (math.sqrt(squared.min()) + _EARLIEST_WITHIN) ** 2
        low = float(s[np.argmax(squared <= within)])
        return self.nearest(x, y, low, min(low + search, high))

    def _project(self, x: float, y: float, step: slice) -> tuple[Array, Array]:
        ox, oy = x - self._x[step], y - self._y[step]
        dx, dy = self._dx[step], self._dy[step]
        share = np.minimum(np.maximum((ox * dx + oy * dy) / self._squared[step], 0.0), 1.0)
        squared = (ox - share * dx) ** 2 + (oy - share * dy) ** 2
        return self.s[step] + share * self._ds[step], squared


def _at_both_ends(smooth: _Smooth, s: Array, low: Array, high: Array, cuts: _Indices) -> tuple[Array, Array]:
    """``smooth(a, b, step)`` around the start and the end of each step between samples ``s``.

    The interval is centred, so that it keeps what is linear, and within the run [low, high] of the step.
    """

    def around(centre: Array, step: _Indices) -> Array:
        half = np.minimum(np.minimum(centre - low[step], high[step] - centre), _SMOOTHING)
        return smooth(centre - half, centre + half, step)

    start = around(s[:-1], np.arange(len(s) - 1))
    end = np.append(start[1:], 0.0)
    last = np.append(cuts - 1, len(s) - 2)
    end[last] = around(s[last + 1], last)
    return start, end


def _agreeing(yaw: Array, direction: Array) -> Array:
    """Yaws at both ends of each step, shape (n, 2), continuous; ``direction`` where they contradict it."""
    both = np.stack([yaw[:-1], yaw[1:]], axis=1)
    both = np.where(np.cos(both - direction[:, None]) > _ALONG_COSINE, both, direction[:, None])
    return np.unwrap(both.ravel()).reshape(-1, 2)


def _without_short_runs(gear: np.ndarray, ds: np.ndarray) -> np.ndarray:
    """Gears (1 or -1) in which unclear steps and short flips take the gear of the run before them."""
    starts = np.concatenate([[0], np.flatnonzero(gear[:-1] != gear[1:]) + 1])
    lengths = np.add.reduceat(ds, starts)
    clear = gear[starts] != 0
    solid = clear & (lengths >= _SHORT_RUN)
    if not solid.any():
        solid = clear
    if not solid.any():
        return np.ones_like(gear)
    index = np.where(solid, np.arange(len(starts)), -1)
    index = np.maximum.accumulate(index)
    index[index < 0] = np.argmax(solid)
    runs = gear[starts][index]
    return np.repeat(runs, np.diff(np.append(starts, len(gear))))


def _yaws_are_headings(
    yaws: Array, gear: _Indices, flips: _Indices, corners: _Indices, profile: PathProfile
) -> bool:
    """Whether the yaws, which mostly lie along the path, can be meant as headings of the robot.

    Several planners leave every yaw but the last at zero. On a way back that looks like reverse
    driving, but a robot changes gear only where its direction of travel flips.
    """
    if (gear < 0).any() and profile.reverse_speed == 0.0:
        return False
    if len(flips):
        return bool(np.isin(flips, np.concatenate([corners - 1, corners, corners + 1])).all())
    return not (gear[0] < 0 and not yaws.any())
