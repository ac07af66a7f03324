"""What is whole of an sqlite3 storage (.db3) that was cut off, damaged or never closed.

Messages that were written last may be in a journal beside the file (``-wal``), which a reader must not
pass over; file and journal are copied, as reading them changes them.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs

from .raw import Channel

_JOURNALS = ("-wal", "-journal")


def journals(path: Path) -> list[Path]:
    """Those that lie beside a storage and hold something."""
    files = [path.with_name(path.name + ending) for ending in _JOURNALS] if path.suffix == ".db3" else []
    return [file for file in files if file.is_file() and file.stat().st_size]


@attrs.define
class SqliteScan:
    """Reads rows in the order in which they were written, up to the first that is damaged.

    Attributes:
        path: the file.
        channels: by their number.
        damage: what was not whole; empty when all was.
    """

    path: Path
    channels: dict[int, Channel] = attrs.field(factory=dict)
    damage: str = ""

    def messages(self) -> Iterator[tuple[Channel, int, bytes]]:
        """Channel, time of recording [ns] and content of each message, in the order of writing.

        Raises:
            sqlite3.DatabaseError: it is no storage, or not even its topics can be read.
        """
        with tempfile.TemporaryDirectory() as folder:
            path, beside = self.path, journals(self.path)
            if beside:
                path = Path(shutil.copy(self.path, folder))
                for file in beside:
                    shutil.copy(file, folder)
            with contextlib.closing(_connect(path, bool(beside))) as connection:
                yield from self._rows(connection)

    def _rows(self, connection: sqlite3.Connection) -> Iterator[tuple[Channel, int, bytes]]:
        for number, topic, kind in connection.execute("SELECT id, name, type FROM topics"):
            self.channels[number] = Channel(topic, kind)
        with contextlib.suppress(sqlite3.DatabaseError):  # there are no definitions before ROS 2 Iron
            found = connection.execute(
                "SELECT topic_type, encoded_message_definition FROM message_definitions "
                "WHERE encoding = 'ros2msg'"
            )
            definitions = dict(found)
            for number, channel in self.channels.items():
                self.channels[number] = attrs.evolve(channel, definition=definitions.get(channel.kind, ""))
        try:
            rows = connection.execute("SELECT topic_id, timestamp, data FROM messages ORDER BY id")
            for number, stamp, data in rows:
                if number in self.channels:
                    yield self.channels[number], stamp, data
        except sqlite3.DatabaseError as error:
            self.damage = str(error)


def _connect(path: Path, copied: bool) -> sqlite3.Connection:
    where = path.resolve().as_uri() + ("" if copied else "?mode=ro&immutable=1")
    connection = sqlite3.connect(where, uri=True)
    connection.execute("PRAGMA writable_schema = ON")  # lets a file be read that is shorter than it says
    return connection
