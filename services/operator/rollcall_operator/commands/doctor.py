"""`rollcall doctor`: check everything the deployment needs, and say what to do."""

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from rollcall.control import doctor
from rollcall.control.doctor import Finding, Wanted
from rollcall.control.rights.table import PRINCIPAL
from rollcall.runtime.errors import InvalidSettings
from rollcall_local.stack.services import installed, module_of
from rollcall_operator import terminal
from rollcall_operator.commands.topics import NameOption, ReplicationOption, names_of
from rollcall_operator.deployment import HERE, DataOption, JsonOption, find
from rollcall_operator.exits import Exit
from rollcall_operator.owner import connected

MARKS: Final = {"ok": "ok", "wrong": "WRONG", "note": "note", "unknown": "?"}
SETTINGS_S: Final = 60.0


def register(app: typer.Typer) -> None:
    """Add `doctor` to the command line."""
    app.command("doctor")(examine)


def examine(
    replication: ReplicationOption = 1,
    principal_name: NameOption = PRINCIPAL,
    service: Annotated[
        str, typer.Option(help="Look at the settings of this service as well: run it in its pod.")
    ] = "",
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Look at settings, Kafka, topics, rights, Postgres and clocks: one line each.

    Nothing is changed. Exit status 1 if anything is wrong.
    """
    wanted = Wanted(replication, names_of(principal_name))
    found = settings_of(service) if service else []
    found += terminal.run(_examine(data, wanted))
    if as_json:
        terminal.print_json([asdict(each) for each in found])
    else:
        for each in found:
            print(f"{MARKS[each.state]:<5}  {each.subject}: {each.line}")
    if any(each.state == "wrong" for each in found):
        raise typer.Exit(Exit.NO)


def settings_of(service: str) -> list[Finding]:
    """The service's own check of its settings, in a process of its own."""
    if service not in installed():
        terminal.fail(f"--service must be one of {', '.join(installed())}", 2)
    subject = f"settings of {service}"
    try:
        done = subprocess.run(
            [sys.executable, "-m", module_of(service), "--print-config"],
            capture_output=True,
            text=True,
            timeout=SETTINGS_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [Finding(subject, "unknown", f"it does not say them within {SETTINGS_S:g} s")]
    if done.returncode == 0:
        return [Finding(subject, "ok", "complete")]
    lines = [line.strip() for line in done.stderr.splitlines() if line.startswith("  ")]
    return [Finding(subject, "wrong", line) for line in lines or ["it does not start"]]


async def _examine(data: Path, wanted: Wanted) -> list[Finding]:
    try:
        settings = find(data)
    except InvalidSettings as error:
        return [Finding("settings", "wrong", line.strip()) for line in str(error).splitlines()]
    return await doctor.examine(settings, wanted, lambda: connected(settings))
