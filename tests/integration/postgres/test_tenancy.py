"""The copy of the tenancy topic, and the last use of keys."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from rollcall.postgres import tenancy
from rollcall.postgres.tenancy import KeyWithUse
from rollcall.tenancy.organisation import ApiKey, Organisation
from tests.support.builders import ORGANISATION, OTHER_ORGANISATION
from tests.support.databases import TestDatabase

MOMENT = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)
CLUB = Organisation(ORGANISATION, "Sailing club", 3, MOMENT, language="nl")
KEY = ApiKey("abcdefghijkl", ORGANISATION, "Entra", "00" * 32, MOMENT)


async def test_the_last_record_of_a_key_wins(database: TestDatabase) -> None:
    renamed = replace(CLUB, name="Rowing club", scim_enabled=False)
    revoked = replace(KEY, revoked=MOMENT + timedelta(days=1))

    async with database.connect("provisioner") as connection:
        await tenancy.fold_records(connection, [CLUB, KEY, renamed, revoked])
    async with database.connect("owner") as connection:
        organisation = await tenancy.find_organisation(connection, ORGANISATION)
        keys = await tenancy.list_keys(connection, ORGANISATION)

    assert organisation == renamed
    assert keys == [KeyWithUse(revoked, None)]


async def test_a_rate_is_copied_and_taken_off_again(database: TestDatabase) -> None:
    limited = replace(CLUB, rate=50, burst=200)

    async with database.connect("provisioner") as connection:
        await tenancy.fold_records(connection, [limited])
        during = await tenancy.find_organisation(connection, CLUB.id)
        await tenancy.fold_records(connection, [CLUB])
        after = await tenancy.find_organisation(connection, CLUB.id)

    assert (during, after) == (limited, CLUB)


async def test_a_row_that_a_newer_release_wrote_can_be_read(database: TestDatabase) -> None:
    async with database.connect("provisioner") as connection:
        await tenancy.fold_records(connection, [CLUB])
    async with database.connect("owner") as connection:
        await connection.execute(
            "UPDATE tenancy.organisation SET document = document || '{\"quota\": 5}'"
        )
        found = await tenancy.find_organisation(connection, CLUB.id)

    assert found == CLUB


async def test_deleted_records_leave(database: TestDatabase) -> None:
    async with database.connect("provisioner") as connection:
        await tenancy.fold_records(connection, [CLUB, KEY])
        await tenancy.fold_records(connection, [], removed=[CLUB.id, KEY.public_id])
        found = await tenancy.find_organisation(connection, CLUB.id)
        keys = await connection.fetchval("SELECT count(*) FROM tenancy.api_key")

    assert found is None
    assert keys == 0


async def test_the_notifier_reads_an_organisation(database: TestDatabase) -> None:
    async with database.connect("provisioner") as connection:
        await tenancy.fold_records(connection, [CLUB, KEY])
    async with database.connect("notifier") as connection:
        found = await tenancy.find_organisation(connection, CLUB.id)
        unknown = await tenancy.find_organisation(connection, OTHER_ORGANISATION)
        impossible = await tenancy.find_organisation(connection, "no-uuid")

    assert found == CLUB
    assert (unknown, impossible) == (None, None)


async def test_the_last_use_of_a_key_never_goes_back(database: TestDatabase) -> None:
    async with database.connect("owner") as connection:
        await tenancy.fold_records(connection, [KEY])
    async with database.connect("ingress") as connection:
        await tenancy.touch_keys(connection, {KEY.public_id: MOMENT, "zzzzzzzzzzzz": MOMENT})
        await tenancy.touch_keys(connection, {KEY.public_id: MOMENT - timedelta(hours=1)})
        await tenancy.touch_keys(connection, {})
    async with database.connect("owner") as connection:
        keys = await tenancy.list_keys(connection, ORGANISATION)

    assert keys == [KeyWithUse(KEY, MOMENT)]
