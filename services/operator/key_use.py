"""When keys were last used: in Postgres, which may be away or unknown; the rest works without."""

from datetime import datetime

from services.operator.deployment import OperatorSettings
from shared.postgres import pool, tenancy
from shared.runtime.errors import Unavailable


async def last_used(
    settings: OperatorSettings, organisation_id: str
) -> tuple[dict[str, datetime], str]:
    """Public id → last use, to a minute, and a note for the reader where that is not known."""
    url = settings.database_url.get_secret_value()
    if not url:
        return {}, "When keys were last used is not known: ROLLCALL_DATABASE_URL is not set."
    database = await pool.open_pool(
        url,
        role_hint="owner",
        max_size=1,
        statement_timeout_s=5.0,
        application_name="rollcall key list",
    )
    try:
        async with database.connection() as connection:
            found = await tenancy.list_keys(connection, organisation_id)
    except Unavailable as error:
        return {}, f"When keys were last used is not known: {error}."
    finally:
        await database.close()
    return {each.key.public_id: each.last_used for each in found if each.last_used}, ""
