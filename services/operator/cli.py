"""The `rollcall` command line: a table of commands, each imported only when it is called."""

from __future__ import annotations

import importlib
from typing import Any

import typer
import typer.core
import typer.main

COMMANDS = {
    "up": "Start a whole stack on this machine and keep it running.",
    "down": "Stop the stack.",
    "status": "Show what runs: processes, addresses, readiness, restarts.",
    "demo": "Show what Rollcall does, against the running stack.",
    "org": "Organisations: create, list, set, export, delete.",
    "key": "API keys: create, list, revoke.",
    "partition": "Partitions: list, show, resume.",
    "dead": "Dead letters: list, show, redrive, discard.",
    "refused": "Requests that were answered with success and refused later: list, show.",
    "erase": "Erase a member: what is kept of a person, gone.",
    "snapshot": "Write the directory to files, for rebuild and verify.",
    "rebuild": "Make the directory anew from the log, and put it in the live one's place.",
    "verify": "Compare the directory with its log, row by row.",
    "lag": "What is not applied yet, by partition and by organisation.",
    "trace": "What became of a change, from the door to the mail.",
    "replay": "Read the log again: into the notifier, a topic, or an organisation as it was.",
    "topics": "Kafka topics: apply, check.",
    "doctor": "Look at what the deployment stands on, and say what to do.",
    "migrate": "Bring the database schema up to date.",
    "serve": "Run one of the services.",
    "wait": "Wait for Kafka, Postgres or the schema of this release.",
    "health": "Ask a probe, for images without curl.",
}


class LazyCommands(typer.core.TyperGroup):
    """Commands by name from the table; `services/operator/commands/NAME.py` has the code.

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
            return typer.core.TyperCommand(cmd_name, help=COMMANDS[cmd_name])
        app = typer.Typer()
        app.callback()(_nothing)  # keeps a lone command below its name
        importlib.import_module(f"services.operator.commands.{cmd_name}").register(app)
        group: Any = typer.main.get_command(app)
        return group.commands[cmd_name]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help from the table alone."""
        self._only_names = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._only_names = False


def _nothing() -> None:
    """Rollcall: SCIM provisioning that loses nothing."""


app = typer.Typer(cls=LazyCommands, no_args_is_help=True, pretty_exceptions_show_locals=False)
app.callback()(_nothing)


def main() -> None:
    """Run the command line."""
    app()
