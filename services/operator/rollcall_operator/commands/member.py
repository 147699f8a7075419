"""`rollcall member list|show|find`: who is in an organisation. Prints personal data."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from rollcall.control import members
from rollcall.control.members import MOST, Known
from rollcall.scim.errors import ScimError
from rollcall.scim.username import user_name_key
from rollcall_operator import terminal
from rollcall_operator.deployment import HERE, DataOption, JsonOption, find
from rollcall_operator.options import OnlyOrgArgument, OrgArgument
from rollcall_operator.owner import open_as_owner
from rollcall_operator.terminal import CommandError

COLUMNS: Final = ("userName", "id", "state", "externalId", "lastModified")


class State(StrEnum):
    """The states of a member."""

    invited = "invited"
    accepted = "accepted"
    confirmed = "confirmed"
    revoked = "revoked"


MemberArgument = Annotated[
    str,
    typer.Argument(metavar="MEMBER", help="Its id, userName, e-mail address or externalId."),
]


def register(app: typer.Typer) -> None:
    """Add `member` to the command line."""
    member = typer.Typer(help="Members: list, show, find.", no_args_is_help=True)
    member.command("list")(list_all)
    member.command("show")(show)
    member.command("find")(find_all)
    app.add_typer(member, name="member")


def list_all(
    org: OrgArgument,
    state: Annotated[State | None, typer.Option("--state", help="Only in this state.")] = None,
    after: Annotated[str, typer.Option("--after", help="Begin behind this userName.")] = "",
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=MOST, help="List at most this many.")
    ] = 100,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """List an organisation's members by userName, as the directory has them now."""
    found = terminal.run(_list(data, org, state, after, limit + 1))
    shown = [each.to_json() for each in found[:limit]]
    if as_json:
        terminal.print_json(shown)
    elif shown:
        terminal.print_table(COLUMNS, _rows(shown, COLUMNS))
    else:
        print("No members.")
    if len(found) > limit:
        print(f"There are more: --after {shown[-1]['userName']!r}", file=sys.stderr)


def show(
    org: OrgArgument, member: MemberArgument, data: DataOption = HERE, as_json: JsonOption = False
) -> None:
    """Show one member: its state, its attributes, its groups."""
    described = terminal.run(_show(data, org, member)).to_json(everything=True)
    if as_json:
        terminal.print_json(described)
        return
    resource = described.pop("resource")
    groups = described.pop("groups")
    for name, value in described.items():
        print(f"{name:<16}{'-' if value is None else value}")
    for group in groups:
        print(f"{'group':<16}{group['value']}  {group['display'] or ''}".rstrip())
    print(orjson.dumps(resource, option=orjson.OPT_INDENT_2).decode())


def find_all(
    member: MemberArgument,
    org: OnlyOrgArgument = None,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Find a member by id, userName, address or externalId, in one organisation or in all."""
    shown = [each.to_json() for each in terminal.run(_find(data, member, org))]
    if as_json:
        terminal.print_json(shown)
    else:
        columns = ("organisation", "organisation_id", *COLUMNS[:3])
        terminal.print_table(columns, _rows(shown, columns))


def _rows(shown: list[dict[str, Any]], columns: tuple[str, ...]) -> list[list[str]]:
    return [[str(each[name] or "-") for name in columns] for each in shown]


async def _list(data: Path, org: str, state: State | None, after: str, limit: int) -> list[Known]:
    settings = find(data)
    async with open_as_owner(settings) as database:
        return await members.list_members(
            settings,
            database,
            org,
            state=None if state is None else state.value,
            after=_key(after),
            limit=limit,
        )


def _key(after: str) -> str:
    try:
        return user_name_key(after) if after else ""
    except ScimError as error:
        raise CommandError(f"--after is no userName: {error}") from error


async def _show(data: Path, org: str, member: str) -> Known:
    settings = find(data)
    async with open_as_owner(settings) as database:
        return await members.show(settings, database, org, member)


async def _find(data: Path, member: str, org: str | None) -> list[Known]:
    settings = find(data)
    async with open_as_owner(settings) as database:
        return await members.find(settings, database, member, org)
