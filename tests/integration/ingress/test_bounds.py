"""What is in flight is bounded, counted where an operator looks, and given back.

The memory of a whole burst is measured in tests/crash/test_frozen_burst.py.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import uvloop
from aiohttp import web
from prometheus_client import REGISTRY

from rollcall.events.envelope import Event
from rollcall.http.server import Listener
from rollcall.kafka.feed import Feed
from rollcall.kafka.producer import Producer
from rollcall.observability.metrics import QUEUED_BYTES, QUEUED_RECORDS
from rollcall.runtime.clock import now
from rollcall.runtime.config import Settings
from rollcall.runtime.errors import Unavailable
from tests.support.door import Door
from tests.support.samples.records import FakeRecord


def value(name: str) -> float:
    """A metric as Prometheus would read it now."""
    found = REGISTRY.get_sample_value(name)
    assert found is not None, name
    return found


async def holds(condition: Callable[[], bool]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def reaches(name: str, wanted: float) -> None:
    """Wait until a metric has the value."""
    await holds(lambda: value(name) == wanted)


async def test_a_request_is_counted_with_its_announced_bytes_until_it_is_answered(
    door: Door,
) -> None:
    host, port = "127.0.0.1", door.ingress.port
    reader, writer = await asyncio.open_connection(host, port)
    body = b'{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"a@b.example"}'
    writer.write(
        f"POST /v2/{door.organisation.id}/Users HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {door.key}\r\nContent-Type: application/scim+json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body[:10]
    )

    await reaches("rollcall_ingress_in_flight_requests", 1)
    assert value("rollcall_ingress_in_flight_bytes") == len(body)
    writer.write(body[10:])
    assert b" 201 " in await reader.readuntil(b"\r\n\r\n")
    await reaches("rollcall_ingress_in_flight_requests", 0)
    await reaches("rollcall_ingress_in_flight_bytes", 0)
    writer.close()


def an_event(size: int) -> Event:
    return Event("id", "io.rollcall.test.v1", "/test", "test", now(), {"text": "x" * size})


async def test_records_on_their_way_are_bounded_counted_and_given_back() -> None:
    """A producer that was never started: Kafka has never been there."""
    producer = Producer(
        Settings(kafka_bootstrap="127.0.0.1:1"), client_id="test", max_waiting_records=2
    )

    async def send() -> Any:
        return await producer.enqueue("topic", partition=0, key="key", event=an_event(1000))

    waiting = [asyncio.create_task(send()) for _ in range(2)]
    await reaches("rollcall_producer_waiting_records", 2)
    assert 2000 < value("rollcall_producer_waiting_bytes") < 5000
    with pytest.raises(Unavailable):
        await send()
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)

    assert value("rollcall_producer_waiting_records") == 0
    assert value("rollcall_producer_waiting_bytes") == 0


async def test_bytes_on_their_way_are_bounded_as_well() -> None:
    producer = Producer(
        Settings(kafka_bootstrap="127.0.0.1:1"), client_id="test", max_waiting_bytes=10_000
    )

    async def send() -> Any:
        return await producer.enqueue("topic", partition=0, key="key", event=an_event(6000))

    waiting = asyncio.create_task(send())
    await reaches("rollcall_producer_waiting_records", 1)
    with pytest.raises(Unavailable):
        await send()
    waiting.cancel()
    await asyncio.wait([waiting])

    assert producer.waiting_records == 0


async def test_what_is_fetched_and_not_taken_is_counted_and_forgotten_with_its_feed() -> None:
    def queued() -> tuple[float, float]:
        return QUEUED_RECORDS._value.get(), QUEUED_BYTES._value.get()

    before = queued()
    feed = Feed(0, max_records=10, max_bytes=10_000)
    feed.open(0)

    feed.put([FakeRecord(offset) for offset in range(3)])
    put = queued()
    taken = await feed.take(1, 10_000, 0.1)
    took = queued()
    feed.close()

    assert put[0] - before[0] == 3
    assert put[1] > before[1]
    assert len(taken) == 1
    assert took[0] - before[0] == 2
    assert queued() == before


def test_a_client_that_takes_nothing_is_cut_off_on_the_loop_that_services_run_on() -> None:
    """uvloop's transports are no `asyncio.WriteTransport` by their class."""
    size = 64 * 1024 * 1024

    async def much(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * size)

    async def ask() -> int:
        app = web.Application()
        app.router.add_get("/", much)
        listener = Listener(app, "127.0.0.1", 0, drain_s=1.0, stall_s=0.2)
        await listener.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, limit=1024)
        received = 0
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            server = listener._runner.server
            assert server is not None
            async with asyncio.timeout(10):
                await holds(lambda: bool(server.connections))
                await holds(lambda: not server.connections)  # it takes nothing until it is cut
                with contextlib.suppress(ConnectionError):
                    while chunk := await reader.read(1024 * 1024):
                        received += len(chunk)
        finally:
            writer.close()
            await listener.drain()
        return received

    assert uvloop.run(ask()) < size
