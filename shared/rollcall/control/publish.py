"""Publish events into organisations' partitions, and wait for what they lead to."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from rollcall.control.errors import NotNow
from rollcall.events.request import Request, to_event
from rollcall.kafka.producer import Producer
from rollcall.postgres import audit
from rollcall.postgres.audit import AuditRow
from rollcall.postgres.pool import Database
from rollcall.runtime.config import Settings
from rollcall.runtime.errors import Unavailable

KAFKA_TIMEOUT_S: Final = 20.0
WAIT_S: Final = 30.0
POLL_S: Final = 0.1


async def publish(settings: Settings, requests: Iterable[tuple[Request, str, int]]) -> list[int]:
    """Append requests, each with its topic and partition; their offsets. Raises Unavailable."""
    producer = Producer(settings, client_id="rollcall-operator")
    try:
        async with asyncio.timeout(KAFKA_TIMEOUT_S):
            await producer.start()
            return [
                (
                    await producer.send(
                        topic,
                        partition=partition,
                        key=request.organisation_id,
                        event=to_event(request),
                    )
                ).offset
                for request, topic, partition in requests
            ]
    except TimeoutError as error:
        raise Unavailable("Kafka") from error
    finally:
        await producer.stop()


async def decided(
    database: Database, ids: Iterable[str], *, wait_s: float = WAIT_S
) -> dict[str, AuditRow]:
    """Id → audit row, of those that are decided within `wait_s`. Raises Unavailable."""
    wanted = list(ids)
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + wait_s
    while True:
        async with database.connection() as connection:
            found = await audit.find(connection, wanted)
        if len(found) == len(wanted) or loop.time() > deadline_s:
            return found
        await asyncio.sleep(POLL_S)


async def until(holds: Callable[[], Awaitable[bool]], wait_s: float, otherwise: NotNow) -> None:
    """Wait for a condition, which is asked at least once; raises `otherwise` after `wait_s`."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + wait_s
    while not await holds():
        if loop.time() > deadline_s:
            raise otherwise
        await asyncio.sleep(POLL_S)
