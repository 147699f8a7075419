"""The roles and the database that a fresh server gets, made as its superuser.

Tables, and what each role may do with them, come from the migrations, which the owner runs.
"""

from __future__ import annotations

from collections.abc import Mapping

DATABASE = "rollcall"
OWNER = "rollcall_owner"
SERVICE_ROLES = (
    "rollcall_ingress",
    "rollcall_provisioner",
    "rollcall_notifier",
    "rollcall_console",
)
ROLES = (OWNER, *SERVICE_ROLES)

_TIMEOUT_S = 30.0


async def bootstrap(
    admin_url: str, passwords: Mapping[str, str], database: str | None = DATABASE
) -> None:
    """Make every role of `passwords` (role → password) and `database`, owned by `OWNER`.

    May be repeated: passwords are set again, existing roles stay. With `database=None` only the
    roles are made. Names are ours, never a user's. Raises asyncpg's errors.
    """
    import asyncpg  # the command line starts without it

    connection = await asyncpg.connect(admin_url, timeout=_TIMEOUT_S, command_timeout=_TIMEOUT_S)
    try:
        known = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
        for role, password in passwords.items():
            verb = "ALTER" if role in known else "CREATE"
            quoted = await connection.fetchval("SELECT quote_literal($1::text)", password)
            await connection.execute(f'{verb} ROLE "{role}" LOGIN PASSWORD {quoted}')
        await connection.execute("REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC")
        if database is None:
            return
        exists = "SELECT 1 FROM pg_database WHERE datname = $1"
        if not await connection.fetchval(exists, database):
            await connection.execute(f'CREATE DATABASE "{database}" OWNER "{OWNER}"')
        await connection.execute(f'REVOKE ALL ON DATABASE "{database}" FROM PUBLIC')
        allowed = ", ".join(f'"{role}"' for role in SERVICE_ROLES if role in passwords)
        if allowed:
            await connection.execute(f'GRANT CONNECT ON DATABASE "{database}" TO {allowed}')
    finally:
        await connection.close(timeout=_TIMEOUT_S)
    await _narrow(admin_url, database)


async def _narrow(admin_url: str, database: str) -> None:
    """Take from every role what Postgres gives it in a database and none of ours needs."""
    import asyncpg

    from rollcall.postgres.upkeep.rights import take_from_public

    connection = await asyncpg.connect(
        admin_url, database=database, timeout=_TIMEOUT_S, command_timeout=_TIMEOUT_S
    )
    try:
        await take_from_public(connection)
    finally:
        await connection.close(timeout=_TIMEOUT_S)
