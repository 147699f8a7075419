"""`rollcall down`: stop the stack, and on request remove what it kept."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from rollcall.observability import output
from rollcall_local.stack import noted, report
from rollcall_local.stack.errors import StackError
from rollcall_local.stack.folder import Folder
from rollcall_local.stack.postgres import native as postgres_native
from rollcall_local.stack.process import wait_until

_TIMEOUT_S = 90.0


def register(app: typer.Typer) -> None:
    """Add `down` to the command line."""
    app.command("down")(down)


def down(
    data: Annotated[
        Path, typer.Option("--data", envvar="ROLLCALL_DATA", help="Where `.rollcall` lies.")
    ] = Path(),
    remove: Annotated[
        bool,
        typer.Option("--remove", help="Then remove `.rollcall`: directory, log and mails."),
    ] = False,
) -> None:
    """Stop the stack in order: services first, then Kafka and Postgres."""
    output.survive(patience_s=output.PATIENCE_S)
    try:
        _down(Folder.at(data), remove=remove)
    except StackError as error:
        report.show_failure(str(error))
        raise typer.Exit(error.exit_code) from None


def _down(folder: Folder, *, remove: bool) -> None:
    supervisor = folder.supervisor()
    if supervisor is None:
        print(f"No stack runs in {folder.data}.")
    else:
        noted.send(supervisor.pid, supervisor.since, signal.SIGTERM, noted.is_supervisor)
        if not wait_until(lambda: folder.supervisor() != supervisor, _TIMEOUT_S, every_s=0.05):
            raise StackError(f"process {supervisor.pid} did not stop within {_TIMEOUT_S:.0f} s")
        print(f"Stopped the stack in {folder.data}.")
    if remove and folder.exists():
        postgres_native.remove(folder.root / "postgres")
        folder.remove()
        print(f"Removed {folder.root}.")
