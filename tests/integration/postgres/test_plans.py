"""Plans: what a query costs depends on what it asks for, not on the size of the table."""

import asyncio
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from rollcall.postgres import filter_sql, queries
from rollcall.scim.filter import parse_filter
from rollcall.scim.profile import Profile
from rollcall.scim.quirks import Repairs
from rollcall.scim.schema import USER
from rollcall.scim.sort import parse_sort
from tests.integration.postgres.filling import connected, fill
from tests.support.builders import ORGANISATION, an_id
from tests.support.databases import TestDatabase, create_database, drop_database
from tests.support.servers import PostgresServer

if TYPE_CHECKING:
    pass


@pytest.fixture(scope="module")
def filled(module_database: TestDatabase) -> TestDatabase:
    """A database with many members, for tests that only read; its statistics know of none."""
    asyncio.run(fill(module_database))
    return module_database


@pytest.fixture(scope="module")
def analysed(postgres_server: PostgresServer) -> Iterator[TestDatabase]:
    """The same after VACUUM ANALYZE, which a server does by itself a minute later."""
    database = TestDatabase(asyncio.run(create_database(postgres_server)), postgres_server)

    async def fill_it() -> None:
        await fill(database)
        async with database.connect("owner") as connection:
            await connection.execute("VACUUM ANALYZE directory.member")
            await connection.execute("VACUUM ANALYZE directory.group_member")

    asyncio.run(fill_it())
    yield database
    asyncio.run(drop_database(postgres_server, database.name))


def arrays(name: str, rows: int) -> list[str]:
    """Literals for the parameters of a load query: columns of `rows` keys that nobody has."""
    organisations = "{" + ",".join([ORGANISATION] * rows) + "}"
    ids = "{" + ",".join(an_id(number) for number in range(rows)) + "}"
    if name in ("load_members", "load_groups"):
        return [organisations, ids] * 2
    if name in ("load_known_members", "load_memberships"):  # each column as one text
        organisations, ids = organisations.strip("{}"), ids.strip("{}")
    return [organisations, ids, ids] if name == "load_memberships" else [organisations, ids]


@pytest.mark.parametrize(
    "name",
    [
        "load_members",
        "load_members_of_external_ids",
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


LOOK_UPS = [
    'userName eq "user7"',
    'userName sw "user77"',
    'externalId eq "x7"',
    'displayName eq "name7"',
    'emails.value eq "user7@x"',
    'emails[type eq "work"].value eq "user7@x"',
    'emails[type eq "work" and value eq "user7@x" and display co "x"]',
    f'id eq "{an_id(7)}"',
    "active eq false",
    f'groups.value eq "{an_id(7)}"',
    'meta.lastModified gt "2030-01-01T00:00:00Z"',
    'meta.created ge "2030-01-01T00:00:00Z"',
    'userName eq "user7" or externalId eq "x8"',
    'externalId eq "x7" and title co "a"',
]


@pytest.mark.parametrize("text", LOOK_UPS)
@pytest.mark.parametrize("is_analysed", [False, True], ids=["never analysed", "analysed"])
async def test_a_look_up_goes_by_index(
    filled: TestDatabase, analysed: TestDatabase, text: str, is_analysed: bool
) -> None:
    condition = filter_sql.compile_filter(parse_filter(text, USER, Profile.COMPATIBLE), "User")
    sql = filter_sql.compose(queries.load("directory_search")["search_members"], condition)

    plan = await explain(analysed if is_analysed else filled, sql, 0, condition.arguments(""))

    assert condition.is_indexed
    assert "Seq Scan on member" not in plan, plan


@pytest.mark.parametrize(
    ("sort_by", "index"),
    [
        (None, "member_pkey"),
        ("id", "member_pkey"),
        ("userName", "member_by_user_name"),
        ("externalId", "member_by_external_id"),
        ("meta.created", "member_by_created"),
        ("meta.lastModified", "member_by_last_modified"),
    ],
)
@pytest.mark.parametrize("order", ["ascending", "descending"])
async def test_a_far_page_reads_an_index_and_then_the_documents_of_the_page(
    analysed: TestDatabase, sort_by: str | None, index: str, order: str
) -> None:
    sort = parse_sort(sort_by, order, USER, Repairs(Profile.INTEROP))
    sql = filter_sql.compose(
        queries.load("directory_search")["list_members"],
        filter_sql.ANYTHING,
        filter_sql.compile_sort(sort, "User"),
    )

    plan = await explain(analysed, sql, 19_000, ())

    assert re.search(rf"Index Only Scan (Backward )?using {index} on member found", plan), plan
    assert "Seq Scan" not in plan, plan
    assert "count(" not in plan.lower(), plan


async def explain(
    database: TestDatabase, sql: str, offset: int, parameters: tuple[object, ...]
) -> str:
    """The plan of a page of 100 as ingress asks for it."""
    async with connected(database, "ingress") as connection:
        rows = await connection.fetch(
            f"EXPLAIN {sql}", ORGANISATION, offset, 100, False, 1_000_000, *parameters
        )
    return "\n".join(row[0] for row in rows)
