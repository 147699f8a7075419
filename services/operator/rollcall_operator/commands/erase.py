"""`rollcall erase ORG MEMBER`: what is kept of a person, gone."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from rollcall.control.offboarding import erase as erasure
from rollcall.control.offboarding.erase import Erased
from rollcall.control.offboarding.what_stays import SNAPSHOTS
from rollcall.control.words import counted
from rollcall_operator import terminal
from rollcall_operator.deployment import HERE, DataOption, JsonOption, find
from rollcall_operator.options import OrgArgument, YesOption
from rollcall_operator.owner import OFFBOARDING_STATEMENT_S, open_deployment

MemberArgument = Annotated[
    str, typer.Argument(metavar="MEMBER", help="Id of the member, or its userName.")
]


def register(app: typer.Typer) -> None:
    """Add `erase` to the command line."""
    app.command("erase")(run)


def run(
    org: OrgArgument,
    member: MemberArgument,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be erased.")] = (
        False
    ),
    yes: YesOption = False,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Erase a member from the directory, notices and dead letters; say what the log keeps."""
    if not dry_run and not yes:
        terminal.confirm("Erase this member? It cannot be undone.")
    done = terminal.run(_erase(data, org, member, dry_run=dry_run))
    if as_json:
        terminal.print_json(done.to_json())
    else:
        for line in describe(done):
            print(line)


def describe(done: Erased) -> list[str]:
    """What was done, and what the log keeps; a line each, no value of the member."""
    there = done.traces
    verb = "would be erased" if done.dry_run else "is erased"
    member = "Member" if there.is_there else "Member (no row of the directory any more)"
    counts = ", ".join(
        [
            counted(there.letters, "dead letter"),
            counted(there.parked, "parked event"),
            counted(there.notices, "notice"),
        ]
    )
    lines = [f"{member} {done.member_id} {verb}: {counts}."]
    if there.uncertain:
        lines.append(
            f"Of the organisation, {counted(there.uncertain, 'dead letter')} without a resource "
            "may be about anybody, and stay: look with `rollcall dead list` and "
            "`rollcall dead show --body`."
        )
    return [*lines, *map(str, done.kept), SNAPSHOTS]


async def _erase(data: Path, org: str, member: str, *, dry_run: bool) -> Erased:
    async with open_deployment(
        find(data), "erase", statement_timeout_s=OFFBOARDING_STATEMENT_S
    ) as deployment:
        return await erasure.erase(deployment, org, member, dry_run=dry_run, say=_say)


def _say(line: str) -> None:
    print(line, file=sys.stderr)
