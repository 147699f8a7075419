"""`rollcall status`: what runs, where, how often it was restarted, and whether it answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from services.operator.stack import kafka_native, ports, postgres_native
from services.operator.stack.errors import StackError
from services.operator.stack.folder import Folder, read_json
from services.operator.stack.part import answers_200
from services.operator.stack.report import show_failure


def register(app: typer.Typer) -> None:
    """Add `status` to the command line."""
    app.command("status")(status)


def status(
    data: Annotated[Path, typer.Option("--data", help="Where `.rollcall` lies.")] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Show the parts of the running stack; exit status 1 unless all are ready."""
    folder = Folder(data.resolve())
    try:
        supervisor = folder.supervisor()
    except StackError as error:
        show_failure(str(error))
        raise typer.Exit(error.exit_code) from None
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
        _print_table(parts)
    if not is_ready:
        raise typer.Exit(1)


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


def _print_table(parts: list[dict[str, Any]]) -> None:
    columns = ("name", "state", "pid", "address", "restarts")
    rows = [columns, *([_cell(part[name]) for name in columns] for part in parts)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(columns))]
    for row in rows:
        print("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    return "-" if value in (None, "") else str(value)
