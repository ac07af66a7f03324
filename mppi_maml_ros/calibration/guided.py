"""The drive that a robot is measured by: a program of commands, within a box, stopped by anything untoward.

Time is the driver's; nothing here waits, and nothing here knows ROS. However the drive ends, by its program,
an error or an interrupt, zero is sent several times.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence

import attrs
import numpy as np

from ..core.errors import InvalidValueError, MppiMamlError
from ..core.tunable import tunable
from ..core.types import Array, Odometry, VelocityLimits
from ..safety.limiter import VelocityLimiter
from .box import REACTION, TURNS_BACK, Box, Return, slowed
from .excitation import STEP, USED, Segment, program
from .record import Record

ZEROS = 5  # zero commands at the end, whatever ended the drive
SETTLE = 1.0  # [s] at rest after a way back
FARTHEST = 0.6  # share of the way to the edge beyond which a segment does not begin
FASTEST_GAIN = 1.1  # of a robot whose gain is not known yet
LONGEST_RETURN = 20.0  # [s]
FIRST_ODOMETRY = 5.0  # [s] for which the first message is waited for


class DriveStoppedError(MppiMamlError):
    """The drive ended before its time; the robot was told to stop."""


class Driver(ABC):
    """What moves a robot and hears it.

    Attributes:
        period: time between two commands [s].
        trouble: why odometry that came cannot be used; empty when it can.
    """

    period: float
    trouble = ""

    @property
    @abstractmethod
    def now(self) -> float:
        """Time on the clock of the odometry's stamps [s]."""

    @property
    def steady(self) -> float:
        """Time that never jumps nor stands still, for what must not wait for a clock [s]."""
        return self.now

    @abstractmethod
    def drive(self, command: Array) -> Sequence[Odometry]:
        """Send (v [m/s], omega [rad/s]) now, let a period pass, and return what odometry came meanwhile."""


@attrs.frozen
class DriveConfig:
    """How the robot may be driven.

    Attributes:
        vx_max, vx_min, wz_max: largest commands [m/s, m/s, rad/s]; vx_min 0: it cannot reverse.
        length, width: of the box around the robot where it stands, along its heading and across [m].
        duration: of the whole drive, at most [s].
        odom_timeout: the drive stops when no odometry came for so long [s].
        seed: of the random signal.
    """

    vx_max: float = tunable(0.5, 0.05, 20.0, "Largest forward velocity", "m/s")
    vx_min: float = tunable(-0.5, -20.0, 0.0, "Smallest forward velocity; 0: the robot cannot reverse", "m/s")
    wz_max: float = tunable(1.5, 0.1, 20.0, "Largest yaw rate, either way", "rad/s")
    length: float = tunable(3.0, 0.8, 1000.0, "Length of the box around the robot, along its heading", "m")
    width: float = tunable(3.0, 0.8, 1000.0, "Width of the box", "m")
    duration: float = tunable(88.0, 20.0, 600.0, "Longest drive", "s")
    odom_timeout: float = tunable(0.5, 0.05, 5.0, "The robot stops when no odometry came for so long", "s")
    seed: int = tunable(0, 0, 2**31 - 1, "Of the random signal")

    @property
    def limits(self) -> VelocityLimits:
        """Of the commands; slower than asked for where the box is small."""
        room = 0.5 * min(self.length, self.width)
        fitting = room / (USED * (FASTEST_GAIN * STEP + REACTION))
        return VelocityLimits(
            vx_max=min(self.vx_max, fitting), vx_min=max(self.vx_min, -fitting), wz_max=self.wz_max,
            ax_max=100.0, ax_min=-100.0, az_max=100.0,
        )  # fmt: skip


@attrs.frozen
class Progress:
    """How far a drive is: seconds of its program ``done`` of ``total``, and what is being done."""

    done: float
    total: float
    doing: str


class GuidedDrive:
    """One drive.

    Args:
        driver: moves the robot.
        config: how it may be driven.
        interrupted: why somebody wants it to stop, empty while nobody does; asked every period.
    """

    def __init__(
        self, driver: Driver, config: DriveConfig, interrupted: Callable[[], str] = lambda: ""
    ) -> None:
        self._driver, self._config, self._interrupted = driver, config, interrupted
        self._limits = config.limits
        self._limiter = VelocityLimiter(self._limits)
        self._samples: list[Odometry] = []
        self._commands: list[tuple[float, Array]] = []
        self._heard = -math.inf
        self._box: Box | None = None
        self._held_out_from = math.inf
        self.elapsed = 0.0
        """Seconds of driving so far."""

    def run(self) -> Generator[Progress, None, Record]:
        """Drive, a period at a time.

        Yields:
            How far it is.

        Returns:
            What was commanded and measured.

        Raises:
            DriveStoppedError: says why the robot was stopped.
        """
        try:
            yield from self._wait()
            yield from self._drive()
        finally:
            self._stop()
        return Record.of(self._commands, self._samples, self._held_out_from)

    def _wait(self) -> Generator[Progress, None, None]:
        """Until odometry is there; its first pose is the middle of the box."""
        begun = self._driver.steady
        while not self._samples:
            self._step(np.zeros(2))
            if self._driver.steady - begun > FIRST_ODOMETRY:
                raise DriveStoppedError(self._silence(FIRST_ODOMETRY))
            yield Progress(0.0, 1.0, "waiting for odometry")
        x, y, yaw = self._samples[-1].pose.tolist()
        self._box = Box((x, y, yaw), self._config.length, self._config.width)
        self._begun = self._driver.now

    def _drive(self) -> Generator[Progress, None, None]:
        segments = program(self._limits, self._config.seed)
        total, done = sum(segment.duration for segment in segments), 0.0
        for segment in segments:
            if self._away() > FARTHEST:
                yield from self._return(Progress(done, total, "back to the middle"))
            t = 0.0
            if segment.held_out and math.isinf(self._held_out_from):
                self._held_out_from = self._driver.now
            while t < segment.duration:
                if self.elapsed > self._config.duration:
                    return
                if self._driven(segment, t):
                    t += self._driver.period
                    yield Progress(done + t, total, segment.name)
                else:
                    yield from self._return(Progress(done + t, total, "back to the middle"))
            done += segment.duration

    def _driven(self, segment: Segment, t: float) -> bool:
        """One period of a segment; False where the edge is too near for it."""
        wanted = segment.command(t)
        allowed = slowed(self._inside, self._samples[-1].pose, wanted)
        if abs(allowed[0]) < TURNS_BACK * abs(wanted[0]):
            return False
        self._step(allowed)
        return True

    @property
    def _inside(self) -> Box:
        assert self._box is not None
        return self._box

    def _away(self) -> float:
        """Distance from the middle, as a share of the way to the nearest edge."""
        x, y, _ = self._inside.local(self._samples[-1].pose)
        return math.hypot(x, y) / self._inside.reach

    def _return(self, progress: Progress) -> Generator[Progress, None, None]:
        """To the middle, at rest; what was commanded on the way is part of the record."""
        way, begun = Return(self._inside, self._limits), self._driver.now
        while self.elapsed < self._config.duration:
            newest = self._samples[-1]
            command = way.command(self._driver.now, newest.pose, newest.twist)
            if command is None:
                break
            if self._driver.now - begun > LONGEST_RETURN:
                raise DriveStoppedError(
                    f"the robot did not come back to the middle of its box within {LONGEST_RETURN:g} s"
                )
            self._step(slowed(self._inside, newest.pose, command))
            yield progress
        rest = self._driver.now + SETTLE
        while self._driver.now < rest and self.elapsed < self._config.duration:
            self._step(np.zeros(2))
            yield progress

    def _step(self, wanted: Array) -> None:
        """Check, command, and hear."""
        driver = self._driver
        if reason := self._interrupted():
            raise DriveStoppedError(f"stopped by {reason}")
        if self._box is not None:
            silent = driver.steady - self._heard
            if silent > self._config.odom_timeout:
                raise DriveStoppedError(self._silence(silent))
            if not self._box.holds(self._samples[-1].pose):
                x, y, _ = self._box.local(self._samples[-1].pose)
                raise DriveStoppedError(
                    f"the robot left its box: it is {x:.2f} m ahead and {y:.2f} m left of its middle"
                )
            self.elapsed = driver.now - self._begun
        self._send(self._limiter.limit(wanted, driver.period))

    def _silence(self, lasts: float) -> str:
        trouble = self._driver.trouble
        return f"no odometry for {lasts:.2f} s" + (f" that can be used: {trouble}" if trouble else "")

    def _send(self, command: Array) -> None:
        self._commands.append((self._driver.now, command))
        for sample in self._driver.drive(command):
            if not np.isfinite(sample.state).all():
                raise DriveStoppedError("odometry is not finite")
            if not self._samples or sample.stamp > self._samples[-1].stamp:
                self._samples.append(sample)
                self._heard = self._driver.steady

    def _stop(self) -> None:
        """Zero, several times, whatever happens meanwhile."""
        for _ in range(ZEROS):
            self._driver.drive(self._limiter.reset())


def driven(drive: GuidedDrive, show: Callable[[Progress], None] = lambda progress: None) -> Record:
    """A whole drive; ``show`` is told each step."""
    steps = drive.run()
    while True:
        try:
            show(next(steps))
        except StopIteration as end:
            return end.value


def checked(record: Record, config: DriveConfig) -> Record:
    """The record, unless the robot hardly moved.

    Raises:
        InvalidValueError: it did not.
    """
    moved = np.ptp(record.poses[:, :2], axis=0).max()
    if moved < 0.02 and np.ptp(np.unwrap(record.poses[:, 2])) < 0.05:
        raise InvalidValueError(
            f"the robot did not move by commands of up to {config.vx_max:g} m/s and {config.wz_max:g} rad/s: "
            "is the base switched on, and does it listen to this topic?"
        )
    return record
