"""One HTTP/1.1 exchange over a bare socket: what a client library would refuse or mend. No test."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

DEADLINE_S = 5.0


class Hung(AssertionError):
    """Neither an answer nor the end of the connection came in time."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: status 0 and nothing else where the connection was closed unanswered."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    more: bytes
    """What came after the answer, where that was waited for."""

    def header(self, name: str) -> str | None:
        """The first header of that name (lower case)."""
        return next((value for key, value in self.headers if key == name), None)


async def exchange(
    port: int,
    *parts: bytes,
    method: str = "GET",
    deadline_s: float = DEADLINE_S,
    more_within_s: float = 0.0,
) -> Reply:
    """Send the parts, read one whole answer, wait for more where that is wanted, close.

    Raises Hung.

    A server that has answered before it has read everything may reset the connection: what had
    arrived before that counts.
    """
    more = b""
    try:
        async with asyncio.timeout(deadline_s):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, limit=64 * 1024 * 1024
            )
            try:
                sending = asyncio.create_task(_send(writer, parts))
                try:
                    status, headers, body = await _read(reader, method)
                    if more_within_s:
                        more = await _more(reader, more_within_s)
                finally:
                    sending.cancel()
                    await asyncio.gather(sending, return_exceptions=True)
            finally:
                writer.close()
    except TimeoutError as error:
        raise Hung(f"no answer within {deadline_s:g} s") from error
    return Reply(status, tuple(headers), body, more)


async def _send(writer: asyncio.StreamWriter, parts: Sequence[bytes]) -> None:
    for part in parts:
        writer.write(part)
        await writer.drain()


async def _more(reader: asyncio.StreamReader, within_s: float) -> bytes:
    """The first bytes after an answer; empty where the server closes or says nothing."""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(within_s):
            return await reader.read(1000)
    return b""


async def _read(
    reader: asyncio.StreamReader, method: str
) -> tuple[int, list[tuple[str, str]], bytes]:
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0, [], b""
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        protocol, _, rest = first.partition(" ")
        # aiohttp answers in the version that was asked for, HTTP/0.9 included.
        assert protocol.startswith("HTTP/"), f"no HTTP answer: {first[:60]!r}"
        status = int(rest[:3])
        if status >= 200:
            break
    headers = [
        (name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)
    ]
    sizes = [value for name, value in headers if name == "content-length"]
    assert len(sizes) <= 1, "two lengths in an answer"
    size = int(sizes[0]) if sizes and method != "HEAD" and status not in (204, 304) else 0
    return status, headers, await reader.readexactly(size)
