"""Members as an operator looks them up: a list by user name, or one by any identifier."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rollcall.directory.state import Member
from rollcall.postgres import queries
from rollcall.postgres.rows import is_id, is_storable, to_member
from rollcall.postgres.search_keys import email_key
from rollcall.scim.errors import ScimError
from rollcall.scim.username import user_name_key

if TYPE_CHECKING:
    import asyncpg

    from rollcall.postgres.pool import Connection

_SQL = queries.load("operator_members")
_AFTER = _SQL["members_after"]
_NAMED = _SQL["members_named"]
_COUNTS = _SQL["counts_of"]


@dataclass(frozen=True, slots=True)
class Person:
    """A member with its organisation."""

    organisation_id: str
    member: Member


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of an organisation's rows other than members."""

    groups: int
    dead_letters: int
    parked: int


async def list_members(
    connection: "Connection", organisation_id: str, *, status: str | None, after: str, limit: int
) -> list[Person]:
    """The members whose user name key is above `after`, in that order, `limit` at most."""
    rows = await connection.fetch(_AFTER, organisation_id, status, after, limit)
    return [_to_person(row) for row in rows]


async def find(
    connection: "Connection", organisation_ids: Sequence[str], text: str, *, limit: int
) -> list[Person]:
    """The members with this id, userName, address or externalId in any of the organisations."""
    if not is_storable(text):
        return []
    try:
        name_key = user_name_key(text)
    except ScimError:
        name_key = ""  # no member has it
    member_id = text.lower() if is_id(text.lower()) else None
    rows = await connection.fetch(
        _NAMED, organisation_ids, member_id, name_key, email_key(text), text, limit
    )
    return [_to_person(row) for row in rows]


async def counts(connection: "Connection", organisation_id: str) -> Counts:
    """The numbers of an organisation's groups, dead letters and parked events."""
    [row] = await connection.fetch(_COUNTS, organisation_id)
    return Counts(row["groups"], row["dead_letters"], row["parked"])


def _to_person(row: "asyncpg.Record") -> Person:
    return Person(row["organisation_id"], to_member(row))
