"""Keys of the admin API: who may ask it for what."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal, get_args

from rollcall.postgres import queries
from rollcall.postgres.rows import to_utc
from rollcall.runtime.ids import new_id

if TYPE_CHECKING:
    import asyncpg

    from rollcall.postgres.pool import Connection

Scope = Literal[
    "organisations:read",
    "organisations:write",
    "keys:read",
    "keys:write",
    "members:read",
    "members:write",
    "refused:read",
    "refused:write",
    "activity:read",
]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

_SQL = queries.load("console_api_keys")


@dataclass(frozen=True, slots=True)
class AdminKey:
    """A key of the admin API. `organisation_id` is None for one of the whole deployment."""

    public_id: str
    organisation_id: str | None
    name: str
    sha256: str
    scopes: tuple[str, ...]
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    last_used: datetime | None

    def is_alive(self, at: datetime) -> bool:
        """Whether it opens something."""
        return self.revoked is None and (self.expires is None or at < self.expires)

    def may(self, scope: Scope) -> bool:
        """Whether it may do this; to write includes to read."""
        resource, _, act = scope.partition(":")
        return scope in self.scopes or (act == "read" and f"{resource}:write" in self.scopes)


async def find(connection: "Connection", public_id: str) -> AdminKey | None:
    """The key of this public id, dead ones included."""
    row = await connection.fetchrow(_SQL["find_api_key"], public_id)
    return None if row is None else _to_key(row)


async def list_of(connection: "Connection", organisation_id: str | None) -> list[AdminKey]:
    """The keys of an organisation, or (None) of the deployment; the newest first."""
    return [_to_key(row) for row in await connection.fetch(_SQL["list_api_keys"], organisation_id)]


async def list_all(connection: "Connection") -> list[AdminKey]:
    """Every key, the newest first."""
    return [_to_key(row) for row in await connection.fetch(_SQL["list_all_api_keys"])]


async def add(
    connection: "Connection",
    public_id: str,
    sha256: str,
    *,
    organisation_id: str | None,
    name: str,
    scopes: Sequence[Scope],
    account_id: str | None,
    expires: datetime | None,
) -> AdminKey:
    """Keep a new key."""
    row = await connection.fetchrow(
        _SQL["add_api_key"],
        public_id,
        organisation_id,
        name,
        sha256,
        list(scopes),
        account_id,
        expires,
    )
    assert row is not None  # RETURNING
    return _to_key(row)


async def revoke(connection: "Connection", public_id: str, organisation_id: str | None) -> bool:
    """End a key of an organisation, or (None) of the deployment; False where there is none."""
    row = await connection.fetchval(_SQL["revoke_api_key"], public_id, organisation_id)
    return row is not None


async def revoke_any(connection: "Connection", public_id: str) -> bool:
    """End a key; False where there is none."""
    return await connection.fetchval(_SQL["revoke_any_api_key"], public_id) is not None


async def touch(connection: "Connection", public_id: str) -> None:
    """Note that a key is used."""
    await connection.execute(_SQL["touch_api_key"], public_id)


async def record_act(
    connection: "Connection",
    key: AdminKey,
    kind: str,
    organisation_id: str | None,
    subject: str | None,
) -> None:
    """Add what a key did to the list of acts."""
    await connection.execute(
        _SQL["record_key_act"], new_id(), key.public_id, organisation_id, kind, subject
    )


def _to_key(row: "asyncpg.Record") -> AdminKey:
    return AdminKey(
        public_id=row["public_id"],
        organisation_id=row["organisation_id"],
        name=row["name"],
        sha256=row["sha256"],
        scopes=tuple(row["scopes"]),
        created=to_utc(row["created"]),
        expires=None if row["expires"] is None else to_utc(row["expires"]),
        revoked=None if row["revoked"] is None else to_utc(row["revoked"]),
        last_used=None if row["last_used"] is None else to_utc(row["last_used"]),
    )
