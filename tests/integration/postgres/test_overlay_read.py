"""Look-ups over Postgres: whatever it has applied, the answer is the fold of the whole log."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from rollcall.directory.touch import Touch
from rollcall.events.request import MemberDelta
from rollcall.kafka.log_probe import LogProbe
from rollcall.postgres import dead_letter, overlay_read, progress
from rollcall.postgres.overlay_read import Wanted
from rollcall.runtime.config import Settings
from rollcall_ingress.behind.log_end import LogEnd
from rollcall_ingress.behind.lookup import Lookup
from rollcall_ingress.behind.overlay import Overlay
from rollcall_ingress.behind.selecting import Target
from tests.integration.postgres.folding import apply
from tests.support import builders
from tests.support.builders import MOMENT, ORGANISATION, a_request, an_id
from tests.support.databases import Connection, TestDatabase
from tests.support.samples.lookups import a_conversation, expected, folded, targets
from tests.support.samples.overlay_store import PARTITION, accept, an_overlay

TOPIC: Final = "t.requests"
BEGINNING: Final = "UPDATE directory.progress SET next_offset = $1 WHERE topic = $2"


def a_lookup(overlay: Overlay, connection: Connection) -> Lookup:
    """Over one connection; Kafka is not there."""

    @asynccontextmanager
    async def connect(_: str) -> AsyncIterator[Any]:
        yield connection

    nowhere = Settings(kafka_bootstrap="127.0.0.1:1")
    return Lookup(overlay, connect, LogEnd(LogProbe(nowhere, TOPIC)), TOPIC, accept_s=10)


async def apply_up_to(database: TestDatabase, conversation: list[Any], offset: int) -> None:
    async with database.connect("provisioner") as connection:
        if offset:
            await apply(connection, conversation[:offset])
        await progress.ensure(connection, TOPIC, PARTITION)
    async with database.connect("owner") as connection:
        await connection.execute(BEGINNING, offset, TOPIC)


async def look(lookup: Lookup, target: Target) -> list[Any]:
    seen = await lookup._look(target, PARTITION)
    return list(seen.found)


@pytest.mark.parametrize("seed", range(4))
async def test_a_look_up_over_any_prefix_in_postgres_is_the_fold_of_the_whole_log(
    database: TestDatabase, seed: int
) -> None:
    conversation = a_conversation(seed, 90)
    applied = random.Random(seed).randint(0, 60)
    await apply_up_to(database, conversation, applied)
    whole = folded(*conversation)

    async with database.connect("ingress") as connection:
        lookup = a_lookup(an_overlay(*conversation), connection)
        for target in targets():
            assert await look(lookup, target) == expected(whole, target), target


async def test_a_read_tells_the_offset_and_the_time_of_what_is_applied(
    database: TestDatabase,
) -> None:
    async with database.connect("ingress") as reader:
        before = await overlay_read.read(reader, ORGANISATION, TOPIC, 3, Wanted(Touch()))
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
        after = await overlay_read.read(reader, ORGANISATION, TOPIC, 3, Wanted(Touch()))

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
        lookup = a_lookup(an_overlay(title, first_offset=1), connection)
        [found] = await look(lookup, Target(ORGANISATION, "Users", "id", an_id(1)))

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
        lookup = a_lookup(an_overlay(leaves, joins, first_offset=4), connection)
        [found] = await look(lookup, Target(ORGANISATION, "Groups", "displayName", "crew", True))

    assert found.related == ((an_id(1), "Ana"), (an_id(3), "Cy"))
    assert found.row.version == joins.id


async def test_a_read_that_a_reply_overtakes_is_repeated(database: TestDatabase) -> None:
    """Its snapshot is from before the commit, and the overlay has dropped what was committed.

    Looked up by name, so that the change of the member is not selected before the read.
    """
    ana = builders.create(1, "ana@example.org")
    title = a_request(
        "member.patch", an_id(1), 902, operations=(builders.replacing("title", "Captain"),)
    )
    await apply_up_to(database, [ana], 1)
    overlay = an_overlay(title, first_offset=1)
    reads = 0

    async with database.connect("ingress") as connection:

        @asynccontextmanager
        async def connect(_: str) -> AsyncIterator[Any]:
            nonlocal reads
            yield connection
            reads += 1
            if reads == 1:
                async with database.connect("provisioner") as other:
                    await apply(other, [title])
                async with database.connect("owner") as owner:
                    await owner.execute(BEGINNING, 2, TOPIC)
                overlay.decided(title.id)

        nowhere = LogEnd(LogProbe(Settings(kafka_bootstrap="127.0.0.1:1"), TOPIC))
        lookup = Lookup(overlay, connect, nowhere, TOPIC, accept_s=10)
        target = Target(ORGANISATION, "Users", "userName", "ana@example.org")
        [found] = await lookup.find(target, PARTITION)

    assert found.row.resource["title"] == "Captain"
    assert reads == 2


async def test_once_another_log_is_accepted_nothing_of_the_old_one_is_folded(
    database: TestDatabase,
) -> None:
    conversation = [builders.create(number, f"u{number}@example.org") for number in range(3)]
    await apply_up_to(database, conversation, 1)
    overlay = an_overlay(*conversation)
    target = Target(ORGANISATION, "Users", "userName", "u2@example.org")
    async with database.connect("ingress") as connection:
        lookup = a_lookup(overlay, connection)
        before = await look(lookup, target)
        async with database.connect("owner") as owner:
            await owner.execute(
                "UPDATE directory.progress SET epoch = epoch + 1, next_offset = 0 WHERE topic = $1",
                TOPIC,
            )

        after = await look(lookup, target)

    assert [each.row.id for each in before] == [an_id(2)]
    assert after == []
    assert overlay.is_empty_for(ORGANISATION)


@pytest.mark.parametrize(("accepted_at", "is_exact"), [((0, 1), True), ((0, 2), False)])
async def test_a_fold_with_something_of_others_in_between_is_not_exact(
    database: TestDatabase, accepted_at: tuple[int, int], is_exact: bool
) -> None:
    """Another replica may have accepted a change of the same member, which is not applied yet."""
    created = builders.create(1, "ana@example.org")
    changed = builders.patch(
        builders.a_member(1, "ana@example.org"), builders.replacing("title", "Cook")
    )
    await apply_up_to(database, [], 0)
    overlay = Overlay()
    overlay.begin_at({PARTITION: 0})
    for request, offset in zip((created, changed), accepted_at, strict=True):
        accept(overlay, request, offset)

    async with database.connect("ingress") as connection:
        lookup = a_lookup(overlay, connection)
        [found] = await look(lookup, Target(ORGANISATION, "Users", "id", an_id(1)))

    assert found.row.resource["title"] == "Cook"
    assert found.is_exact is is_exact
