"""The messages of a recorded run, whatever state it was left in.

A sound bag is read by rosbags. Where that fails (no metadata.yaml, a file that is cut off, a definition that
it cannot parse) each file is read for itself and as far as it is whole.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from ..core.errors import MppiMamlError
from .mcap import McapScan
from .raw import Channel
from .sqlite import SqliteScan, journals

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

Wanted = Callable[[str, str], bool]  # of a topic and its type

_STORAGES = (".mcap", ".db3")
_METADATA = "metadata.yaml"
SHOWN = 8  # topics that a message lists
_POINTER = b"version https://git-lfs"
_MENDING = {
    ".mcap": "`mcap recover` may mend the file",
    ".db3": "`sqlite3 FILE .recover | sqlite3 MENDED` may mend the file, and `ros2 bag reindex` the folder",
    ".bag": "`rosbag reindex` may mend the file",
}


@attrs.frozen
class Message:
    """One message: its topic and type, when it was recorded [ns], and its fields."""

    topic: str
    kind: str
    recorded: int
    value: Any


@attrs.frozen(eq=False)
class Bag:
    """What was read.

    Attributes:
        path: of the bag.
        topics: messages by (topic, type), of those that were not asked for too; those seen before a damage.
        messages: what was asked for, in the order of recording.
        remarks: a sentence about each thing that was not as it should be.
    """

    path: Path
    topics: Counter[tuple[str, str]]
    messages: list[Message]
    remarks: tuple[str, ...]

    def holding(self, kinds: Iterable[str]) -> str:
        """Topics of these types in words; the first others where there are none."""
        fitting = [
            f"{topic} ({kind}{'' if count else ', no message'})"
            for (topic, kind), count in sorted(self.topics.items())
            if kind in kinds
        ]
        others = sorted({topic for topic, _ in self.topics})
        more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        return ", ".join(fitting or others[:SHOWN]) + ("" if fitting else more) or "no message"


def read_bag(path: Path, wanted: Wanted) -> Bag:
    """Read a recorded run.

    Args:
        path: folder of rosbag2, with or without metadata.yaml, or an .mcap, .db3 or ROS 1 .bag file.
        wanted: which topics with which types to read; takes both.

    Raises:
        MppiMamlError: rosbags is not installed, it is no bag, or nothing of it is whole; one sentence with
            the next step.
    """
    path, types = Path(path), _Types()
    try:
        bag = _read(path, wanted, types)
    except OSError as error:
        raise MppiMamlError(f"{path} cannot be read: {error.strerror or error}") from error
    return attrs.evolve(bag, remarks=(*bag.remarks, *types.remarks()))


def _read(path: Path, wanted: Wanted, types: _Types) -> Bag:
    whole = path.is_file() or (path / _METADATA).is_file()
    found, problem = _sound(path, wanted, types) if whole else (None, f"there is no {_METADATA}")
    if found is not None:
        return found
    if path.is_file():
        return _scanned(path, wanted, types, problem)
    parts, failures = [], []
    for file in _files(path):
        try:
            found, why = _sound(file, wanted, types)
            parts.append(found or _scanned(file, wanted, types, why))
        except MppiMamlError as error:
            failures.append(error)
    if not parts:
        raise failures[0]
    topics: Counter[tuple[str, str]] = Counter()
    for part in parts:
        topics.update(part.topics)
    messages = sorted((m for part in parts for m in part.messages), key=lambda message: message.recorded)
    remarks = [f"its files were read one by one, as {problem} (`ros2 bag reindex`)", *map(str, failures)]
    return Bag(path, topics, messages, (*remarks, *(r for part in parts for r in part.remarks)))


def _files(folder: Path) -> list[Path]:
    files = sorted(f for f in folder.iterdir() if f.suffix in _STORAGES)
    if files:
        return sorted(files, key=lambda f: (len(f.name), f.name))  # run_2 before run_10
    if (folder / _METADATA).is_file():
        raise MppiMamlError(f"{folder} holds {_METADATA} but no .mcap or .db3 file: copy those too")
    inner = sorted(str(f.parent) for f in folder.rglob(_METADATA))
    packed = sorted(f.name for f in folder.iterdir() if f.suffix == ".zstd")
    if packed:
        raise MppiMamlError(
            f"{folder} has no {_METADATA} and is packed: `zstd -d {packed[0]}`, then try again"
        )
    if inner:
        raise MppiMamlError(f"{folder} is no bag but holds some; name them: {', '.join(inner[:5])}")
    raise MppiMamlError(
        f"{folder} is no bag: it holds no .mcap or .db3 file; name the folder that `ros2 bag record` wrote"
    )


def _sound(path: Path, wanted: Wanted, types: _Types) -> tuple[Bag | None, str]:
    """The bag as rosbags reads it, or None and why not."""
    if any(journals(file) for file in (path.glob("*.db3") if path.is_dir() else [path])):
        return None, "its writer did not close it"
    from rosbags.rosbag1 import Reader as Reader1
    from rosbags.rosbag2 import Reader as Reader2

    ros1 = path.suffix == ".bag"
    try:
        with (Reader1 if ros1 else Reader2)(path) as reader:
            channels = {c.id: _channel(c) for c in reader.connections}
            topics: Counter[tuple[str, str]] = Counter()
            for c in reader.connections:
                topics[channels[c.id].topic, c.msgtype] += c.msgcount
            chosen = [c for c in reader.connections if wanted(channels[c.id].topic, c.msgtype)]
            messages: list[Message] = []
            for connection, recorded, data in reader.messages(chosen) if chosen else ():
                messages += types.read(channels[connection.id], recorded, data, ros1)
    except Exception as error:  # noqa: BLE001 - whatever a damaged file does to the libraries that read it
        return None, _brief(error)
    return Bag(path, topics, messages, ()), ""


def _channel(connection: Connection) -> Channel:
    definition = connection.msgdef.data if connection.msgdef.format.name == "MSG" else ""
    return Channel(connection.topic, connection.msgtype, definition)


def _scanned(file: Path, wanted: Wanted, types: _Types, problem: str) -> Bag:
    """The whole records of a file."""
    scan = McapScan(file) if file.suffix == ".mcap" else SqliteScan(file)
    topics: Counter[tuple[str, str]] = Counter()
    messages: list[Message] = []
    with file.open("rb") as stream:
        if stream.read(len(_POINTER)) == _POINTER:
            raise MppiMamlError(f"{file} is a pointer of git-lfs and no bag: `git lfs pull` gets the bag")
    try:
        for channel, recorded, data in scan.messages() if file.suffix in _STORAGES else ():
            topics[channel.topic, channel.kind] += 1
            if wanted(channel.topic, channel.kind):
                messages += types.read(channel, recorded, data)
    except Exception as error:  # noqa: BLE001 - as above
        scan.damage = scan.damage or _brief(error)
    if not topics:
        step = _MENDING.get(file.suffix, "name an .mcap or .db3 file, or a folder of `ros2 bag record`")
        raise MppiMamlError(f"{file} cannot be read as a bag: {scan.damage or problem}; {step}")
    said = f"{topics.total()} messages could be read"
    messages.sort(key=lambda message: message.recorded)
    return Bag(file, topics, messages, (f"{file.name} is not whole ({scan.damage or problem}): {said}",))


def _brief(error: Exception) -> str:
    """The first line of what a library says, which may go on with the whole definition of a type."""
    text = str(error).strip() or type(error).__name__
    line = text.splitlines()[0].rstrip(" .:")
    return line if len(line) <= 160 else f"{line[:157]}..."


class _Types:
    """Turns bytes into messages; what cannot be is counted."""

    def __init__(self) -> None:
        try:
            from rosbags.typesys import Stores, get_types_from_msg, get_typestore
        except ImportError as error:
            raise MppiMamlError(
                "recorded runs are read by the package rosbags: pip install 'mppi_maml_ros[bags]'"
            ) from error
        self._parse = get_types_from_msg
        self._empty: Callable[[], Any] = partial(get_typestore, Stores.EMPTY)
        self._standard = {False: get_typestore(Stores.LATEST), True: get_typestore(Stores.ROS1_NOETIC)}
        self._stores: dict[tuple[str, bool], Any] = {}
        self._failed: Counter[tuple[str, str]] = Counter()

    def read(self, channel: Channel, recorded: int, data: bytes, ros1: bool = False) -> Iterable[Message]:
        """The message, or nothing."""
        store = self._store(channel, ros1)
        read = None if store is None else store.deserialize_ros1 if ros1 else store.deserialize_cdr
        with contextlib.suppress(Exception):  # bytes that are not what their type says
            if read is not None:
                return (Message(channel.topic, channel.kind, recorded, read(data, channel.kind)),)
        self._failed[channel.topic, channel.kind] += 1
        return ()

    def _store(self, channel: Channel, ros1: bool) -> Any:
        """Standard types are the same everywhere; others are as the bag defines them."""
        key = channel.kind, ros1
        if key not in self._stores:
            store = self._standard[ros1] if channel.kind in self._standard[ros1].types else None
            if store is None and channel.definition:
                with contextlib.suppress(Exception):  # a definition that rosbags cannot parse
                    store = self._empty()
                    store.register(self._parse(channel.definition, channel.kind))
            self._stores[key] = store if store is not None and channel.kind in store.types else None
        return self._stores[key]

    def remarks(self) -> Iterator[str]:
        """One sentence a topic."""
        for (topic, kind), count in sorted(self._failed.items()):
            yield f"{count} messages on {topic} are not what {kind} is defined as: left out"
