"""What the commands do with Postgres, and without it."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rollcall.control.tenancy_log import open_log
from rollcall.postgres import tenancy
from rollcall_operator.cli import app
from tests.support.databases import TestDatabase
from tests.support.deployment import Environment

AT_NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    return CliRunner()


def created(cli: CliRunner) -> None:
    assert cli.invoke(app, ["org", "create", "Acme"]).exit_code == 0


def test_key_list_shows_when_a_key_was_last_used(
    deployment: Environment,
    database: TestDatabase,
    cli: CliRunner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    created(cli)
    monkeypatch.setenv("ROLLCALL_DATABASE_URL", database.url())

    async def use() -> None:
        async with open_log(deployment.settings) as log:
            (key,) = (await log.read()).keys.values()
        async with database.connect() as connection:
            await tenancy.fold_records(connection, [key])
            await tenancy.touch_keys(connection, {key.public_id: AT_NOON})

    asyncio.run(use())

    done = cli.invoke(app, ["key", "list", "Acme", "--json"])

    assert [key["last_used"] for key in json.loads(done.stdout)] == ["2026-06-01T12:00:00.000Z"]
    assert done.stderr == ""


def test_key_list_goes_on_without_postgres_and_says_so(
    deployment: Environment, cli: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    created(cli)
    monkeypatch.setenv("ROLLCALL_DATABASE_URL", "postgresql://nobody:x@127.0.0.1:1/rollcall")

    done = cli.invoke(app, ["key", "list", "Acme", "--json"])

    assert done.exit_code == 0
    assert [key["last_used"] for key in json.loads(done.stdout)] == [None]
    assert "not known: Postgres is unavailable" in done.stderr


def test_migrate_brings_an_empty_database_to_this_release_once(
    deployment: Environment,
    empty_database: TestDatabase,
    cli: CliRunner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ROLLCALL_DATABASE_URL", empty_database.url())

    missing = cli.invoke(app, ["migrate", "--check"])
    still = cli.invoke(app, ["migrate", "--check"])
    first = cli.invoke(app, ["migrate"])
    second = cli.invoke(app, ["migrate"])
    checked = cli.invoke(app, ["migrate", "--check"])

    assert first.exit_code == 0
    assert "applied 0001_" in first.stdout
    assert second.stdout == "The schema is that of this release.\n"
    assert missing.exit_code == 1
    assert missing.stdout.startswith("missing 0001_")
    assert still.stdout == missing.stdout
    assert (checked.exit_code, checked.stdout) == (0, second.stdout)


@pytest.mark.parametrize(
    ("url", "status"),
    [("", 2), ("postgresql://nobody:x@127.0.0.1:1/rollcall", 3), ("nonsense://", 2)],
)
def test_migrate_without_postgres_is_one_line(
    deployment: Environment,
    cli: CliRunner,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    status: int,
) -> None:
    monkeypatch.setenv("ROLLCALL_DATABASE_URL", url)

    done = cli.invoke(app, ["migrate"])
    checked = cli.invoke(app, ["migrate", "--check"])

    assert (checked.exit_code, checked.stderr) == (done.exit_code, done.stderr)
    assert done.exit_code == status, done.stderr
    assert len(done.stderr.splitlines()) == 1
