"""What is whole of an sqlite3 storage (.db3) that was cut off, damaged or never closed.

Messages that were written last may be in a journal beside the file (``-wal``), which a reader must not
pass over; file and journal are copied, as reading them changes them.

Source: the SQLite database file format, https://www.sqlite.org/fileformat2.html
"""

from __future__ import annotations

import contextlib
import mmap
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs

from .raw import Channel

_JOURNALS = ("-wal", "-journal")
_LEAF = 13  # first byte of a page with rows of a table


def journals(path: Path) -> list[Path]:
    """Those that lie beside a storage and hold something."""
    files = [path.with_name(path.name + ending) for ending in _JOURNALS] if path.suffix == ".db3" else []
    return [file for file in files if file.is_file() and file.stat().st_size]


@attrs.define
class SqliteScan:
    """Reads rows in the order in which they were written; from a damage on, page by page.

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
                yield from self._rows(connection, path)

    def _rows(self, connection: sqlite3.Connection, path: Path) -> Iterator[tuple[Channel, int, bytes]]:
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
        last = 0
        try:
            rows = connection.execute("SELECT id, topic_id, timestamp, data FROM messages ORDER BY id")
            for row, number, stamp, data in rows:
                last = row
                if number in self.channels:
                    yield self.channels[number], stamp, data
        except sqlite3.DatabaseError as error:
            self.damage = str(error)
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages:
                for row, number, stamp, data in _rows_of_leaves(pages):
                    if row > last and number in self.channels:
                        yield self.channels[number], stamp, data


def _rows_of_leaves(file: mmap.mmap) -> Iterator[tuple[int, int, int, bytes]]:
    """(id, topic, stamp, content) of each message that lies on one whole page, in the order of the file.

    The pages that lead to them may be missing: those of a table that grows are made anew, and lie behind.
    """
    size = int.from_bytes(file[16:18], "big")
    size = 65536 if size == 1 else size
    for begin in range(size, len(file) - size + 1, size):
        page = file[begin : begin + size]
        if page[0] != _LEAF:
            continue
        for k in range(int.from_bytes(page[3:5], "big")):
            at = int.from_bytes(page[8 + 2 * k : 10 + 2 * k], "big")
            length, at = _varint(page, at)
            row, at = _varint(page, at)
            kinds: list[int] = []
            end = at
            header, end = _varint(page, end)
            while end < at + header and len(kinds) < 5:
                kind, end = _varint(page, end)
                kinds.append(kind)
            if len(kinds) == 4 and kinds[0] == 0 and kinds[3] >= 12 and kinds[3] % 2 == 0:  # NULL, .., blob
                number, end = _integer(page, end, kinds[1])
                stamp, end = _integer(page, end, kinds[2])
                data = page[end : end + (kinds[3] - 12) // 2]
                if end + len(data) == at + length:  # what is longer goes on elsewhere
                    yield row, number, stamp, data


def _varint(page: bytes, at: int) -> tuple[int, int]:
    """A number in seven bits a byte, the last of nine with eight, and where it ends."""
    value = 0
    for k in range(9):
        byte = page[at + k] if at + k < len(page) else 0
        if k == 8 or byte < 0x80:
            return (value << (8 if k == 8 else 7)) | byte, at + k + 1
        value = value << 7 | byte & 0x7F
    return value, at


def _integer(page: bytes, at: int, kind: int) -> tuple[int, int]:
    """A value of a serial type that is an integer, and where it ends."""
    width = (0, 1, 2, 3, 4, 6, 8)[kind] if kind < 7 else 0
    return int.from_bytes(page[at : at + width], "big", signed=True) if width else int(kind == 9), at + width


def _connect(path: Path, copied: bool) -> sqlite3.Connection:
    where = path.resolve().as_uri() + ("" if copied else "?mode=ro&immutable=1")
    connection = sqlite3.connect(where, uri=True)
    connection.execute("PRAGMA writable_schema = ON")  # lets a file be read that is shorter than it says
    return connection
