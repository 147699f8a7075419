"""Sessions of the console, by the digest of their cookie."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from rollcall.postgres import queries
from rollcall.postgres.rows import to_utc

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

Method = Literal["link", "password", "totp", "recovery", "oidc"]

_SQL = queries.load("console_sessions")


@dataclass(frozen=True, slots=True)
class Limits:
    """After how many seconds without a request, and in all, a session is over."""

    idle_s: float
    absolute_s: float


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is open. `is_half`: the second factor is missing, it opens nothing yet."""

    account_id: str
    method: Method
    is_half: bool
    made: datetime
    authenticated: datetime


@dataclass(frozen=True, slots=True)
class Listed:
    """A session in the list of an account."""

    digest: bytes
    method: Method
    made: datetime
    last_seen: datetime


async def begin(
    connection: "Connection",
    digest: bytes,
    account_id: str,
    method: Method,
    *,
    is_half: bool,
    issuer_id: str | None = None,
    issuer_session: str | None = None,
) -> None:
    """Keep a new session, and which issuer (with its own session) opened it."""
    await connection.execute(
        _SQL["open_session"], digest, account_id, method, is_half, issuer_id, issuer_session
    )


async def touch(connection: "Connection", digest: bytes, limits: Limits) -> Session | None:
    """The session, noted as seen now; None where there is none, or where its time is over."""
    row = await connection.fetchrow(_SQL["touch_session"], digest, limits.idle_s, limits.absolute_s)
    if row is None:
        return None
    return Session(
        row["account_id"],
        row["method"],
        row["is_half"],
        to_utc(row["made"]),
        to_utc(row["authenticated"]),
    )


async def end(connection: "Connection", digest: bytes) -> None:
    """End a session."""
    await connection.execute(_SQL["end_session"], digest)


async def end_others(connection: "Connection", account_id: str, digest: bytes) -> None:
    """End every session of an account but this one."""
    await connection.execute(_SQL["end_other_sessions"], account_id, digest)


async def list_of(connection: "Connection", account_id: str) -> list[Listed]:
    """The sessions of an account, the latest first."""
    return [
        Listed(row["sha256"], row["method"], to_utc(row["made"]), to_utc(row["last_seen"]))
        for row in await connection.fetch(_SQL["list_sessions"], account_id)
    ]


async def confirm(connection: "Connection", digest: bytes, method: Method) -> None:
    """The person has just shown who they are."""
    await connection.execute(_SQL["confirm_session"], digest, method)


async def sweep(connection: "Connection", idle_s: float, contact_days: int) -> None:
    """Remove sessions, links and notes that are over."""
    await connection.execute(_SQL["sweep_sessions"], idle_s, contact_days)
