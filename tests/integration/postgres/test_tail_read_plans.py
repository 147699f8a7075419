"""The statement of a look-up costs what it asks for, not what the organisation has."""

import asyncio
import re
from typing import Any, Final

import pytest

from rollcall.postgres import queries
from tests.integration.postgres.filling import connected, fill
from tests.support.builders import ORGANISATION, an_id
from tests.support.databases import TestDatabase

SQL: Final = queries.load("tail_read")["read_for_tail"]
FILL_MORE: Final = f"""
INSERT INTO directory."group" (
    organisation_id, id, display_name_key, unique_name_key, version, created, last_modified,
    document)
SELECT '{ORGANISATION}', gen_random_uuid(), 'group' || number, 'group' || number,
       gen_random_uuid(), now(), now(), jsonb_build_object('displayName', 'group' || number)
FROM generate_series(1, 20000) AS number
"""
OF_TABLE: Final = re.compile(r' on (member|"group"|group_member)(?!\w)')
TABLES: Final = ("directory.member", 'directory."group"', "directory.group_member")


def arguments(**given: Any) -> list[Any]:
    """The parameters in their order; what is not given asks for nothing."""
    names = (
        "members",
        "user_names",
        "external_ids",
        "display_names",
        "groups",
        "group_names",
        "group_external_ids",
        "with_groups",
        "groups_of_all",
        "whole_groups",
        "members_of_all",
        "known",
        "pair_groups",
        "pair_members",
        "most",
        "in_any_group",
        "event_ids",
    )
    rest: dict[str, Any] = {name: [] for name in names}
    rest.update({"groups_of_all": False, "members_of_all": False, "most": 1001}, **given)
    return [ORGANISATION, "t.requests", 3, *rest.values()]


@pytest.mark.parametrize("is_analysed", [False, True])
@pytest.mark.parametrize(
    "given",
    [
        {"members": [an_id(1)], "groups_of_all": True, "with_groups": [an_id(1)]},
        {"user_names": ["user77"], "groups_of_all": True},
        {"external_ids": ["x77"]},
        {"display_names": ["name77"], "groups_of_all": True},
        {"groups": [an_id(1)], "members_of_all": True, "known": [an_id(2)]},
        {"group_names": ["group77"], "in_any_group": [an_id(3)], "members_of_all": True},
        {"group_external_ids": ["x"], "whole_groups": [an_id(1)]},
        {"pair_groups": [an_id(n) for n in range(50)], "pair_members": [an_id(1)] * 50},
    ],
    ids=str,
)
def test_a_look_up_reads_no_table_from_end_to_end(
    module_database: TestDatabase, given: dict[str, Any], is_analysed: bool
) -> None:
    async def read() -> list[str]:
        if is_analysed:
            async with module_database.connect("owner") as connection:
                for table in TABLES:
                    await connection.execute(f"ANALYZE {table}")
        async with connected(module_database, "ingress") as connection:
            rows = await connection.fetch(f"EXPLAIN (ANALYZE) {SQL}", *arguments(**given))
        return [row[0] for row in rows]

    async def prepare() -> None:
        async with module_database.connect("owner") as connection:
            if not await connection.fetchval("SELECT count(*) FROM directory.member"):
                await fill(module_database)
                await connection.execute(FILL_MORE)

    asyncio.run(prepare())
    plan = asyncio.run(read())

    of_tables = [line for line in plan if OF_TABLE.search(line)]
    scans = [line for line in of_tables if "Seq Scan" in line]
    read_rows = [
        float(rows) * int(loops)
        for line in of_tables
        for rows, loops in re.findall(r"actual time=\S+ rows=([\d.]+) loops=(\d+)", line)
    ]
    assert len(of_tables) >= 10
    assert scans == [], "\n".join(plan)
    assert max(read_rows, default=0) <= 50, "\n".join(plan)
