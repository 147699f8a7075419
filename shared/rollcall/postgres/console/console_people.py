"""Members and groups as the console shows them: pages by keyset, found by a beginning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from rollcall.postgres import queries
from rollcall.postgres.rows import is_id, is_storable, to_utc
from rollcall.postgres.search_keys import email_key

if TYPE_CHECKING:
    import asyncpg

    from rollcall.postgres.pool import Connection

_SQL = queries.load("console_people")

FIRST_ID: Final = "00000000-0000-0000-0000-000000000000"
GROUPS_OF_MEMBER: Final = 100
MAILS_OF_MEMBER: Final = 20
COUNTED: Final = 10_001
"""Members of a group that are counted; more are "more than 10,000"."""
WAITING: Final = timedelta(days=14)
"""How long an invitation may be open before its member is listed as waiting."""
_ABOVE: Final = "\uffff"


def name_in(document: Mapping[str, Any]) -> str:
    """The display name of a resource, else its name, else its user name; empty: it has none."""
    name = document.get("name")
    parts = name if isinstance(name, dict) else {}
    full = " ".join(str(parts[each]) for each in ("givenName", "familyName") if parts.get(each))
    return str(
        document.get("displayName")
        or parts.get("formatted")
        or full
        or document.get("userName")
        or ""
    )


@dataclass(frozen=True, slots=True)
class Person:
    """A member in a list. `invitation` is set in the list of those who wait."""

    id: str
    user_name_key: str
    status: str
    external_id: str | None
    created: datetime
    last_modified: datetime
    document: dict[str, Any]
    invitation: str | None = None

    @property
    def user_name(self) -> str:
        """As the identity provider wrote it."""
        return str(self.document.get("userName") or self.user_name_key)

    @property
    def name(self) -> str:
        """What people call the member, else the user name."""
        return name_in(self.document) or self.user_name


@dataclass(frozen=True, slots=True)
class ShownGroup:
    """A group in a list; `members` of COUNTED means more than that."""

    id: str
    name_key: str
    name: str
    external_id: str | None
    last_modified: datetime
    members: int

    @property
    def is_counted(self) -> bool:
        """Whether `members` is the whole number."""
        return self.members < COUNTED


@dataclass(frozen=True, slots=True)
class Mail:
    """A notice to a member."""

    kind: str
    state: str
    reason: str | None
    due_at: datetime
    sent_at: datetime | None


async def members_after(
    connection: "Connection", organisation_id: str, *, status: str | None, after: str, limit: int
) -> list[Person]:
    """The members whose user name key is above `after`, in that order."""
    rows = await connection.fetch(
        _SQL["members_after"], organisation_id, status, after if is_storable(after) else "", limit
    )
    return [_to_person(row) for row in rows]


async def members_waiting(
    connection: "Connection", organisation_id: str, now: datetime, *, after: str, limit: int
) -> list[Person]:
    """The members whose invitation is open for WAITING or longer, the longest first."""
    begin = after if is_id(after) else FIRST_ID
    rows = await connection.fetch(
        _SQL["members_waiting"], organisation_id, now - WAITING, begin, limit
    )
    return [_to_person(row, row["invitation_id"]) for row in rows]


async def members_found(
    connection: "Connection", organisation_id: str, text: str, limit: int
) -> list[Person]:
    """The members that `text` names, or whose name begins with it."""
    wanted = text.strip()
    if not wanted or not is_storable(wanted):
        return []
    key = wanted.casefold()
    rows = await connection.fetch(
        _SQL["members_found"],
        organisation_id,
        key if is_id(key) else None,
        key[:256],
        key[:256] + _ABOVE,
        email_key(wanted),
        wanted,
        limit,
    )
    return [_to_person(row) for row in rows]


async def count_resources(connection: "Connection", organisation_id: str) -> tuple[int, int]:
    """How many members and groups there are."""
    rows = await connection.fetch(_SQL["count_resources"], organisation_id)
    found = {row["resource_type"]: row["number"] for row in rows}
    return found.get("User", 0), found.get("Group", 0)


async def person(connection: "Connection", organisation_id: str, member_id: str) -> Person | None:
    """One member; nothing has an id that is no UUID."""
    if not is_id(member_id):
        return None
    row = await connection.fetchrow(_SQL["person"], organisation_id, member_id)
    return None if row is None else _to_person(row)


async def groups_of_member(
    connection: "Connection", organisation_id: str, member_id: str
) -> list[tuple[str, str]]:
    """(id, name) of the member's groups by name, GROUPS_OF_MEMBER and one at most."""
    rows = await connection.fetch(
        _SQL["groups_of_member"], organisation_id, member_id, GROUPS_OF_MEMBER + 1
    )
    return [(row["id"], row["name"] or row["id"]) for row in rows]


async def mails_of_member(
    connection: "Connection", organisation_id: str, member_id: str
) -> list[Mail]:
    """The latest notices to a member."""
    rows = await connection.fetch(
        _SQL["mails_of_member"], organisation_id, member_id, MAILS_OF_MEMBER
    )
    return [
        Mail(
            row["kind"],
            row["state"],
            row["reason"],
            to_utc(row["due_at"]),
            None if row["sent_at"] is None else to_utc(row["sent_at"]),
        )
        for row in rows
    ]


async def groups_after(
    connection: "Connection", organisation_id: str, *, name_key: str, group_id: str, limit: int
) -> list[ShownGroup]:
    """The groups behind a name key and an id, by name."""
    rows = await connection.fetch(
        _SQL["groups_after"],
        organisation_id,
        name_key if is_storable(name_key) else "",
        group_id if is_id(group_id) else FIRST_ID,
        limit,
        COUNTED,
    )
    return [_to_group(row) for row in rows]


async def groups_found(
    connection: "Connection", organisation_id: str, text: str, limit: int
) -> list[ShownGroup]:
    """The groups whose name begins with `text`."""
    key = text.strip().casefold()[:256]
    if not key or not is_storable(key):
        return []
    rows = await connection.fetch(
        _SQL["groups_found"], organisation_id, key, key + _ABOVE, limit, COUNTED
    )
    return [_to_group(row) for row in rows]


async def one_group(
    connection: "Connection", organisation_id: str, group_id: str
) -> ShownGroup | None:
    """One group; nothing has an id that is no UUID."""
    if not is_id(group_id):
        return None
    row = await connection.fetchrow(_SQL["one_group"], organisation_id, group_id, COUNTED)
    return None if row is None else _to_group(row)


async def names_of(
    connection: "Connection", organisation_id: str, ids: Sequence[str]
) -> dict[str, str]:
    """Id → name, of those members and groups that are there."""
    wanted = [each for each in ids if is_id(each)]
    rows = await connection.fetch(_SQL["names_of"], organisation_id, wanted)
    return {row["id"]: name_in(row["document"]) or row["id"] for row in rows}


async def members_of_group(
    connection: "Connection", organisation_id: str, group_id: str, *, after: str, limit: int
) -> Sequence[Person]:
    """A page of a group's members, in the order of their ids."""
    begin = after if is_id(after) else FIRST_ID
    rows = await connection.fetch(_SQL["members_of_group"], organisation_id, group_id, begin, limit)
    return [_to_person(row) for row in rows]


def _to_person(row: "asyncpg.Record", invitation: str | None = None) -> Person:
    return Person(
        id=row["id"],
        user_name_key=row["user_name_key"],
        status=row["status"],
        external_id=row["external_id"],
        created=to_utc(row["created"]),
        last_modified=to_utc(row["last_modified"]),
        document=row["document"],
        invitation=invitation,
    )


def _to_group(row: "asyncpg.Record") -> ShownGroup:
    return ShownGroup(
        row["id"],
        row["display_name_key"],
        row["name"] or row["id"],
        row["external_id"],
        to_utc(row["last_modified"]),
        row["members"],
    )
