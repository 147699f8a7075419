"""How often a service asks Kafka: produce requests for a batch, fetches while nothing comes."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient

from rollcall.events.request import Request
from rollcall.runtime.clock import now_ms
from tests.support.builders import create
from tests.support.deployment import Deployment

Sent = list[tuple[str, str]]
"""(client, kind of request)"""


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """The requests that this process's clients send to Kafka, as they send them."""
    found: Sent = []
    send = AIOKafkaClient.send

    async def noted(self: AIOKafkaClient, node_id: object, request: object, **more: object) -> Any:
        found.append((self._client_id, type(request).__name__))
        return await send(self, node_id, request, **more)

    monkeypatch.setattr(AIOKafkaClient, "send", noted)
    return found


def waited_for(number: int) -> Request:
    return replace(
        create(number, f"u{number}@example.org"), reply_to=1, answer_by_ms=now_ms() + 20_000
    )


@pytest.mark.parametrize("number", [1, 50])
async def test_replies_and_outcomes_of_a_batch_leave_together(
    deployment: Deployment, sent: Sent, number: int
) -> None:
    await deployment.start()
    first = await deployment.send(waited_for(1))
    await deployment.outcomes(1)
    await deployment.applied(first.offset + 1)
    sent.clear()

    await asyncio.gather(*(deployment.send(waited_for(100 + each)) for each in range(number)))
    await deployment.outcomes(1 + number)
    await deployment.replies(1 + number)

    batches = await deployment.rows(
        'SELECT count(DISTINCT xmin::text) AS number FROM audit.event WHERE "offset" > 0'
    )
    produced = sent.count(("test-provisioner", "ProduceRequest"))
    assert produced <= 2 * batches[0]["number"] - 1


async def test_a_fetch_waits_for_records_and_not_for_the_clock(
    deployment: Deployment, sent: Sent
) -> None:
    await deployment.start()
    last = await deployment.send(waited_for(1))
    await deployment.applied(last.offset + 1)
    await asyncio.sleep(1)  # what was fetched while partitions were opened has ended
    sent.clear()
    begin_s = time.monotonic()

    await asyncio.sleep(5)

    fetches = sum(kind == "FetchRequest" for _, kind in sent)
    assert fetches <= 2 * (time.monotonic() - begin_s + 1)  # two consumers, once a second each
    last = await deployment.send(waited_for(2))
    begin_s = time.monotonic()
    await deployment.applied(last.offset + 1)
    assert time.monotonic() - begin_s < 0.9
