"""`rollcall stop`: end single services of a local stack."""

from typing import Annotated

import typer

from services.operator import terminal
from services.operator.deployment import HERE, DataOption
from services.operator.stack import hold
from services.operator.stack.errors import StackError


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
