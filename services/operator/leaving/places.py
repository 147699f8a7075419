"""What a deletion works with: Postgres as the owner, one event into the log, waiting for it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from services.operator.deployment import OperatorSettings
from services.operator.exits import Exit
from services.operator.terminal import CommandError
from shared.events.request import Request, to_event
from shared.events.topics import Topics
from shared.kafka.producer import Producer
from shared.postgres.pool import Database, open_pool
from shared.runtime.errors import Unavailable
from shared.runtime.lifecycle import FaultPoint

STATEMENT_TIMEOUT_S: Final = 600.0
KAFKA_TIMEOUT_S: Final = 20.0
POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Office:
    """What the commands of leaving share."""

    settings: OperatorSettings
    topics: Topics
    database: Database
    faults: FaultPoint


@asynccontextmanager
async def open_office(settings: OperatorSettings) -> AsyncIterator[Office]:
    """The deployment. Raises CommandError where its database is not named, Unavailable."""
    url = settings.database_url.get_secret_value()
    if not url:
        raise CommandError("ROLLCALL_DATABASE_URL is not set; it names the owner role")
    database = await open_pool(
        url,
        role_hint="owner",
        max_size=2,
        statement_timeout_s=STATEMENT_TIMEOUT_S,
        application_name="rollcall leaving",
    )
    try:
        yield Office(settings, Topics(settings.topic_prefix), database, FaultPoint(settings.fault))
    finally:
        await database.close()


async def publish(office: Office, request: Request, partition: int) -> int:
    """Append a request; its offset. Raises Unavailable."""
    producer = Producer(office.settings, client_id="rollcall-operator")
    try:
        async with asyncio.timeout(KAFKA_TIMEOUT_S):
            await producer.start()
            sent = await producer.send(
                office.topics.requests,
                partition=partition,
                key=request.organisation_id,
                event=to_event(request),
            )
    except TimeoutError as error:
        raise Unavailable("Kafka") from error
    finally:
        await producer.stop()
    return sent.offset


async def until(holds: Callable[[], Awaitable[bool]], wait_s: float, otherwise: str) -> None:
    """Wait for a condition; raises CommandError(`otherwise`) when it takes longer.

    The condition is asked at least once.
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + wait_s
    while not await holds():
        if loop.time() > deadline_s:
            raise CommandError(otherwise, exit_code=Exit.UNAVAILABLE)
        await asyncio.sleep(POLL_S)
