"""`rollcall org export|delete`: an organisation taken along, and an organisation gone."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from services.operator import terminal
from services.operator.deployment import HERE, DataOption, JsonOption, find
from services.operator.disk import made
from services.operator.leaving import delete as leaving
from services.operator.leaving import export as exporting
from services.operator.leaving.delete import SETTLE_S, WAIT_S, Deleted, Options
from services.operator.leaving.export import FORMATS, Counts, Digesting
from services.operator.leaving.places import open_office
from services.operator.leaving.what_stays import SNAPSHOTS
from services.operator.options import OrgArgument, YesOption
from services.operator.rebuild.meter import Meter
from services.operator.replay.export import output_to
from services.operator.tenancy_log import open_log
from services.operator.terminal import counted

Format = Literal["jsonl", "csv"]


def register(org: typer.Typer) -> None:
    """Add the two to `org`."""
    org.command("export")(export)
    org.command("delete")(delete)


def export(
    org: OrgArgument,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="A new file, mode 0600. Without it: standard output."),
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="JSON lines with everything, or a table.")
    ] = "jsonl",
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Write out users, groups, members and settings, of one moment; never keys or hashes."""
    if as_json and to is None:
        terminal.fail("--json needs --to: standard output is the export", 2)
    counts = terminal.run(_export(data, org, to, form))
    if as_json:
        terminal.print_json({"file": str(to), "format": form, **counts.to_json()})
    else:
        _say(
            f"{counted(counts.users, 'user')}, {counted(counts.groups, 'group')}, "
            f"{counted(counts.memberships, 'membership')}; SHA-256 of all but the last "
            f"line {counts.sha256}"
        )


def delete(
    org: OrgArgument,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what would be deleted.")
    ] = False,
    yes: YesOption = False,
    settle: Annotated[
        float,
        typer.Option(
            min=0,
            help="Seconds from the death of its last key to its last event: as long as any replica "
            "may believe a key and then take to append; less only where no ingress runs.",
        ),
    ] = SETTLE_S,
    wait: Annotated[
        float, typer.Option(min=1, help="Seconds to wait for the provisioner.")
    ] = WAIT_S,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Delete an organisation for good: keys dead at once, rows gone; broken off, run it again."""
    if not dry_run and not yes:
        terminal.confirm(f"Delete {org} with its keys, members and groups? It cannot be undone.")
    done = terminal.run(_delete(data, org, Options(dry_run, settle, wait)))
    if as_json:
        terminal.print_json(done.to_json())
    else:
        for line in describe(done):
            print(line)


def describe(done: Deleted) -> list[str]:
    """What was done, and what the log keeps; a line each."""
    name = done.name or "The organisation"
    verb = "would be deleted" if done.dry_run else "is deleted"
    if done.was_gone:
        verb = "was deleted before"
    what = f"{name} ({done.organisation_id}) {verb}"
    lines = [f"{what}; {counted(done.keys, 'key is', 'keys are')} dead."]
    if done.dry_run:
        lines[0] = f"{what}, with {counted(done.keys, 'key')}."
    lines.extend(f"  {counted(number, 'row')} of {table}" for table, number in done.rows.items())
    return [*lines, *map(str, done.kept), SNAPSHOTS]


async def _export(data: Path, org: str, to: Path | None, form: str) -> Counts:
    settings = find(data)
    async with open_log(settings) as log:
        organisation = (await log.read()).organisation(org)
    async with open_office(settings) as office:
        with made(), output_to(to) as output, Meter() as meter:
            digesting = Digesting(output)
            writer = FORMATS[form](digesting)
            return await exporting.export(office, organisation, writer, digesting, meter)


async def _delete(data: Path, org: str, options: Options) -> Deleted:
    async with open_office(find(data)) as office:
        return await leaving.delete(office, org, options, _say)


def _say(line: str) -> None:
    print(line, file=sys.stderr)
