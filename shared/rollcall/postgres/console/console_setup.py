"""Set-up links: what an admin sends to the person who runs the identity provider.

Digests come from the caller (`control/console_access.py`): this module knows rows only.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from rollcall.postgres import queries
from rollcall.postgres.rows import to_utc

if TYPE_CHECKING:
    import asyncpg

    from rollcall.postgres.pool import Connection

_SQL = queries.load("console_setup")


@dataclass(frozen=True, slots=True)
class SetupLink:
    """A link that works. `keys`: public ids of what it made; `keys_left`: how many more it may.

    `made_by` is the name of its maker, in lists only.
    """

    id: str
    organisation_id: str
    name: str
    made: datetime
    expires: datetime
    last_opened: datetime | None
    keys_left: int
    keys: tuple[str, ...]
    made_by: str | None = None


async def add(
    connection: "Connection",
    link_id: str,
    digest: bytes,
    organisation_id: str,
    *,
    name: str,
    account_id: str,
    expires: datetime,
    keys: int,
) -> None:
    """Keep a link that may make `keys` keys."""
    await connection.execute(
        _SQL["add_setup_link"], link_id, digest, organisation_id, name, account_id, expires, keys
    )


async def opened(connection: "Connection", digest: bytes) -> SetupLink | None:
    """The link of this digest if it works; that it was opened is noted."""
    row = await connection.fetchrow(_SQL["open_setup_link"], digest)
    return None if row is None else _to_link(row)


async def links_of(connection: "Connection", organisation_id: str) -> list[SetupLink]:
    """The links of an organisation that work, newest first."""
    rows = await connection.fetch(_SQL["setup_links_of"], organisation_id)
    return [_to_link(row, row["made_by"]) for row in rows]


async def revoke(connection: "Connection", organisation_id: str, link_id: str) -> bool:
    """End a link; False where it does not work any more, or is of another organisation."""
    return (
        await connection.fetchval(_SQL["revoke_setup_link"], organisation_id, link_id) is not None
    )


async def take_key(connection: "Connection", link_id: str) -> bool:
    """Take one of the keys that the link may make; False where there is none left."""
    return await connection.fetchval(_SQL["take_setup_key"], link_id) is not None


async def note_key(connection: "Connection", link_id: str, public_id: str) -> None:
    """Note the key that the link has made."""
    await connection.execute(_SQL["note_setup_key"], link_id, public_id)


async def sweep(connection: "Connection") -> None:
    """Forget links that ended long ago."""
    await connection.execute(_SQL["sweep_setup_links"])


def _to_link(row: "asyncpg.Record", made_by: str | None = None) -> SetupLink:
    return SetupLink(
        id=row["id"],
        organisation_id=row["organisation_id"],
        name=row["name"],
        made=to_utc(row["made"]),
        expires=to_utc(row["expires"]),
        last_opened=None if row["last_opened"] is None else to_utc(row["last_opened"]),
        keys_left=row["keys_left"],
        keys=tuple(row["keys"]),
        made_by=made_by,
    )
