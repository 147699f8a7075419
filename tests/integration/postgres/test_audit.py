"""The audit: every id once, by months, and in order what is left to announce."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from rollcall.postgres import audit, dead_letter
from rollcall.postgres.audit import AuditRow
from rollcall.runtime.ids import new_id
from tests.support.builders import ORGANISATION, an_id
from tests.support.databases import TestDatabase

MOMENT = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)


def a_row(offset: int, **fields: object) -> AuditRow:
    row = AuditRow(
        id=an_id(offset),
        organisation_id=ORGANISATION,
        topic="rollcall.requests",
        partition=3,
        offset=offset,
        type="io.rollcall.request.member.create.v1",
        resource_id=an_id(1000 + offset),
        actor="key:abc",
        append_time=MOMENT + timedelta(milliseconds=offset),
        event_time=MOMENT,
        status=201,
        scim_type=None,
        outcomes=[{"fact": "member.invited", "data": {"resource_id": an_id(1000 + offset)}}],
    )
    return replace(row, **fields)  # type: ignore[arg-type]


async def test_a_recorded_id_is_known_as_applied(database: TestDatabase) -> None:
    async with database.connect("provisioner") as connection:
        await audit.record(connection, [a_row(1), a_row(2)])
        known = await audit.already_applied(connection, [an_id(1), an_id(9), "no-uuid"])

    assert known == {an_id(1)}


async def test_an_id_is_recorded_once(database: TestDatabase) -> None:
    async with database.connect("provisioner") as connection:
        await audit.record(connection, [a_row(1)])
        with pytest.raises(asyncpg.UniqueViolationError):
            await audit.record(connection, [replace(a_row(2), id=an_id(1))])


async def test_unannounced_rows_come_back_whole_and_in_order(database: TestDatabase) -> None:
    refused = a_row(5, status=409, scim_type="uniqueness", optimistic=True, id=new_id())
    rows = [a_row(4), refused, a_row(6)]

    async with database.connect("provisioner") as connection:
        await audit.record(connection, [rows[2], rows[0], rows[1], a_row(3)])
        await audit.record(connection, [a_row(7, partition=4), a_row(8, topic="other")])
        await audit.record(connection, [a_row(9, epoch=1)])
        found = await audit.unannounced(connection, "rollcall.requests", 3, 4, 100)
        first = await audit.unannounced(connection, "rollcall.requests", 3, 4, 2)

    assert found == rows
    assert first == rows[:2]


async def test_the_operator_finds_what_was_answered_and_then_refused(
    database: TestDatabase,
) -> None:
    refused = a_row(5, status=409, scim_type="uniqueness", optimistic=True)

    async with database.connect("owner") as connection:
        await audit.record(connection, [a_row(4, optimistic=True), refused])
        await audit.record(connection, [a_row(6, status=409), a_row(7, status=404)])
    async with database.connect("provisioner") as connection:
        await audit.record_unheard(connection, [a_row(7).id])
        await audit.record_unheard(connection, [a_row(7).id])
    async with database.connect("owner") as connection:
        found = await audit.find_refused(connection, organisation_id=ORGANISATION, limit=10)
        elsewhere = await audit.find_refused(connection, organisation_id=an_id(77), limit=10)

    assert [(each.row, each.is_unheard) for each in found] == [
        (a_row(7, status=404), True),
        (refused, False),
    ]
    assert elsewhere == []


async def test_rows_of_this_month_are_in_its_partition(database: TestDatabase) -> None:
    month = datetime.now(UTC).strftime("event_%Y_%m")

    async with database.connect("owner") as connection:
        await audit.record(connection, [a_row(1, id=new_id())])
        where = await connection.fetchval("SELECT tableoid::regclass::text FROM audit.event")

    assert where == f"audit.{month}"


async def test_a_month_made_late_takes_its_rows_from_the_default_partition(
    database: TestDatabase,
) -> None:
    moment = datetime(2041, 2, 1, tzinfo=UTC)
    first_of_month = f"{int(moment.timestamp() * 1000):012x}"
    inside = f"{first_of_month[:8]}-{first_of_month[8:]}-7000-8000-000000000001"
    before = int(moment.timestamp() * 1000) - 1
    outside = f"{before:012x}"[:8] + "-" + f"{before:012x}"[8:] + "-7fff-bfff-ffffffffffff"

    async with database.connect("owner") as connection:
        await audit.record(connection, [a_row(1, id=inside), a_row(2, id=outside)])
        # Whatever the time zone of the session, a month is one of UTC.
        await connection.execute("SET timezone = 'America/Los_Angeles'")
        made = await connection.fetchval("SELECT audit.ensure_months($1, 1)", moment)
        again = await connection.fetchval("SELECT audit.ensure_months($1, 1)", moment)
        rows = await connection.fetch("SELECT id::text, tableoid::regclass::text FROM audit.event")

    assert (made, again) == (1, 0)
    assert dict(map(tuple, rows)) == {inside: "audit.event_2041_02", outside: "audit.event_default"}


async def test_a_dead_letter_keeps_its_bytes_whatever_they_are(database: TestDatabase) -> None:
    letter = dead_letter.DeadLetter(
        topic="rollcall.requests",
        partition=3,
        offset=17,
        event_id="no\0uuid",
        organisation_id="not one",
        headers=[("ce_id", b"\xff\x00"), ("odd\0name", b"")],
        key=None,
        value=b"\x00\xff{",
        error_class="MalformedEvent",
        error="the value is no JSON",
        append_time=MOMENT,
    )

    async with database.connect("provisioner") as connection:
        await dead_letter.record(connection, [letter])
        await dead_letter.record(connection, [letter])
        summaries = await dead_letter.find(connection)
        row = await connection.fetchrow("SELECT headers, key, value FROM directory.dead_letter")

    assert [(found.offset, found.organisation_id) for found in summaries] == [(17, None)]
    assert row is not None
    assert tuple(row) == ([["ce_id", "/wA="], ["odd\\x00name", ""]], None, b"\x00\xff{")
