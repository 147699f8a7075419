"""Compare and set: only who knows the partition's offset may move it."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from rollcall.postgres import progress
from rollcall.postgres.progress import Schema
from rollcall.postgres.upkeep import refold
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
        accepted = await progress.accept_log(owner, halted, 7, end=9)
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


async def test_a_halted_partition_has_no_owner(database: TestDatabase) -> None:
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


STATES = ("running", "paused", "pause over", "halted", "retired")
ANOTHER = "rebuild 2"
BECOMES: dict[str, tuple[str, str, str, str, str]] = {
    # What is done: the state after it, from each of STATES in that order.
    "advance": ("running", "paused", "paused", "halted", "paused"),
    "publish": ("running", "paused", "paused", "halted", "paused"),
    "halt": ("halted", "halted", "halted", "halted", "paused"),
    "halt elsewhere": ("running", "paused", "paused", "halted", "paused"),
    "resume": ("running", "paused", "paused", "running", "paused"),
    "accept log": ("running", "paused", "paused", "running", "paused"),
    "pause": ("paused", "paused", "paused", "halted", "paused"),
    "pause of another": ("paused", "paused", "paused", "halted", "paused"),
    "unpause": ("running", "running", "running", "halted", "paused"),
    "unpause of another": ("running", "paused", "paused", "halted", "paused"),
    "begin": ("running", "paused", "running", "halted", "paused"),
    "begin of a newer release": ("running", "paused", "running", "running", "paused"),
    "retire": ("paused",) * 5,
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("action", BECOMES)
async def test_every_step_of_a_partition_is_taken_or_refused_and_keeps_the_reason(
    database: TestDatabase, action: str, state: str
) -> None:
    """No step fails, whatever came before it, and only what ends a halt takes its reason away."""
    async with database.connect() as owner:
        before = await _in_state(owner, state)
        await _do(owner, action)
        found = await progress.read(owner, TOPIC, 3)

    assert found is not None
    assert found.state == BECOMES[action][STATES.index(state)]
    if found.state == "halted":
        assert (found.reason, found.detail) == ("log-shorter", "for the test")
    elif found.state == "running":
        assert (found.reason, found.detail) == (None, None)
    if state == "retired":
        assert (found.next_offset, found.epoch) == (before.next_offset, before.epoch)


async def test_what_is_halted_in_a_pause_stays_halted_when_the_pause_ends(
    database: TestDatabase,
) -> None:
    async with database.connect("provisioner") as connection, database.connect() as owner:
        await _in_state(owner, "paused")
        noted = await halt(connection, 5)
        prolonged = await progress.pause(owner, TOPIC, [3], "rebuild 1", 30)
        await progress.unpause(owner, TOPIC, "rebuild 1")
        found = await progress.begin(connection, TOPIC, 3)

    assert (noted, prolonged) == (True, set())
    assert (found.state, found.reason) == ("halted", "log-shorter")


async def _in_state(owner: Connection, state: str) -> progress.Progress:
    await progress.ensure(owner, TOPIC, 3)
    await advance(owner, 0, 5, published=5)
    match state:
        case "halted":
            await halt(owner, 5)
        case "paused":
            await progress.pause(owner, TOPIC, [3], "rebuild 1", 3600)
        case "pause over":
            await progress.pause(owner, TOPIC, [3], "rebuild 1", -1)
        case "retired":
            await refold.retire_progress(owner, "a rebuilt directory took its place")
    return await progress.ensure(owner, TOPIC, 3)


async def _do(owner: Connection, action: str) -> None:
    halted = progress.Progress(TOPIC, 3, 5, 5, None, None, 0, "halted")
    match action:
        case "advance":
            await advance(owner, 5, 6)
        case "publish":
            await progress.publish(owner, TOPIC, 3, expected=5, epoch=0, published=5)
        case "halt":
            await halt(owner, 5)
        case "halt elsewhere":
            await halt(owner, 4)
        case "resume":
            await progress.resume(owner, halted)
        case "accept log":
            await progress.accept_log(owner, halted, 0, end=9)
        case "pause":
            await progress.pause(owner, TOPIC, [3], "rebuild 1", 30)
        case "pause of another":
            await progress.pause(owner, TOPIC, [3], ANOTHER, 30)
        case "unpause":
            await progress.unpause(owner, TOPIC, "rebuild 1")
        case "unpause of another":
            await progress.unpause(owner, TOPIC, ANOTHER)
        case "begin":
            await progress.begin(owner, TOPIC, 3)
        case "begin of a newer release":
            await progress.begin(owner, TOPIC, 3, tried_again={"log-shorter"})
        case "retire":
            await refold.retire_progress(owner, "a rebuilt directory took its place")
