"""Refusals of Postgres: data that passed all our checks but that a row cannot hold.

Data that cannot even be turned into a row counts as refused too.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import asyncpg

from rollcall.directory.quarantine import Refused

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

CLASSES: Final = frozenset({"21", "22", "23", "44", "54", "P0"})
"""Classes of SQLSTATE about the data of a statement: cardinality, data exceptions, integrity, check
options, program limits, errors raised by triggers. Outages have other classes."""


NO_ROW: Final = "no row can be made of it"


def words_of(sqlstate: str) -> str:
    """Our message for data that Postgres refuses with this SQLSTATE."""
    named = asyncpg.PostgresError.get_message_class_for_sqlstate(sqlstate)  # type: ignore[attr-defined]
    return f"Postgres refuses it: {named.__name__}"


def refusal_of(error: BaseException) -> Refused | None:
    """`error` as a refusal of the data; None if it is something else.

    Postgres's own message quotes the values of the row, so only the constraint is named.
    """
    if isinstance(error, TypeError | ValueError | LookupError | AttributeError):
        return Refused(type(error).__name__, NO_ROW)
    if not isinstance(error, asyncpg.PostgresError):
        return None
    sqlstate = error.sqlstate or ""
    if sqlstate[:2] not in CLASSES:
        return None
    constraint = getattr(error, "constraint_name", None)
    reason = words_of(sqlstate)
    return Refused(sqlstate, f"{reason} ({constraint})" if constraint else reason)


@asynccontextmanager
async def savepoint(connection: "Connection") -> AsyncIterator[None]:
    """A part of the caller's transaction that is rolled back alone if it raises.

    Checks that usually run at commit run at its end: unique names, which may move from one resource
    to another inside it.
    """
    async with connection.transaction():
        await connection.execute("SET CONSTRAINTS ALL DEFERRED")
        yield
        await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
