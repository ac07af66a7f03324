"""A recorded run as the adaptation node would have seen it, and whether it may be learned from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from ..core.errors import InvalidValueError
from ..core.types import Array, Odometry, OdometryMessage
from ..dynamics.buffer import BufferConfig, TransitionBuffer
from ..dynamics.transitions import Transitions
from ..safety.checks import OdometryChecks, OdometryTolerances, Reason
from ..safety.odometry_consistency import contradictions
from . import clocks
from .bag import Bag, Message, read_bag
from .raw import full_name
from .response import lead, responses

ODOMETRY = "nav_msgs/msg/Odometry"
COMMANDS = ("geometry_msgs/msg/Twist", "geometry_msgs/msg/TwistStamped")
CLOCK = ("/clock", "rosgraph_msgs/msg/Clock")
CAPACITY = 100_000  # transitions of a run
BEGIN = 1000.0  # [s] of the first stamp on the run's own time axis, where 0 is no stamp
FASTEST = (10.0, 20.0)  # [m/s, rad/s] of a robot whose limits are not known
OLDEST_COMMAND = 1.0  # [s] that a stamped command may have been on its way
JUMP_BACK = 0.5  # [s]
AXES = ("linear.x", "angular.z")

ADVICE = {
    "no command known": "nothing was commanded before: record from the start of a drive, and see --cmd-topic",
    "command too old": "commands must be repeated twice a second or more: record what the base listens to",
    "gap in odometry": "the base must publish odometry at 10 Hz or faster, without pauses",
    "still": "the robot stood: drive it",
    "teleport": "odometry jumps: record what the wheels say, not what a localisation corrects",
    Reason.FUTURE.value: "synchronise the clocks of base and recorder",
    Reason.STALE.value: "odometry came late: record on the robot itself",
    Reason.QUATERNION.value: "the driver must publish orientations of unit length",
    Reason.FRAME.value: "several sources publish odometry on one topic: record one",
}
"""What helps against what was left out."""


@attrs.frozen(eq=False)
class RecordedRun:
    """What one bag gives.

    Attributes:
        path: of the bag.
        transitions: usable ones, oldest first.
        duration: of the odometry [s].
        rate: of the odometry, median [Hz].
        excluded: messages of odometry and transitions that were left out, by reason.
        remarks: what was not as it should be, and what was done about it.
        refusal: why nothing of the run may be learned from; empty when it may.
        samples: odometry that passed the checks; commands: (stamp [s], (v, omega)), on the same clock.
    """

    path: Path
    transitions: Transitions
    duration: float
    rate: float
    excluded: Counter[str]
    remarks: tuple[str, ...] = ()
    refusal: str = ""
    samples: tuple[Odometry, ...] = ()
    commands: tuple[tuple[float, Array], ...] = ()

    @property
    def advice(self) -> str:
        """What to do about what was left out; empty when that is little."""
        total = len(self.transitions) + self.excluded.total()
        said = []
        for reason, count in self.excluded.most_common():
            if count > 0.2 * total and reason in ADVICE:
                rate = f"odometry came at {self.rate:.1f} Hz: " if reason == "gap in odometry" else ""
                said.append(rate + ADVICE[reason])
        return "; ".join(said)


@attrs.frozen(eq=False)
class _Evidence:
    """What the checks of a run look at.

    Attributes:
        samples: of odometry, that passed the checks of messages.
        commands: (stamp [s], (v, omega)).
        transitions: cut from both.
        excluded: what was left out.
        warnings: what the checks let pass with a remark.
    """

    samples: list[Odometry]
    commands: list[tuple[float, Array]]
    transitions: Transitions
    excluded: Counter[str]
    warnings: tuple[str, ...]


def _implausible(evidence: _Evidence) -> Iterator[str]:
    """A base that answers like this would not be driven by these commands."""
    for axis, response in enumerate(responses(evidence.transitions)):
        if response is not None and response.contradiction:
            yield (
                f"{AXES[axis]} of odometry does not follow the commands: {response.contradiction}; is this "
                "the topic that the base listens to, and did nobody else move it?"
            )


def _contradictory(evidence: _Evidence) -> Iterable[str]:
    yield from map(str, contradictions(evidence.samples, evidence.commands).values())


CHECKS: tuple[Callable[[_Evidence], Iterable[str]], ...] = (_implausible, _contradictory)
"""Each says in a sentence why a run may not be learned from; nothing when it may."""


def read_run(
    path: Path,
    odom_topic: str = "/odom",
    cmd_topic: str = "/cmd_vel",
    cmd_type: str = "",
    delay_taps: int = 4,
    model_dt: float = 0.05,
) -> RecordedRun:
    """Read one recorded run, with the checks that a robot makes while it drives.

    Stamps are those of odometry; what is stamped by another clock, or not at all, is put on that one.

    Args:
        path: rosbag2 folder, or an .mcap or .db3 file; see :func:`.bag.read_bag`.
        odom_topic: nav_msgs/Odometry with pose and twist.
        cmd_topic: geometry_msgs/Twist or TwistStamped.
        cmd_type: which of the two to take where the topic has both; empty for the one with more messages.
        delay_taps, model_dt: as in the residual.

    Raises:
        InvalidValueError: a topic is not there, of another type or empty; the message lists what there is.
        MppiMamlError: the file cannot be read.
    """
    odom_topic, cmd_topic = full_name(odom_topic), full_name(cmd_topic)
    kinds = (_full(cmd_type),) if cmd_type else COMMANDS
    wanted = {(odom_topic, ODOMETRY), CLOCK, *((cmd_topic, kind) for kind in kinds)}
    bag = read_bag(path, lambda topic, kind: (topic, kind) in wanted)
    remarks = list(bag.remarks)
    kind = max(kinds, key=lambda kind: bag.topics[cmd_topic, kind])
    for topic, allowed in ((odom_topic, (ODOMETRY,)), (cmd_topic, kinds)):
        if not any(bag.topics[topic, a] for a in allowed):
            there = bag.holding((ODOMETRY, *COMMANDS))
            raise InvalidValueError(f"{path} has no {' or '.join(allowed)} on {topic}; it holds {there}")
    if len(kinds) > 1 and all(bag.topics[cmd_topic, k] for k in kinds):
        remarks.append(f"{cmd_topic} has two types: {kind} was read, as it has more messages")
    odometry = _Odometry.of(_those(bag, odom_topic, ODOMETRY))
    commands = _those(bag, cmd_topic, kind)
    if odometry is None or not commands:
        raise InvalidValueError(f"{path} holds no message that can be read on {odom_topic} or on {cmd_topic}")
    if odometry.jumps:
        remarks.append(f"the clock of odometry jumped back ({odometry.jumps} times): it was taken to go on")
    tolerances = odometry.tolerances()
    config = BufferConfig(delay_taps=delay_taps, model_dt=model_dt, size=CAPACITY)
    clock = odometry.clock(bag, tolerances)
    evidence = _replay(odometry, commands, clock, tolerances, config)
    early = lead(responses(evidence.transitions)) if clock.is_one else 0.0
    if early:
        clock = odometry.clock(bag, tolerances, force=True)
        remarks.append(
            f"velocities follow {early:.2f} s before they are commanded: the base's clock is behind"
        )
        evidence = _replay(odometry, commands, clock, tolerances, config)
    steps = np.diff(odometry.stamps)
    return RecordedRun(
        path=Path(path),
        transitions=evidence.transitions,
        duration=float(np.ptp(odometry.stamps)),
        rate=float(1.0 / np.median(steps[steps > 0.0])) if (steps > 0.0).any() else 0.0,
        excluded=evidence.excluded,
        remarks=(*remarks, *filter(None, [clock.remark]), *evidence.warnings),
        refusal="; ".join(sentence for check in CHECKS for sentence in check(evidence)),
        samples=tuple(evidence.samples),
        commands=tuple(evidence.commands),
    )


def _full(cmd_type: str) -> str:
    full = cmd_type if "/msg/" in cmd_type else cmd_type.replace("/", "/msg/")
    if full not in COMMANDS:
        raise InvalidValueError(f"the type of commands must be {' or '.join(COMMANDS)}, got {cmd_type!r}")
    return full


def _those(bag: Bag, topic: str, kind: str) -> list[Message]:
    return [m for m in bag.messages if (m.topic, m.kind) == (topic, kind)]


def _nanoseconds(stamp: Any) -> int:
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


@attrs.frozen(eq=False)
class _Odometry:
    """Messages of odometry on two time axes of their own, which begin at BEGIN.

    Attributes:
        messages: in the order of recording.
        recorded, stamps: of each on its axis, shape (M,) [s].
        begin: of both axes [ns].
        jumps: of the stamps, backwards.
    """

    messages: list[Message]
    recorded: Array
    stamps: Array
    begin: tuple[int, int]
    jumps: int

    @classmethod
    def of(cls, messages: list[Message]) -> _Odometry | None:
        if not messages:
            return None
        recorded = [m.recorded for m in messages]
        stamped = [_nanoseconds(m.value.header.stamp) or m.recorded for m in messages]
        first = np.array([(r - recorded[0]) * 1e-9 + BEGIN for r in recorded])
        second, jumps = clocks.continued(
            first, np.array([(s - stamped[0]) * 1e-9 + BEGIN for s in stamped]), JUMP_BACK
        )
        return cls(messages, first, second, (recorded[0], stamped[0]), jumps)

    def clock(self, bag: Bag, allowed: OdometryTolerances, force: bool = False) -> clocks.Clock:
        """How to put times of recording on the axis of stamps."""
        apart = (self.begin[1] - self.begin[0]) * 1e-9
        limits = allowed.future_tolerance, allowed.max_age
        if not force and clocks.agree(self.recorded, self.stamps + apart, *limits):
            return clocks.Clock(apart)
        told = _those(bag, *CLOCK)
        ticks = (
            self.on_recorded([m.recorded for m in told]),
            self.on_stamps([_nanoseconds(m.value.clock) for m in told]),
        )
        return clocks.match(self.recorded, self.stamps, apart, ticks, *limits)

    def on_recorded(self, nanoseconds: Iterable[int]) -> Array:
        """Times of recording on their axis [s]."""
        return np.array([(t - self.begin[0]) * 1e-9 + BEGIN for t in nanoseconds])

    def on_stamps(self, nanoseconds: Iterable[int]) -> Array:
        """Stamps on their axis [s]."""
        return np.array([(t - self.begin[1]) * 1e-9 + BEGIN for t in nanoseconds])

    def tolerances(self) -> OdometryTolerances:
        """Those of a robot of which nothing is known, in the frames of the first message."""
        first = self.messages[0].value
        return OdometryTolerances(
            odom_frame=first.header.frame_id or "odom",
            base_frame=first.child_frame_id or "base_link",
            max_speed=FASTEST[0],
            max_yaw_rate=FASTEST[1],
        )


def _replay(
    odometry: _Odometry,
    commands: list[Message],
    clock: clocks.Clock,
    allowed: OdometryTolerances,
    config: BufferConfig,
) -> _Evidence:
    """Messages in the order of arrival, as the adaptation node takes them."""
    told = _told(commands, odometry, clock)
    arrivals = clock.at(odometry.recorded)
    checks, buffer = OdometryChecks(allowed), TransitionBuffer(config)
    samples: list[Odometry] = []
    warnings: list[str] = []
    events = [(stamp, 0, k) for k, (stamp, _) in enumerate(told)]
    events += [(arrival, 1, k) for k, arrival in enumerate(arrivals)]
    for arrival, is_odometry, k in sorted(events):
        if not is_odometry:
            buffer.add_command(told[k][0] - BEGIN, told[k][1])
            continue
        message = _record(odometry.messages[k].value, float(odometry.stamps[k]), allowed)
        verdict = checks.check(message, float(arrival))
        warnings += [verdict.warning] if verdict.warning else []
        if verdict.odometry is not None:
            samples.append(attrs.evolve(verdict.odometry, stamp=verdict.odometry.stamp - BEGIN))
            buffer.add_odometry(samples[-1])
    excluded = buffer.excluded + Counter(
        {reason.value: n for reason, n in checks.counts.items() if reason is not Reason.ACCEPTED}
    )
    commanded = [(t - BEGIN, u) for t, u in told]
    return _Evidence(samples, commanded, buffer.latest(), excluded, tuple(warnings))


def _told(commands: list[Message], odometry: _Odometry, clock: clocks.Clock) -> list[tuple[float, Array]]:
    """(stamp [s], (v, omega)) of each command, in the order of stamps."""
    arrivals = clock.at(odometry.on_recorded(m.recorded for m in commands))
    told = []
    for message, arrival in zip(commands, arrivals, strict=True):
        twist, stamp = message.value, float(arrival)
        if message.kind == COMMANDS[1]:
            twist, own = twist.twist, odometry.on_stamps([_nanoseconds(twist.header.stamp)])[0]
            stamp = own if own <= arrival <= own + OLDEST_COMMAND else stamp
        told.append((float(stamp), np.array([twist.linear.x, twist.angular.z])))
    return sorted(told, key=lambda command: command[0])


def _record(message: Any, stamp: float, allowed: OdometryTolerances) -> OdometryMessage:
    p, q = message.pose.pose.position, message.pose.pose.orientation
    v, w = message.twist.twist.linear, message.twist.twist.angular
    return OdometryMessage(
        frame_id=message.header.frame_id or allowed.odom_frame,
        child_frame_id=message.child_frame_id or allowed.base_frame,
        stamp=stamp,
        position=(p.x, p.y, p.z),
        orientation=(q.x, q.y, q.z, q.w),
        linear=(v.x, v.y, v.z),
        angular=(w.x, w.y, w.z),
    )
