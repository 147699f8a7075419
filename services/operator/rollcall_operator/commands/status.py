"""`rollcall status`: what runs, where, how often it was restarted, and whether it answers."""

from __future__ import annotations

import json
from typing import Any, Final

import typer

from rollcall_local.stack import ports
from rollcall_local.stack.folder import Folder, read_json
from rollcall_local.stack.kafka import native as kafka_native
from rollcall_local.stack.part import answers_200
from rollcall_local.stack.postgres import native as postgres_native
from rollcall_local.stack.report import show_failure
from rollcall_operator import terminal
from rollcall_operator.deployment import HERE, DataOption, JsonOption
from rollcall_operator.exits import Exit

COLUMNS: Final = ("name", "state", "pid", "address", "restarts")


def register(app: typer.Typer) -> None:
    """Add `status` to the command line."""
    app.command("status")(status)


def status(
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Show the parts of the running stack; exit status 1 unless all are ready."""
    folder = Folder.at(data)
    holder = folder.supervisor()
    supervisor = None if holder is None else holder.pid
    found = read_json(folder.status_file) if supervisor is not None else {}
    parts = [_asked(part) for part in found.get("parts", [])]
    is_ready = bool(found.get("ready")) and all(part["state"] == "ready" for part in parts)
    if as_json:
        state = {"running": supervisor is not None, "ready": is_ready, "supervisor": supervisor}
        print(json.dumps({**state, "parts": parts}, indent=2))
    elif supervisor is None:
        show_failure(f"no stack runs in {folder.data}; start one with `rollcall up`")
    else:
        print(f"supervisor: process {supervisor}")
        terminal.print_table(COLUMNS, [[_cell(part[name]) for name in COLUMNS] for part in parts])
    if not is_ready:
        raise typer.Exit(Exit.NO)


def _asked(part: dict[str, Any]) -> dict[str, Any]:
    """Return the part with its readiness as of now: who was ready may have fallen silent."""
    if part["state"] == "ready" and not _answers(part):
        return {**part, "state": "not ready"}
    return part


def _answers(part: dict[str, Any]) -> bool:
    port = int(part["address"].rpartition(":")[2])
    match part["service"]:
        case "kafka":
            return kafka_native.answers(port)
        case "postgres":
            return postgres_native.answers(port)
        case "mailbox":
            return ports.greets(port)
        case _:
            return answers_200(part["ready_url"])


def _cell(value: Any) -> str:
    return "-" if value in (None, "") else str(value)
