"""`rollcall partition`: what it shows, refuses and changes. No provisioner runs here."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from rollcall.events.request import to_event
from rollcall.kafka.producer import Acknowledged, Producer
from rollcall.postgres import progress
from rollcall.postgres.progress import Progress
from rollcall_operator.cli import app
from tests.support.builders import MOMENT, ORGANISATION, create
from tests.support.databases import TestDatabase
from tests.support.deployment import Environment


class Cli:
    """The command line in a folder without a stack, beside a database of the test's own."""

    def __init__(self, deployment: Environment, database: TestDatabase) -> None:
        self.topic = deployment.topics.requests
        self._deployment = deployment
        self._database = database

    def run(self, *arguments: str, answer: str = "") -> Result:
        return CliRunner().invoke(app, ["partition", *arguments], input=answer)

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    def send(self, number: int, *, type_: str | None = None) -> Acknowledged:
        """Append a create to partition 1."""
        request = create(number, f"user{number}@example.org")

        async def go() -> Acknowledged:
            producer = Producer(self._deployment.settings, client_id="test")
            await producer.start()
            try:
                event = to_event(request)
                event = replace(event, type=type_ or event.type)
                return await producer.send(self.topic, partition=1, key=ORGANISATION, event=event)
            finally:
                await producer.stop()

        return asyncio.run(go())

    def stands(self, position: int, *, published: int | None = None, **known: Any) -> None:
        """Partition 1 is applied up to `position` and halted there."""

        async def go() -> None:
            async with self._database.connect("provisioner") as connection:
                await progress.ensure(connection, self.topic, 1)
                await progress.advance(
                    connection,
                    self.topic,
                    1,
                    expected=0,
                    epoch=0,
                    new=position,
                    published=position if published is None else published,
                    last_event_id=known.get("event_id"),
                    last_append_time=known.get("append_time"),
                )
                await progress.halt(
                    connection,
                    self.topic,
                    1,
                    expected=position,
                    epoch=0,
                    reason=known.get("reason", "log-shorter"),
                    detail="for the test",
                )

        asyncio.run(go())

    def progress(self) -> Progress:
        async def go() -> Progress:
            async with self._database.connect("provisioner") as connection:
                return await progress.ensure(connection, self.topic, 1)

        return asyncio.run(go())


@pytest.fixture
def cli(
    deployment: Environment,
    database: TestDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Cli:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROLLCALL_DATABASE_URL", database.url())
    return Cli(deployment, database)


def test_show_says_since_when_what_stands_there_is_tried_again(cli: Cli) -> None:
    cli.send(1)
    cli.stands(1)

    async def cut_off() -> None:
        async with cli._database.connect("provisioner") as connection:
            await progress.note_tried(
                connection, cli.topic, 1, expected=1, epoch=0, because="statement-timeout"
            )

    before = cli.json("show", "1")
    asyncio.run(cut_off())
    asyncio.run(cut_off())
    after = cli.json("show", "1")

    assert (before["tries"], before["tried_again_since"]) == (0, None)
    assert (after["tries"], after["tried_again_because"]) == (2, "statement-timeout")
    assert after["tried_again_since"] in cli.run("list").stdout


def test_list_shows_every_partition_with_its_log(cli: Cli) -> None:
    cli.send(1)
    cli.send(2)
    cli.stands(1)

    found = cli.json("list")
    table = cli.run("list")

    assert [each["partition"] for each in found] == [0, 1, 2, 3]
    assert [each["state"] for each in found] == ["unowned", "halted", "unowned", "unowned"]
    assert (found[1]["reason"], found[1]["detail"]) == ("log-shorter", "for the test")
    assert (found[1]["next_offset"], found[1]["end_offset"], found[1]["lag"]) == (1, 2, 1)
    assert table.stdout.splitlines()[2].split()[:3] == ["1", "halted", "log-shorter"]


def test_list_goes_on_without_kafka_and_says_so(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.stands(3)
    monkeypatch.setenv("ROLLCALL_KAFKA_BOOTSTRAP", "127.0.0.1:1")

    done = cli.run("list", "--json")

    assert done.exit_code == 0
    assert [each["lag"] for each in json.loads(done.stdout)] == [None]
    assert "ends and lag are not known" in done.stderr


def test_show_tells_the_last_event(cli: Cli) -> None:
    event_id = create(1, "x").id
    cli.send(1)
    cli.stands(1, event_id=event_id)

    found = cli.json("show", "1")
    unknown = cli.run("show", "9")

    assert (found["last_event_id"], found["first_offset"], found["epoch"]) == (event_id, 0, 0)
    assert unknown.exit_code == 2
    assert "has no partition 9" in unknown.stderr


def test_what_is_not_halted_is_not_resumed(cli: Cli) -> None:
    done = cli.run("resume", "1", "--yes")

    assert done.exit_code == 2
    assert "is not halted" in done.stderr


def test_what_would_halt_again_is_not_resumed(cli: Cli) -> None:
    cli.send(1)
    cli.send(2)
    cli.stands(1, event_id=create(7, "x").id, append_time=MOMENT)

    done = cli.run("resume", "1", "--yes")

    assert done.exit_code == 2
    assert "the record at offset 0 is" in done.stderr
    assert "--new-log" in done.stderr
    assert cli.progress().state == "halted"


def test_a_newer_version_that_this_release_does_not_know_is_not_resumed(cli: Cli) -> None:
    cli.send(1)
    cli.send(2, type_="io.rollcall.request.member.create.v9")
    cli.stands(1, reason="newer-version")

    done = cli.run("resume", "1", "--yes")

    assert done.exit_code == 2
    assert "finish the roll-out first" in done.stderr


def test_resume_asks_and_says_what_will_happen(cli: Cli) -> None:
    cli.send(1)
    cli.send(2)
    cli.stands(1)

    refused = cli.run("resume", "1", answer="n\n")
    still = cli.progress()
    done = cli.run("resume", "1", answer="y\n")

    assert refused.exit_code != 0
    assert "stands at offset 1, epoch 0: for the test" in refused.stderr
    assert "1 record waits" in refused.stderr
    assert still.state == "halted"
    assert done.exit_code == 0, done.stderr
    found = cli.progress()
    assert (found.state, found.reason, found.next_offset, found.epoch) == ("running", None, 1, 0)


@pytest.mark.parametrize(("at", "begin"), [((), 0), (("--at", "2"), 2)])
def test_a_new_log_begins_a_new_epoch(cli: Cli, at: tuple[str, ...], begin: int) -> None:
    for number in (1, 2, 3):
        cli.send(number)
    cli.stands(50, event_id=create(1, "x").id, append_time=MOMENT)

    found = cli.json("resume", "1", "--new-log", *at, "--yes")

    assert (found["epoch"], found["next_offset"], found["lag"]) == (1, begin, 3 - begin)
    after = cli.progress()
    assert (after.published_offset, after.last_event_id, after.last_append_time) == (
        begin,
        None,
        None,
    )
    assert after.state == "running"


@pytest.mark.parametrize(
    ("published", "arguments", "why"),
    [
        (50, ["--new-log", "--at", "4"], "holds offsets 0 to 1, not 4"),
        (49, ["--new-log"], "are applied and not announced"),
        (50, ["--at", "0"], "--at goes with --new-log"),
    ],
)
def test_a_new_log_is_refused_where_something_would_be_lost(
    cli: Cli, published: int, arguments: list[str], why: str
) -> None:
    cli.send(1)
    cli.stands(50, published=published)

    done = cli.run("resume", "1", *arguments, "--yes")

    assert done.exit_code == 2
    assert why in done.stderr
    assert cli.progress().epoch == 0


def test_without_a_database_it_says_what_is_missing(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROLLCALL_DATABASE_URL")

    done = cli.run("list")

    assert done.exit_code == 2
    assert "ROLLCALL_DATABASE_URL" in done.stderr
