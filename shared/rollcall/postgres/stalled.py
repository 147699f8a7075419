"""End sessions of a process that is frozen in mid-statement, which no time-out of Postgres ends.

asyncpg prepares a statement (Parse, Describe, Flush) and sends its values (Bind, Execute, Sync) in
a second step. A process that is stopped or suspended between the two leaves a session that is
"active" and waits for its client. It is not idle in its transaction, so
`idle_in_transaction_session_timeout` does not count, and `statement_timeout` does not interrupt the
reading of a message (Postgres, `SocketBackend` and `ProcessInterrupts`). Its locks stay while the
process is frozen. From Postgres 17 on `transaction_timeout` would end it, but that ends long
transactions too.

So the process that waits for such a lock ends the session: a role may end sessions of the same
role.
"""

from typing import TYPE_CHECKING, Final

from rollcall.observability.logging import get_logger
from rollcall.postgres import queries

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

_SQL: Final = queries.load("stalled")
_END_STALLED: Final = _SQL["end_stalled"]
log = get_logger()


async def end_stalled(connection: "Connection", longer_than_s: float) -> int:
    """End other sessions of the same role and program that stalled longer; returns how many.

    Raises what asyncpg raises.
    """
    ended = await connection.fetch(_END_STALLED, longer_than_s)
    if ended:
        log.warning("postgres.sessions_ended", sessions=len(ended), reason="stalled")
    return len(ended)
