"""`rollcall serve NAME`: become one of the services, in the same process."""

import os
import sys
from typing import Annotated

import typer

from rollcall_local.stack.services import installed, module_of
from rollcall_operator import terminal

REST = {"allow_extra_args": True, "ignore_unknown_options": True}


def register(app: typer.Typer) -> None:
    """Add `serve` to the command line."""
    app.command("serve", context_settings=REST)(serve)


def serve(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Of: " + ", ".join(installed()) + ".")],
) -> None:
    """Run a service. What follows its name (`--print-config`) is handed on to it.

    The process is replaced, so the service has our process id: it gets the signals of the one who
    started us, and its exit status is ours. Nothing of it is imported here.
    """
    if name not in installed():
        terminal.fail(f"there is no service of that name; there are {', '.join(installed())}", 2)
    # `-P`: nothing is imported from the folder that we happen to be started in.
    os.execv(sys.executable, [sys.executable, "-P", "-m", module_of(name), *context.args])  # noqa: S606
