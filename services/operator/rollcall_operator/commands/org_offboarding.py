"""`rollcall org export|delete`: an organisation taken along, and an organisation gone."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from rollcall.control.disk import made
from rollcall.control.offboarding import delete as deletion
from rollcall.control.offboarding import export as exporting
from rollcall.control.offboarding.delete import SETTLE_S, WAIT_S, Deleted, Options
from rollcall.control.offboarding.export import Manifest
from rollcall.control.offboarding.what_stays import SNAPSHOTS
from rollcall.control.tenancy_log import find_organisation
from rollcall.control.words import counted
from rollcall_operator import terminal
from rollcall_operator.deployment import HERE, DataOption, JsonOption, find
from rollcall_operator.options import OrgArgument, YesOption
from rollcall_operator.output import output_to
from rollcall_operator.owner import OFFBOARDING_STATEMENT_S, open_deployment
from rollcall_operator.progress_bar import Bar

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
    manifest = terminal.run(_export(data, org, to, form))
    if as_json:
        terminal.print_json({"file": str(to), "format": form, **manifest.to_json()})
    else:
        _say(
            f"{counted(manifest.users, 'user')}, {counted(manifest.groups, 'group')}, "
            f"{counted(manifest.memberships, 'membership')}; SHA-256 of all but the last "
            f"line {manifest.sha256}"
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


async def _export(data: Path, org: str, to: Path | None, form: str) -> Manifest:
    settings = find(data)
    organisation = await find_organisation(settings, org)
    async with open_deployment(
        settings, "org export", statement_timeout_s=OFFBOARDING_STATEMENT_S
    ) as deployment:
        with made(), output_to(to) as output, Bar() as meter:
            return await exporting.export(deployment, organisation, form, output, meter)


async def _delete(data: Path, org: str, options: Options) -> Deleted:
    async with open_deployment(
        find(data), "org delete", statement_timeout_s=OFFBOARDING_STATEMENT_S
    ) as deployment:
        return await deletion.delete(deployment, org, options, _say)


def _say(line: str) -> None:
    print(line, file=sys.stderr)
