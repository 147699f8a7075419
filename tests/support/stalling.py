"""A proxy before a broker: the answers to who reads one topic can be held back, nothing else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

FETCH = b"\x00\x01"
"""Kafka's API key of a fetch, behind the size of the request."""


class Stalling:
    """Passes bytes on; while `hold` is on, not those to a connection that fetches `topic`."""

    def __init__(self, topic: str, target: int) -> None:
        self._topic = topic.encode()
        self._target = target
        self._flows = asyncio.Event()
        self._flows.set()
        self._readers: set[int] = set()

    def hold(self) -> None:
        """From now on the reader hears nothing; its connection stays open."""
        assert self._readers, "nobody reads the topic through here"
        self._flows.clear()

    def release(self) -> None:
        """All that was held back arrives."""
        self._flows.set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, both ways, until either side ends it."""
        try:
            back, out = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        with contextlib.suppress(asyncio.CancelledError):  # the end of the test: nobody awaits us
            await asyncio.gather(
                self._pass(reader, out, id(writer), is_answer=False),
                self._pass(back, writer, id(writer), is_answer=True),
            )
        self._readers.discard(id(writer))

    async def _pass(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        connection: int,
        *,
        is_answer: bool,
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(65536):
                if not is_answer and piece[4:6] == FETCH and self._topic in piece:
                    self._readers.add(connection)
                if is_answer and connection in self._readers:
                    await self._flows.wait()
                sink.write(piece)
                await sink.drain()
        sink.transport.abort()


@contextlib.asynccontextmanager
async def stalling(port: int, topic: str, target: int) -> AsyncIterator[Stalling]:
    """The proxy, listening on `port` until the end of the block."""
    proxy = Stalling(topic, target)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", port)
    try:
        yield proxy
    finally:
        proxy.release()
        server.close()
