"""`rollcall dead` without a provisioner: what it shows, what it refuses, what it closes."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner

from rollcall.control import publish
from rollcall.control.tenancy_log import open_log
from rollcall.kafka.offsets import extents
from rollcall.postgres import dead_letter, progress
from rollcall.postgres.dead_letter import DeadLetter
from rollcall.tenancy.organisation import Organisation
from rollcall_operator.cli import app
from tests.support.builders import ORGANISATION, an_id
from tests.support.databases import TestDatabase
from tests.support.deployment import Environment

LETTER: Final = DeadLetter(
    topic="t.requests",
    partition=3,
    offset=17,
    event_id=an_id(1),
    organisation_id=ORGANISATION,
    headers=[("ce_id", b"secret-header")],
    key=None,
    value=b'{"userName": "ana@example.org"}',
    error_class="KeyError",
    error="KeyError",
    append_time=datetime(2026, 11, 25, 8, tzinfo=UTC),
    id=an_id(1),
    type="io.rollcall.request.member.patch.v1",
    endpoint="Users",
    resource_id=an_id(2),
)
ABOUT_NOTHING: Final = replace(
    LETTER, offset=18, id=an_id(3), endpoint=None, resource_id=None, error_class="MalformedEvent"
)


@pytest.fixture
def cli(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    deployment: Environment,
    database: TestDatabase,
) -> CliRunner:
    """The command line in a deployment with two dead letters."""

    async def recorded() -> None:
        async with database.connect() as connection:
            await dead_letter.record(connection, [LETTER, ABOUT_NOTHING])

    asyncio.run(recorded())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROLLCALL_DATABASE_URL", database.url())
    return CliRunner()


def call(cli: CliRunner, *arguments: str, status: int = 0) -> Any:
    done = cli.invoke(app, ["dead", *arguments, "--json"])
    assert done.exit_code == status, done.output
    return json.loads(done.stdout)


def test_list_tells_one_letter_a_line_and_no_personal_data(cli: CliRunner) -> None:
    done = cli.invoke(app, ["dead", "list"])

    head, *lines = done.stdout.splitlines()
    assert head.split()[:2] == ["dead_letter", "id"]
    assert [line.split()[0] for line in lines] == ["t.requests/3/17", "t.requests/3/18"]
    assert "ana" not in done.stdout


@pytest.mark.parametrize(
    ("restriction", "offsets"),
    [
        (("--error", "KeyError"), [17]),
        (("--since", "2100-01-01"), []),
        (("t.requests/3/18",), [18]),
        ((an_id(1),), [17]),
    ],
)
def test_list_can_be_restricted(
    cli: CliRunner, restriction: tuple[str, ...], offsets: list[int]
) -> None:
    found = call(cli, "list", *restriction)

    assert [each["dead_letter"] for each in found] == [f"t.requests/3/{n}" for n in offsets]


def test_show_prints_the_event_only_where_that_is_asked_for(cli: CliRunner) -> None:
    shown = cli.invoke(app, ["dead", "show", an_id(1)])
    whole = call(cli, "show", an_id(1), "--body")

    assert shown.exit_code == 0
    assert "member.patch" in shown.stdout
    assert not {"ana", "secret"} & set(shown.stdout.replace("-", " ").split())
    assert "ana@example.org" not in shown.stdout
    assert whole["value"] == '{"userName": "ana@example.org"}'
    assert whole["headers"] == {"ce_id": "secret-header"}


def test_what_is_about_no_resource_is_discarded_once_and_never_redriven(cli: CliRunner) -> None:
    [impossible] = call(cli, "redrive", "t.requests/3/18", "--yes", status=1)
    [first] = call(cli, "discard", "t.requests/3/18", "--yes")
    [second] = call(cli, "discard", "t.requests/3/18", "--yes")

    assert [each["result"] for each in (impossible, first, second)] == [
        "impossible",
        "discarded",
        "already",
    ]
    assert [each["dead_letter"] for each in call(cli, "list")] == ["t.requests/3/17"]


def test_a_dry_run_and_a_no_change_nothing(cli: CliRunner) -> None:
    before = call(cli, "list", "--all")

    call(cli, "discard", "--all", "--dry-run")
    refused = cli.invoke(app, ["dead", "discard", "--all"], input="n\n")

    assert refused.exit_code == 2
    assert refused.stderr.endswith("rollcall: nothing was changed\n")
    assert call(cli, "list", "--all") == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("redrive", "--yes"), "name letters, restrict them, or say --all"),
        (("show", "t.requests/9/9"), "no dead letter t.requests/9/9"),
        (("list", "--since", "yesterday"), "'yesterday' is not a date"),
        (("list", "Nobody"), "no dead letter and no organisation 'Nobody'"),
    ],
)
def test_a_mistake_is_reported_in_one_line(
    cli: CliRunner, arguments: tuple[str, ...], said: str
) -> None:
    done = cli.invoke(app, ["dead", *arguments])

    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_on_a_halted_partition_nothing_is_written_and_the_way_out_is_said(
    cli: CliRunner, deployment: Environment, database: TestDatabase
) -> None:
    letter = here(deployment)
    stand(database, letter)

    for action in ("redrive", "discard"):
        [done] = call(cli, action, an_id(40), "--yes", status=1)
        [dry] = call(cli, action, an_id(40), "--dry-run")

        assert (done["result"], dry["result"]) == ("stands", "stands")
        assert "rollcall partition resume 3" in done["note"]
    assert written(deployment) == 0


def test_a_redrive_that_waits_is_not_written_twice(
    cli: CliRunner,
    deployment: Environment,
    database: TestDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody applies it here. A discard beside it would undo what was asked for."""
    letter = here(deployment)
    monkeypatch.setattr(publish, "WAIT_S", 0.5)
    asyncio.run(record(database, letter))

    found = [
        call(cli, action, an_id(40), "--yes", status=1)
        for action in ("redrive", "redrive", "discard", "redrive")
    ]

    assert [each["result"] for [each] in found] == ["pending"] * 4
    assert "dead.redrive of it" in found[2][0]["note"]
    assert written(deployment) == 1


def test_an_erase_on_a_halted_partition_writes_nothing(
    cli: CliRunner, deployment: Environment, database: TestDatabase
) -> None:
    letter = here(deployment)
    stand(database, letter)

    async def named() -> None:
        async with open_log(deployment.settings) as log:
            await log.write(Organisation(ORGANISATION, "Zeeburg", 3, letter.append_time))

    asyncio.run(named())
    erased = cli.invoke(app, ["erase", "Zeeburg", an_id(2), "-y"])
    deleted = cli.invoke(app, ["org", "delete", "Zeeburg", "-y"])

    for done in (erased, deleted):
        assert done.exit_code == 2
        assert "rollcall partition resume 3" in done.stderr
    assert written(deployment) == 0


def here(deployment: Environment) -> DeadLetter:
    """A letter of a partition that this deployment has."""
    return replace(
        LETTER,
        topic=deployment.topics.requests,
        offset=40,
        id=an_id(40),
        event_id=an_id(40),
        resource_id=an_id(5),
    )


async def record(database: TestDatabase, letter: DeadLetter) -> None:
    async with database.connect() as connection:
        await dead_letter.record(connection, [letter])


def stand(database: TestDatabase, letter: DeadLetter) -> None:
    """The letter is recorded, and its partition halted."""

    async def go() -> None:
        await record(database, letter)
        async with database.connect("provisioner") as connection:
            await progress.ensure(connection, letter.topic, letter.partition)
            await progress.halt(
                connection,
                letter.topic,
                letter.partition,
                expected=0,
                epoch=0,
                reason="too-many-dead-letters",
                detail="ten in a row",
            )

    asyncio.run(go())


def written(deployment: Environment) -> int:
    """How many records partition 3 of the requests has."""
    found = asyncio.run(extents(deployment.settings, deployment.topics.requests))
    return found[3].end
