"""Connections: one pool per process, opened lazily; temporary failures become `Unavailable`.

Conventions of every connection, on which the queries rely:

- `uuid` parameters are given as text, and queries return ids as text (`id::text`), because our code
  uses canonical lower-case text for ids everywhere.
- `jsonb` is Python data in both directions, by orjson.
- `plan_cache_mode` is `force_custom_plan`. A generic plan for `= ANY($1)` that was made while a
  table was small is kept, and halves the provisioner's rate.
"""

import asyncio
import errno
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal

import asyncpg
import orjson
from asyncpg.connect_utils import SessionAttribute

from rollcall.postgres.stalled import end_stalled
from rollcall.runtime.errors import Unavailable

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]

Service = Literal["ingress", "provisioner", "notifier", "console", "owner"]

POSTGRES: Final = "Postgres"
NOT_MIGRATED: Final = "Postgres (its schema or grants are not those of this release: migrate it)"
REFUSED: Final = "Postgres (it refuses the login of this service)"
CONNECT_TIMEOUT_S: Final = 5.0
IDLE_IN_TRANSACTION_S: Final[dict[Service, int]] = {
    "ingress": 10,
    # A provisioner that was frozen in mid-transaction holds its partition's progress row; after
    # this time Postgres ends the session and frees the row for the successor.
    "provisioner": 10,
    "notifier": 10,
    "console": 10,
    "owner": 60,
}

KEYS_ONLY: Final = {"enable_hashjoin": "off", "enable_mergejoin": "off"}
"""The provisioner reads and writes rows by key only, so the cost of a nested loop over an index
depends on the batch. A hash join reads the whole table, and the planner prefers it while the table
is of medium size (measured at 30,000 members: 22 ms instead of 4 for each batch of 500)."""


class CutOff(Unavailable):
    """Postgres or asyncpg ended a statement or session that took too long: an outage, or too much.

    Only the caller that tries again can tell which (rollcall_provisioner/attempts.py). `cause` is
    one word of a small set, for logs and metrics.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(POSTGRES, 2.0)
        self.cause = cause


TRANSACTION_TIMEOUT: Final = "25P04"
LOCK_SHARE: Final = 0.5
"""Fraction of the statement time-out after which a wait for a lock ends, with its own error."""

_AWAY: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InsufficientResourcesError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TargetServerAttributeNotMatched,
    # asyncpg lost track of the server's state, also when it resets a connection on release.
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
_NOT_MIGRATED: Final = (
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InsufficientPrivilegeError,
)


def as_unavailable(error: BaseException) -> Unavailable | None:
    """`error` as Unavailable if a later attempt may succeed; None if it is a bug of ours."""
    cause = cut_off_by(error)
    if cause is not None:
        return CutOff(cause)
    if isinstance(error, _AWAY):
        return Unavailable(POSTGRES, 2.0)
    if isinstance(error, _NOT_MIGRATED):
        return Unavailable(NOT_MIGRATED, 10.0)
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return Unavailable(REFUSED, 10.0)
    return None


def cut_off_by(error: BaseException) -> str | None:
    """Which of our own time-outs ended it; None if it was something else.

    A wait for a lock (55P03) does not count, because another session caused it. A statement that
    was cancelled by a user has the same SQLSTATE as one that timed out; only the message differs.
    If Postgres's messages are in another language, both count as a time-out.
    """
    match error:
        case asyncpg.IdleInTransactionSessionTimeoutError():
            return "idle-in-transaction"
        case asyncpg.QueryCanceledError():
            return None if "user request" in str(error) else "statement-timeout"
        case asyncpg.PostgresError() if error.sqlstate == TRANSACTION_TIMEOUT:
            return "transaction-timeout"
        case TimeoutError() if not isinstance(error, OSError) or error.errno is None:
            return "no-answer"  # a time-out of the network has an errno
        case _:
            return None


def is_lost_connection(unavailable: Unavailable) -> bool:
    """Whether a connection broke. A session that was idle in its transaction for too long looks the
    same in asyncpg, because nothing was reading when Postgres ended it."""
    return isinstance(
        unavailable.__cause__,
        asyncpg.PostgresConnectionError
        | asyncpg.InterfaceError
        | asyncpg.InternalClientError
        | ConnectionError,
    )


_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors of a file of ours that is written inside the block; they do not come from Postgres."""


@contextmanager
def unavailable_if_away() -> Iterator[None]:
    """Raise errors inside the block that mean "Postgres cannot be used now" as Unavailable."""
    try:
        yield
    except (*_AWAY, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        unavailable = as_unavailable(error)
        is_our_disk = isinstance(error, OSError) and error.errno in _FULL
        if unavailable is None or is_our_disk:
            raise
        raise unavailable from error


async def prepare_connection(connection: "Connection") -> None:
    """Set the codecs on which the queries rely; called for each of our connections."""
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=_encode_jsonb, decoder=_decode_jsonb, format="binary"
    )


class _Plain(asyncpg.Connection):
    """A connection of a service, given back without a query that resets it.

    Nothing is left behind in its session: our services set nothing for a session, take no lock of
    a session, listen to nothing, and declare no cursor beyond its transaction (a test reads the
    queries). An open transaction is rolled back all the same.
    """

    def get_reset_query(self) -> str:
        """Nothing to ask."""
        return ""


class Database:
    """The pool of one process. Connections are made when they are needed, never earlier."""

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        acquire_timeout_s: float,
        stalled_after_s: float,
    ) -> None:
        self._pool = pool
        self._acquire_timeout_s = acquire_timeout_s
        self._stalled_after_s = stalled_after_s

    @asynccontextmanager
    async def connection(self) -> "AsyncIterator[Connection]":
        """A connection for as long as the block runs.

        Raises Unavailable if none is free in time, or if Postgres fails inside the block. Any other
        time-out inside the block would look like one of Postgres, so nothing else belongs there.
        """
        with unavailable_if_away(), _unavailable_if_state_is_lost():
            async with self._acquired() as connection:
                try:
                    with _cut_when_late(connection):
                        yield connection
                except asyncpg.LockNotAvailableError:
                    await end_stalled(connection, self._stalled_after_s)  # for the next attempt
                    raise
                except asyncpg.InternalClientError:
                    connection.terminate()
                    raise
                except asyncpg.InterfaceError as error:
                    # What asyncpg raises for a lost connection from its second use on. Any other
                    # InterfaceError is a bug.
                    if _is_lost(connection):
                        raise Unavailable(POSTGRES, 2.0) from error
                    raise

    @asynccontextmanager
    async def _acquired(self) -> "AsyncIterator[Connection]":
        """A connection of the pool. Waiting in vain for a free one is not a statement time-out."""
        try:
            connection = await self._pool.acquire(timeout=self._acquire_timeout_s)
        except TimeoutError as error:
            raise Unavailable(POSTGRES, 2.0) from error
        try:
            yield connection
        finally:
            await self._pool.release(connection)

    @asynccontextmanager
    async def transaction(self) -> "AsyncIterator[Connection]":
        """A connection with a transaction, committed at the end of the block unless it raises.

        Raises Unavailable like `connection`. If the commit itself raised it, the transaction may or
        may not have been applied.
        """
        async with self.connection() as connection, connection.transaction():
            with _cut_when_late(connection):
                yield connection

    async def close(self, timeout_s: float = 10.0) -> None:
        """Close all connections; those still in use after `timeout_s` seconds are cut."""
        try:
            await asyncio.wait_for(self._pool.close(), timeout_s)
        except TimeoutError:
            self._pool.terminate()


async def open_pool(
    url: str,
    *,
    role_hint: Service,
    max_size: int,
    statement_timeout_s: float,
    application_name: str,
    acquire_timeout_s: float = CONNECT_TIMEOUT_S,
) -> Database:
    """A pool of at most `max_size` connections to the primary; Postgres may be away.

    `role_hint` is the service that opens it; the Postgres role comes from `url`.
    `statement_timeout_s` limits each statement on the server, and half of it each wait for a lock;
    the client waits one second longer. A standby is never used, even if it answers, because reads
    must see what was committed. Raises ValueError for a `url` of another kind.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError("the database URL must start with postgresql://")
    settings = {
        "application_name": application_name,
        "plan_cache_mode": "force_custom_plan",
        "statement_timeout": f"{int(statement_timeout_s * 1000)}",
        "lock_timeout": f"{max(1, int(statement_timeout_s * 1000 * LOCK_SHARE))}",
        "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_S[role_hint]}s",
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
        "timezone": "UTC",
        **(KEYS_ONLY if role_hint == "provisioner" else {}),
    }
    pool = asyncpg.create_pool(
        url,
        min_size=0,
        max_size=max_size,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=statement_timeout_s + 1.0,
        target_session_attrs=SessionAttribute.primary,
        server_settings=settings,
        init=prepare_connection,
        # For as long as the connection lives: what is asked now and then stays prepared, too.
        max_cached_statement_lifetime=0,
        connection_class=asyncpg.Connection if role_hint == "owner" else _Plain,
    )
    await pool  # makes no connection, because min_size is 0
    return Database(pool, acquire_timeout_s, IDLE_IN_TRANSACTION_S[role_hint])


@contextmanager
def _unavailable_if_state_is_lost() -> Iterator[None]:
    """Treat asyncpg's "lost state" error as Unavailable.

    asyncpg raises it also when such a connection is given back to the pool, after the block.
    """
    try:
        yield
    except asyncpg.InternalClientError as error:
        raise Unavailable(POSTGRES, 2.0) from error


@contextmanager
def _cut_when_late(connection: "Connection") -> Iterator[None]:
    """Cut the connection when the client's time-out has passed, which is later than the server's.

    A server that did not even report its own time-out is frozen or cut off. A rollback, or giving
    the connection back in good order, would wait as long again.
    """
    try:
        yield
    except TimeoutError:
        connection.terminate()
        raise


def _is_lost(connection: "Connection") -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        # Inside the block only a lost connection is released by the pool itself.
        return True


class Encoded(bytes):
    """A parameter that is already encoded as JSON."""


def encoded(value: Any) -> Encoded:
    """`value` as an encoded jsonb parameter. It is encoded where the caller runs, not in the event
    loop, and its length is known."""
    return Encoded(_encode_jsonb(value))


def _encode_jsonb(value: Any) -> bytes:
    if isinstance(value, Encoded):
        return value
    return b"\x01" + orjson.dumps(value)


def _decode_jsonb(raw: bytes) -> Any:
    return orjson.loads(memoryview(raw)[1:])
