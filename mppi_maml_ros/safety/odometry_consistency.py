"""Whether the twist of odometry says what its pose does.

Over spans of ``SPAN`` the mean twist is held against the displacement. Where the two disagree for a while,
what the twist says instead is looked for: nothing, the command, the displacement in the frame of odometry,
its opposite, a multiple of it, or always the same. Medians decide, so that single jumps of a pose do not; a
twist that comes up to ``LATE`` spacings late is no contradiction. No clock: time comes in with the stamps.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable

import attrs
import numpy as np
from numpy.typing import NDArray

from ..core.command_history import CommandHistory
from ..core.kernels.cache import njit
from ..core.kernels.se2 import displacement
from ..core.recent import Recent
from ..core.types import Array, Odometry

SPAN, SHORTEST = 0.4, 0.2  # [s] over which a displacement is compared, and over which it is at the start
SPACING = 0.1  # [s] from one comparison to the next
LATE = 2  # spacings that a twist may lag behind
KEPT, FEWEST = 12, 6  # comparisons in motion that are looked at, and that a verdict needs
OLDEST = 5.0  # [s] of a comparison
LONGEST_GAP = 0.5  # [s] between two samples
MOVING = np.array([0.06, 0.12])  # [m/s, rad/s] below it neither twist nor displacement says anything
FLOOR = np.array([0.09, 0.15])  # [m/s, rad/s] differences below it are noise
NOISY = 1.3  # times what the difference changes by from span to span, likewise
UNEXPLAINED = 1.5  # times the floor, where nothing explains the difference
SHARE, UNEXPLAINED_SHARE = 0.2, 0.5  # of the motion that a contradiction differs by, explained or not
EXPLAINS = 0.35  # share of the difference that an explanation may leave
CLEARLY_EXPLAINS, EARLY = 0.25, 0.55  # and share at which the bounds fall to this share
ABOUT_AS_GOOD = 1.5  # times what the best leaves
AGREEING = 0.7  # of these bounds; below it twist and pose agree
SUSPICIOUS = 2  # comparisons in a row without an explanation
SEEN_TO_AGREE = 1.0  # [s] in motion after which an axis is relied on while the other is contradicted
FORGIVEN_AFTER = 10.0  # [s] in motion that a contradiction is over after, and twice as long each time


class Contradiction(str, enum.Enum):
    """What a twist says in place of the motion, the simplest first; completes "the twist ..."."""

    ZERO = "is zero"
    SIGN = "has the other sign"
    FRAME = "is in the frame of the pose"
    ECHO = "repeats the command"
    SCALE = "has another scale"
    HANGING = "hangs"
    OTHER = "is another motion"


@attrs.frozen
class Finding:
    """A contradiction on one axis.

    Attributes:
        axis: 0: linear.x; 1: angular.z.
        contradiction: which one.
        said, moved: typical size of the twist and of the pose's own rate [m/s or rad/s].
    """

    axis: int
    contradiction: Contradiction
    said: float
    moved: float

    def __str__(self) -> str:
        name, unit = ("linear.x", "m/s") if self.axis == 0 else ("angular.z", "rad/s")
        return (
            f"the twist {self.contradiction.value} ({name} says {self.said:.2f} {unit}, "
            f"the pose moves at {self.moved:.2f})"
        )


_UNKNOWN = np.full(2, math.nan)
_KINDS = tuple(Contradiction)
_ZERO, _SIGN, _FRAME, _ECHO, _SCALE, _HANGING, _OTHER = range(len(_KINDS))
# Of a comparison: end, the pose's own rate, mean twist, mean command (NaN: none known), rate along x of the
# frame of odometry, and whether every twist of the span was the same.
_STAMP, _RATE, _TWIST, _COMMAND, _ALONG_X, _CONSTANT, _COMPARED = 0, 1, 3, 5, 7, 8, 9
_NOTHING, _AGREES, _CONTRADICTS = range(3)


class OdometryConsistency:
    """Compares twist and displacement of odometry that passed the checks."""

    def __init__(self) -> None:
        self._forgiven_after = [FORGIVEN_AFTER, FORGIVEN_AFTER]
        self._found: list[Finding | None] = [None, None]
        self._findings: tuple[Finding, ...] = ()  # asked for more often than they change
        self._since = [math.inf, math.inf]
        self._agreeing = [0.0, 0.0]
        self._suspicious = [0, 0]
        self._commands = CommandHistory()
        self.reset()

    def reset(self) -> None:
        """Forget samples and commands, as after a jump of the clock; findings stay."""
        self._commands.reset()
        self._break()

    def _break(self) -> None:
        self._suspicious = [0, 0]
        self._samples = Recent(6)  # (stamp, x, y, yaw, v, omega)
        self._compared = Recent(_COMPARED)
        self._last = self._last_compared = -math.inf  # stamps

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Contradictions at present."""
        return self._findings

    def _find(self, axis: int, finding: Finding | None) -> None:
        self._found[axis] = finding
        self._findings = tuple(found for found in self._found if found is not None)

    def since(self, axes: Iterable[int] = (0, 1)) -> float:
        """Stamp from which on the twist on any of these axes is not to be relied on [s]; infinite if it is.

        What an axis said is as old as the finding on it; without one of its own, as that on the other.
        """
        own = [self._since[axis] for axis in axes if self._found[axis] is not None]
        return min(own, default=min(self._since))

    def contradicted(self, axis: int) -> bool:
        """Whether the twist on an axis is not to be relied on.

        While the other axis is contradicted, one that was not seen to agree is not relied on either, nor one
        that may hang with it.
        """
        if not self._findings:
            return False
        if self._found[axis] is not None:
            return True
        other = self._found[1 - axis]
        if other is None:
            return False
        return other.contradiction is Contradiction.HANGING or self._agreeing[axis] < SEEN_TO_AGREE

    @property
    def suspected(self) -> bool:
        """A contradiction that is not known yet may be about to be found."""
        return max(self._suspicious) >= SUSPICIOUS and any(
            count >= SUSPICIOUS and not self.contradicted(axis) for axis, count in enumerate(self._suspicious)
        )

    def add_command(self, stamp: float, command: Iterable[float]) -> None:
        """A command (v, omega) in force from ``stamp`` [s]; one that is not finite is ignored."""
        v, omega = command
        if math.isfinite(stamp) and math.isfinite(v) and math.isfinite(omega):
            self._commands.record(stamp, (v, omega))

    def add_odometry(self, sample: Odometry, continuous: bool = True) -> bool:
        """A sample, in the order of stamps.

        Args:
            continuous: the robot drove here from the sample before; no gap, jump or relocation.

        Returns:
            Whether a contradiction was found, or is over.
        """
        if not continuous or not 0.0 < sample.stamp - self._last <= LONGEST_GAP:
            self._break()
        stamp = self._last = sample.stamp
        row = self._samples.add()
        row[0], row[1:4], row[4:] = stamp, sample.pose, sample.twist
        if stamp - self._last_compared < SPACING - 1e-6:
            return False
        self._samples.drop(_older(self._samples.rows, SPAN))
        rows = self._samples.rows
        if stamp - rows.item(0, 0) < SHORTEST - 1e-6:
            return False
        self._last_compared = stamp
        command = self._commands.mean_over(rows.item(0, 0), stamp) if len(self._commands) else _UNKNOWN
        _compare(rows, command, self._compared.add())
        self._compared.drop(len(self._compared) - 4 * KEPT)
        changed = [self._judge(axis) for axis in range(2)]
        return any(changed)

    @staticmethod
    def warm_up() -> None:
        """Compile all that a sample needs."""
        other, twist = OdometryConsistency(), np.array([0.3, 0.0])
        for k in range(round(2.0 * SPAN / SPACING)):
            stamp = k * SPACING
            if stamp > SPAN:
                other.add_command(stamp, twist)
            other.add_odometry(Odometry(stamp, np.array([0.3 * stamp, 0.0, 0.0]), twist))

    def _judge(self, axis: int) -> bool:
        """Look at the newest comparisons in motion; whether the finding on the axis changed."""
        before = self._found[axis]
        doubtful, verdict, why, since, lasts, said, moved = _judged(
            self._compared.rows, axis, -1 if before is None else _KINDS.index(before.contradiction)
        )
        self._suspicious[axis] = self._suspicious[axis] + 1 if doubtful else 0
        if verdict == _AGREES:
            return self._agrees(axis, lasts)
        if verdict == _NOTHING:
            return False
        if before is None:
            self._since[axis] = since
        self._agreeing[axis] = 0.0
        self._find(axis, Finding(axis, _KINDS[why], said, moved))
        return before is None

    def _agrees(self, axis: int, lasts: float) -> bool:
        self._agreeing[axis] += lasts
        if self._found[axis] is None or self._agreeing[axis] < self._forgiven_after[axis]:
            return False
        self._find(axis, None)
        self._since[axis] = math.inf
        self._forgiven_after[axis] *= 2.0
        return True


@njit(cache=True)
def _older(samples: Array, span: float) -> int:
    """Samples before the newest one that is older than the last by a span; 0 when there is none."""
    count = len(samples)
    latest, k = samples[count - 1, 0] - span + 1e-6, 0
    while k + 2 < count and samples[k + 1, 0] <= latest:
        k += 1
    return k


@njit(cache=True)
def _compare(samples: Array, command: Array, out: Array) -> None:
    """Twist and displacement over a span, (stamp, x, y, yaw, v, omega) by row; see ``_COMPARED``."""
    count = len(samples)
    first, last = samples[0], samples[count - 1]
    span = last[0] - first[0]
    out[:] = 0.0
    same = True
    for k in range(1, count):
        a, b = samples[k - 1], samples[k]
        # Turns of more than half a circle within a span are followed sample by sample.
        forward, _, turn = displacement(a[1:4], b[1:4])
        out[_RATE] += forward / span
        out[_RATE + 1] += turn / span
        for axis in range(2):
            out[_TWIST + axis] += 0.5 * (a[4 + axis] + b[4 + axis]) * (b[0] - a[0]) / span
        same = same and b[4] == first[4] and b[5] == first[5]
    out[_STAMP], out[_ALONG_X], out[_CONSTANT] = last[0], (last[1] - first[1]) / span, 1.0 if same else 0.0
    out[_COMMAND], out[_COMMAND + 1] = command[0], command[1]


@njit(cache=True)
def _judged(compared: Array, axis: int, before: int) -> tuple[bool, int, int, float, float, float, float]:
    """What the newest comparison, and those in motion before it, say of an axis.

    Args:
        compared: rows of comparisons, the oldest first.
        before: kind of the contradiction that is known, -1 for none.

    Returns:
        Whether the newest is doubtful, the verdict; of a contradiction its kind and since when; time from the
        comparison before; typical size of twist and rate.
    """
    newest = compared[len(compared) - 1]
    twist, rate = compared[:, _TWIST + axis], compared[:, _RATE + axis]
    now_twist, now_rate = abs(newest[_TWIST + axis]), abs(newest[_RATE + axis])
    apart = abs(newest[_TWIST + axis] - newest[_RATE + axis])
    doubtful = apart > max(UNEXPLAINED * FLOOR[axis], UNEXPLAINED_SHARE * max(now_twist, now_rate))
    nothing = doubtful, _NOTHING, _OTHER, 0.0, 0.0, 0.0, 0.0
    moving, count = np.empty(KEPT, dtype=np.int64), 0  # the newest first
    if not max(now_twist, now_rate) > MOVING[axis]:
        return nothing
    for k in range(len(compared) - 1, -1, -1):
        if count == KEPT or newest[_STAMP] - compared[k, _STAMP] > OLDEST:
            break
        if max(abs(rate[k]), abs(twist[k])) > MOVING[axis]:
            moving[count] = k
            count += 1
    if count < FEWEST:
        return nothing
    moving = moving[:count]
    values, size = np.empty((LATE + 1, count)), np.empty(count)
    for i in range(count):
        k = moving[i]
        size[i] = max(abs(twist[k]), abs(rate[k]))
        for late in range(LATE + 1):
            values[late, i] = abs(twist[k] - rate[max(k - late, 0)])
    typical, differs = _median(size), math.inf
    for late in range(LATE + 1):
        differs = min(differs, _median(values[late]))
    noise = NOISY * _noise(twist, rate, moving)
    scale, floor = SHARE * typical, max(FLOOR[axis], noise)
    if _clear(compared, axis, moving, differs):
        # These agree until the robot turns or is slow, and do harm before the rest is sure of them.
        scale, floor = EARLY * scale, max(EARLY * FLOOR[axis], noise)
    elif differs <= AGREEING * max(scale, min(floor, EXPLAINS * typical)):
        lasts = newest[_STAMP] - compared[moving[1], _STAMP]
        return doubtful, _AGREES, _OTHER, 0.0, lasts, 0.0, 0.0
    why = _explanation(compared, axis, moving[:FEWEST], before)
    if why == _OTHER:
        scale, floor = UNEXPLAINED_SHARE * typical, UNEXPLAINED * floor
    if differs <= max(scale, floor):
        return nothing
    said, moved = _median(np.abs(twist[moving])), _median(np.abs(rate[moving]))
    return doubtful, _CONTRADICTS, why, compared[moving[count - 1], _STAMP] - SPAN, 0.0, said, moved


@njit(cache=True)
def _clear(compared: Array, axis: int, moving: NDArray[np.int64], differs: float) -> bool:
    """Whether the command, or the displacement in the frame of the pose, fits far better."""
    frames, commands = np.empty(len(moving)), np.empty(len(moving))
    for i in range(len(moving)):
        row = compared[moving[i]]
        said, command = row[_TWIST + axis], row[_COMMAND + axis]
        frames[i] = abs(said - row[_ALONG_X]) if axis == 0 else math.nan
        commands[i] = math.nan if abs(command) < MOVING[axis] else abs(said - command)
    return _median(frames) <= CLEARLY_EXPLAINS * differs or _median(commands) <= CLEARLY_EXPLAINS * differs


@njit(cache=True)
def _noise(twist: Array, rate: Array, moving: NDArray[np.int64]) -> float:
    """Median change of the difference between spans that do not overlap: what jumps about is noise."""
    apart, changes, count = round(SPAN / SPACING), np.empty(len(moving)), 0
    for k in moving:
        if k >= apart:
            before = twist[k - apart] - rate[k - apart]
            changes[count] = abs(twist[k] - rate[k] - before)
            count += 1
    return _median(changes[:count]) if count else 0.0


@njit(cache=True)
def _explanation(compared: Array, axis: int, moving: NDArray[np.int64], before: int) -> int:
    """What the twist says instead: what it said before, or the simplest of those that explain it best."""
    count, constant, product, square = len(moving), True, 0.0, 0.0
    for k in moving:
        product += compared[k, _TWIST + axis] * compared[k, _RATE + axis]
        square += compared[k, _RATE + axis] ** 2
        constant = constant and compared[k, _CONSTANT] > 0.0
    scale = product / max(square, 1e-12)
    left, apart = np.empty((_SCALE + 1, count)), np.empty(count)
    for i in range(count):
        row = compared[moving[i]]
        said, moved = row[_TWIST + axis], row[_RATE + axis]
        apart[i] = abs(said - moved)
        left[_ZERO, i], left[_SIGN, i] = abs(said), abs(said + moved)
        left[_FRAME, i] = abs(said - row[_ALONG_X]) if axis == 0 else math.nan
        left[_ECHO, i], left[_SCALE, i] = abs(said - row[_COMMAND + axis]), abs(said - moved * scale)
    differs, medians, least = _median(apart), np.empty(_SCALE + 1), math.inf
    for kind in range(len(medians)):
        medians[kind] = _median(left[kind])
        if medians[kind] < least:
            least = medians[kind]
    if before == _HANGING and constant:
        return _HANGING
    if 0 <= before <= _SCALE and medians[before] <= EXPLAINS * differs:
        return before
    if least <= EXPLAINS * differs:
        within, best = max(ABOUT_AS_GOOD * least, 0.1 * differs), 0
        while not medians[best] <= within:
            best += 1
        if best != _SCALE:
            return best
    if constant:
        return _HANGING
    return _SCALE if least <= EXPLAINS * differs else _OTHER


@njit(cache=True)
def _median(values: Array) -> float:
    """Of a few values; NaN where one of them is."""
    if np.isnan(values).any():
        return math.nan
    ordered, middle = np.sort(values), len(values) // 2
    return 0.5 * (ordered[middle - 1] + ordered[middle]) if len(values) % 2 == 0 else ordered[middle]


def contradictions(
    samples: Iterable[Odometry], commands: Iterable[tuple[float, Array]] = ()
) -> dict[int, Finding]:
    """What is contradictory in a recorded run.

    Args:
        samples: in the order of stamps.
        commands: (stamp [s], (v, omega)), in the order of stamps and on their clock.

    Returns:
        The first finding on each axis that has one.
    """
    consistency = OdometryConsistency()
    found: dict[int, Finding] = {}
    events = [(stamp, 0, command) for stamp, command in commands]
    events += [(sample.stamp, 1, sample) for sample in samples]  # type: ignore[misc]
    for stamp, kind, value in sorted(events, key=lambda event: event[:2]):
        if kind == 0:
            consistency.add_command(stamp, value)
        elif consistency.add_odometry(value):  # type: ignore[arg-type]
            for finding in consistency.findings:
                found.setdefault(finding.axis, finding)
    return found
