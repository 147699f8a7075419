"""Which deployment a command talks to: the stack below `--data`, else `ROLLCALL_…` variables."""

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from rollcall.control.settings import OperatorSettings
from rollcall.runtime.config import load
from rollcall_local.stack.folder import Folder
from rollcall_local.stack.reach import of_stack
from rollcall_local.stack.stack_file import StackFile
from rollcall_operator.terminal import CommandError

DATA: Final = "ROLLCALL_DATA"
"""The variable that replaces `--data` in every command."""
DataOption = Annotated[
    Path,
    typer.Option(
        "--data",
        envvar=DATA,
        help="Folder of the stack: `.rollcall/stack.json` below it is read.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
HERE: Final = Path()


def find(data: Path) -> OperatorSettings:
    """The settings for the stack in `data`, or those of the environment.

    Raises CommandError where there is neither, StackError, InvalidSettings.
    """
    folder = Folder.at(data)
    if folder.stack_file.exists():
        if folder.supervisor() is None:  # it was killed and could not remove the file
            raise CommandError(f"no stack runs in {data.resolve()}; start one with `rollcall up`")
        return of_stack(data, StackFile.load(data))
    if not os.environ.get("ROLLCALL_KAFKA_BOOTSTRAP"):
        raise CommandError(
            f"no stack in {data.resolve()} and ROLLCALL_KAFKA_BOOTSTRAP is not set; "
            "start one with `rollcall up`, or name its folder with --data"
        )
    return load(OperatorSettings)
