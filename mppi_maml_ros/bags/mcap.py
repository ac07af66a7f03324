"""What is whole of an mcap file that was cut off or damaged.

A file whose writer was killed has no summary, and its last record is incomplete. Records are read from the
start to the first that does not end within the file; of a chunk that does not, those that do. What channels
are is looked for outside of chunks first, as it may stand in a damaged one.

Source: the MCAP format specification, https://mcap.dev/spec
"""

from __future__ import annotations

import importlib
import os
import struct
from binascii import crc32
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import attrs

from ..core.errors import MppiMamlError
from .raw import Channel

MAGIC = b"\x89MCAP0\r\n"
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK = 3, 4, 5, 6
_HEADER = struct.Struct("<BQ")  # of a record: operation, length
_CHUNK_HEAD = struct.Struct("<QQQI")  # first and last log time, uncompressed size, checksum
_MESSAGE_HEAD = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time


@attrs.define
class McapScan:
    """Reads a file from its start, without the index at its end.

    Attributes:
        path: the file.
        channels: met so far, by their number.
        damage: what was not whole; empty when all was.
    """

    path: Path
    channels: dict[int, Channel] = attrs.field(factory=dict)
    damage: str = ""
    _schemas: dict[int, tuple[str, str, str]] = attrs.field(factory=dict)

    def messages(self) -> Iterator[tuple[Channel, int, bytes]]:
        """Channel, time of recording [ns] and content of each message, in the order of the file.

        Raises:
            MppiMamlError: it is no mcap file.
        """
        size = os.path.getsize(self.path)
        with self.path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise MppiMamlError("it does not begin as an mcap file")
            for operation, length, whole in self._records(file, size):
                if whole and operation in (_SCHEMA, _CHANNEL):
                    self._define(operation, file.read(length))
            file.seek(len(MAGIC))
            for operation, length, whole in self._records(file, size):
                if not whole:
                    self.damage = f"cut off in the record at byte {file.tell() - _HEADER.size}"
                if operation == _CHUNK:
                    yield from self._chunk(file.read(length), whole)
                elif operation == _MESSAGE and whole:
                    yield from self._message(file.read(length))

    @staticmethod
    def _records(file: BinaryIO, size: int) -> Iterator[tuple[int, int, bool]]:
        """Operation, length as far as it is there, and whether that is all; the file is at its content."""
        while len(head := file.read(_HEADER.size)) == _HEADER.size and not head.startswith(MAGIC):
            operation, length = _HEADER.unpack(head)
            begin = file.tell()
            yield operation, min(length, size - begin), begin + length <= size
            if begin + length > size:
                return
            file.seek(begin + length)

    def _chunk(self, data: bytes, whole: bool) -> Iterator[tuple[Channel, int, bytes]]:
        try:
            _, _, size, checksum = _CHUNK_HEAD.unpack_from(data)
            compression, at = _text(data, _CHUNK_HEAD.size)
            records = _decompressed(data[at + 8 :], compression)
        except Exception as error:  # noqa: BLE001 - each library has errors of its own for damaged data
            self.damage = self.damage or f"a chunk is damaged ({error})"
            return
        if whole and (len(records) != size or (checksum and crc32(records) != checksum)):
            self.damage = self.damage or "a chunk has another checksum than it should"
            return
        at = 0
        while at + _HEADER.size <= len(records):
            operation, length = _HEADER.unpack_from(records, at)
            at += _HEADER.size
            if at + length > len(records):
                break
            if operation == _MESSAGE:
                yield from self._message(records[at : at + length])
            elif operation in (_SCHEMA, _CHANNEL):
                self._define(operation, records[at : at + length])
            at += length

    def _message(self, data: bytes) -> Iterator[tuple[Channel, int, bytes]]:
        number, _, stamp, _ = _MESSAGE_HEAD.unpack_from(data)
        if number in self.channels:
            yield self.channels[number], stamp, data[_MESSAGE_HEAD.size :]

    def _define(self, operation: int, data: bytes) -> None:
        if operation == _SCHEMA:
            (number,) = struct.unpack_from("<H", data)
            name, at = _text(data, 2)
            encoding, at = _text(data, at)
            self._schemas[number] = name, encoding, _text(data, at)[0]
        else:
            number, schema = struct.unpack_from("<HH", data)
            topic, at = _text(data, 4)
            encoding, _ = _text(data, at)
            kind, language, definition = self._schemas.get(schema, ("", "", ""))
            shown = kind if encoding == "cdr" else f"{kind}, {encoding}"  # no type that can be read
            self.channels[number] = Channel(topic, shown, definition if language == "ros2msg" else "")


def _text(data: bytes, at: int) -> tuple[str, int]:
    """A string that begins at ``at``, and where it ends."""
    (length,) = struct.unpack_from("<I", data, at)
    end = at + 4 + length
    if end > len(data):
        raise ValueError("a text does not end")
    return data[at + 4 : end].decode(errors="replace"), end


def _decompressed(data: bytes, compression: str) -> bytes:
    """As much as can be had, also of the beginning of a compressed stream."""
    if compression == "":
        return data
    if compression == "lz4":
        return importlib.import_module("lz4.frame").LZ4FrameDecompressor().decompress(data)
    if compression == "zstd":
        return _zstd().ZstdDecompressor().decompress(data)
    raise ValueError(f"compression {compression!r} is not known")


def _zstd() -> Any:
    try:
        return importlib.import_module("compression.zstd")  # Python's own from 3.14 on
    except ImportError:
        return importlib.import_module("backports.zstd")
