"""What only Postgres refuses: data that passed every check of ours and that a row cannot hold.

What cannot even be turned into a row counts as refused too.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import asyncpg

from rollcall.directory.quarantine import Refused

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

CLASSES: Final = frozenset({"21", "22", "23", "44", "54", "P0"})
"""Classes of SQLSTATE that are about the data of a statement: cardinality, data exceptions,
integrity, check options, program limits, errors that a trigger raises. Outages have others."""


NO_ROW: Final = "no row can be made of it"


def words_of(sqlstate: str) -> str:
    """What we say of data that Postgres refuses in this way."""
    named = asyncpg.PostgresError.get_message_class_for_sqlstate(sqlstate)  # type: ignore[attr-defined]
    return f"Postgres refuses it: {named.__name__}"


def refusal_of(error: BaseException) -> Refused | None:
    """`error` as what it says about the data; None where it says something else.

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
    """A part of the caller's transaction that is undone alone where it raises.

    What is checked at commit otherwise is checked at its end: unique names, which may pass from
    one resource to another inside of it.
    """
    async with connection.transaction():
        await connection.execute("SET CONSTRAINTS ALL DEFERRED")
        yield
        await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
