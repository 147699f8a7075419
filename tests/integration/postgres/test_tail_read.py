"""Look-ups over Postgres: whatever it has applied, the answer is the fold of the whole log."""

import random
from collections.abc import Sequence
from typing import Any, Final

import pytest

from rollcall.applying.dead_letters import SourceLog
from rollcall.applying.understand import understand
from rollcall.directory.touch import Touch
from rollcall.events.request import Endpoint, MemberDelta, Request, to_event
from rollcall.postgres import dead_letter, progress, tail_read
from rollcall.postgres.directory_search import Resource
from rollcall.postgres.tail_read import Read, Wanted
from rollcall.tail import lookup
from rollcall.tail.fold import OrganisationFold
from rollcall.tail.lookup import Attribute, Target
from tests.integration.postgres.folding import apply
from tests.support import builders
from tests.support.builders import MOMENT, ORGANISATION, a_request, an_id
from tests.support.databases import Connection, TestDatabase
from tests.support.samples.directory_store import PARTITION
from tests.support.samples.lookups import a_conversation, expected, folded, targets
from tests.support.samples.records import FakeRecord, a_record

TOPIC: Final = "t.requests"
BEGINNING: Final = "UPDATE directory.progress SET next_offset = $1 WHERE topic = $2"


async def apply_up_to(database: TestDatabase, conversation: list[Any], offset: int) -> None:
    async with database.connect("provisioner") as connection:
        if offset:
            await apply(connection, conversation[:offset])
        await progress.ensure(connection, TOPIC, PARTITION)
    async with database.connect("owner") as connection:
        await connection.execute(BEGINNING, offset, TOPIC)


async def look(
    connection: Connection, pending: Sequence[Request], applied: int, target: Target
) -> list[Resource]:
    """What a replica finds that has folded what is pending behind `applied` records."""
    entries = [*understand([_record(applied + n, each) for n, each in enumerate(pending)]).entries]
    fold = OrganisationFold(ORGANISATION, SourceLog(TOPIC, PARTITION))
    while not (fold.held is not None and fold.is_loaded(entries)):
        wanted = fold.wanted(entries)
        fold.take(await read(connection, wanted), wanted)
    fold.fold(entries, set())
    to_show = frozenset[str]()
    while True:
        loaded = await read(connection, lookup.wanted(fold.held, target, to_show))
        found = lookup.find(fold.held, loaded, target)
        if not found.without_display - to_show:
            return found.resources
        to_show |= found.without_display


async def read(connection: Connection, wanted: Wanted) -> Read:
    return await tail_read.read(connection, ORGANISATION, TOPIC, PARTITION, wanted)


def by(endpoint: Endpoint, attribute: Attribute, key: str, *, with_related: bool = False) -> Target:
    return Target(ORGANISATION, endpoint, attribute, frozenset({key}), with_related)


def _record(offset: int, request: Request) -> FakeRecord:
    return a_record(offset, to_event(request), key=ORGANISATION)


@pytest.mark.parametrize("seed", range(4))
async def test_a_look_up_over_any_prefix_in_postgres_is_the_fold_of_the_whole_log(
    database: TestDatabase, seed: int
) -> None:
    conversation = a_conversation(seed, 90)
    applied = random.Random(seed).randint(0, 60)
    await apply_up_to(database, conversation, applied)
    whole = folded(*conversation)

    async with database.connect("ingress") as connection:
        for target in targets():
            found = await look(connection, conversation[applied:], applied, target)
            assert found == expected(whole, target), target


async def test_a_read_tells_the_offset_and_the_time_of_what_is_applied(
    database: TestDatabase,
) -> None:
    async with database.connect("ingress") as reader:
        before = await tail_read.read(reader, ORGANISATION, TOPIC, 3, Wanted(Touch()))
        async with database.connect("provisioner") as connection:
            await progress.ensure(connection, TOPIC, 3)
            await progress.advance(
                connection,
                TOPIC,
                3,
                expected=0,
                epoch=0,
                new=17,
                published=0,
                last_event_id=an_id(1),
                last_append_time=MOMENT,
            )
        after = await tail_read.read(reader, ORGANISATION, TOPIC, 3, Wanted(Touch()))

    assert (before.next_offset, before.last_append_time) == (0, None)
    assert (after.next_offset, after.last_append_time) == (17, MOMENT)


async def test_what_waits_behind_a_dead_letter_is_not_shown(database: TestDatabase) -> None:
    """The provisioner will park it; ingress may see what is in quarantine, but nothing of it."""
    ana = builders.create(1, "ana@example.org")
    title = a_request(
        "member.patch", an_id(1), 902, operations=(builders.replacing("title", "Captain"),)
    )
    await apply_up_to(database, [ana], 1)
    letter = dead_letter.DeadLetter(
        topic=TOPIC,
        partition=PARTITION,
        offset=0,
        event_id=an_id(901),
        organisation_id=ORGANISATION,
        headers=[],
        key=None,
        value=b"{}",
        error_class="KeyError",
        error="KeyError",
        append_time=MOMENT,
        id=an_id(901),
        type="io.rollcall.request.member.patch.v1",
        endpoint="Users",
        resource_id=an_id(1),
    )
    async with database.connect("provisioner") as connection:
        await dead_letter.record(connection, [letter])

    async with database.connect("ingress") as connection:
        [found] = await look(connection, [title], 1, by("Users", "id", an_id(1)))

    assert "title" not in found.row.resource


async def test_a_whole_group_is_shown_with_those_who_were_there_and_those_who_come(
    database: TestDatabase,
) -> None:
    names = {1: "Ana", 2: "Bo", 3: "Cy"}
    people = [builders.create(n, f"u{n}@example.org", displayName=names[n]) for n in names]
    crew = a_request(
        "group.create",
        an_id(50),
        resource={"displayName": "Crew"},
        members=MemberDelta(add=(an_id(1), an_id(2))),
    )
    leaves = a_request("member.delete", an_id(2), 903)
    joins = a_request("group.patch", an_id(50), 904, members=MemberDelta(add=(an_id(3),)))
    await apply_up_to(database, [*people, crew], 4)

    async with database.connect("ingress") as connection:
        by_name = by("Groups", "displayName", "crew", with_related=True)
        [found] = await look(connection, [leaves, joins], 4, by_name)

    assert found.related == ((an_id(1), "Ana"), (an_id(3), "Cy"))
    assert found.row.version == joins.id
