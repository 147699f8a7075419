"""`rollcall up`: a whole stack on this machine, in the foreground or detached."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import IO, Annotated

import typer

from rollcall.observability import output
from rollcall_local.stack import owned, report
from rollcall_local.stack.errors import StackError
from rollcall_local.stack.folder import Folder
from rollcall_local.stack.options import Options
from rollcall_local.stack.owned import open_log, tail
from rollcall_local.stack.plan import INVITATION_GRACE, Stack
from rollcall_local.stack.services import SERVICES
from rollcall_local.stack.supervisor import Supervisor

SUPERVISOR = (sys.executable, "-m", "rollcall_operator")


class Kafka(StrEnum):
    """Which Kafka to use."""

    AUTO = "auto"
    EXTERNAL = "external"
    NATIVE = "native"
    DOCKER = "docker"


def register(app: typer.Typer) -> None:
    """Add `up` to the command line."""
    app.command("up")(up)


def up(
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when all is ready; the stack goes on.")
    ] = False,
    data: Annotated[
        Path, typer.Option("--data", envvar="ROLLCALL_DATA", help="Where `.rollcall` lies.")
    ] = Path(),
    kafka: Annotated[
        Kafka,
        typer.Option(
            "--kafka", help="auto: ROLLCALL_KAFKA_BOOTSTRAP if it is set, else a native broker."
        ),
    ] = Kafka.AUTO,
    replicas: Annotated[
        str, typer.Option("--replicas", help="For example ingress=2,provisioner=2.")
    ] = "",
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Port of the (first) door.")
    ] = None,
    no_restart: Annotated[
        bool, typer.Option("--no-restart", help="Leave a part that dies as it is.")
    ] = False,
    report_to: Annotated[int | None, typer.Option("--report-to", hidden=True)] = None,
) -> None:
    """Start Kafka, Postgres, a mailbox and all services, and keep them running."""
    output.survive(
        patience_s=output.PATIENCE_S
    )  # the stack goes on and ends in order, even if its output is not read
    try:
        counts = _replicas(replicas)
        if detach:
            words = ["--data", str(data.resolve()), "--kafka", kafka.value]
            words += ["--replicas", replicas] if replicas else []
            words += ["--port", str(port)] if port is not None else []
            words += ["--no-restart"] if no_restart else []
            code = _detached(Folder.at(data, making=True), words)
        else:
            options = Options(data, kafka.value, counts, port, restart=not no_restart)
            code = _supervise(options, report_to)
    except StackError as error:
        report.show_failure(str(error), error.detail)
        code = error.exit_code
    raise typer.Exit(code)


def _replicas(text: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for entry in filter(None, text.split(",")):
        name, _, count = entry.partition("=")
        if name not in SERVICES or not count.isdecimal() or not 1 <= int(count) <= 24:
            raise StackError(
                f"--replicas: {entry} is not NAME=COUNT with NAME one of {', '.join(SERVICES)} "
                "and COUNT from 1 to 24",
                exit_code=2,
            )
        counts[name] = int(count)
    return counts


def _supervise(options: Options, report_to: int | None) -> int:
    os.umask(0o077)  # mails and the log of requests are private
    teller: report.Reporter
    teller = report.for_output() if report_to is None else report.PipeReporter(report_to)
    try:
        folder = Folder.at(options.data, making=True)
        folder.make()
        folder.take()
        teller = report.LoggedReporter(teller, folder.log("supervisor"))
        owned.remove(folder.stack_file)  # left by a stack that was killed
        folder.hold(())
        try:
            return _run(Stack(options, teller.say), teller, restart=options.restart)
        finally:
            owned.remove(folder.stack_file)
            owned.remove(folder.status_file)
    except StackError as error:
        teller.failed(str(error), error.detail, error.exit_code)
        return error.exit_code


def _run(stack: Stack, teller: report.Reporter, *, restart: bool) -> int:
    since = time.monotonic()
    stack.check_ports()
    supervisor = Supervisor(stack.plan(), teller, stack.publish, restart=restart)
    supervisor.on_ready = partial(_announce, stack, supervisor, teller, since)
    return asyncio.run(supervisor.run())


def _announce(stack: Stack, supervisor: Supervisor, teller: report.Reporter, since: float) -> None:
    """Say that all is ready, where, and how many seconds each part took."""
    took = ", ".join(f"{what} {s:.1f}" for what, s in supervisor.took_s.items())
    teller.say(f"Ready after {time.monotonic() - since:.1f} s ({took})")
    first, *others = stack.scim_urls
    teller.say(f"SCIM   {first}")
    for other in others:
        teller.say(f"       {other} (another replica of the same)")
    teller.say(f"Pages  {stack.console_url} (`rollcall console link` signs in)")
    teller.say(f"Kafka  {stack.kafka_bootstrap} ({stack.kafka_kind})")
    teller.say(f"Mails  {stack.folder.mailbox} (`rollcall mails` shows them)")
    grace = stack.invitation_grace_s
    leave = "at once" if grace == "0" else f"after {grace} s"
    teller.say(f"       invitations leave {leave}; {INVITATION_GRACE} sets the seconds")
    teller.say(f"Files  {stack.folder.root}")


def _detached(folder: Folder, words: list[str]) -> int:
    """Start the supervisor in a session of its own and print its lines, until it is ready."""
    folder.make()
    reader, writer = os.pipe()
    command = [*SUPERVISOR, "up", *words, "--report-to", str(writer)]
    log = open_log(folder.log("supervisor"))
    supervisor = subprocess.Popen(
        command,
        pass_fds=[writer],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    os.close(writer)
    os.close(log)
    try:
        with os.fdopen(reader, encoding="utf-8") as messages:
            code = _relay(messages)
    except KeyboardInterrupt:
        supervisor.send_signal(signal.SIGTERM)
        supervisor.wait()
        return 130
    if code is None:
        supervisor.wait()
        raise StackError(
            f"the supervisor ended with exit status {supervisor.returncode}",
            detail=tail(folder.log("supervisor")),
        )
    if code == 0:
        supervisor.returncode = 0  # it goes on without us; Popen must not complain
    return code


def _relay(messages: IO[str]) -> int | None:
    """Show the supervisor's messages; return the exit status, or None when it fell silent."""
    teller = report.for_output()
    for line in messages:
        match json.loads(line):
            case {"what": "say", "line": str(text)}:
                teller.say(text)
            case {"what": "working", "on": list(names), "for_s": float(for_s)}:
                teller.working([str(name) for name in names], for_s)
            case {"what": "ready"}:
                teller.ready()
                return 0
            case {"what": "failed", "line": text, "detail": detail, "exit_code": int(code)}:
                teller.failed(str(text), str(detail), code)
                return code
    return None
