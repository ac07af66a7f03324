"""Which odometry may be used, and whether the clock can be trusted.

State machines without a clock of their own: time comes in with every call. Stamps and ``now``
are on the node's clock, which may be simulated, jump or stand still; ``steady_now`` is monotonic.
"""

from __future__ import annotations

import collections
import enum
import math

import attrs
import numpy as np

from ..core.angles import wrap, yaw_from_quaternion
from ..core.errors import InvalidValueError
from ..core.types import Odometry, OdometryMessage
from ..core.validators import above_zero, at_least, not_negative
from .codes import Code

_EXACT_NORM = 1e-4  # an orientation farther from unit length is remarked on


class Reason(str, enum.Enum):
    """Outcome of the checks on one odometry message."""

    ACCEPTED = "accepted"
    NOT_FINITE = "not_finite"
    QUATERNION = "quaternion"
    IMPLAUSIBLE = "implausible"
    FRAME = "frame"
    FUTURE = "future"
    STALE = "stale"
    DUPLICATE = "duplicate"
    OUT_OF_ORDER = "out_of_order"
    TELEPORT = "teleport"
    HANGING = "hanging"


CODES = {
    Reason.ACCEPTED: Code.NONE,
    Reason.NOT_FINITE: Code.ODOMETRY_INVALID,
    Reason.QUATERNION: Code.ODOMETRY_INVALID,
    Reason.IMPLAUSIBLE: Code.ODOMETRY_INVALID,
    Reason.FRAME: Code.ODOMETRY_FRAME,
    Reason.FUTURE: Code.ODOMETRY_FUTURE,
    Reason.STALE: Code.ODOMETRY_STALE,
    Reason.DUPLICATE: Code.ODOMETRY_STALE,
    Reason.OUT_OF_ORDER: Code.ODOMETRY_STALE,
    Reason.TELEPORT: Code.ODOMETRY_TELEPORT,
    Reason.HANGING: Code.ODOMETRY_HANGING,
}
"""The status code that a persisting rejection leads to."""


@attrs.frozen
class Verdict:
    """What the checks say about one message.

    Attributes:
        reason: ACCEPTED, or why the message was dropped.
        odometry: the sample; None when dropped.
        message: one sentence; empty when accepted.
        warning: something to log once although the message was accepted; usually empty.
        continuous: the sample follows the previous accepted one without a gap, jump or relocation,
            so the motion between the two may be learned from.
        relocated: two messages agree on a place that the robot cannot have driven to.
        repeated: a teleport that was not the first within ``teleport_window``.
        since: stamp from which on the messages were no better than this one [s]; infinite: only this one.
    """

    reason: Reason
    odometry: Odometry | None = None
    message: str = ""
    warning: str = ""
    continuous: bool = False
    relocated: bool = False
    repeated: bool = False
    since: float = math.inf

    @property
    def accepted(self) -> bool:
        """The sample may be used."""
        return self.odometry is not None

    @property
    def code(self) -> Code:
        """As status messages carry the reason."""
        return CODES[self.reason]


def _not_empty(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not (isinstance(value, str) and value):
        raise InvalidValueError(f"{attribute.name} must be a non-empty string, got {value!r}")


@attrs.frozen
class OdometryTolerances:
    """What the checks let pass.

    Attributes:
        odom_frame, base_frame: the only ``frame_id`` and ``child_frame_id`` that are accepted; the
            latter may be empty.
        max_speed: fastest the base can move [m/s]; max_yaw_rate: and turn [rad/s].
        teleport_margin, teleport_yaw_margin: on top of what these speeds allow [m, rad].
        teleport_window, teleport_limit: this many teleports within this time are ``repeated`` [s].
        future_tolerance: how far a stamp may lie ahead of the clock [s].
        max_age: how far it may lie behind at arrival [s].
        max_gap: a longer time between two accepted stamps breaks continuity [s].
        quaternion_tolerance: on the norm of the orientation, which is normalised.
        max_coordinate: larger positions are implausible [m].
        max_twist: larger twist components are implausible [m/s, rad/s].
        hanging_after: a pose that is the same to the last bit for longer, while the twist would have moved it
            by ``hanging_motion`` (m, rad), hangs [s].

    Raises:
        InvalidValueError: names the field and what is allowed.
    """

    odom_frame: str = attrs.field(default="odom", validator=_not_empty)
    base_frame: str = attrs.field(default="base_link", validator=_not_empty)
    max_speed: float = attrs.field(default=1.0, validator=above_zero)
    max_yaw_rate: float = attrs.field(default=1.9, validator=above_zero)
    teleport_margin: float = attrs.field(default=0.25, validator=above_zero)
    teleport_yaw_margin: float = attrs.field(default=0.5, validator=above_zero)
    teleport_window: float = attrs.field(default=1.0, validator=above_zero)
    teleport_limit: int = attrs.field(default=2, validator=at_least(1))
    future_tolerance: float = attrs.field(default=0.1, validator=not_negative)
    max_age: float = attrs.field(default=0.25, validator=above_zero)
    max_gap: float = attrs.field(default=0.25, validator=above_zero)
    quaternion_tolerance: float = attrs.field(default=1e-2, validator=above_zero)
    max_coordinate: float = attrs.field(default=1e7, validator=above_zero)
    max_twist: float = attrs.field(default=100.0, validator=above_zero)
    hanging_after: float = attrs.field(default=0.4, validator=above_zero)
    hanging_motion: tuple[float, float] = (0.04, 0.08)


class OdometryChecks:
    """Judges odometry messages one by one, in the order of arrival.

    A sample that is too far from the last accepted one is dropped; when the next one agrees with
    it, the robot was relocated and the checks go on from there. A lone outlier is never used.
    """

    _teleports: collections.deque[float]

    def __init__(self, tolerances: OdometryTolerances) -> None:
        self._tolerances = tolerances
        self._counts = dict.fromkeys(Reason, 0)
        self._remarked: set[str] = set()
        self.reset()

    def configure(self, tolerances: OdometryTolerances) -> None:
        """Other tolerances from the next message on."""
        self._tolerances = tolerances
        self._teleports = collections.deque(self._teleports, maxlen=tolerances.teleport_limit)

    def reset(self) -> None:
        """Forget the past samples, as after a jump of the clock; the counters stay."""
        self._last: Odometry | None = None
        self._candidate: Odometry | None = None
        self._newest_stamp = -math.inf
        self._same: Odometry | None = None  # first of the messages with the newest pose
        self._ways = (0.0, 0.0)  # that the twist says were covered since
        self._teleports = collections.deque(maxlen=self._tolerances.teleport_limit)

    @property
    def counts(self) -> dict[Reason, int]:
        """Messages so far by outcome."""
        return dict(self._counts)

    @property
    def rejected(self) -> int:
        """Messages dropped so far."""
        return sum(count for reason, count in self._counts.items() if reason is not Reason.ACCEPTED)

    def check(self, message: OdometryMessage, now: float, believe_twist: bool = True) -> Verdict:
        """Judge one message.

        Args:
            message: whatever it holds.
            now: time of arrival on the node's clock [s].
            believe_twist: a twist that says motion while the pose stands still means that both hang.
        """
        verdict = self._judge(message, now, believe_twist)
        self._counts[verdict.reason] += 1
        return verdict

    def _judge(self, message: OdometryMessage, now: float, believe_twist: bool) -> Verdict:
        allowed = self._tolerances
        try:
            stamp = float(message.stamp)
            px, py, pz = map(float, message.position)
            qx, qy, qz, qw = map(float, message.orientation)
            vx, vy, vz = map(float, message.linear)
            wx, wy, wz = map(float, message.angular)
        except (TypeError, ValueError, OverflowError) as error:
            return Verdict(
                Reason.NOT_FINITE, message=f"odometry holds something that is not a number: {error}"
            )
        for value in (stamp, px, py, pz, qx, qy, qz, qw, vx, vy, vz, wx, wy, wz):
            if not math.isfinite(value):
                return Verdict(Reason.NOT_FINITE, message="odometry holds a NaN or an infinity")
        norm = math.sqrt(qx * qx + qy * qy + qz * qz + qw * qw)
        if not abs(norm - 1.0) <= allowed.quaternion_tolerance:
            return Verdict(
                Reason.QUATERNION, message=f"odometry orientation has norm {norm:.6g} instead of 1"
            )
        if max(abs(px), abs(py), abs(pz)) > allowed.max_coordinate:
            return Verdict(
                Reason.IMPLAUSIBLE, message=f"odometry position is beyond {allowed.max_coordinate:g} m"
            )
        if max(abs(vx), abs(vy), abs(vz), abs(wx), abs(wy), abs(wz)) > allowed.max_twist:
            return Verdict(
                Reason.IMPLAUSIBLE, message=f"odometry twist is beyond {allowed.max_twist:g} m/s or rad/s"
            )
        if message.frame_id != allowed.odom_frame or message.child_frame_id not in ("", allowed.base_frame):
            return Verdict(
                Reason.FRAME,
                message=f"odometry is in frame {message.frame_id!r} with child frame "
                f"{message.child_frame_id!r}, expected {allowed.odom_frame!r} and {allowed.base_frame!r}",
            )

        remarks = {}
        if abs(norm - 1.0) > _EXACT_NORM:
            remarks["norm"] = f"odometry orientation has norm {norm:.6g} instead of 1; it is normalised"
        if not message.child_frame_id:
            remarks["child"] = f"odometry has no child_frame_id; it is taken for {allowed.base_frame!r}"
        if stamp == 0.0:
            stamp = float(now)
            remarks["stamp"] = "odometry carries no stamp; the time of arrival is used"
        age = now - stamp
        if age < -allowed.future_tolerance:
            return Verdict(Reason.FUTURE, message=f"odometry stamp is {-age:.3f} s ahead of the clock")
        if stamp < 0.0 or not age <= allowed.max_age:
            return Verdict(Reason.STALE, message=f"odometry stamp is {age:.3f} s old on arrival")
        if stamp == self._newest_stamp:
            return Verdict(Reason.DUPLICATE, message="odometry repeats the stamp of the message before")
        if stamp < self._newest_stamp:
            late = self._newest_stamp - stamp
            return Verdict(
                Reason.OUT_OF_ORDER, message=f"odometry is {late:.3g} s older than a message before it"
            )
        self._newest_stamp = stamp

        odometry = Odometry(
            stamp=stamp,
            pose=np.array([px, py, yaw_from_quaternion(qx, qy, qz, qw)]),
            twist=np.array([vx, wz]),
        )
        if hanging := self._hanging(odometry, believe_twist):
            return hanging
        relocated = False
        if self._last is not None and not self._reachable(self._last, odometry):
            if self._candidate is None or not self._reachable(self._candidate, odometry):
                self._candidate = odometry
                return self._teleport(odometry, self._last)
            relocated = True
        continuous = (
            self._last is not None
            and self._candidate is None
            and odometry.stamp - self._last.stamp <= allowed.max_gap
        )
        self._candidate = None
        self._last = odometry
        warning = "; ".join(text for name, text in remarks.items() if name not in self._remarked)
        self._remarked |= remarks.keys()
        return Verdict(Reason.ACCEPTED, odometry, warning=warning, continuous=continuous, relocated=relocated)

    def _hanging(self, odometry: Odometry, believe_twist: bool) -> Verdict | None:
        """The verdict on a pose that has not changed in the least although the twist says it has."""
        first = self._same
        if first is None or not (odometry.pose == first.pose).all():
            self._same, self._ways, self._counted = odometry, (0.0, 0.0), odometry.stamp
            return None
        dt, self._counted = odometry.stamp - self._counted, odometry.stamp
        if not believe_twist:
            self._ways = (0.0, 0.0)
            return None
        v, omega = np.abs(odometry.twist).tolist()
        self._ways = (self._ways[0] + v * dt, self._ways[1] + omega * dt)
        allowed, lasts = self._tolerances, odometry.stamp - first.stamp
        far = any(way >= most for way, most in zip(self._ways, allowed.hanging_motion, strict=True))
        if lasts < allowed.hanging_after or not far:
            return None
        message = f"odometry hangs: its pose has been the same for {lasts:.2f} s while its twist says "
        message += f"{odometry.twist[0]:.2f} m/s and {odometry.twist[1]:.2f} rad/s"
        return Verdict(Reason.HANGING, message=message, since=first.stamp)

    def _reachable(self, start: Odometry, end: Odometry) -> bool:
        allowed = self._tolerances
        dt = end.stamp - start.stamp
        distance = math.hypot(end.pose[0] - start.pose[0], end.pose[1] - start.pose[1])
        turn = abs(wrap(end.pose[2] - start.pose[2]))
        return (
            distance <= allowed.max_speed * dt + allowed.teleport_margin
            and turn <= allowed.max_yaw_rate * dt + allowed.teleport_yaw_margin
        )

    def _teleport(self, odometry: Odometry, last: Odometry) -> Verdict:
        self._teleports.append(odometry.stamp)
        repeated = (
            len(self._teleports) == self._tolerances.teleport_limit
            and odometry.stamp - self._teleports[0] <= self._tolerances.teleport_window
        )
        moved = math.hypot(*(odometry.pose[:2] - last.pose[:2]))
        turned = abs(wrap(odometry.pose[2] - last.pose[2]))
        dt = odometry.stamp - last.stamp
        return Verdict(
            Reason.TELEPORT,
            message=f"odometry jumped {moved:.3f} m and {turned:.3f} rad within {dt:.3f} s",
            repeated=repeated,
        )


class ClockEvent(enum.Enum):
    """What the node's clock did since the last look."""

    NONE = "none"
    BACK = "back"
    FORWARD = "forward"


class ClockCheck:
    """Compares the node's clock with the steady one.

    Args:
        jump_forward: running ahead of the steady clock by more, from one look to the next, is a
            jump [s]. Simulated time may run fast; looks must then come often enough.
        jump_back: going back by more is a jump; less is the jitter of several callers [s].
        pause: standing still for longer, in steady time, is a pause [s].
    """

    def __init__(self, jump_forward: float = 1.0, jump_back: float = 0.05, pause: float = 0.5) -> None:
        for name, value in (("jump_forward", jump_forward), ("jump_back", jump_back), ("pause", pause)):
            if not (0.0 < value < math.inf):
                raise InvalidValueError(f"{name} must be finite and above 0, got {value}")
        self._jump_forward, self._jump_back, self._pause = jump_forward, jump_back, pause
        self._now: float | None = None
        self._paused = False
        self._jump = 0.0

    def configure(self, jump_forward: float, pause: float) -> None:
        """Other thresholds from the next look on."""
        self._jump_forward, self._pause = jump_forward, pause

    @property
    def paused(self) -> bool:
        """The clock stood still for longer than ``pause`` at the last look."""
        return self._paused

    @property
    def jump(self) -> float:
        """Size of the last jump, below 0 for one back [s]."""
        return self._jump

    def look(self, now: float, steady_now: float) -> ClockEvent:
        """Take the time on both clocks [s] and say what happened."""
        if self._now is None:
            self._now, self._steady, self._moved_at = now, steady_now, steady_now
            return ClockEvent.NONE
        event = ClockEvent.NONE
        advance = now - self._now
        ahead = advance - max(0.0, steady_now - self._steady)
        if advance < -self._jump_back:
            event, self._jump = ClockEvent.BACK, advance
        # A simulated clock reads 0 until its first message; leaving 0 is a start and no jump.
        elif ahead > self._jump_forward and self._now > 0.0:
            event, self._jump = ClockEvent.FORWARD, advance
        if advance > 0.0 or event is ClockEvent.BACK:
            self._moved_at = steady_now
            self._now = now
        self._steady = steady_now
        self._paused = steady_now - self._moved_at > self._pause
        return event
