"""The stored position: who moves it, who is fenced, what halts it, and how it goes on."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from rollcall.consuming.position import Position
from rollcall.kafka.feed import Feed, FeedClosed, Look
from rollcall.kafka.worker import NEWER_VERSION, Fenced, PartitionHalted
from rollcall.observability import metrics
from rollcall.postgres import progress
from rollcall.postgres.pool import Database, open_pool
from rollcall.postgres.progress import Schema
from rollcall.runtime.errors import Unavailable
from tests.support.builders import an_id
from tests.support.databases import TestDatabase
from tests.support.samples.records import FakeRecord

TOPIC = "rollcall.requests"
PARTITION = 3
MOMENT_MS = 1_790_000_000_000


def record(offset: int) -> FakeRecord:
    headers = (("ce_id", an_id(offset).encode()),)
    return FakeRecord(offset, timestamp=MOMENT_MS + offset, headers=headers)


def feed(look: Look | None = None) -> Feed:
    """A feed without records, over a log that is as `look` says."""

    async def found(_partition: int, _offset: int) -> Look:
        assert look is not None
        return look

    on_look = None if look is None else found
    return Feed(PARTITION, max_records=10, max_bytes=1000, on_look=on_look)


@pytest.fixture(params=["directory", "notice"])
def schema(request: pytest.FixtureRequest) -> Schema:
    found: Schema = request.param
    return found


@pytest.fixture
async def pool(database: TestDatabase, schema: Schema) -> AsyncIterator[Database]:
    service = "provisioner" if schema == "directory" else "notifier"
    opened = await open_pool(
        database.url(service),  # type: ignore[arg-type]
        role_hint=service,  # type: ignore[arg-type]
        max_size=4,
        statement_timeout_s=10,
        application_name="test",
    )
    yield opened
    await opened.close()


async def advance(position: Position, offset: int) -> None:
    async with position.advance(record(offset)):
        pass


async def test_what_is_written_moves_with_the_position(pool: Database, schema: Schema) -> None:
    first = Position(pool, TOPIC, PARTITION, schema=schema)
    start = await first.start(feed())
    await advance(first, 6)
    before = record(6)

    second = Position(pool, TOPIC, PARTITION, schema=schema)
    found = await second.start(feed(Look(0, 9, before)))

    assert (start, first.next_offset, found) == (0, 7, 7)
    assert second.published_offset == 7


async def test_a_batch_that_fails_leaves_the_position_where_it_was(
    pool: Database, schema: Schema
) -> None:
    position = Position(pool, TOPIC, PARTITION, schema=schema)
    await position.start(feed())

    with pytest.raises(ZeroDivisionError):
        async with position.advance(record(4)):
            raise ZeroDivisionError
    again = Position(pool, TOPIC, PARTITION, schema=schema)

    assert position.next_offset == 0
    assert await again.start(feed()) == 0


async def test_the_second_owner_is_fenced_before_it_writes(pool: Database, schema: Schema) -> None:
    one, two = (
        Position(pool, TOPIC, PARTITION, schema=schema, fenced=metrics.PROVISIONER_FENCED)
        for _ in range(2)
    )
    await one.start(feed())
    await two.start(feed())
    await advance(one, 0)
    before = metrics.PROVISIONER_FENCED._value.get()
    has_written = False

    with pytest.raises(Fenced):
        async with two.advance(record(0)):
            has_written = True
    with pytest.raises(Fenced):
        await two.halt(feed(), PartitionHalted("for the test", "cut-off"))

    assert not has_written
    assert metrics.PROVISIONER_FENCED._value.get() == before + 2
    async with pool.connection() as connection:
        stored = await progress.read(connection, TOPIC, PARTITION, schema=schema)
    assert two.differs_from(stored)
    assert not one.differs_from(stored)


async def test_a_halted_partition_stands_until_it_is_resumed(
    pool: Database, schema: Schema
) -> None:
    position = Position(pool, TOPIC, PARTITION, schema=schema)
    await position.start(feed())
    await advance(position, 2)
    with pytest.raises(PartitionHalted):
        await position.halt(feed(), PartitionHalted("it was cut off", "cut-off"))

    with pytest.raises(PartitionHalted, match="it was cut off"):
        await Position(pool, TOPIC, PARTITION, schema=schema).start(feed())
    waiting = asyncio.create_task(position.until_resumed(feed()))
    async with pool.transaction() as connection:
        found = await progress.read(connection, TOPIC, PARTITION, schema=schema)
        assert found is not None
        still_waits = not waiting.done()
        await progress.resume(connection, found, schema=schema)
    await asyncio.wait_for(waiting, 20)

    assert still_waits
    assert await Position(pool, TOPIC, PARTITION, schema=schema).start(feed()) == 3


async def test_what_another_release_can_do_is_tried_again_at_the_next_start(
    pool: Database, schema: Schema
) -> None:
    position = Position(pool, TOPIC, PARTITION, schema=schema)
    await position.start(feed())
    with pytest.raises(PartitionHalted):
        await position.halt(feed(), PartitionHalted("version 9", NEWER_VERSION))

    assert await Position(pool, TOPIC, PARTITION, schema=schema).start(feed()) == 0


@pytest.mark.parametrize(
    ("look", "reason"),
    [
        (Look(0, 3, None), "log-shorter"),
        (Look(6, 9, None), "retention-passed"),
        (Look(0, 9, record(4)), None),
        (Look(0, 9, replace(record(4), headers=())), "record-differs"),
        (Look(0, 9, replace(record(4), timestamp=1)), "restamped"),
    ],
)
async def test_another_log_halts_at_the_start(
    pool: Database, schema: Schema, look: Look, reason: str | None
) -> None:
    position = Position(pool, TOPIC, PARTITION, schema=schema)
    await position.start(feed())
    await advance(position, 4)

    started = Position(pool, TOPIC, PARTITION, schema=schema)
    if reason is None:
        assert await started.start(feed(look)) == 5
        return
    with pytest.raises(PartitionHalted) as halted:
        await started.start(feed(look))

    assert halted.value.cause == reason
    async with pool.connection() as connection:
        found = await progress.read(connection, TOPIC, PARTITION, schema=schema)
    assert found is not None
    assert (found.state, found.reason) == ("halted", reason)


async def test_a_compacted_topic_may_have_lost_its_last_record(
    pool: Database, schema: Schema
) -> None:
    position = Position(pool, TOPIC, PARTITION, schema=schema, compares_record=False)
    await position.start(feed())
    await advance(position, 4)

    again = Position(pool, TOPIC, PARTITION, schema=schema, compares_record=False)

    assert await again.start(feed(Look(0, 9, record(7)))) == 5


async def test_an_outage_is_waited_for_and_said_until_it_is_over(pool: Database) -> None:
    tried = 0
    position = Position(pool, TOPIC, PARTITION)
    seen: list[bool] = []

    async def action() -> str:
        nonlocal tried
        tried += 1
        seen.append(position.waits_for_outage)
        if tried < 3:
            raise Unavailable("Postgres")
        return "done"

    assert await position.insist(feed(), action) == "done"
    assert seen == [False, True, True]
    assert not position.waits_for_outage


@pytest.mark.parametrize("schema", ["directory"], indirect=True)
async def test_a_paused_partition_is_waited_for(pool: Database, database: TestDatabase) -> None:
    await Position(pool, TOPIC, PARTITION).start(feed())
    async with database.connect() as owner:
        paused = await progress.pause(owner, TOPIC, [PARTITION], "test", 60)
    position, closing = Position(pool, TOPIC, PARTITION), feed()

    starting = asyncio.create_task(position.start(feed()))
    async with asyncio.timeout(20):
        while not position.waits_for_outage:  # noqa: ASYNC110 - as the watchdog asks
            await asyncio.sleep(0.01)
    ending = asyncio.create_task(Position(pool, TOPIC, PARTITION).start(closing))
    closing.close()
    with pytest.raises(FeedClosed):
        await asyncio.wait_for(ending, 20)
    async with database.connect() as owner:
        await progress.unpause(owner, TOPIC, "test")

    assert paused == {PARTITION}
    assert await asyncio.wait_for(starting, 20) == 0
    assert not position.waits_for_outage


@pytest.mark.parametrize("schema", ["directory"], indirect=True)
async def test_how_far_it_is_announced_is_written_apart_from_batches(pool: Database) -> None:
    position = Position(pool, TOPIC, PARTITION)
    await position.start(feed())
    async with position.advance(record(8), published=3):
        pass
    await position.publish(7, [])

    found = await Position(pool, TOPIC, PARTITION).read(feed())

    assert (found.next_offset, found.published_offset) == (9, 7)
    assert position.published_offset == 7
