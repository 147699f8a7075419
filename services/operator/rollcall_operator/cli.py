"""The `rollcall` command line: a table of commands, each imported only when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from importlib.metadata import version
from typing import Annotated, Any

import typer
import typer.core
import typer.main

from rollcall_operator import manual
from rollcall_operator.terminal import DEBUG, guarded

COMMANDS = {
    "up": "Start a whole stack on this machine and keep it running.",
    "down": "Stop the stack.",
    "stop": "Stop single services of the stack.",
    "start": "Start services again that were stopped.",
    "status": "Show what runs: processes, addresses, readiness, restarts.",
    "demo": "Show what Rollcall does, against the running stack.",
    "mails": "Show the mails in the local mailbox, or the notices that did not leave.",
    "org": "Organisations: create, list, show, set, export, delete.",
    "member": "Members: list, show, find.",
    "key": "API keys: create, list, limit, revoke.",
    "console": "The console: link (signs in once), break-glass, reseal.",
    "issuer": "Issuers of OpenID Connect, who sign admins in: add, list, secret, remove.",
    "api-key": "Keys of the admin API: create, list, revoke.",
    "partition": "Partitions: list, show, resume.",
    "dead": "Dead letters: list, show, redrive, discard.",
    "refused": "Requests that were answered with success and refused later: list, show.",
    "erase": "Erase a member: what is kept of a person, gone.",
    "snapshot": "Write the directory to files, for rebuild and verify.",
    "rebuild": "Rebuild the directory from the log and swap it in.",
    "verify": "Compare the directory with its log, row by row.",
    "lag": "What is not applied yet, by partition and by organisation.",
    "trace": "What became of a change, from the door to the mail.",
    "replay": "Read the log again: into the notifier, a topic, or an organisation as it was.",
    "topics": "Kafka topics: apply, check.",
    "doctor": "Check everything the deployment needs, and say what to do.",
    "migrate": "Bring the database schema up to date, or check whether it is.",
    "serve": "Run one of the services.",
    "wait": "Wait for Kafka, Postgres or the schema of this release.",
    "health": "Ask a probe, for images without curl.",
}


class LazyCommands(typer.core.TyperGroup):
    """Commands by name from the table; `rollcall_operator/commands/NAME.py` has the code.

    The services' libraries take a third of a second to import, and `--help` needs none of them.
    """

    _only_names = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import and return a command, or None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        if self._only_names:
            return typer.core.TyperCommand(
                cmd_name, help=COMMANDS[cmd_name], rich_help_panel=manual.PANELS.get(cmd_name)
            )
        app = typer.Typer()
        app.callback()(_nothing)  # keeps a lone command below its name
        importlib.import_module(
            f"rollcall_operator.commands.{cmd_name.replace('-', '_')}"
        ).register(app)
        group: Any = typer.main.get_command(app)
        found = group.commands[cmd_name]
        found.epilog = manual.epilog(cmd_name)
        for name, command in getattr(found, "commands", {}).items():
            command.epilog = manual.epilog(f"{cmd_name} {name}")
        return found

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; for an unknown one say which was meant perhaps."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            close = get_close_matches(args[0], COMMANDS)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            ctx.fail(f"No such command '{args[0]}'.{hint}")
        return super().resolve_command(ctx, args)

    def make_context(self, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        """Read the options before the command."""
        with _spoken():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run the command and report its errors."""
        with _spoken():
            return super().invoke(ctx)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help from the table alone."""
        self._only_names = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._only_names = False


@contextmanager
def _spoken() -> Iterator[None]:
    """Errors become a line; a closed pipe is noticed here, not at the interpreter's end."""
    with guarded():
        try:
            yield
        finally:
            sys.stdout.flush()


def _nothing() -> None:
    """A group needs a callback."""


def _show_version(value: bool) -> None:
    if value:
        print(f"rollcall {version('rollcall')}")
        raise typer.Exit


def _root(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and end.", is_eager=True, callback=_show_version
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help=f"Show where an error comes from; or {DEBUG}=1.")
    ] = False,
) -> None:
    """Rollcall: SCIM provisioning that loses nothing."""
    if debug:
        os.environ[DEBUG] = "1"


app = typer.Typer(
    cls=LazyCommands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Examples:\n  rollcall up\n  rollcall org create Acme\n  rollcall doctor\n\n"
    "`rollcall COMMAND -h` shows a command's own. All of it: docs/reference/cli.md.",
)
app.callback()(_root)


def commands() -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Every command: its words behind `rollcall`, then its object and context for documentation."""
    root: Any = typer.main.get_command(app)
    top = root.context_class(root, info_name="rollcall")
    for name in COMMANDS:
        found = root.get_command(top, name)
        context = root.context_class(found, info_name=name, parent=top)
        below = getattr(found, "commands", None)
        if below is None:
            yield name, (found, context)
            continue
        for second, command in below.items():
            inner = root.context_class(command, info_name=second, parent=context)
            yield f"{name} {second}", (command, inner)


def main() -> None:
    """Run the command line."""
    app()
