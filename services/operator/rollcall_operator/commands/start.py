"""`rollcall start`: bring back single services of a local stack."""

from typing import Annotated

import typer

from rollcall_local.stack import hold
from rollcall_local.stack.errors import StackError
from rollcall_operator import terminal
from rollcall_operator.deployment import HERE, DataOption


def register(app: typer.Typer) -> None:
    """Add `start` to the command line."""
    app.command("start")(start)


def start(
    services: Annotated[
        list[str], typer.Argument(metavar="SERVICE…", help="Of: ingress, provisioner, notifier.")
    ],
    data: DataOption = HERE,
) -> None:
    """Start services of the stack in `--data` again; returns when they are ready."""
    try:
        hold.start(data, services)
    except StackError as error:
        terminal.fail(str(error), error.exit_code)
    print(f"Started {', '.join(services)}.")
