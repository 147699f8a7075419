"""Three questions to a Kafka broker, asked by hand: no client, no event loop, one connection each.

A client would hide which broker answered, keep connections to a frozen one, and wait. Formats:
Metadata version 1, ApiVersions version 3, as Kafka's protocol guide has them.
"""

from __future__ import annotations

import io
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

_METADATA: Final = 3
_API_VERSIONS: Final = 18
_FINALISED_FEATURES: Final = 2
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Partition:
    """What a broker says of a partition: its leader (None: there is none), who is in sync."""

    leader: int | None
    in_sync: tuple[int, ...]


def members(port: int, timeout_s: float = 1.0) -> set[int] | None:
    """The brokers that this one knows of, itself included; None where it does not answer."""
    request = _header(_METADATA, 1) + struct.pack(">i", 0)
    return _ask(port, request, lambda reader: set(_brokers(reader)), timeout_s)


def partitions(port: int, topic: str, timeout_s: float = 1.0) -> dict[int, Partition] | None:
    """The partitions of a topic, empty where it knows no such topic; None without an answer."""
    name = topic.encode()
    request = _header(_METADATA, 1) + struct.pack(">ih", 1, len(name)) + name
    return _ask(port, request, _partitions, timeout_s)


def features(port: int, timeout_s: float = 1.0) -> dict[str, int] | None:
    """The features that are in force, with their levels; None where it does not answer."""
    software = b"\x09rollcall\x021"  # compact strings: name and version of the client
    # Request header version 2 and the body end with an empty list of tagged fields each.
    request = _header(_API_VERSIONS, 3) + b"\x00" + software + b"\x00"
    return _ask(port, request, _features, timeout_s)


class _Reader:
    """Reads the fields of an answer in order."""

    def __init__(self, body: bytes) -> None:
        self._stream = io.BytesIO(body)

    def number(self, form: str) -> int:
        """One big-endian number: `b`, `h`, `i` or `q`."""
        [value] = struct.unpack(f">{form}", self.raw(struct.calcsize(form)))
        return int(value)

    def raw(self, size: int) -> bytes:
        """So many bytes. Raises EOFError where the answer is shorter."""
        found = self._stream.read(size)
        if len(found) < size:
            raise EOFError("the answer ends too early")
        return found

    def text(self) -> str:
        """A string; empty for null."""
        return self.raw(max(0, self.number("h"))).decode()

    def numbers(self) -> tuple[int, ...]:
        """A list of 32-bit numbers."""
        return tuple(self.number("i") for _ in range(self.number("i")))

    def varint(self) -> int:
        """An unsigned number of seven bits a byte."""
        value = shift = 0
        while True:
            byte = self.raw(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def compact_text(self) -> str:
        """A string of a flexible version."""
        return self.raw(self.varint() - 1).decode()

    def tagged(self) -> dict[int, bytes]:
        """The tagged fields at this place."""
        return {self.varint(): self.raw(self.varint()) for _ in range(self.varint())}


def _ask(port: int, request: bytes, read: Callable[[_Reader], T], timeout_s: float) -> T | None:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as stream:
                size = stream.read(4)
                body = stream.read(struct.unpack(">i", size)[0]) if len(size) == 4 else b""
        reader = _Reader(body)
        reader.number("i")  # the correlation id
        return read(reader)
    except (OSError, EOFError):
        return None


def _header(api: int, version: int) -> bytes:
    """Key, version, correlation id, no client id."""
    return struct.pack(">hhih", api, version, 1, -1)


def _brokers(reader: _Reader) -> list[int]:
    found = []
    for _ in range(reader.number("i")):
        found.append(reader.number("i"))
        reader.text()  # host
        reader.number("i")  # port
        reader.text()  # rack
    return found


def _partitions(reader: _Reader) -> dict[int, Partition]:
    _brokers(reader)
    reader.number("i")  # the controller
    found: dict[int, Partition] = {}
    for _ in range(reader.number("i")):
        reader.number("h")  # error of the topic: then it has no partitions
        reader.text()
        reader.raw(1)  # is it internal
        for _ in range(reader.number("i")):
            reader.number("h")  # error of the partition: the leader is -1 then
            number, leader = reader.number("i"), reader.number("i")
            reader.numbers()  # replicas
            found[number] = Partition(None if leader < 0 else leader, reader.numbers())
    return found


def _features(reader: _Reader) -> dict[str, int]:
    reader.number("h")  # error
    for _ in range(reader.varint() - 1):
        reader.raw(6)  # an API and its versions
        reader.tagged()
    reader.number("i")  # throttle time
    tagged: dict[int, Any] = reader.tagged()
    inner = _Reader(tagged.get(_FINALISED_FEATURES, b"\x01"))
    found = {}
    for _ in range(inner.varint() - 1):
        name = inner.compact_text()
        found[name] = inner.number("h")  # the highest level that is in force
        inner.number("h")
        inner.tagged()
    return found
