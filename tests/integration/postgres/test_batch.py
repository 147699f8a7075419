"""The two calls of an ordinary batch: fenced, fresh behind the lock, and bounded."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from rollcall.directory.changes import (
    AddMembers,
    Change,
    PutGroup,
    PutMember,
    RemoveGroup,
    RemoveMember,
)
from rollcall.directory.fold import collapse
from rollcall.directory.touch import Touch
from rollcall.postgres import batch_begin, batch_write, progress
from rollcall.postgres.batch_begin import Begun, Large, Wanted
from rollcall.postgres.directory_write import FIRST_OF_EACH, write_changes
from rollcall.postgres.progress import Step
from tests.support.builders import MOMENT, ORGANISATION, a_group, a_member, a_user, an_id
from tests.support.databases import Connection, TestDatabase
from tests.support.stack import until

TOPIC = "requests"
WANTED = Wanted(
    [ORGANISATION],
    [ORGANISATION],
    [],
    touches={ORGANISATION: Touch(members={an_id(1)}, members_with_groups={an_id(1)})},
    most_bytes=10_000,
)


def step(expected: int, new: int) -> Step:
    return Step(TOPIC, 0, expected, 0, new, 0, None, MOMENT)


async def put(connection: Connection, *changes: Change) -> None:
    await write_changes(connection, collapse((ORGANISATION, change) for change in changes))


async def by_function(connection: Connection) -> list[str]:
    """The members that the call loads."""
    begun = await batch_begin.begin(connection, step(0, 1), WANTED)
    assert begun is not None
    assert begun.states is not None
    return list(begun.states[ORGANISATION].members)


async def by_one_statement(connection: Connection) -> list[str]:
    """The members that one statement would load that moves the position as well."""
    rows = await connection.fetch(
        "WITH moved AS (UPDATE directory.progress SET next_offset = 1 "
        "WHERE topic = $1 AND partition = 0 AND next_offset = 0 RETURNING true AS is_ours) "
        "SELECT is_ours, (SELECT id::text FROM directory.member) AS id FROM moved",
        TOPIC,
    )
    assert [row["is_ours"] for row in rows] == [True]
    return [row["id"] for row in rows if row["id"] is not None]


@pytest.mark.parametrize(("load", "expected"), [(by_function, [an_id(1)]), (by_one_statement, [])])
async def test_what_is_loaded_behind_the_lock_is_what_its_holder_left(
    database: TestDatabase,
    load: Callable[[Connection], Awaitable[list[str]]],
    expected: list[str],
) -> None:
    """The other owner writes and goes back to the old position: only its rows tell of it.

    One statement has one snapshot, which is older than the lock that it waits for. So it takes the
    new position for its own and the old state with it. That is why there is a function.
    """
    async with database.connect("provisioner") as first, database.connect("provisioner") as second:
        await progress.ensure(first, TOPIC, 0)
        holding = first.transaction()
        await holding.start()
        await batch_begin.begin(first, step(0, 1), WANTED)
        waiting = asyncio.ensure_future(load(second))
        await until(lambda: _waits(database), "the second one waits for the lock")
        await put(first, PutMember(a_member(1)))
        await first.execute("UPDATE directory.progress SET next_offset = 0")
        await holding.commit()

        assert await asyncio.wait_for(waiting, 10) == expected


async def _waits(database: TestDatabase) -> bool:
    async with database.connect() as owner:
        found = await owner.fetchval(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
        )
    return bool(found)


@pytest.mark.parametrize("commits", [True, False])
async def test_of_two_owners_of_one_position_one_is_fenced(
    database: TestDatabase, commits: bool
) -> None:
    async with database.connect("provisioner") as first, database.connect("provisioner") as second:
        await progress.ensure(first, TOPIC, 0)
        holding = first.transaction()
        await holding.start()
        assert await batch_begin.begin(first, step(0, 5), WANTED) is not None
        waiting = asyncio.create_task(batch_begin.begin(second, step(0, 3), WANTED))
        await until(lambda: _waits(database), "the second one waits for the lock")
        await put(first, PutMember(a_member(1)))
        await (holding.commit() if commits else holding.rollback())
        begun = await asyncio.wait_for(waiting, 10)
        at = await progress.ensure(second, TOPIC, 0)

    assert (begun is None) == commits
    assert at.next_offset == (5 if commits else 3)
    if begun is not None and begun.states is not None:
        assert begun.states[ORGANISATION].members == {}


async def test_what_is_fenced_notes_and_loads_nothing(database: TestDatabase) -> None:
    async with database.connect("provisioner") as connection:
        await progress.ensure(connection, TOPIC, 0)
        unheard = replace(WANTED, unheard=[an_id(7)])

        assert await batch_begin.begin(connection, step(4, 5), unheard) is None
        await batch_begin.begin(connection, step(0, 5), replace(WANTED, unheard=[an_id(8)]))

        noted = await connection.fetch("SELECT id::text FROM audit.unheard")
    assert [row["id"] for row in noted] == [an_id(8)]


@pytest.mark.parametrize(
    ("text", "is_large"),
    [("x" * 9_000, False), ("x" * 11_000, True), ("x" * 1_000_000, True)],
    ids=["below", "above", "compressed to less"],
)
async def test_a_large_document_is_not_loaded_at_once(
    database: TestDatabase, text: str, is_large: bool
) -> None:
    async with database.connect("provisioner") as connection:
        await progress.ensure(connection, TOPIC, 0)
        await put(connection, PutMember(a_member(1, resource=a_user("a@x", title=text))))

        found = await _begun(connection)

    assert (found is None) == is_large


async def test_a_member_of_very_many_groups_is_not_loaded_at_once(database: TestDatabase) -> None:
    groups = [an_id(1000 + number) for number in range(batch_begin.MOST_MEMBERSHIPS + 1)]
    async with database.connect("provisioner") as connection:
        await progress.ensure(connection, TOPIC, 0)
        await put(connection, PutMember(a_member(1)))
        await put(connection, *(AddMembers(group_id, (an_id(1),)) for group_id in groups[:-1]))
        below = await _begun(connection)
        await put(connection, AddMembers(groups[-1], (an_id(1),)))
        above = await _begun(connection)

    assert below is not None
    assert above is None


async def _begun(connection: Connection) -> Begun | None:
    """What is loaded, None where it is large; nothing stays written."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        return await batch_begin.begin(connection, step(0, 1), WANTED)
    except Large:
        return None
    finally:
        await transaction.rollback()


@pytest.mark.parametrize("number", [FIRST_OF_EACH - 1, FIRST_OF_EACH, FIRST_OF_EACH + 5])
async def test_what_is_deleted_takes_all_its_memberships_along(
    database: TestDatabase, number: int
) -> None:
    many = [an_id(1000 + each) for each in range(number)]
    async with database.connect("provisioner") as connection:
        await put(
            connection,
            PutMember(a_member(1)),
            PutGroup(a_group(50)),
            AddMembers(an_id(50), tuple(many)),
            *(AddMembers(group_id, (an_id(1),)) for group_id in many),
        )
        gone = collapse(
            (ORGANISATION, each) for each in (RemoveMember(an_id(1)), RemoveGroup(an_id(50)))
        )

        async with connection.transaction():
            assert await batch_write.write(
                connection, gone, [], in_thread=False, alive=lambda: None
            )

        for table in ("member", '"group"', "group_member"):
            assert await connection.fetchval(f"SELECT count(*) FROM directory.{table}") == 0
