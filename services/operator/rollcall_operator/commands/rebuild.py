"""`rollcall rebuild`: the directory folded from the log again, and swapped in."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from rollcall.control.rebuild import rebuild
from rollcall.control.rebuild.rebuild import Options, Report
from rollcall.control.settings import OperatorSettings
from rollcall.control.words import counted
from rollcall_operator import terminal
from rollcall_operator.deployment import HERE, DataOption, JsonOption, find
from rollcall_operator.options import YesOption
from rollcall_operator.owner import open_deployment
from rollcall_operator.progress_bar import Bar

FromOption = Annotated[
    Path | None,
    typer.Option(
        "--from",
        help="A snapshot, or a folder of them: the newest. Without one the log is read from its "
        "beginning.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add `rebuild` to the command line."""
    app.command("rebuild")(run)


def run(
    snapshot: FromOption = None,
    apply_dead: Annotated[
        bool,
        typer.Option("--apply-dead", help="Try events that are recorded dead as if they were new."),
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Start over where an earlier rebuild was broken off.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be folded; change nothing.")
    ] = False,
    yes: YesOption = False,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Rebuild the directory while the live one serves, then swap; interrupted, run it again."""
    settings = find(data)
    options = Options(snapshot, applies_dead=apply_dead, restarts=restart, dry_run=dry_run)
    if not dry_run and not yes:
        planned = terminal.run(_rebuild(settings, replace(options, dry_run=True)))
        terminal.confirm(
            f"Fold {counted(planned.events, 'event')} of "
            f"{counted(planned.partitions, 'partition')} and put the result in the place of the "
            "live directory, which is kept as directory_previous?"
        )
    report = terminal.run(_rebuild(settings, options))
    if as_json:
        terminal.print_json({**report.to_json(), "dry_run": dry_run})
        return
    if dry_run:
        print(
            f"{counted(report.events, 'event')} of {counted(report.partitions, 'partition')} "
            "would be folded."
        )
        return
    resumed = ", going on where an earlier one was broken off" if report.is_resumed else ""
    print(
        f"Rebuilt from {counted(report.events, 'event')} in {report.taken_s:.1f} s{resumed}; the "
        f"partitions stood for {report.paused_s:.1f} s. The former directory is the schema "
        "directory_previous."
    )
    for partition in report.mended:
        print(
            f"The position of partition {partition} was taken from the audit: the one in progress "
            "did not agree with the log.",
            file=sys.stderr,
        )


async def _rebuild(settings: OperatorSettings, options: Options) -> Report:
    async with open_deployment(settings, "rebuild") as deployment:
        with Bar() as meter:
            return await rebuild.rebuild(deployment, options, meter)
