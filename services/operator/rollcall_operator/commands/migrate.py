"""`rollcall migrate`: brings the database's schema to this release."""

from pathlib import Path
from typing import Annotated, Final

import asyncpg
import typer

from rollcall.postgres import migrate as migrations
from rollcall.postgres import pool
from rollcall.postgres.migrate import MigrationRefused
from rollcall_operator import terminal
from rollcall_operator.deployment import HERE, DataOption, find
from rollcall_operator.exits import Exit
from rollcall_operator.terminal import CommandError

IS_CURRENT: Final = "The schema is that of this release."


def register(app: typer.Typer) -> None:
    """Add `migrate` to the command line."""
    app.command("migrate")(migrate)


def migrate(
    check: Annotated[
        bool,
        typer.Option("--check", help="Only name what is missing; exit status 1 if anything is."),
    ] = False,
    data: DataOption = HERE,
) -> None:
    """Bring the database's schema to this release, as its owner role."""
    if check:
        _show_missing(terminal.run(_missing(data)))
        return
    applied = terminal.run(_migrate(data))
    for name in applied:
        print(f"applied {name}")
    if not applied:
        print(IS_CURRENT)


def _show_missing(names: list[str]) -> None:
    for name in names:
        print(f"missing {name}")
    if names:
        raise typer.Exit(Exit.NO)
    print(IS_CURRENT)


async def _migrate(data: Path) -> list[str]:
    url = _url(data)
    try:
        with pool.unavailable_if_away():
            return await migrations.migrate(url)
    except MigrationRefused as error:
        raise CommandError(str(error)) from error


async def _missing(data: Path) -> list[str]:
    """Migrations of this release that the database has not; nothing is written."""
    url = _url(data)
    with pool.unavailable_if_away():
        connection = await asyncpg.connect(url, timeout=pool.CONNECT_TIMEOUT_S)
        try:
            return await migrations.pending(connection)
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
            return [each.name for each in migrations.available()]
        finally:
            await connection.close(timeout=pool.CONNECT_TIMEOUT_S)


def _url(data: Path) -> str:
    url = find(data).database_url.get_secret_value()
    if not url:
        raise CommandError("ROLLCALL_DATABASE_URL is not set; it names the owner role")
    return url
