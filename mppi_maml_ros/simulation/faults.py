"""Faults to order: what a broken source of odometry, base, clock or process does, at given times.

A fault is written ``kind[@start[+duration]][=value]``, several are separated by commas::

    twist_zero              the twist is zero from the beginning
    odom_stop@10            no odometry from 10 s on
    odom_stop@10+2          for two seconds
    odom_future@5+3=0.4     stamps 0.4 s ahead, from 5 s to 8 s
    odom_nan@3+1,clock_back@8=5

An :class:`Injector` applies them to a stream of messages, in the order in which they are written,
so one may spoil what another has left. It has no clock: time comes in with every call.
"""

from __future__ import annotations

import enum
import math
import re
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import attrs
import numpy as np

from ..core import se2
from ..core.angles import yaw_from_quaternion
from ..core.errors import InvalidValueError
from ..core.types import OdometryMessage

if TYPE_CHECKING:
    from .world import World

SPACING = 1e-6  # [s] between the stamps of flooded messages


class Target(enum.Enum):
    """What a fault happens to."""

    ODOMETRY = "odometry"
    COMMAND = "command"
    BASE = "base"
    CLOCK = "clock"
    PROCESS = "process"


@attrs.frozen
class Kind:
    """One kind of fault.

    Attributes:
        target: what it happens to.
        meaning: one sentence; ``{value}`` stands for the value.
        value: default of the value; None for a kind without one.
        low, high: what the value may be.
        unit: of the value.
        duration: default duration [s].
    """

    target: Target
    meaning: str
    value: float | None = None
    low: float = -math.inf
    high: float = math.inf
    unit: str = ""
    duration: float = math.inf

    def describe(self, value: float | None = None) -> str:
        """The meaning with a value, the default one when None."""
        value = self.value if value is None else value
        return self.meaning if value is None else self.meaning.format(value=f"{value:g}")


_ODOMETRY, _COMMAND, _BASE, _CLOCK, _PROCESS = Target

KINDS: dict[str, Kind] = {
    "odom_stop": Kind(_ODOMETRY, "no odometry"),
    "odom_stutter": Kind(_ODOMETRY, "one message every {value} s", 0.26, 0.0, 60.0, "s"),
    "odom_drop": Kind(_ODOMETRY, "each message is lost with probability {value}", 0.5, 0.0, 1.0),
    "odom_late": Kind(_ODOMETRY, "messages arrive {value} s late", 0.4, 0.0, 60.0, "s"),
    "odom_nan": Kind(_ODOMETRY, "the position is NaN"),
    "odom_inf": Kind(_ODOMETRY, "the forward velocity is infinite"),
    "odom_quaternion": Kind(_ODOMETRY, "the orientation is all zero"),
    "odom_teleport": Kind(_ODOMETRY, "the position is {value} m off", 5.0, -1e6, 1e6, "m"),
    "odom_jumping": Kind(_ODOMETRY, "every other position is {value} m off", 5.0, -1e6, 1e6, "m"),
    "odom_out_of_order": Kind(_ODOMETRY, "pairs of messages come in the wrong order"),
    "odom_duplicate": Kind(_ODOMETRY, "each message comes twice"),
    "odom_frozen": Kind(_ODOMETRY, "every message has the stamp of the first"),
    "odom_unstamped": Kind(_ODOMETRY, "the stamp is zero"),
    "odom_future": Kind(_ODOMETRY, "the stamp is {value} s ahead", 0.5, 0.0, 1e6, "s"),
    "odom_stale": Kind(_ODOMETRY, "the stamp is {value} s old", 1.0, 0.0, 1e6, "s"),
    "odom_frame": Kind(_ODOMETRY, "the frame is another one"),
    "odom_unframed": Kind(_ODOMETRY, "the frame ids are empty"),
    "odom_flood": Kind(_ODOMETRY, "{value} messages in place of one", 200.0, 1.0, 10_000.0),
    "quaternion_scale": Kind(_ODOMETRY, "the orientation has norm {value}", 1.0005, 0.0, 1e6),
    "twist_zero": Kind(_ODOMETRY, "the twist is zero"),
    "twist_frame": Kind(_ODOMETRY, "the twist is in the frame of the pose"),
    "twist_sign": Kind(_ODOMETRY, "the twist has the other sign"),
    "twist_echo": Kind(_ODOMETRY, "the twist repeats the command"),
    "twist_frozen": Kind(_ODOMETRY, "the twist is that of the first message"),
    "twist_scale": Kind(_ODOMETRY, "the twist is {value} times what it should be", 1.6, -100.0, 100.0),
    "frozen": Kind(_ODOMETRY, "pose and twist are those of the first message, the stamps are fresh"),
    "clock_offset": Kind(_ODOMETRY, "the clock of the base is off by {value} s", -0.2, -1e6, 1e6, "s"),
    "cmd_lost": Kind(_COMMAND, "the base hears no commands"),
    "cmd_nan": Kind(_COMMAND, "the base hears NaN"),
    "estop": Kind(_BASE, "the motors are held at zero, whatever is commanded"),
    "held": Kind(_BASE, "the robot is held where it is"),
    "bumped": Kind(_BASE, "the robot is pushed to its left at {value} m/s", 0.3, -10.0, 10.0, "m/s", 0.5),
    "clock_back": Kind(_CLOCK, "the clock jumps back by {value} s", 5.0, 0.0, 1e6, "s"),
    "clock_forward": Kind(_CLOCK, "the clock jumps ahead by {value} s", 5.0, 0.0, 1e6, "s"),
    "clock_pause": Kind(_CLOCK, "the clock stands still", duration=2.0),
    "controller_kill": Kind(_PROCESS, "mppi_controller is killed", duration=2.0),
    "adaptation_kill": Kind(_PROCESS, "adaptation is killed", duration=2.0),
    "world_kill": Kind(_PROCESS, "dynamic_world is killed", duration=2.0),
}
"""Every kind by its name. A process is started again when the duration has passed."""

NODES = {
    "controller_kill": "mppi_controller",
    "adaptation_kill": "adaptation",
    "world_kill": "dynamic_world",
}

EVER = -math.inf  # start of a fault that is there from the beginning

_FAULT = re.compile(r"(?P<kind>[a-z_]+)(@(?P<start>[^+=]+)(\+(?P<duration>[^=]+))?)?(=(?P<value>.+))?")


@attrs.frozen
class Fault:
    """A fault with its times.

    Attributes:
        kind: one of ``KINDS``.
        start: when it begins [s]; ``EVER``: it is there from the beginning.
        duration: how long it lasts [s]; infinite for ever.
        value: see ``KINDS``.

    Raises:
        InvalidValueError: names what is wrong and what is allowed.
    """

    kind: str
    start: float
    duration: float = math.inf
    value: float | None = None

    def __attrs_post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidValueError(f"fault must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if not (0.0 <= self.start < math.inf or self.start == EVER):
            raise InvalidValueError(f"start of {self.kind} must be finite and at least 0 s, got {self.start}")
        if not self.duration > 0.0:
            raise InvalidValueError(f"duration of {self.kind} must be above 0 s, got {self.duration}")
        known = KINDS[self.kind]
        if known.value is None:
            if self.value is not None:
                raise InvalidValueError(f"{self.kind} takes no value, got {self.value:g}")
        elif self.value is None or not known.low <= self.value <= known.high:
            raise InvalidValueError(
                f"value of {self.kind} must be in [{known.low:g}, {known.high:g}] {known.unit}".rstrip()
                + f", got {self.value}"
            )

    @classmethod
    def of(
        cls, kind: str, start: float = EVER, duration: float | None = None, value: float | None = None
    ) -> Fault:
        """A fault with the kind's defaults for what is not given."""
        if kind not in KINDS:
            raise InvalidValueError(f"fault must be one of {', '.join(KINDS)}, got {kind!r}")
        known = KINDS[kind]
        return cls(
            kind,
            float(start),
            known.duration if duration is None else float(duration),
            known.value if value is None else float(value),
        )

    @property
    def target(self) -> Target:
        """What it acts on."""
        return KINDS[self.kind].target

    @property
    def end(self) -> float:
        """When it is over [s]."""
        return math.inf if math.isinf(self.duration) else self.start + self.duration

    def active(self, t: float) -> bool:
        """Whether it acts at ``t`` [s]."""
        return self.start <= t < self.end

    @property
    def spec(self) -> str:
        """As :func:`parse` reads it."""
        start = "" if self.start == EVER else f"@{self.start!r}"
        duration = "" if math.isinf(self.duration) else f"+{self.duration!r}"
        value = "" if self.value is None else f"={self.value!r}"
        return f"{self.kind}{start}{duration}{value}"

    def __str__(self) -> str:
        text = KINDS[self.kind].describe(self.value)
        since = "the beginning" if self.start == EVER else f"{self.start:g} s"
        until = "" if math.isinf(self.duration) else f" for {self.duration:g} s"
        return f"from {since} on{until}: {text}"


def parse(text: str) -> tuple[Fault, ...]:
    """Faults written as in the module's head; none for an empty text.

    Raises:
        InvalidValueError: names the part that cannot be read.
    """
    faults = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _FAULT.fullmatch(part)
        if match is None:
            raise InvalidValueError(
                f"fault must be kind[@start[+duration]][=value], such as odom_stop@10, got {part!r}"
            )
        try:
            numbers = {name: float(match[name]) for name in ("start", "duration", "value") if match[name]}
        except ValueError as error:
            raise InvalidValueError(f"fault {part!r} needs numbers: {error}") from error
        faults.append(Fault.of(match["kind"], **numbers))
    return tuple(faults)


def _in_pose_frame(linear: Sequence[float], yaw: float) -> tuple[float, float, float]:
    vx, vy, vz = linear
    c, s = math.cos(yaw), math.sin(yaw)
    return (c * vx - s * vy, s * vx + c * vy, vz)


def _times(vector: Sequence[float], factor: float) -> tuple[float, ...]:
    return tuple(factor * value for value in vector)


def _moved(message: OdometryMessage, offset: float) -> OdometryMessage:
    x, y, z = message.position
    return attrs.evolve(message, position=(x + offset, y, z))


class Injector:
    """Applies faults to what passes through it.

    Args:
        faults: applied in this order.
        seed: of what is random.
    """

    def __init__(self, faults: Iterable[Fault], seed: int = 0) -> None:
        self.faults = tuple(faults)
        self._random = np.random.default_rng(seed)
        self._memory: dict[int, dict] = {index: {} for index in range(len(self.faults))}
        self._command = (0.0, 0.0)

    def _of(self, target: Target) -> Iterable[tuple[Fault, dict]]:
        for index, fault in enumerate(self.faults):
            if fault.target is target:
                yield fault, self._memory[index]

    def odometry(self, message: OdometryMessage, t: float) -> list[OdometryMessage]:
        """What arrives when ``message`` is sent at ``t`` [s], in the order of arrival."""
        messages = [message]
        for fault, memory in self._of(Target.ODOMETRY):
            if fault.active(t):
                messages = [out for one in messages for out in self._spoil(fault, memory, one, t)]
            elif memory.get("held"):
                # What was on its way when the fault ended still arrives.
                messages = [*(one for _, one in memory.pop("held")), *messages]
        return messages

    def _spoil(self, fault: Fault, memory: dict, message: OdometryMessage, t: float) -> list[OdometryMessage]:
        value = math.nan if fault.value is None else fault.value
        match fault.kind:
            case "odom_stop":
                return []
            case "odom_stutter":
                if t < memory.get("next", -math.inf) - 1e-9:
                    return []
                memory["next"] = t + value
                return [message]
            case "odom_drop":
                return [] if self._random.random() < value else [message]
            case "odom_late":
                held = memory.setdefault("held", deque())
                held.append((t + value, message))
                arrived = []
                while held and held[0][0] <= t + 1e-9:
                    arrived.append(held.popleft()[1])
                return arrived
            case "odom_nan":
                return [attrs.evolve(message, position=(math.nan,) * 3)]
            case "odom_inf":
                return [attrs.evolve(message, linear=(math.inf, 0.0, 0.0))]
            case "odom_quaternion":
                return [attrs.evolve(message, orientation=(0.0,) * 4)]
            case "odom_teleport":
                return [_moved(message, value)]
            case "odom_jumping":
                memory["odd"] = not memory.get("odd", False)
                return [_moved(message, value) if memory["odd"] else message]
            case "odom_out_of_order":
                held = memory.setdefault("held", deque())
                if not held:
                    held.append((t, message))
                    return []
                return [message, held.popleft()[1]]
            case "odom_duplicate":
                return [message, message]
            case "odom_frozen":
                return [attrs.evolve(message, stamp=memory.setdefault("stamp", message.stamp))]
            case "odom_unstamped":
                return [attrs.evolve(message, stamp=0.0)]
            case "odom_future":
                return [attrs.evolve(message, stamp=message.stamp + value)]
            case "odom_stale":
                return [attrs.evolve(message, stamp=message.stamp - value)]
            case "odom_frame":
                return [attrs.evolve(message, frame_id=f"not_{message.frame_id}")]
            case "odom_unframed":
                return [attrs.evolve(message, frame_id="", child_frame_id="")]
            case "quaternion_scale":
                return [attrs.evolve(message, orientation=_times(message.orientation, value))]
            case "clock_offset":
                return [attrs.evolve(message, stamp=message.stamp + value)]
            case "frozen":
                first = memory.setdefault("first", message)
                return [attrs.evolve(first, stamp=message.stamp)]
            case kind if kind.startswith("twist_"):
                return [self._with_twist(kind, value, memory, message)]
            case _:  # odom_flood
                first = message.stamp - (int(value) - 1) * SPACING
                return [attrs.evolve(message, stamp=first + k * SPACING) for k in range(int(value))]

    def _with_twist(self, kind: str, value: float, memory: dict, message: OdometryMessage) -> OdometryMessage:
        linear, angular = message.linear, message.angular
        match kind:
            case "twist_zero":
                linear, angular = (0.0,) * 3, (0.0,) * 3
            case "twist_frame":
                linear = _in_pose_frame(linear, yaw_from_quaternion(*message.orientation))
            case "twist_echo":
                linear, angular = (self._command[0], 0.0, 0.0), (0.0, 0.0, self._command[1])
            case "twist_frozen":
                linear, angular = memory.setdefault("twist", (linear, angular))
            case _:
                factor = -1.0 if kind == "twist_sign" else value
                linear, angular = _times(linear, factor), _times(angular, factor)
        return attrs.evolve(message, linear=linear, angular=angular)

    def step(self, world: World, command: tuple[float, float], dt: float, t: float) -> None:
        """Let a base move for ``dt`` [s] under ``command`` (v, omega), from ``t`` [s] on."""
        active = {fault.kind: fault for fault, _ in self._of(Target.BASE) if fault.active(t)}
        before = world.state[:3]
        world.step((0.0, 0.0) if "estop" in active else command, dt)
        if "bumped" in active:
            pushed = active["bumped"].value
            world.place(se2.integrate(before, np.array([0.0, pushed, 0.0]), dt))
        elif "held" in active:
            world.place(before)

    def command(self, command: tuple[float, float], t: float) -> tuple[float, float] | None:
        """What the base hears of ``command`` (v, omega) at ``t`` [s]; None for nothing."""
        for fault, _ in self._of(Target.COMMAND):
            if fault.active(t):
                if fault.kind == "cmd_lost":
                    return None
                command = (math.nan, math.nan)
        self._command = command
        return command

    def clock(self, now: float, t: float) -> float:
        """What a clock says at ``t`` [s] that should say ``now`` [s]; a pause leaves it behind for good."""
        for fault, _ in self._of(Target.CLOCK):
            if fault.kind == "clock_pause":
                now -= min(max(t - fault.start, 0.0), fault.duration)
            elif t >= fault.start and fault.value is not None:
                now += -fault.value if fault.kind == "clock_back" else fault.value
        return now
