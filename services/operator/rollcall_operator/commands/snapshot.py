"""`rollcall snapshot`: the directory as files, from one moment, for rebuild and verify."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from rollcall.control.rebuild import snapshot
from rollcall.control.rebuild.approach import only_one
from rollcall.control.settings import OperatorSettings
from rollcall.control.words import counted
from rollcall.events.envelope import format_time
from rollcall_operator import terminal
from rollcall_operator.deployment import HERE, DataOption, JsonOption, find
from rollcall_operator.owner import open_deployment
from rollcall_operator.progress_bar import Bar

ToOption = Annotated[
    Path, typer.Option("--to", help="Folder below which each snapshot gets a folder of its own.")
]


def register(app: typer.Typer) -> None:
    """Add `snapshot` to the command line."""
    app.command("snapshot")(take)


def take(
    to: ToOption = Path("snapshots"),
    keep: Annotated[
        int | None,
        typer.Option("--keep", min=1, help="Delete all but the newest N snapshots afterwards."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how much there is; write nothing.")
    ] = False,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Write the directory to files, while it is being changed: it holds personal data."""
    report = terminal.run(_take(find(data), to, keep, dry_run=dry_run))
    if as_json:
        terminal.print_json(report)
    elif dry_run:
        print(f"About {counted(report['rows'], 'row')} would be written below {to}.")
    else:
        print(
            f"{report['folder']}: {counted(report['rows'], 'row')}, "
            f"{counted(report['size_bytes'], 'byte')}, "
            f"of {report['made']}"
        )
        for gone in report["deleted"]:
            print(f"deleted {gone}")


async def _take(
    settings: OperatorSettings, to: Path, keep: int | None, *, dry_run: bool
) -> dict[str, Any]:
    async with open_deployment(settings, "snapshot") as deployment:
        if dry_run:
            return {"rows": await snapshot.size(deployment), "dry_run": True}
        async with only_one(deployment, "snapshot"):
            with Bar() as meter:
                taken = await snapshot.take(deployment, to, meter)
            gone = [] if keep is None else await asyncio.to_thread(snapshot.prune, to, keep)
    return {
        "folder": str(taken.folder),
        "made": format_time(taken.made),
        "rows": sum(each.rows for each in taken.files),
        "size_bytes": sum(each.size_bytes for each in taken.files),
        "positions": {str(each.partition): each.next_offset for each in taken.progress},
        "deleted": [str(each) for each in gone],
        "dry_run": False,
    }
