"""`rollcall org export`: an organisation as it is now, to take along. Never keys, never hashes.

JSON lines: `organisation` with its settings, a `user` for each member (core and enterprise
attributes, its groups), a `group` for each group with its members, at last a `manifest` with the
counts and the SHA-256 of every byte before it. CSV: one table; `type` says what a row is; its last
row is the manifest (the digest in `id`, the counts in `groups` and `members`).
"""

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TextIO

from rollcall.control import organisations
from rollcall.control.deployment import Deployment
from rollcall.control.disk import written
from rollcall.control.meter import Meter
from rollcall.control.replay.export import ResourceLines, inert
from rollcall.directory.state import Group, Member
from rollcall.events.envelope import format_time
from rollcall.postgres.upkeep import replay
from rollcall.postgres.upkeep.replay import Named
from rollcall.runtime import clock
from rollcall.scim.schema import USER
from rollcall.tenancy.organisation import Organisation

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


@dataclass(frozen=True, slots=True)
class Counts:
    """How much was written, and the SHA-256 of what stands before the manifest."""

    users: int
    groups: int
    memberships: int
    sha256: str

    def to_json(self) -> Json:
        """As the manifest and `--json` say it."""
        return {
            "users": self.users,
            "groups": self.groups,
            "memberships": self.memberships,
            "sha256": self.sha256,
        }


class Writer(Protocol):
    """What a format makes of an organisation, in this order."""

    def begin(self, organisation: Organisation) -> None: ...
    def user(self, member: Member, groups: Sequence[Named]) -> None: ...
    def group(self, group: Group, members: Sequence[Named]) -> None: ...
    def end(self, counts: Counts) -> None: ...


class Digesting:
    """Text on its way to a file, digested as it passes (UTF-8)."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._digest = hashlib.sha256()

    def write(self, text: str) -> int:
        """Write a text."""
        self._digest.update(text.encode())
        return self._output.write(text)

    def sha256(self) -> str:
        """The digest of all that was written."""
        return self._digest.hexdigest()


async def export(
    deployment: Deployment,
    organisation: Organisation,
    writer: Writer,
    output: Digesting,
    meter: Meter,
) -> Counts:
    """Write it out, of one moment, some hundred members at a time. Raises Unavailable, OSError."""
    meter.note("export", None)
    users, groups, memberships = 0, 0, 0
    writer.begin(organisation)
    async with (
        deployment.database.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        # Who reads slowly (a pipe) must not lose the moment.
        await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        with written():
            async for member, of in replay.members(connection, organisation.id):
                writer.user(member, of)
                users += 1
                meter.add(1)
            async for group, has in replay.groups(connection, organisation.id):
                writer.group(group, has)
                groups += 1
                memberships += len(has)
                meter.add(1)
    counts = Counts(users, groups, memberships, output.sha256())
    writer.end(counts)
    return counts


class JsonLines(ResourceLines):
    """One document a line, and a manifest."""

    def begin(self, organisation: Organisation) -> None:
        """The organisation and its settings."""
        self._write(
            {
                "type": "organisation",
                "id": organisation.id,
                "created": format_time(organisation.created),
                "exported": format_time(clock.now()),
                "settings": organisations.settings_of(organisation),
            }
        )

    def end(self, counts: Counts) -> None:
        """The manifest."""
        self._write({"type": "manifest", **counts.to_json()})


class Csv:
    """One table, as RFC 4180 has it; no cell is taken for a formula."""

    def __init__(self, output: Digesting) -> None:
        self._rows = csv.writer(output, quoting=csv.QUOTE_ALL, lineterminator="\r\n")

    def begin(self, organisation: Organisation) -> None:
        """The names of the columns, and the organisation; of its settings only what is shown."""
        self._rows.writerow(COLUMNS)
        self._write(
            type="organisation",
            id=organisation.id,
            displayName=organisation.name,
            active=str(organisation.scim_enabled).lower(),
            created=format_time(organisation.created),
        )

    def user(self, member: Member, groups: Sequence[Named]) -> None:
        """A user; what there are several of is in one cell."""
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
        """A group with the number of its members, and a row for each."""
        self._write(
            type="group",
            id=group.id,
            displayName=group.resource.get("displayName"),
            externalId=group.external_id,
            members=str(len(members)),
            created=format_time(group.created),
            lastModified=format_time(group.last_modified),
            version=group.version,
        )
        for each in members:
            self._write(
                type="membership", displayName=each.display, group_id=group.id, member_id=each.id
            )

    def end(self, counts: Counts) -> None:
        """The manifest."""
        self._write(
            type="manifest", id=counts.sha256, groups=str(counts.groups), members=str(counts.users)
        )

    def _write(self, **cells: object) -> None:
        self._rows.writerow(
            [inert("" if cells.get(name) is None else str(cells[name])) for name in COLUMNS]
        )


FORMATS: Final[Mapping[str, type[JsonLines] | type[Csv]]] = {"jsonl": JsonLines, "csv": Csv}


def _values(resource: Json, name: str) -> str:
    return "; ".join(str(each.get("value", "")) for each in resource.get(name) or ())
