"""Whether the twist of odometry says what its pose does.

Over spans of ``SPAN`` the mean twist is held against the displacement. Where the two disagree for a while,
what the twist says instead is looked for: nothing, the command, the displacement in the frame of odometry,
its opposite, a multiple of it, or always the same. Medians decide, so that single jumps of a pose do not; a
twist that comes up to ``LATE`` spacings late is no contradiction. No clock: time comes in with the stamps.
"""

from __future__ import annotations

import collections
import enum
import math
from collections.abc import Iterable

import attrs
import numpy as np

from ..core import se2
from ..core.command_history import CommandHistory
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
    """What a twist says in place of the motion; the value completes "the twist ..."."""

    ZERO = "is zero"
    FRAME = "is in the frame of the pose"
    SIGN = "has the other sign"
    ECHO = "repeats the command"
    HANGING = "hangs"
    SCALE = "has another scale"
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


@attrs.frozen
class _Compared:
    """One span: pose's own rate, mean twist, mean command (NaN: none known), (2,) each; see ``frame``."""

    stamp: float
    rate: Array
    twist: Array
    command: Array
    frame: float  # [m/s] along x of the frame of odometry
    constant: bool  # every twist of the span was the same


class OdometryConsistency:
    """Compares twist and displacement of odometry that passed the checks."""

    def __init__(self) -> None:
        self._forgiven_after = [FORGIVEN_AFTER, FORGIVEN_AFTER]
        self._found: list[Finding | None] = [None, None]
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
        self._samples: collections.deque[Odometry] = collections.deque()
        self._compared: collections.deque[_Compared] = collections.deque(maxlen=4 * KEPT)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Contradictions at present."""
        return tuple(finding for finding in self._found if finding is not None)

    @property
    def since(self) -> float:
        """Stamp from which on the data that led to the present findings come [s]; infinite without any."""
        return min(self._since)

    def contradicted(self, axis: int) -> bool:
        """Whether the twist on an axis is not to be relied on.

        While the other axis is contradicted, one that was not seen to agree is not relied on either, nor one
        that may hang with it.
        """
        if self._found[axis] is not None:
            return True
        other = self._found[1 - axis]
        if other is None:
            return False
        return other.contradiction is Contradiction.HANGING or self._agreeing[axis] < SEEN_TO_AGREE

    @property
    def suspected(self) -> bool:
        """A contradiction that is not known yet may be about to be found."""
        return any(
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
        samples = self._samples
        if samples and (not continuous or not 0.0 < sample.stamp - samples[-1].stamp <= LONGEST_GAP):
            self._break()
            samples = self._samples
        samples.append(sample)
        while len(samples) > 2 and sample.stamp - samples[1].stamp >= SPAN - 1e-6:
            samples.popleft()
        if sample.stamp - samples[0].stamp < SHORTEST - 1e-6:
            return False
        if self._compared and sample.stamp - self._compared[-1].stamp < SPACING - 1e-6:
            return False
        self._compare()
        changed = [self._judge(axis) for axis in range(2)]
        return any(changed)

    def _compare(self) -> None:
        samples = list(self._samples)
        first, last = samples[0], samples[-1]
        span = last.stamp - first.stamp
        twists = np.array([s.twist for s in samples])
        steps = np.diff([s.stamp for s in samples])
        mean = (0.5 * (twists[1:] + twists[:-1]) * steps[:, None]).sum(axis=0) / span
        command = np.full(2, np.nan)
        if len(self._commands):
            command = self._commands.mean_over(first.stamp, last.stamp)
        # Turns of more than half a circle within a span are followed sample by sample.
        moved = se2.displacement_twist(
            np.array([s.pose for s in samples[:-1]]), np.array([s.pose for s in samples[1:]]), steps
        )
        rate = (moved * steps[:, None]).sum(axis=0)[[0, 2]] / span
        frame = (last.pose[0] - first.pose[0]) / span
        constant = bool((twists == twists[0]).all())
        self._compared.append(_Compared(last.stamp, rate, mean, command, frame, constant))

    def _judge(self, axis: int) -> bool:
        """Look at the newest comparisons in motion; whether the finding on the axis changed."""
        newest = self._compared[-1]
        apart = abs(newest.twist[axis] - newest.rate[axis])
        largest = max(abs(newest.twist[axis]), abs(newest.rate[axis]))
        doubtful = apart > max(UNEXPLAINED * FLOOR[axis], UNEXPLAINED_SHARE * largest)
        self._suspicious[axis] = self._suspicious[axis] + 1 if doubtful else 0
        rows = [(k, row) for k, row in enumerate(self._compared) if newest.stamp - row.stamp <= OLDEST]
        moving = [(k, r) for k, r in rows if max(abs(r.rate[axis]), abs(r.twist[axis])) > MOVING[axis]][
            -KEPT:
        ]
        if len(moving) < FEWEST or moving[-1][1] is not newest:
            return False
        said = np.array([row.twist[axis] for _, row in moving])
        moved = np.array([row.rate[axis] for _, row in moving])
        size = float(np.median(np.maximum(np.abs(said), np.abs(moved))))
        differs = min(self._difference(moving, axis, late) for late in range(LATE + 1))
        noise = NOISY * self._noise(moving, axis)
        scale, floor = SHARE * size, max(FLOOR[axis], noise)
        if self._clear(axis, moving, said, differs):
            # These agree until the robot turns or is slow, and do harm before the rest is sure of them.
            scale, floor = EARLY * scale, max(EARLY * FLOOR[axis], noise)
        elif differs <= AGREEING * max(scale, min(floor, EXPLAINS * size)):
            return self._agrees(axis, moving)
        why = self._explanation(axis, moving[-FEWEST:])
        if why is Contradiction.OTHER:
            scale, floor = UNEXPLAINED_SHARE * size, UNEXPLAINED * floor
        if differs <= max(scale, floor):
            return False
        if self._found[axis] is None:
            self._since[axis] = moving[0][1].stamp - SPAN
        self._agreeing[axis] = 0.0
        new = self._found[axis] is None
        self._found[axis] = Finding(axis, why, *np.median(np.abs((said, moved)), axis=1).tolist())
        return new

    def _clear(self, axis: int, moving: list[tuple[int, _Compared]], said: Array, differs: float) -> bool:
        """Whether the command, or the displacement in the frame of the pose, fits far better."""
        frames = np.array([row.frame if axis == 0 else np.nan for _, row in moving])
        commands = np.array([row.command[axis] for _, row in moving])
        commands[np.abs(commands) < MOVING[axis]] = np.nan
        left = (float(np.median(np.abs(said - expected))) for expected in (frames, commands))
        return any(value <= CLEARLY_EXPLAINS * differs for value in left)

    def _difference(self, moving: list[tuple[int, _Compared]], axis: int, late: int) -> float:
        """Median of what the twist differs by from the displacement ``late`` comparisons before."""
        kept = self._compared
        return float(
            np.median([abs(row.twist[axis] - kept[max(k - late, 0)].rate[axis]) for k, row in moving])
        )

    def _noise(self, moving: list[tuple[int, _Compared]], axis: int) -> float:
        """Median change of the difference between spans that do not overlap: what jumps about is noise."""
        apart, kept = round(SPAN / SPACING), self._compared
        difference = [row.twist[axis] - row.rate[axis] for row in kept]
        changes = [abs(difference[k] - difference[k - apart]) for k, _ in moving if k >= apart]
        return float(np.median(changes)) if changes else 0.0

    def _agrees(self, axis: int, moving: list[tuple[int, _Compared]]) -> bool:
        self._agreeing[axis] += moving[-1][1].stamp - moving[-2][1].stamp
        if self._found[axis] is None or self._agreeing[axis] < self._forgiven_after[axis]:
            return False
        self._found[axis], self._since[axis] = None, math.inf
        self._forgiven_after[axis] *= 2.0
        return True

    def _explanation(self, axis: int, moving: list[tuple[int, _Compared]]) -> Contradiction:
        """What the twist says instead: what it said before, or the simplest of those that explain it best."""
        rows = [row for _, row in moving]
        said = np.array([row.twist[axis] for row in rows])
        moved = np.array([row.rate[axis] for row in rows])
        differs = float(np.median(np.abs(said - moved)))
        scale = float(said @ moved) / max(float(moved @ moved), 1e-12)
        candidates = {
            Contradiction.ZERO: np.zeros(len(rows)),
            Contradiction.SIGN: -moved,
            Contradiction.FRAME: np.array([row.frame if axis == 0 else np.nan for row in rows]),
            Contradiction.ECHO: np.array([row.command[axis] for row in rows]),
            Contradiction.SCALE: moved * scale,
        }
        left = {name: float(np.median(np.abs(said - says))) for name, says in candidates.items()}
        before, constant = self._found[axis], all(row.constant for row in rows)
        if before is not None and before.contradiction is Contradiction.HANGING and constant:
            return Contradiction.HANGING
        if before is not None and left.get(before.contradiction, math.inf) <= EXPLAINS * differs:
            return before.contradiction
        least = min((value for value in left.values() if not math.isnan(value)), default=math.inf)
        if least <= EXPLAINS * differs:
            within = max(ABOUT_AS_GOOD * least, 0.1 * differs)
            best = next(name for name, value in left.items() if value <= within)
            if best is not Contradiction.SCALE:
                return best
        if constant:
            return Contradiction.HANGING
        return Contradiction.SCALE if least <= EXPLAINS * differs else Contradiction.OTHER


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
