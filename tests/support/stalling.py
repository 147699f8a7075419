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
        self._connections: set[asyncio.Task[None]] = set()

    def hold(self) -> None:
        """From now on the reader hears nothing; its connection stays open."""
        assert self._readers, "nobody reads the topic through here"
        self._flows.clear()

    def release(self) -> None:
        """All that was held back arrives."""
        self._flows.set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Begin to pass on one connection, both ways, until either side ends it."""
        task = asyncio.create_task(self._connect(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def end(self) -> None:
        """End every connection, and wait until it is closed."""
        self.release()
        connections = [*self._connections]
        for each in connections:
            each.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            back, out = await asyncio.open_connection("127.0.0.1", self._target)
            writers.append(out)
            await asyncio.gather(
                self._pass(reader, out, id(writer), is_answer=False),
                self._pass(back, writer, id(writer), is_answer=True),
            )
        except OSError:
            return  # the broker is away: so is the connection
        finally:
            self._readers.discard(id(writer))
            for each in writers:
                each.transport.abort()
            for each in writers:
                with contextlib.suppress(OSError):
                    await each.wait_closed()

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
        server.close()
        await proxy.end()
