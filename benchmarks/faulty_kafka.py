"""Faults of Kafka for benchmarks: a proxy that swallows answers, brokers, topics, log reading."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from rollcall.kafka.client import client_options
from rollcall.runtime.config import Settings

LAUNCHER: Final = ThreadPoolExecutor(1)
"""A child process ends with the thread that started it, so one thread starts them all."""


@dataclass(frozen=True, slots=True)
class Logged:
    """A record of the log: id and subject of its event, its offset, its append time."""

    id: str
    subject: str
    offset: int
    append_ms: int


class Proxy:
    """Passes bytes to and from the broker; can swallow its answers and cut the connections."""

    def __init__(self, port: int, target: int) -> None:
        self.port, self._target = port, target
        self.is_swallowing = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Cut everything and stop listening."""
        self.cut()
        if self._server is not None:
            self._server.close()

    def cut(self) -> None:
        """Abort every connection."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back, out = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, out}
        with contextlib.suppress(asyncio.CancelledError):  # the end of the loop: no one awaits this
            await asyncio.gather(
                self._pass(reader, out, may_swallow=False),
                self._pass(back, writer, may_swallow=True),
            )

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, may_swallow: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(65536):
                if not (may_swallow and self.is_swallowing):
                    sink.write(piece)
                    await sink.drain()
        self._writers.discard(sink)
        sink.transport.abort()


async def launch(start: Callable[[], None]) -> None:
    """Start a broker from a thread that stays alive."""
    await asyncio.get_running_loop().run_in_executor(LAUNCHER, start)


async def make_topic(settings: Settings, name: str, replication: int) -> None:
    """Create a topic with one partition and append times; batches up to 20 kB (wide: 4 MB)."""
    config = {"message.timestamp.type": "LogAppendTime"}
    if replication == 1:
        config["max.message.bytes"] = "4000000" if name.startswith("wide") else "20000"
    async with admin(settings) as client:
        for _ in range(100):
            made = await client.create_topics([NewTopic(name, 1, replication, None, config)])
            if made.topic_errors[0][1] == 0:
                return
            await asyncio.sleep(0.1)  # a topic that was just deleted still exists for some time
    raise RuntimeError(f"no topic {name}: {made}")


async def delete_topic(settings: Settings, name: str) -> None:
    """Delete a topic."""
    async with admin(settings) as client:
        await client.delete_topics([name])


@contextlib.asynccontextmanager
async def admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client."""
    client = AIOKafkaAdminClient(**client_options(settings))
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def read_log(settings: Settings, topic: str) -> list[Logged]:
    """Every record of a topic of one partition."""
    place = TopicPartition(topic, 0)
    consumer = AIOKafkaConsumer(**client_options(settings), auto_offset_reset="earliest")
    await consumer.start()
    found = []
    try:
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        while await consumer.position(place) < end:
            for record in (await consumer.getmany(place, timeout_ms=500)).get(place, ()):
                headers = {name: raw.decode() for name, raw in record.headers}
                id_, subject = headers["ce_id"], headers["ce_subject"]
                found.append(Logged(id_, subject, record.offset, record.timestamp))
    finally:
        await consumer.stop()
    return found


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder that is deleted with the benchmark."""
    made = Path(tempfile.mkdtemp(prefix="rollcall-bench-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
