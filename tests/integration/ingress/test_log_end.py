"""Certain absence: 404 only where everything that was accepted is applied. On a real log."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from rollcall.events.request import to_event
from rollcall.events.topics import Topics
from rollcall.kafka.admin import apply_topics
from rollcall.kafka.feed import Look
from rollcall.kafka.log_probe import LogProbe
from rollcall.kafka.producer import Producer
from rollcall.runtime.clock import now
from rollcall.runtime.config import Settings, load
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.ids import minted_at, new_id
from rollcall_ingress.behind.log_end import Applied, LogEnd, judge_id
from tests.support import builders
from tests.support.builders import ORGANISATION
from tests.support.servers import KafkaServer

PARTITION = 2


@dataclass(slots=True)
class Log:
    """A requests topic of this test's own."""

    settings: Settings
    topics: Topics
    producer: Producer
    probe: LogProbe
    probes: list[LogEnd] = field(default_factory=list)

    async def append(self, number: int) -> int:
        """One more record; returns the log's end."""
        event = to_event(builders.create(number, f"u{number}@example.org"))
        done = await self.producer.send(
            self.topics.requests, partition=PARTITION, key=ORGANISATION, event=event
        )
        return done.offset + 1


@pytest.fixture
async def log(kafka_server: KafkaServer) -> AsyncIterator[Log]:
    settings = load(Settings, kafka_bootstrap=kafka_server.bootstrap)
    topics = Topics(f"e{uuid.uuid4().hex[:12]}", 4, 1)
    await apply_topics(settings, topics, replication=1)
    producer = Producer(settings, client_id="test")
    await producer.start()
    probe = LogProbe(settings, topics.requests)
    try:
        yield Log(settings, topics, producer, probe)
    finally:
        await probe.close()
        await producer.stop()


async def test_the_end_is_behind_the_last_record(log: Log) -> None:
    end = LogEnd(log.probe, timeout_s=10)

    empty = await end.end(PARTITION)
    seen = [await log.append(number) for number in range(3)]

    assert empty == 0
    assert await end.end(PARTITION) == seen[-1] == 3
    assert await asyncio.gather(*map(end.end, range(4))) == [0, 0, 3, 0]


async def test_a_question_after_an_acknowledgement_hears_of_the_record(log: Log) -> None:
    """Answers are shared, but never with somebody who asked after the question was put."""
    end = LogEnd(log.probe, timeout_s=10)

    async def append_and_ask(number: int) -> bool:
        offset = await log.append(number)
        return await end.end(PARTITION) >= offset

    seen = await asyncio.gather(*(append_and_ask(number) for number in range(60)))

    assert all(seen)


async def test_many_questions_are_answered_by_few(log: Log) -> None:
    asked: list[int] = []
    real = log.probe.look

    async def look(partition: int, offset: int) -> Look:
        asked.append(partition)
        return await real(partition, offset)

    log.probe.look = look  # type: ignore[method-assign]
    end = LogEnd(log.probe, timeout_s=10)

    await asyncio.gather(*(end.end(PARTITION) for _ in range(500)))

    assert len(asked) <= 2


async def test_while_kafka_is_away_no_request_waits_longer_than_its_limit() -> None:
    probe = LogProbe(load(Settings, kafka_bootstrap="127.0.0.1:1"), "t.requests")
    end = LogEnd(probe, timeout_s=0.2)

    async with asyncio.timeout(2):
        with pytest.raises(Unavailable):
            await end.end(0)

    await end.close()


def test_an_id_that_is_older_than_what_is_applied_is_certainly_not_there() -> None:
    resource_id = new_id()
    minted = minted_at(resource_id)

    def judge(seconds: float) -> str:
        at = minted + timedelta(seconds=seconds)
        return judge_id(resource_id, Applied(7, at), accept_s=10)

    assert [judge(seconds) for seconds in (-1, 14.9, 15.1)] == ["ask", "ask", "certain"]
    assert judge_id(resource_id, Applied(0, None), accept_s=10) == "ask"
    assert judge_id(str(uuid.uuid4()), Applied(7, now()), accept_s=10) == "ask"
