"""A directory of 20,000 rows, and a connection as a service has it. No test in here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from rollcall.postgres import pool
from rollcall.postgres.pool import Service
from tests.support.builders import ORGANISATION
from tests.support.databases import TestDatabase

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

FILL = f"""
INSERT INTO directory.member (
    organisation_id, id, user_name_key, external_id, status, version, created, last_modified,
    display_name_key, email_keys, document)
SELECT '{ORGANISATION}', gen_random_uuid(), 'user' || number, 'x' || number, 'invited',
       gen_random_uuid(), now(), now(), 'name' || number, ARRAY['user' || number || '@x'],
       jsonb_build_object('active', number % 50 > 0)
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
