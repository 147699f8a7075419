"""Publish one event, and wait for its effect."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from rollcall.control.deployment import Deployment
from rollcall.control.errors import NotNow
from rollcall.events.request import Request, to_event
from rollcall.kafka.producer import Producer
from rollcall.runtime.errors import Unavailable

KAFKA_TIMEOUT_S: Final = 20.0
POLL_S: Final = 0.1


async def publish(deployment: Deployment, request: Request, partition: int) -> int:
    """Append a request; its offset. Raises Unavailable."""
    producer = Producer(deployment.settings, client_id="rollcall-operator")
    try:
        async with asyncio.timeout(KAFKA_TIMEOUT_S):
            await producer.start()
            sent = await producer.send(
                deployment.topics.requests,
                partition=partition,
                key=request.organisation_id,
                event=to_event(request),
            )
    except TimeoutError as error:
        raise Unavailable("Kafka") from error
    finally:
        await producer.stop()
    return sent.offset


async def until(holds: Callable[[], Awaitable[bool]], wait_s: float, otherwise: NotNow) -> None:
    """Wait for a condition; raises `otherwise` when it takes longer.

    The condition is asked at least once.
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + wait_s
    while not await holds():
        if loop.time() > deadline_s:
            raise otherwise
        await asyncio.sleep(POLL_S)
