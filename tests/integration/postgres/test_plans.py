"""Plans: what a query costs depends on what it asks for, not on the size of the table."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from shared.postgres import filter_sql, pool, queries
from shared.postgres.pool import Service
from shared.scim.filter import parse_filter
from shared.scim.profile import Profile
from shared.scim.schema import USER
from tests.support.builders import ORGANISATION, an_id
from tests.support.databases import TestDatabase

if TYPE_CHECKING:
    from shared.postgres.pool import Connection

FILL = f"""
INSERT INTO directory.member (
    organisation_id, id, user_name_key, external_id, status, version, created, last_modified,
    display_name_key, email_keys, document)
SELECT '{ORGANISATION}', gen_random_uuid(), 'user' || number, 'x' || number, 'invited',
       gen_random_uuid(), now(), now(), 'name' || number, ARRAY['user' || number || '@x'], '{{}}'
FROM generate_series(1, 20000) AS number
"""
FILL_GROUPS = f"""
INSERT INTO directory.group_member (organisation_id, group_id, member_id)
SELECT '{ORGANISATION}', gen_random_uuid(), gen_random_uuid() FROM generate_series(1, 20000)
"""


@asynccontextmanager
async def connected(database: TestDatabase, service: Service) -> "AsyncIterator[Connection]":
    """A connection with the settings of a service's pool."""
    opened = await pool.open_pool(
        database.url(service),
        role_hint=service,
        max_size=1,
        statement_timeout_s=30,
        application_name="test",
    )
    try:
        async with opened.connection() as connection:
            yield connection
    finally:
        await opened.close()


async def fill(database: TestDatabase) -> None:
    async with database.connect("owner") as connection:
        await connection.execute(FILL)
        await connection.execute(FILL_GROUPS)


@pytest.fixture(scope="module")
def filled(module_database: TestDatabase) -> TestDatabase:
    """A database with many members, for tests that only read."""
    asyncio.run(fill(module_database))
    return module_database


def arrays(name: str, rows: int) -> list[str]:
    """Literals for the parameters of a load query: columns of `rows` keys that nobody has."""
    organisations = "{" + ",".join([ORGANISATION] * rows) + "}"
    ids = "{" + ",".join(an_id(number) for number in range(rows)) + "}"
    if name in ("load_members", "load_groups"):
        return [organisations, ids] * 3
    return [organisations, ids, ids] if name == "load_memberships" else [organisations, ids]


@pytest.mark.parametrize(
    "name",
    [
        "load_members",
        "load_known_members",
        "load_memberships",
        "load_members_of_groups",
        "load_groups_of_members",
    ],
)
@pytest.mark.parametrize("is_analysed", [False, True])
async def test_a_batch_is_loaded_by_index_also_after_runs_on_an_empty_table(
    database: TestDatabase, name: str, is_analysed: bool
) -> None:
    sql = queries.load("directory_load")[name]
    literals = ", ".join(f"'{value}'" for value in arrays(name, 500))

    async with connected(database, "provisioner") as connection:
        await connection.execute(f"PREPARE batch AS {sql}")
        for _ in range(10):
            await connection.execute(f"EXECUTE batch({literals})")
        await fill(database)
        if is_analysed:
            async with database.connect("owner") as owner:
                await owner.execute("ANALYZE directory.member, directory.group_member")
        rows = await connection.fetch(f"EXPLAIN EXECUTE batch({literals})")

    plan = "\n".join(row[0] for row in rows)
    assert "Seq Scan" not in plan, plan


@pytest.mark.parametrize(
    "text",
    [
        'userName eq "user7"',
        'externalId eq "x7"',
        'displayName eq "name7"',
        'emails.value eq "user7@x"',
        'emails[type eq "work"].value eq "user7@x"',
        f'id eq "{an_id(7)}"',
    ],
)
async def test_a_look_up_goes_by_index(filled: TestDatabase, text: str) -> None:
    condition = filter_sql.compile_filter(parse_filter(text, USER, Profile.COMPATIBLE), "User")
    sql = filter_sql.compose(queries.load("directory_search")["search_members"], condition)

    async with connected(filled, "ingress") as connection:
        rows = await connection.fetch(
            f"EXPLAIN {sql}", ORGANISATION, 0, 100, False, *condition.parameters
        )

    plan = "\n".join(row[0] for row in rows)
    assert "Seq Scan on member" not in plan, plan
