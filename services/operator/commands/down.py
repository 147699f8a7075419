"""`rollcall down`: stop the stack, and on request remove what it kept."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Annotated

import typer

from services.operator.stack import postgres_native, report
from services.operator.stack.errors import StackError
from services.operator.stack.folder import Folder
from services.operator.stack.process import send, wait_until
from shared.observability import output

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
    folder = Folder(data.resolve())
    try:
        supervisor = folder.supervisor()
    except StackError as error:
        report.show_failure(str(error))
        raise typer.Exit(error.exit_code) from None
    if supervisor is None:
        print(f"No stack runs in {folder.data}.")
    else:
        send(supervisor, signal.SIGTERM)
        if not wait_until(lambda: folder.supervisor() != supervisor, _TIMEOUT_S, every_s=0.05):
            report.show_failure(f"process {supervisor} did not stop within {_TIMEOUT_S:.0f} s")
            raise typer.Exit(1)
        print(f"Stopped the stack in {folder.data}.")
    if remove and folder.root.exists():
        postgres_native.remove(folder.root / "postgres")
        shutil.rmtree(folder.root)
        print(f"Removed {folder.root}.")
