"""A copy of the tenancy topic, folded in order, and the last use of each API key."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from rollcall.postgres import queries
from rollcall.postgres.rows import is_id, to_utc
from rollcall.tenancy.organisation import ApiKey, Organisation, Record, organisation_from, to_data

if TYPE_CHECKING:
    import asyncpg

    from rollcall.postgres.pool import Connection

_SQL = queries.load("tenancy")
_UPSERT_ORGANISATIONS = _SQL["upsert_organisations"]
_UPSERT_KEYS = _SQL["upsert_keys"]
_REMOVE_ORGANISATIONS = _SQL["remove_organisations"]
_REMOVE_KEYS = _SQL["remove_keys"]
_TOUCH_KEYS = _SQL["touch_keys"]
_FIND_ORGANISATION = _SQL["find_organisation"]
_PARTITIONS_OF = _SQL["partitions_of"]
_LIST_KEYS = _SQL["list_keys"]


@dataclass(frozen=True, slots=True)
class KeyWithUse:
    """An API key from its record, and when it was last used (to the minute); None: never."""

    key: ApiKey
    last_used: datetime | None


async def fold_records(
    connection: "Connection", records: Sequence[Record], removed: Iterable[str] = ()
) -> None:
    """Make the rows equal to these records, given in the topic's order; the last of a key wins.

    `removed` are the keys whose last record is a deletion (tombstone): ids of organisations and
    public ids of API keys.
    """
    organisations = {record.id: record for record in records if isinstance(record, Organisation)}
    keys = {record.public_id: record for record in records if isinstance(record, ApiKey)}
    gone = set(removed)
    if gone:
        await connection.execute(_REMOVE_ORGANISATIONS, [key for key in gone if is_id(key)])
        await connection.execute(_REMOVE_KEYS, [key for key in gone if not is_id(key)])
    if organisations:
        await _upsert_organisations(connection, list(organisations.values()))
    if keys:
        await _upsert_keys(connection, list(keys.values()))


async def touch_keys(connection: "Connection", last_used: Mapping[str, datetime]) -> None:
    """Store public id → last use; a time earlier than the stored one changes nothing.

    Rows are updated in the order of their ids, so that two replicas cannot deadlock.
    """
    public_ids = sorted(last_used)
    if public_ids:
        moments = [last_used[public_id] for public_id in public_ids]
        await connection.execute(_TOUCH_KEYS, public_ids, moments)


async def find_organisation(connection: "Connection", organisation_id: str) -> Organisation | None:
    """The organisation, or None if its record has not arrived or the text is not an id."""
    if not is_id(organisation_id):
        return None
    document = await connection.fetchval(_FIND_ORGANISATION, organisation_id)
    return None if document is None else organisation_from(document)


async def partitions_of(
    connection: "Connection", organisation_ids: Iterable[str]
) -> dict[str, int]:
    """Organisation → its partition, for those whose record has arrived."""
    possible = [identifier for identifier in organisation_ids if is_id(identifier)]
    if not possible:
        return {}
    return {row["id"]: row["partition"] for row in await connection.fetch(_PARTITIONS_OF, possible)}


async def list_keys(connection: "Connection", organisation_id: str) -> list[KeyWithUse]:
    """The organisation's API keys, oldest first, including revoked and expired ones."""
    return [_to_key(row) for row in await connection.fetch(_LIST_KEYS, organisation_id)]


async def _upsert_organisations(
    connection: "Connection", organisations: Sequence[Organisation]
) -> None:
    await connection.execute(
        _UPSERT_ORGANISATIONS,
        [organisation.id for organisation in organisations],
        [organisation.name for organisation in organisations],
        [organisation.partition for organisation in organisations],
        [organisation.scim_enabled for organisation in organisations],
        [organisation.language for organisation in organisations],
        [organisation.created for organisation in organisations],
        [to_data(organisation) for organisation in organisations],
    )


async def _upsert_keys(connection: "Connection", keys: Sequence[ApiKey]) -> None:
    await connection.execute(
        _UPSERT_KEYS,
        [key.public_id for key in keys],
        [key.organisation_id for key in keys],
        [key.name for key in keys],
        [key.sha256 for key in keys],
        [key.created for key in keys],
        [key.expires for key in keys],
        [key.revoked for key in keys],
        [_limits(key) for key in keys],
    )


def _to_key(row: "asyncpg.Record") -> KeyWithUse:
    return KeyWithUse(
        key=ApiKey(
            public_id=row["public_id"],
            organisation_id=row["organisation_id"],
            name=row["name"],
            sha256=row["sha256"],
            created=to_utc(row["created"]),
            expires=_moment(row["expires"]),
            revoked=_moment(row["revoked"]),
            networks=tuple((row["limits"] or {}).get("networks", ())),
            scopes=tuple((row["limits"] or {}).get("scopes", ())),
        ),
        last_used=_moment(row["last_used"]),
    )


def _limits(key: ApiKey) -> dict[str, list[str]] | None:
    if not key.is_limited:
        return None
    return {"networks": list(key.networks), "scopes": list(key.scopes)}


def _moment(value: datetime | None) -> datetime | None:
    return None if value is None else to_utc(value)
