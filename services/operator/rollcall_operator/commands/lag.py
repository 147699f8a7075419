"""`rollcall lag`: how far everybody is behind the log, and how long the log waits for them."""

import asyncio
import sys
from typing import Annotated, Final

import orjson
import typer
from rich.console import Console

from rollcall.control import lag
from rollcall.control.deployment import Deployment
from rollcall.control.lag import SCAN_RECORDS, Lag, PartitionLag
from rollcall.control.settings import OperatorSettings
from rollcall.runtime.errors import Unavailable
from rollcall_operator import terminal
from rollcall_operator.deployment import HERE, DataOption, JsonOption, find
from rollcall_operator.owner import open_deployment

PARTITIONS: Final = (
    "topic",
    "partition",
    "reader",
    "state",
    "position",
    "end",
    "lag",
    "oldest",
    "deleted in",
)
ORGANISATIONS: Final = ("organisation", "name", "topic", "partition", "waiting", "oldest")


def register(app: typer.Typer) -> None:
    """Add `lag` to the command line."""
    app.command("lag")(run)


def run(
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again and again, until Ctrl-C.")
    ] = False,
    every_s: Annotated[
        float, typer.Option("--every", min=0.1, help="Seconds between two looks.")
    ] = 2.0,
    scan: Annotated[
        int,
        typer.Option(
            "--scan", min=1, help="Read at most this many waiting records of a partition."
        ),
    ] = SCAN_RECORDS,
    everything: Annotated[
        bool, typer.Option("--all", help="Partitions that are not behind as well.")
    ] = False,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Show what is not applied yet, by partition and by organisation; reads only."""
    settings = find(data)
    if watch:
        terminal.run(_watch(settings, every_s, scan, everything, as_json))
        return
    measured = terminal.run(_measure(settings, scan))
    if as_json:
        terminal.print_json(measured.to_json())
    else:
        show(measured, everything=everything)


def show(measured: Lag, *, everything: bool) -> None:
    """Print it for people."""
    behind = [each for each in measured.partitions if everything or each.lag or each.trouble]
    if not behind:
        print("Everything is applied.")
        return
    rows = [
        [
            each.topic,
            str(each.partition),
            each.reader,
            each.state,
            str(each.position),
            str(each.held.end),
            str(each.lag),
            duration(measured.age_s(each.oldest)),
            _deleted_in(measured, each),
        ]
        for each in behind
    ]
    terminal.print_table(PARTITIONS, rows)
    for each in behind:
        if each.trouble is not None:
            print(f"{each.topic} partition {each.partition}: {each.trouble}")
    if measured.organisations:
        print()
        terminal.print_table(
            ORGANISATIONS,
            [
                [
                    each.organisation_id,
                    measured.names.get(each.organisation_id, "-"),
                    each.topic,
                    str(each.partition),
                    f"{each.waiting}" if each.is_exact else f"{each.waiting} or more",
                    duration(measured.age_s(each.oldest)),
                ]
                for each in measured.organisations
            ],
        )
        print(f"At most {measured.scanned:,} waiting records of each partition were read.")


def duration(seconds: float | None) -> str:
    """Days and hours, hours and minutes, or seconds."""
    if seconds is None:
        return "-"
    if seconds >= 86_400:
        return f"{int(seconds // 86_400)} d {int(seconds % 86_400 // 3600)} h"
    if seconds >= 3600:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"
    if seconds >= 60:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{seconds:.1f} s"


def _deleted_in(measured: Lag, each: PartitionLag) -> str:
    """How long the oldest record that waits is kept yet, at least."""
    if each.oldest is None:
        return "-"
    if not each.retention.is_known:
        return "unknown"
    if each.retention.is_by_size:
        return "by size"
    left_s = measured.left_s(each)
    return "never" if left_s is None else duration(left_s) if left_s else "now"


async def _measure(settings: OperatorSettings, scan: int) -> Lag:
    async with open_deployment(settings, "lag") as deployment:
        return await lag.measure(deployment, scan)


async def _watch(
    settings: OperatorSettings, every_s: float, scan: int, everything: bool, as_json: bool
) -> None:
    """Look until Ctrl-C, through outages; for scripts one JSON document a line."""
    screen = Console()
    async with open_deployment(settings, "lag") as deployment:
        while True:
            measured = await _look(deployment, scan)
            if as_json and measured is not None:
                print(orjson.dumps(measured.to_json()).decode(), flush=True)
            elif measured is not None:
                if screen.is_terminal:
                    screen.clear()
                show(measured, everything=everything)
                sys.stdout.flush()
            await asyncio.sleep(every_s)


async def _look(deployment: Deployment, scan: int) -> Lag | None:
    try:
        return await lag.measure(deployment, scan)
    except Unavailable as error:
        print(f"rollcall: {error}", file=sys.stderr)
        return None
