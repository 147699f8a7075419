"""When keys were last used: kept in Postgres, to a minute."""

from datetime import datetime

from rollcall.postgres import tenancy
from rollcall.postgres.pool import Database


async def last_used(database: Database, organisation_id: str) -> dict[str, datetime]:
    """Public id of each key that was ever used → its last use. Raises Unavailable."""
    async with database.connection() as connection:
        found = await tenancy.list_keys(connection, organisation_id)
    return {each.key.public_id: each.last_used for each in found if each.last_used}
