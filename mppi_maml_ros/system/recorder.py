"""Records topics into an mcap bag, in pure Python; what is heard is written as it came."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rclpy
from ament_index_python.packages import get_package_share_directory
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from ..core.errors import MppiMamlError

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys.store import Typestore

TOPICS = (
    *("odom", "cmd_vel", "plan", "mppi_controller/status", "adaptation/status"),
    *("dynamic_world/world_state", "/diagnostics"),
)
"""Recorded unless others are named, below the namespace."""

_LOOK_EVERY = 0.5  # [s] for topics that have appeared


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
    """The class of a message type such as nav_msgs/msg/Odometry."""
    package, _, name = kind.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)


def _share(package: str) -> Path:
    """Folder of a package's definitions; the environment's own where no ROS installation is sourced."""
    if os.environ.get("AMENT_PREFIX_PATH"):
        return Path(get_package_share_directory(package))
    return Path(sys.prefix) / "share" / package


class Recorder:
    """Writes the messages of some topics into a bag, from the moment that they exist.

    Args:
        folder: of the bag; must not exist.
        topics: relative to ``namespace`` unless they begin with a slash.
        namespace: of the robot.

    Raises:
        MppiMamlError: rosbags is not installed, or the folder exists.
    """

    def __init__(self, folder: Path, topics: Iterable[str] = TOPICS, namespace: str = "") -> None:
        writer, plugin, self._types, self._parse = _rosbags()
        if Path(folder).exists():
            raise MppiMamlError(f"{folder} exists: choose another name for the bag")
        self.counts: dict[str, int] = {}
        self._context = rclpy.Context()
        rclpy.init(context=self._context, args=[])
        self._node = rclpy.create_node("recorder", context=self._context, namespace=namespace or "/")
        self._wanted = {self._node.resolve_topic_name(topic) for topic in topics}
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._writer = writer(Path(folder), version=9, storage_plugin=plugin)
        self._writer.open()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def run(
        self,
        duration: float,
        on_progress: Callable[[dict[str, int]], None],
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Record for ``duration`` [s], infinite for until ``stop()``.

        Args:
            on_progress: called now and then with the messages so far by topic.
        """
        end, look = time.monotonic() + duration, 0.0
        while time.monotonic() < end and not stop():
            if time.monotonic() >= look:
                self._subscribe()
                on_progress(self.counts)
                look = time.monotonic() + _LOOK_EVERY
            self._executor.spin_once(timeout_sec=0.1)
        on_progress(self.counts)

    def _subscribe(self) -> None:
        for topic, kinds in self._node.get_topic_names_and_types():
            if topic not in self._wanted or topic in self.counts or len(kinds) != 1:
                continue
            connection = self._connection(topic, kinds[0])
            self.counts[topic] = 0
            self._node.create_subscription(
                _class_of(kinds[0]), topic, self._writing(topic, connection), self._profile(topic), raw=True
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
            self._writer.write(connection, time.time_ns(), bytes(data))
            self.counts[topic] += 1

        return write

    def _profile(self, topic: str) -> QoSProfile:
        """Hears every publisher there is; what they keep for latecomers too."""
        offered = [info.qos_profile for info in self._node.get_publishers_info_by_topic(topic)]
        kept = offered and all(p.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in offered)
        return QoSProfile(
            depth=500,
            reliability=ReliabilityPolicy.BEST_EFFORT if not kept else ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if kept else DurabilityPolicy.VOLATILE,
        )
