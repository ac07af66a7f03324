"""Records topics into an mcap bag, in pure Python; what is heard is written as it came.

Messages arrive on threads, one for each type that a topic has besides its first: a participant of DDS hears
a topic as one type. Twice a second the main thread closes the chunk that was begun and has the disk keep it,
so that what is recorded outlives this process and the power.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rclpy
from ament_index_python.packages import get_package_share_directory
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from ..core.errors import MppiMamlError
from .names import checked_namespace, checked_topic

if TYPE_CHECKING:
    from rclpy.node import Node
    from rosbags.interfaces import Connection
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys.store import Typestore

TOPICS = (
    *("odom", "cmd_vel", "plan", "mppi_controller/status", "adaptation/status"),
    *("dynamic_world/world_state", "/diagnostics"),
)
"""Recorded unless others are named, below the namespace."""

_KEEP_EVERY = 0.5  # [s] what is lost at most, and how often topics that have appeared are looked for
_POLL = 0.1  # [s]


def _rosbags() -> tuple[type[Writer], StoragePlugin, Typestore, Callable[[str, str], dict]]:
    try:
        from rosbags.rosbag2 import StoragePlugin, Writer
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore
    except ImportError as error:
        raise MppiMamlError(
            "recording needs rosbags: pip install rosbags (or mppi_maml_ros[bags])"
        ) from error
    return Writer, StoragePlugin.MCAP, get_typestore(Stores.ROS2_JAZZY), get_types_from_msg


def _class_of(kind: str) -> Any:
    """The class of a message type such as nav_msgs/msg/Odometry.

    Raises:
        MppiMamlError: its package is not installed.
    """
    package, _, name = kind.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError) as error:
        raise MppiMamlError(f"{kind} is not installed here: source the workspace that has it") from error


def _share(package: str) -> Path:
    """Folder of a package's definitions; the environment's own where no ROS installation is sourced."""
    if os.environ.get("AMENT_PREFIX_PATH"):
        return Path(get_package_share_directory(package))
    return Path(sys.prefix) / "share" / package


class _Listener:
    """A participant of its own, heard on a thread."""

    def __init__(self, number: int, namespace: str) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context, args=[])
        name = "recorder" if number == 0 else f"recorder_{number}"
        self.node = rclpy.create_node(name, context=self._context, namespace=namespace)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def close(self) -> None:
        """Hear no more."""
        self._executor.shutdown()
        rclpy.try_shutdown(context=self._context)
        self._thread.join()
        self.node.destroy_node()


class Recorder:
    """Writes the messages of some topics into a bag, from the moment that they exist.

    Args:
        folder: of the bag; must not exist.
        topics: relative to ``namespace`` unless they begin with a slash.
        namespace: of the robot.

    Raises:
        InvalidValueError: a topic or the namespace is no name.
        MppiMamlError: rosbags is not installed, or the folder exists or cannot be made.
    """

    def __init__(self, folder: Path, topics: Iterable[str] = TOPICS, namespace: str = "") -> None:
        self._namespace = checked_namespace(namespace)
        topics = [checked_topic(topic) for topic in topics]
        writer, plugin, self._types, self._parse = _rosbags()
        self._folder = Path(folder)
        if self._folder.exists():
            raise MppiMamlError(f"{folder} exists: choose another name for the bag")
        self._counts: Counter[tuple[str, str]] = Counter()
        self.remarks: dict[str, str] = {}
        self._lock = threading.Lock()  # of the writer, between the listeners
        self._failure: OSError | None = None
        self._writer = writer(self._folder, version=9, storage_plugin=plugin)
        try:
            self._writer.open()
        except OSError as error:
            raise MppiMamlError(f"{folder} cannot be made: {error.strerror}") from error
        self._storage: Any = self._writer.storage
        self._listeners = [_Listener(0, self._namespace)]
        self._wanted = {self._node.resolve_topic_name(topic) for topic in topics}

    @property
    def _node(self) -> Node:
        return self._listeners[0].node

    @property
    def counts(self) -> dict[str, int]:
        """Messages so far by topic; by topic and type where a topic has several types."""
        topics = Counter(topic for topic, _ in self._counts)
        return {t if topics[t] == 1 else f"{t} ({k})": n for (t, k), n in list(self._counts.items())}

    @property
    def unheard(self) -> list[str]:
        """Topics that were to be recorded and on which nothing has come."""
        return sorted(self._wanted - {topic for (topic, _), count in self._counts.items() if count})

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        for listener in self._listeners:
            listener.close()
        try:
            if self._failure is None:
                self._writer.close()
        except OSError as failure:
            self._failure = failure
        if self._failure is not None:
            with contextlib.suppress(OSError):
                self._writer.abort()
            if kind is None:
                raise self._ended()

    def _ended(self) -> MppiMamlError:
        reason = self._failure.strerror if self._failure is not None else ""
        return MppiMamlError(
            f"{self._folder} could not be written any more ({reason}); what is in it can be read by "
            f"`mppi-maml report {self._folder}`"
        )

    def run(
        self,
        duration: float,
        on_progress: Callable[[dict[str, int]], None],
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Record for ``duration`` [s], infinite for until ``stop()``.

        Args:
            on_progress: called now and then with the messages so far by topic.

        Raises:
            MppiMamlError: the disk is full or gone.
        """
        end, look = time.monotonic() + duration, 0.0
        while time.monotonic() < end and not stop():
            if time.monotonic() >= look:
                self._subscribe()
                self._keep()
                on_progress(self.counts)
                look = time.monotonic() + _KEEP_EVERY
            time.sleep(max(min(_POLL, end - time.monotonic()), 0.0))
        on_progress(self.counts)

    def _keep(self) -> None:
        """Have the disk hold what was heard so far; a bag that ends here is read up to here."""
        try:
            with self._lock:
                if self._storage.chunk.msgs:
                    self._storage.close_chunk()
                self._storage.bio.flush()
            os.fsync(self._storage.bio.fileno())
        except OSError as error:
            self._failure = self._failure or error
        if self._failure is not None:
            raise self._ended()

    def _subscribe(self) -> None:
        for topic, kinds in self._node.get_topic_names_and_types():
            for kind in kinds if topic in self._wanted else ():
                if (topic, kind) in self._counts or f"{topic} ({kind})" in self.remarks:
                    continue
                try:
                    self._subscribe_to(topic, kind)
                except MppiMamlError as error:
                    self.remarks[f"{topic} ({kind})"] = str(error)

    def _subscribe_to(self, topic: str, kind: str) -> None:
        cls = _class_of(kind)
        with self._lock:
            connection = self._connection(topic, kind)
        number = sum(t == topic for t, _ in self._counts)
        if number == len(self._listeners):
            self._listeners.append(_Listener(number, self._namespace))
        self._counts[topic, kind] = 0
        self._listeners[number].node.create_subscription(
            cls, topic, self._writing(topic, connection), self._profile(topic, kind), raw=True
        )

    def _connection(self, topic: str, kind: str) -> Connection:
        if kind not in self._types.types:
            package, _, plain = kind.split("/")
            folder = _share(package) / "msg"
            for file in sorted(folder.glob("*.msg")):
                found = self._parse(file.read_text(encoding="utf-8"), f"{package}/msg/{file.stem}")
                self._types.register({n: d for n, d in found.items() if n not in self._types.types})
            if kind not in self._types.types:
                raise MppiMamlError(f"the definition of {package}/{plain} is not in {folder}")
        return self._writer.add_connection(topic, kind, typestore=self._types)

    def _writing(self, topic: str, connection: Connection) -> Callable[[bytes], None]:
        def write(data: bytes) -> None:
            with self._lock:
                if self._failure is not None:
                    return
                try:
                    self._writer.write(connection, time.time_ns(), bytes(data))
                except OSError as error:
                    self._failure = error
                self._counts[topic, connection.msgtype] += 1

        return write

    def _profile(self, topic: str, kind: str) -> QoSProfile:
        """Hears every publisher there is; what they keep for latecomers too."""
        publishers = self._node.get_publishers_info_by_topic(topic)
        offered = [info.qos_profile for info in publishers if info.topic_type == kind]
        kept = offered and all(p.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in offered)
        return QoSProfile(
            depth=500,
            reliability=ReliabilityPolicy.BEST_EFFORT if not kept else ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if kept else DurabilityPolicy.VOLATILE,
        )
