"""An organisation written out: JSON lines with everything, or a CSV for a spreadsheet.

JSON lines: first the organisation, then a line for each user with its groups, then a line for each
group with its members. CSV: one table; `type` says whether a row is a user, a group or a
membership. A cell that a spreadsheet would take for a formula begins with an apostrophe.
"""

import csv
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

import orjson

from rollcall.control.deployment import Deployment
from rollcall.control.disk import written
from rollcall.control.errors import NotPossible
from rollcall.control.meter import Meter
from rollcall.control.replay.as_of import AS_OF, Plan
from rollcall.directory.state import Group, Member
from rollcall.events.envelope import format_time
from rollcall.postgres.upkeep import replay
from rollcall.postgres.upkeep.replay import Named
from rollcall.postgres.upkeep.scratch import InScratch

PARTIAL: Final = ".partial"
COLUMNS: Final = (
    "type",
    "id",
    "user_name",
    "display_name",
    "external_id",
    "status",
    "active",
    "emails",
    "groups",
    "members",
    "group_id",
    "member_id",
    "created",
    "last_modified",
    "version",
)
_FORMULA: Final = frozenset(
    "=+-@\t\r\n\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}"
    "\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}"
)


class Writer(Protocol):
    """What a format makes of an organisation, in this order."""

    def begin(self, planned: Plan) -> None: ...
    def user(self, member: Member, groups: Sequence[Named]) -> None: ...
    def group(self, group: Group, members: Sequence[Named]) -> None: ...


@dataclass(frozen=True, slots=True)
class Counts:
    """How much was written; `left_out`: members that were erased since."""

    users: int
    groups: int
    left_out: int


async def export(deployment: Deployment, planned: Plan, writer: Writer, meter: Meter) -> Counts:
    """Write the organisation that is folded in the scratch. Raises Unavailable, OSError."""
    meter.note("write", None)
    organisation_id, erased = planned.organisation.id, planned.erased
    users = groups = left_out = 0
    writer.begin(planned)
    async with deployment.database.transaction() as connection:
        with written():
            made: Any = InScratch(connection, AS_OF)
            async for member, of in replay.members(made, organisation_id):
                if member.id in erased:
                    left_out += 1
                    continue
                writer.user(member, of)
                users += 1
                meter.add(1)
            async for group, has in replay.groups(made, organisation_id):
                writer.group(group, [each for each in has if each.id not in erased])
                groups += 1
                meter.add(1)
    return Counts(users, groups, left_out)


class Output(Protocol):
    """What text is written to."""

    def write(self, text: str, /) -> int: ...


class ResourceLines:
    """Users and groups, one document a line; what comes before them is the format's own."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def user(self, member: Member, groups: Sequence[Named]) -> None:
        """A user, with what SCIM does not show of it."""
        restore = member.restore_status
        self._write(
            {
                "type": "user",
                "id": member.id,
                "status": member.status.value,
                "restore_status": None if restore is None else restore.value,
                "kept_address": member.kept_address,
                **_times(member),
                "groups": list(map(_named, groups)),
                "resource": member.resource,
            }
        )

    def group(self, group: Group, members: Sequence[Named]) -> None:
        """A group."""
        self._write(
            {
                "type": "group",
                "id": group.id,
                **_times(group),
                "members": list(map(_named, members)),
                "resource": group.resource,
            }
        )

    def _write(self, value: Mapping[str, Any]) -> None:
        self._output.write(orjson.dumps(value).decode() + "\n")


class JsonLines(ResourceLines):
    """One document a line."""

    def begin(self, planned: Plan) -> None:
        """What this is."""
        self._write({"type": "organisation", **planned.to_json()})


class Csv:
    """One table, as RFC 4180 has it."""

    def __init__(self, output: TextIO) -> None:
        self._rows = csv.writer(output, quoting=csv.QUOTE_ALL, lineterminator="\r\n")

    def begin(self, planned: Plan) -> None:
        """The names of the columns."""
        self._rows.writerow(COLUMNS)

    def user(self, member: Member, groups: Sequence[Named]) -> None:
        """A user; its addresses and the names of its groups in one cell each."""
        resource = member.resource
        self._write(
            type="user",
            id=member.id,
            user_name=resource.get("userName"),
            display_name=resource.get("displayName"),
            external_id=member.external_id,
            status=member.status.value,
            active=str(member.status.value != "revoked").lower(),
            emails="; ".join(str(each.get("value", "")) for each in resource.get("emails") or ()),
            groups="; ".join(each.display or each.id for each in groups),
            **_times(member),
        )

    def group(self, group: Group, members: Sequence[Named]) -> None:
        """A group with the number of its members, and a row for each."""
        self._write(
            type="group",
            id=group.id,
            display_name=group.resource.get("displayName"),
            external_id=group.external_id,
            members=str(len(members)),
            **_times(group),
        )
        for each in members:
            self._write(
                type="membership",
                display_name=each.display,
                group_id=group.id,
                member_id=each.id,
            )

    def _write(self, **cells: str | None) -> None:
        self._rows.writerow([inert(str(cells.get(name) or "")) for name in COLUMNS])


def inert(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    begins = {text[:1], text.lstrip()[:1]}
    return f"'{text}" if begins & _FORMULA else text


FORMATS: Final[Mapping[str, type[JsonLines] | type[Csv]]] = {"jsonl": JsonLines, "csv": Csv}


@contextmanager
def output_to(path: Path | None) -> Iterator[TextIO]:
    """A new file that its owner alone may read, whole or not there; None: standard output.

    Raises NotPossible where there is such a file, or none can be made.
    """
    if path is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    half = path.with_name(path.name + PARTIAL)
    if path.exists() or path.is_symlink():
        raise NotPossible(f"{path} exists already; name another file, or remove it")
    try:
        half.unlink(missing_ok=True)  # of one that was killed
        handle = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise NotPossible(f"{path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as output:
            yield output
            output.flush()
            os.fsync(output.fileno())
        half.rename(path)
    except BaseException:
        half.unlink(missing_ok=True)
        raise


def _times(each: Member | Group) -> dict[str, str]:
    return {
        "created": format_time(each.created),
        "last_modified": format_time(each.last_modified),
        "version": each.version,
    }


def _named(each: Named) -> dict[str, str | None]:
    return {"value": each.id, "display": each.display}
