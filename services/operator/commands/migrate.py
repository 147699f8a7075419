"""`rollcall migrate`: brings the database's schema to this release."""

from pathlib import Path

import asyncpg
import typer

from services.operator import terminal
from services.operator.deployment import HERE, DataOption, find
from services.operator.terminal import CommandError
from shared.postgres import migrate as migrations
from shared.postgres import pool
from shared.postgres.migrate import MigrationRefused


def register(app: typer.Typer) -> None:
    """Add `migrate` to the command line."""
    app.command("migrate")(migrate)


def migrate(data: DataOption = HERE) -> None:
    """Bring the database's schema to this release, as its owner role."""
    applied = terminal.run(_migrate(data))
    for name in applied:
        print(f"applied {name}")
    if not applied:
        print("The schema is that of this release.")


async def _migrate(data: Path) -> list[str]:
    url = find(data).database_url.get_secret_value()
    if not url:
        raise CommandError("ROLLCALL_DATABASE_URL is not set; it names the owner role")
    try:
        with pool.unavailable_if_away():
            return await migrations.migrate(url)
    except MigrationRefused as error:
        raise CommandError(str(error), exit_code=1) from error
    except asyncpg.ClientConfigurationError as error:
        raise CommandError(f"ROLLCALL_DATABASE_URL cannot be read: {error}") from error
