"""`rollcall refused list|show`: what was answered with success and refused afterwards."""

from pathlib import Path
from typing import Annotated, Final

import typer

from rollcall.control import dead_letters, refused
from rollcall.control.refused import Refusal
from rollcall_operator import terminal
from rollcall_operator.deployment import HERE, DataOption, JsonOption, find
from rollcall_operator.options import OnlyOrgArgument
from rollcall_operator.owner import open_as_owner

COLUMNS: Final = ("id", "resource", "kind", "status", "attribute", "told", "why", "recorded")
IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the request, as `list` shows it.")
]
SinceOption = Annotated[
    str | None, typer.Option("--since", help="Only refused since: a date or a time.")
]


def register(app: typer.Typer) -> None:
    """Add `refused` to the command line."""
    commands = typer.Typer(
        help="Requests that were answered with success and refused later: list, show.",
        no_args_is_help=True,
    )
    commands.command("list")(list_all)
    commands.command("show")(show)
    app.add_typer(commands, name="refused")


def list_all(
    org: OnlyOrgArgument = None,
    since: SinceOption = None,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """List refused requests, newest first: one line each, no personal data."""
    found = terminal.run(_select(data, org=org, since=since))
    described = [each.as_json() for each in found]
    if as_json:
        terminal.print_json(described)
    elif described:
        rows = [[str(each[name] or "-") for name in COLUMNS] for each in described]
        terminal.print_table(COLUMNS, rows)
    else:
        print("Nothing was refused after it had been answered with success.")


def show(request: IdArgument, data: DataOption = HERE, as_json: JsonOption = False) -> None:
    """Show one refused request, and what can be done about it."""
    found = terminal.run(_select(data, identifier=request))
    if as_json:
        terminal.print_json([each.as_json() for each in found])
        return
    for each in found:
        for name, value in each.as_json().items():
            print(f"{name:<17}{'-' if value is None else value}")
        print(f"{'because':<17}{refused.WHY[each.why]}")


async def _select(
    data: Path,
    *,
    org: str | None = None,
    since: str | None = None,
    identifier: str | None = None,
) -> list[Refusal]:
    moment = None if since is None else dead_letters.parse_since(since)
    settings = find(data)
    async with open_as_owner(settings) as database:
        return await refused.select(
            settings, database, org=org, since=moment, identifier=identifier
        )
