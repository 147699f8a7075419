"""`rollcall stop`: end single services of a local stack."""

from typing import Annotated

import typer

from rollcall_local.stack import hold
from rollcall_local.stack.errors import StackError
from rollcall_operator import terminal
from rollcall_operator.deployment import HERE, DataOption


def register(app: typer.Typer) -> None:
    """Add `stop` to the command line."""
    app.command("stop")(stop)


def stop(
    services: Annotated[
        list[str], typer.Argument(metavar="SERVICE…", help="Of: ingress, provisioner, notifier.")
    ],
    data: DataOption = HERE,
) -> None:
    """Stop services of the stack in `--data`, in order; they stay so until `rollcall start`."""
    try:
        hold.stop(data, services)
    except StackError as error:
        terminal.fail(str(error), error.exit_code)
    print(f"Stopped {', '.join(services)}.")
