"""Tasks from recorded runs: rosbag2 folders or files, sqlite3 or mcap, read without ROS.

A run is cut into transitions exactly as the adaptation node does it online. A task is a window of
consecutive transitions; the end of every run is held out. The truth behind a recording is unknown:
queries are judged against what was measured.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from ...core.angles import wrap
from ...core.errors import InvalidValueError, MppiMamlError
from ...core.types import Odometry
from ...dynamics.buffer import BufferConfig, TransitionBuffer
from ...dynamics.transitions import Transitions
from .worlds import TaskPool, WorldTasks

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader

ODOMETRY = "nav_msgs/msg/Odometry"
COMMANDS = ("geometry_msgs/msg/Twist", "geometry_msgs/msg/TwistStamped")
HELD_OUT_SHARE = 0.2  # of each run, at its end
SHORTEST = 40  # transitions of a task at least
CAPACITY = 100_000  # transitions of a run


def _reader(paths: list[Path]) -> AnyReader:
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise MppiMamlError(
            "recorded runs are read by the package rosbags: pip install 'mppi_maml_ros[bags]'"
        ) from error
    return AnyReader(paths, default_typestore=get_typestore(Stores.LATEST))


def _yaw(q: Any) -> float:
    return math.atan2(2.0 * (q.w * q.z + q.x * q.y), 1.0 - 2.0 * (q.y * q.y + q.z * q.z))


def _seconds(stamp: Any) -> float:
    return stamp.sec + 1e-9 * stamp.nanosec


def read_run(
    path: Path,
    odom_topic: str = "/odom",
    cmd_topic: str = "/cmd_vel",
    cmd_type: str = "",
    delay_taps: int = 4,
    model_dt: float = 0.05,
) -> Transitions:
    """The transitions of one recorded run.

    Stamps are those of the messages; a message without one counts from when it was recorded.

    Args:
        path: rosbag2 folder, or an .mcap or .db3 file.
        odom_topic: nav_msgs/Odometry with pose and twist.
        cmd_topic: geometry_msgs/Twist or TwistStamped.
        cmd_type: which of the two to take where the topic has both; empty for what there is.
        delay_taps, model_dt: as in the residual.

    Raises:
        InvalidValueError: a topic is not there or has another type; the message lists what there is.
        MppiMamlError: the file cannot be read.
    """
    wanted = {cmd_topic: COMMANDS, odom_topic: (ODOMETRY,)}
    if cmd_type:
        full = (
            cmd_type.replace("geometry_msgs/", "geometry_msgs/msg/") if "/msg/" not in cmd_type else cmd_type
        )
        if full not in COMMANDS:
            raise InvalidValueError(f"the type of commands must be {' or '.join(COMMANDS)}, got {cmd_type!r}")
        wanted[cmd_topic] = (full,)
    events: list[tuple[float, int, tuple[float, ...]]] = []
    reader = _reader([Path(path)])
    try:
        reader.open()
    except Exception as error:
        raise MppiMamlError(f"the recorded run {path} cannot be read: {error}") from error
    with contextlib.closing(reader):
        connections = [c for c in reader.connections if c.msgtype in wanted.get(c.topic, ())]
        for topic, types in wanted.items():
            if not any(c.topic == topic for c in connections):
                there = ", ".join(sorted(f"{c.topic} ({c.msgtype})" for c in reader.connections)) or "nothing"
                raise InvalidValueError(f"{path} has no {' or '.join(types)} on {topic}; it holds {there}")
        for connection, recorded, data in reader.messages(connections):
            message: Any = reader.deserialize(data, connection.msgtype)
            stamp = 1e-9 * recorded
            if connection.msgtype != COMMANDS[0] and _seconds(message.header.stamp) > 0.0:
                stamp = _seconds(message.header.stamp)
            if connection.msgtype == ODOMETRY:
                pose, twist = message.pose.pose, message.twist.twist
                events.append((stamp, 1, (pose.position.x, pose.position.y, _yaw(pose.orientation),
                                          twist.linear.x, twist.angular.z)))  # fmt: skip
            else:
                twist = message.twist if connection.msgtype == COMMANDS[1] else message
                events.append((stamp, 0, (twist.linear.x, twist.angular.z)))
    if not events:
        raise InvalidValueError(f"{path} holds no message on {odom_topic} and {cmd_topic}")
    events.sort(key=lambda event: event[:2])
    start = events[0][0]  # of the run, so that stamps keep their digits
    buffer = TransitionBuffer(BufferConfig(delay_taps=delay_taps, model_dt=model_dt, size=CAPACITY))
    for stamp, kind, values in events:
        if kind == 0:
            buffer.add_command(stamp - start, values)
        else:
            row = np.array(values)
            row[2] = wrap(row[2])
            buffer.add_odometry(Odometry(stamp - start, row[:3], row[3:]))
    return buffer.latest()


def _segments(data: Transitions) -> list[tuple[np.ndarray, np.ndarray]]:
    """(inputs, residuals) of each stretch without a gap."""
    inputs, residuals = data.inputs, data.residuals
    ends = np.flatnonzero(np.diff(data.segments)) + 1
    return list(zip(np.split(inputs, ends), np.split(residuals, ends), strict=True))


def _windows(
    stretches: Sequence[tuple[np.ndarray, np.ndarray]], length: int, rng: np.random.Generator, tasks: int
) -> tuple[np.ndarray, np.ndarray]:
    """``tasks`` windows, drawn uniformly from all places; (tasks, length, ...)."""
    places = np.array([max(len(x) - length + 1, 0) for x, _ in stretches])
    ends = np.cumsum(places)
    chosen = rng.integers(0, ends[-1], size=tasks)
    which = np.searchsorted(ends, chosen, side="right")
    first = chosen - (ends - places)[which]
    inputs = np.concatenate([x for x, _ in stretches])
    residuals = np.concatenate([y for _, y in stretches])
    offset = np.cumsum([0, *(len(x) for x, _ in stretches)])[which] + first
    index = offset[:, None] + np.arange(length)
    return inputs[index], residuals[index]


@attrs.frozen(eq=False)
class RecordedTasks:
    """A task distribution made of recorded runs.

    Attributes:
        training, held: (inputs, residuals) of stretches without gaps.
        steps: length of a task [steps].
        sources: name and checksum of each run.
        delay_taps, model_dt: as in the residual.
    """

    training: list
    held: list
    steps: int
    sources: list
    delay_taps: int = 4
    model_dt: float = 0.05

    @classmethod
    def read(
        cls, paths: Iterable[Path], odom_topic: str = "/odom", cmd_topic: str = "/cmd_vel",
        cmd_type: str = "", delay_taps: int = 4, model_dt: float = 0.05, steps: int = 240,
    ) -> RecordedTasks:  # fmt: skip
        """From rosbag2 recordings; see :func:`read_run`.

        Tasks are shorter than ``steps`` when no run has that many transitions without a gap.

        Raises:
            InvalidValueError: too little data, or see :func:`read_run`.
        """
        training, held = [], []
        sources: list[dict[str, Any]] = []
        for path in map(Path, paths):
            data = read_run(path, odom_topic, cmd_topic, cmd_type, delay_taps, model_dt)
            cut = int(round((1.0 - HELD_OUT_SHARE) * len(data)))
            training += _segments(data[:cut])
            held += _segments(data[cut:])
            sources.append({"name": path.name, "sha256": _digest(path), "transitions": len(data)})
        longest = min(max((len(x) for x, _ in part), default=0) for part in (training, held))
        if longest < SHORTEST:
            raise InvalidValueError(
                f"the recorded runs must hold {SHORTEST} transitions without a gap in their first "
                f"{1 - HELD_OUT_SHARE:.0%} and in the rest, {SHORTEST * model_dt:g} s of driving each; "
                f"the longest have {longest}: {', '.join(s['name'] for s in sources)}"
            )
        return cls(training, held, min(steps, longest), sources, delay_taps, model_dt)

    def pool(self, seed: int, tasks: int, held_out: bool = False) -> TaskPool:
        """Windows of the runs; the end of each run belongs to the held-out tasks alone."""
        stretches = self.held if held_out else self.training
        rng = np.random.default_rng(seed)
        inputs, residuals = _windows(stretches, self.steps, rng, tasks)
        noise = np.full((tasks, 3), np.nan)
        return TaskPool(inputs, residuals, inputs, residuals, noise[:, 0], self._noise())

    def changing_pool(self, seed: int, tasks: int, held_out: bool = False) -> TaskPool:
        """As :meth:`pool`: a recorded world changes by itself."""
        return self.pool(seed, tasks, held_out)

    def _noise(self) -> np.ndarray:
        """Variance of the residuals about a smooth course, from third differences, shape (3,)."""
        squares = [np.diff(y, n=3, axis=0) ** 2 / 20.0 for _, y in self.training if len(y) > 3]
        return np.maximum(np.median(np.concatenate(squares), axis=0) / 0.455, 1e-8)

    def prior_pool(self, seed: int, tasks: int) -> TaskPool:
        """Simulated worlds: a handful of runs says nothing about how robots differ."""
        return WorldTasks(delay_taps=self.delay_taps, model_dt=self.model_dt).pool(seed, tasks)

    def describe(self) -> dict:
        """The runs by name and checksum."""
        return {
            "kind": "recorded",
            "sources": self.sources,
            "steps": self.steps,
            "delay_taps": self.delay_taps,
            "model_dt": self.model_dt,
        }


def _digest(path: Path) -> str:
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
