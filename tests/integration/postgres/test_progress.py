"""Compare and set: only who knows the partition's offset may move it."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.postgres import progress
from shared.postgres.progress import Schema
from tests.support.builders import an_id
from tests.support.databases import Connection, TestDatabase

TOPIC = "rollcall.requests"
MOMENT = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)


async def advance(connection: Connection, expected: int, new: int, **given: Any) -> bool:
    given = {"published": 0, "last_event_id": None, "last_append_time": None, "epoch": 0, **given}
    return await progress.advance(connection, TOPIC, 3, expected=expected, new=new, **given)


async def halt(
    connection: Connection, expected: int, *, epoch: int = 0, reason: str = "log-shorter"
) -> bool:
    return await progress.halt(
        connection, TOPIC, 3, expected=expected, epoch=epoch, reason=reason, detail="for the test"
    )


@pytest.mark.parametrize(
    ("schema", "service"), [("directory", "provisioner"), ("notice", "notifier")]
)
async def test_a_new_partition_starts_at_zero_and_moves(
    database: TestDatabase, schema: Schema, service: Any
) -> None:
    async with database.connect(service) as connection:
        unknown = await progress.read(connection, TOPIC, 3, schema=schema)
        new = await progress.ensure(connection, TOPIC, 3, schema=schema)
        moved = await advance(
            connection,
            0,
            7,
            published=5,
            last_event_id=an_id(1),
            last_append_time=MOMENT,
            schema=schema,
        )
        found = await progress.ensure(connection, TOPIC, 3, schema=schema)
        everything = await progress.read_all(connection, TOPIC, schema=schema)

    assert unknown is None
    assert (new.next_offset, new.published_offset, new.epoch, new.state) == (0, 0, 0, "running")
    assert moved
    assert found == progress.Progress(TOPIC, 3, 7, 5, an_id(1), MOMENT, 0, "running")
    assert everything == [found]


async def test_a_wrong_expectation_moves_nothing(database: TestDatabase) -> None:
    async with database.connect("provisioner") as connection:
        await progress.ensure(connection, TOPIC, 3)
        await advance(connection, 0, 7)
        refused = await advance(connection, 0, 9)
        found = await progress.read(connection, TOPIC, 3)

    assert not refused
    assert found is not None
    assert found.next_offset == 7


async def test_the_record_before_is_kept_as_it_is_without_an_id_as_well(
    database: TestDatabase,
) -> None:
    """By it a later owner knows the log again: an id of an earlier record would mislead it."""
    async with database.connect("provisioner") as connection:
        await progress.ensure(connection, TOPIC, 3)
        await advance(connection, 0, 1, last_event_id=an_id(1), last_append_time=MOMENT)
        await advance(connection, 1, 2, last_append_time=LATER)
        found = await progress.read(connection, TOPIC, 3)

    assert found is not None
    assert (found.last_event_id, found.last_append_time) == (None, LATER)


async def test_what_is_announced_is_written_without_a_batch(database: TestDatabase) -> None:
    async with database.connect("provisioner") as connection:
        await progress.ensure(connection, TOPIC, 3)
        await advance(connection, 0, 4, last_event_id=an_id(1), last_append_time=MOMENT)
        await halt(connection, 4)
        ours = await progress.publish(connection, TOPIC, 3, expected=4, epoch=0, published=4)
        others = await progress.publish(connection, TOPIC, 3, expected=3, epoch=0, published=3)
        found = await progress.read(connection, TOPIC, 3)

    assert (ours, others) == (True, False)
    assert found is not None
    assert (found.published_offset, found.last_event_id) == (4, an_id(1))


async def test_an_owner_of_an_earlier_epoch_moves_nothing(database: TestDatabase) -> None:
    """Its position may be that of the new log by chance."""
    async with database.connect("provisioner") as connection, database.connect() as owner:
        await progress.ensure(connection, TOPIC, 3)
        await advance(connection, 0, 7, last_event_id=an_id(1), last_append_time=MOMENT)
        await halt(connection, 7)
        halted = await progress.ensure(owner, TOPIC, 3)
        accepted = await progress.accept_log(owner, halted, 7)
        zombie = await advance(connection, 7, 8)
        halts = await halt(connection, 7)
        found = await progress.read(connection, TOPIC, 3)

    assert (halted.reason, halted.detail) == ("log-shorter", "for the test")
    assert (accepted, zombie, halts) == (True, False, False)
    assert found == progress.Progress(TOPIC, 3, 7, 7, None, None, 1, "running")


async def test_only_a_newer_version_is_tried_again_at_a_start(database: TestDatabase) -> None:
    async with database.connect("provisioner") as connection:
        states = []
        for reason in ("log-shorter", "newer-version"):
            await progress.ensure(connection, TOPIC, 3)
            await halt(connection, 0, reason=reason)
            found = await progress.begin(connection, TOPIC, 3, tried_again={"newer-version"})
            states.append((found.state, found.reason))

    assert states == [("halted", "log-shorter"), ("running", None)]


async def test_the_slower_of_two_owners_is_refused_after_the_faster_commits(
    database: TestDatabase,
) -> None:
    async with database.connect("provisioner") as first, database.connect("provisioner") as second:
        await progress.ensure(first, TOPIC, 3)
        transaction = first.transaction()
        await transaction.start()
        won = await advance(first, 0, 5)
        waiting = asyncio.create_task(advance(second, 0, 4))
        await _until_blocked(database)
        await transaction.commit()
        lost = await waiting

    assert won
    assert not lost


async def test_a_halted_partition_is_nobodys(database: TestDatabase) -> None:
    async with database.connect("provisioner") as connection:
        await progress.ensure(connection, TOPIC, 3)
        await halt(connection, 0)
        halted = await advance(connection, 0, 1)
        resumed = await progress.resume(connection, await progress.ensure(connection, TOPIC, 3))
        running = await advance(connection, 0, 1)

    assert not halted
    assert resumed
    assert running


async def _until_blocked(database: TestDatabase) -> None:
    """Wait until some session of the database waits for a lock."""
    blocked = (
        "SELECT count(*) FROM pg_locks WHERE NOT granted"
        " AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())"
    )
    async with asyncio.timeout(10), database.connect("owner") as connection:
        while not await connection.fetchval(blocked):  # noqa: ASYNC110 (a server's state)
            await asyncio.sleep(0.01)
