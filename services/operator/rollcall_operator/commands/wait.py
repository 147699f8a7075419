"""`rollcall wait WHAT…`: return once something is there that others must not begin without."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from rollcall.control.settings import OperatorSettings
from rollcall.kafka import admin
from rollcall.postgres import migrate
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.retry import backoff_s
from rollcall_operator import terminal
from rollcall_operator.deployment import HERE, DataOption, find
from rollcall_operator.exits import Exit
from rollcall_operator.owner import connected
from rollcall_operator.terminal import CommandError

Question = Callable[[OperatorSettings], Awaitable[None]]
ASK_S: Final = 10.0
"""How long one question may take."""


class What(StrEnum):
    """What may be waited for."""

    KAFKA = "kafka"
    POSTGRES = "postgres"
    SCHEMA = "schema"


def register(app: typer.Typer) -> None:
    """Add `wait` to the command line."""
    app.command("wait")(wait)


def wait(
    what: Annotated[
        list[What],
        typer.Argument(
            metavar="WHAT...",
            help="`kafka`: a broker answers; `postgres`: it accepts our login; "
            "`schema`: it has every migration of this release.",
        ),
    ],
    timeout: Annotated[float, typer.Option(min=1, help="Seconds; then status 1.")] = 600.0,
    data: DataOption = HERE,
) -> None:
    """Wait until what is named is there. Any service's login will do; nothing is changed."""
    terminal.run(_wait(what, timeout, data))


async def _wait(what: list[What], timeout_s: float, data: Path) -> None:
    settings = find(data)
    ask: dict[What, Question] = {
        What.KAFKA: _kafka,
        What.POSTGRES: _postgres,
        What.SCHEMA: _schema,
    }
    if not settings.database_url.get_secret_value() and set(what) - {What.KAFKA}:
        raise CommandError("ROLLCALL_DATABASE_URL is not set")
    try:
        async with asyncio.timeout(timeout_s):
            for each in what:
                await _until_there(each, ask[each], settings)
    except TimeoutError as error:
        raise CommandError(f"not there after {timeout_s:g} s", exit_code=Exit.NO) from error


async def _until_there(name: str, ask: Question, settings: OperatorSettings) -> None:
    """Ask again and again; a line for each new reason why it is not there."""
    attempt, reported = 0, ""
    while True:
        try:
            async with asyncio.timeout(ASK_S):
                await ask(settings)
        except (Unavailable, TimeoutError) as error:
            reason = error.what if isinstance(error, Unavailable) else "no answer in time"
        else:
            print(f"{name} is there")
            return
        if reason != reported:
            print(f"waiting for {name}: {reason}", file=sys.stderr, flush=True)
            reported = reason
        attempt += 1
        await asyncio.sleep(backoff_s(attempt, initial_s=0.25, maximum_s=2.0))


async def _kafka(settings: OperatorSettings) -> None:
    await admin.wait_until_reachable(settings)


async def _postgres(settings: OperatorSettings) -> None:
    async with connected(settings):
        pass


async def _schema(settings: OperatorSettings) -> None:
    async with connected(settings) as connection:
        if missing := await migrate.pending(connection):
            raise Unavailable(f"the schema (it lacks {missing[0]} and what follows)")
