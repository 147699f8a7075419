"""Users and groups of an organisation, written as JSON lines or as one CSV table.

Used for an organisation as it is now (`offboarding/export.py`) and as it was
(`replay/export.py`). JSON lines: a `user` for each member (its SCIM resource, its groups), then a
`group` for each group with its members. CSV: the same columns in both cases; `type` says what a
row is. A cell that a spreadsheet would take for a formula begins with an apostrophe.
"""

import csv
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from rollcall.control.disk import written
from rollcall.control.meter import Meter
from rollcall.directory.state import Group, Member
from rollcall.events.envelope import format_time
from rollcall.postgres.upkeep import replay
from rollcall.postgres.upkeep.replay import Named
from rollcall.scim.schema import USER

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

Json = dict[str, Any]
ENTERPRISE: Final = USER.extension_urns[0]
_PERSON: Final = ("title", "userType", "preferredLanguage", "locale", "timezone", "profileUrl")
_WORK: Final = ("employeeNumber", "costCenter", "organization", "division", "department")
COLUMNS: Final = (
    "type",
    "id",
    "userName",
    "displayName",
    "externalId",
    "status",
    "active",
    "givenName",
    "familyName",
    "emails",
    "phoneNumbers",
    *_PERSON,
    *_WORK,
    "manager",
    "groups",
    "members",
    "group_id",
    "member_id",
    "created",
    "lastModified",
    "version",
)
_FORMULA: Final = frozenset(
    "=+-@\t\r\n\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}"
    "\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}"
)


@dataclass(frozen=True, slots=True)
class Counts:
    """How much was written; `left_out`: members that were skipped."""

    users: int
    groups: int
    memberships: int
    left_out: int


class Output(Protocol):
    """What text is written to."""

    def write(self, text: str, /) -> int: ...


class Writer(Protocol):
    """A format. `header` and `trailer` are called at most once, before and after the resources."""

    def header(self, document: Json, row: Mapping[str, object] | None) -> None: ...
    def user(self, member: Member, groups: Sequence[Named]) -> None: ...
    def group(self, group: Group, members: Sequence[Named]) -> None: ...
    def trailer(self, document: Json, row: Mapping[str, object]) -> None: ...


async def write_resources(
    connection: "Connection",
    organisation_id: str,
    writer: Writer,
    meter: Meter,
    *,
    without: AbstractSet[str] = frozenset(),
) -> Counts:
    """Write every user, then every group; some hundred are in memory at a time.

    `without`: ids of members that are left out, also of their groups. Raises Unavailable, NotNow
    where the disk is full.
    """
    users = groups = memberships = left_out = 0
    with written():
        async for member, of in replay.members(connection, organisation_id):
            if member.id in without:
                left_out += 1
                continue
            writer.user(member, of)
            users += 1
            meter.add(1)
        async for group, has in replay.groups(connection, organisation_id):
            shown = [each for each in has if each.id not in without]
            writer.group(group, shown)
            groups += 1
            memberships += len(shown)
            meter.add(1)
    return Counts(users, groups, memberships, left_out)


class JsonLines:
    """One document a line."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def header(self, document: Json, row: Mapping[str, object] | None) -> None:
        """The organisation."""
        self._write({"type": "organisation", **document})

    def user(self, member: Member, groups: Sequence[Named]) -> None:
        """A user: its SCIM resource, and what SCIM does not show."""
        restore = member.restore_status
        self._write(
            {
                "type": "user",
                "id": member.id,
                "status": member.status.value,
                "restore_status": None if restore is None else restore.value,
                "kept_address": member.kept_address,
                "created": format_time(member.created),
                "last_modified": format_time(member.last_modified),
                "version": member.version,
                "groups": list(map(_named, groups)),
                "resource": member.resource,
            }
        )

    def group(self, group: Group, members: Sequence[Named]) -> None:
        """A group with its members."""
        self._write(
            {
                "type": "group",
                "id": group.id,
                "created": format_time(group.created),
                "last_modified": format_time(group.last_modified),
                "version": group.version,
                "members": list(map(_named, members)),
                "resource": group.resource,
            }
        )

    def trailer(self, document: Json, row: Mapping[str, object]) -> None:
        """The manifest."""
        self._write({"type": "manifest", **document})

    def _write(self, value: Mapping[str, Any]) -> None:
        self._output.write(orjson.dumps(value).decode() + "\n")


class Csv:
    """One table (RFC 4180), with `COLUMNS` as its first line."""

    def __init__(self, output: Output) -> None:
        self._rows = csv.writer(output, quoting=csv.QUOTE_ALL, lineterminator="\r\n")

    def header(self, document: Json, row: Mapping[str, object] | None) -> None:
        """The names of the columns, and the organisation's row if there is one."""
        self._rows.writerow(COLUMNS)
        if row is not None:
            self._write(type="organisation", **row)

    def user(self, member: Member, groups: Sequence[Named]) -> None:
        """A user; several values of an attribute are in one cell."""
        resource = member.resource
        name, work = resource.get("name") or {}, resource.get(ENTERPRISE) or {}
        manager = work.get("manager") or {}
        self._write(
            type="user",
            id=member.id,
            userName=resource.get("userName"),
            displayName=resource.get("displayName"),
            externalId=member.external_id,
            status=member.status.value,
            active=str(member.status.value != "revoked").lower(),
            givenName=name.get("givenName"),
            familyName=name.get("familyName"),
            emails=_values(resource, "emails"),
            phoneNumbers=_values(resource, "phoneNumbers"),
            **{each: resource.get(each) for each in _PERSON},
            **{each: work.get(each) for each in _WORK},
            manager=manager.get("value") or manager.get("displayName"),
            groups="; ".join(each.display or each.id for each in groups),
            created=format_time(member.created),
            lastModified=format_time(member.last_modified),
            version=member.version,
        )

    def group(self, group: Group, members: Sequence[Named]) -> None:
        """A group with the number of its members, and a row for each membership."""
        self._write(
            type="group",
            id=group.id,
            displayName=group.resource.get("displayName"),
            externalId=group.external_id,
            members=len(members),
            created=format_time(group.created),
            lastModified=format_time(group.last_modified),
            version=group.version,
        )
        for each in members:
            self._write(
                type="membership", displayName=each.display, group_id=group.id, member_id=each.id
            )

    def trailer(self, document: Json, row: Mapping[str, object]) -> None:
        """The manifest's row."""
        self._write(type="manifest", **row)

    def _write(self, **cells: object) -> None:
        self._rows.writerow(
            [inert("" if cells.get(name) is None else str(cells[name])) for name in COLUMNS]
        )


FORMATS: Final[Mapping[str, type[JsonLines] | type[Csv]]] = {"jsonl": JsonLines, "csv": Csv}


def inert(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    begins = {text[:1], text.lstrip()[:1]}
    return f"'{text}" if begins & _FORMULA else text


def _values(resource: Json, name: str) -> str:
    return "; ".join(str(each.get("value", "")) for each in resource.get(name) or ())


def _named(each: Named) -> dict[str, str | None]:
    return {"value": each.id, "display": each.display}
