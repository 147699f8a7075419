"""Postgres as its owner: the one place where commands open it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import asyncpg

from rollcall.control.deployment import Deployment, reached
from rollcall.control.errors import NotPossible
from rollcall.control.settings import OperatorSettings
from rollcall.postgres import pool
from rollcall.postgres.pool import Database, open_pool

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

REACH_S: Final = 5.0
STATEMENT_S: Final = 30.0
LONG_STATEMENT_S: Final = 3600.0
"""Loading a large snapshot, or making an index over it, is one statement."""
OFFBOARDING_STATEMENT_S: Final = 600.0
"""Deleting what one organisation has in a table is one statement."""


@asynccontextmanager
async def open_as_owner(
    settings: OperatorSettings,
    what: str = "",
    *,
    statement_timeout_s: float = STATEMENT_S,
    max_size: int = 2,
) -> AsyncIterator[Database]:
    """The deployment's Postgres; `what` is shown in its list of sessions.

    Raises NotPossible where it is not named, Unavailable.
    """
    url = settings.database_url.get_secret_value()
    if not url:
        raise NotPossible("ROLLCALL_DATABASE_URL is not set; it names the owner role")
    database = await open_pool(
        url,
        role_hint="owner",
        max_size=max_size,
        statement_timeout_s=statement_timeout_s,
        application_name=f"rollcall {what}".strip(),
    )
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def open_deployment(
    settings: OperatorSettings, what: str, *, statement_timeout_s: float = LONG_STATEMENT_S
) -> AsyncIterator[Deployment]:
    """Database and log with long time-outs, for long work. Raises NotPossible, Unavailable."""
    async with (
        open_as_owner(
            settings, what, statement_timeout_s=statement_timeout_s, max_size=5
        ) as database,
        reached(settings, database) as deployment,
    ):
        yield deployment


@asynccontextmanager
async def connected(settings: OperatorSettings) -> AsyncIterator["Connection"]:
    """One connection with a short time-out, to ask whether Postgres answers at all.

    Raises Unavailable.
    """
    url = settings.database_url.get_secret_value()
    with pool.unavailable_if_away():
        connection = await asyncpg.connect(url, timeout=REACH_S)
    try:
        with pool.unavailable_if_away():
            yield connection
    finally:
        await connection.close(timeout=REACH_S)
