"""`rollcall refused`: what it lists, and what it tells an admin to do."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rollcall.control.refused import refusals_of
from rollcall.events.request import Kind
from rollcall.postgres import audit
from rollcall.postgres.audit import AuditRow, Refused
from rollcall_operator.cli import app
from tests.support.builders import MOMENT, ORGANISATION, OTHER_ORGANISATION, an_id
from tests.support.databases import TestDatabase
from tests.support.deployment import Environment


def a_refusal(number: int, kind: Kind = "member.create", **detail: Any) -> AuditRow:
    endpoint = "Users" if kind.startswith("member.") else "Groups"
    said = {"status": 409, "kind": kind, "endpoint": endpoint, "told": True, **detail}
    data = {
        "organisation_id": ORGANISATION,
        "resource_id": an_id(1000 + number),
        "detail": {name: value for name, value in said.items() if value is not None},
    }
    return AuditRow(
        id=an_id(number),
        organisation_id=ORGANISATION,
        topic="t.requests",
        partition=3,
        offset=number,
        type=f"io.rollcall.request.{kind}.v1",
        resource_id=an_id(1000 + number),
        actor="key:abc",
        append_time=MOMENT + timedelta(seconds=number),
        event_time=MOMENT,
        status=said["status"],
        scim_type=None,
        outcomes=[{"fact": "request.rejected", "data": data}],
        optimistic=True,
    )


@pytest.fixture
def cli(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    deployment: Environment,
    database: TestDatabase,
) -> CliRunner:
    """The command line over an audit with two refusals and what is none."""

    async def record() -> None:
        fine = replace(a_refusal(3), status=201, outcomes=[])
        heard = replace(a_refusal(4, told=None), optimistic=False)
        dead = replace(
            a_refusal(5),
            status=500,
            outcomes=[
                {
                    "fact": "request.failed",
                    "data": {"organisation_id": ORGANISATION, "resource_id": an_id(1005)},
                }
            ],
        )
        async with database.connect() as connection:
            await audit.record(
                connection,
                [
                    a_refusal(1, attribute="userName", scim_type="uniqueness"),
                    replace(a_refusal(2, "group.patch", status=404), optimistic=False),
                    fine,
                    heard,
                    dead,
                ],
            )
            await audit.record_unheard(connection, [an_id(2)])
            await audit.note_unheard(connection, {an_id(3): 409, an_id(4): 201})

    asyncio.run(record())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROLLCALL_DATABASE_URL", database.url())
    return CliRunner()


def call(cli: CliRunner, *arguments: str, status: int = 0) -> Any:
    done = cli.invoke(app, ["refused", *arguments, "--json"])
    assert done.exit_code == status, done.output
    return json.loads(done.stdout) if status == 0 else done.stderr


def test_list_has_every_answer_that_was_no_decision_newest_first_and_why(cli: CliRunner) -> None:
    """No dead letters, and no refusals that were heard; verdicts that differed in both ways."""
    found = call(cli, "list")

    assert [(each["id"], each["told"], each["why"], each["status"]) for each in found] == [
        (an_id(4), "yes", "differed", 409),
        (an_id(3), "refused", "differed", 201),
        (an_id(2), "perhaps", "unheard", 404),
        (an_id(1), "yes", "optimistic", 409),
    ]
    assert found[3]["resource"] == f"Users/{an_id(1001)}"
    head, *lines = cli.invoke(app, ["refused", "list"]).stdout.splitlines()
    assert head.split()[:3] == ["id", "resource", "kind"]
    assert [line.split()[0] for line in lines] == [an_id(number) for number in (4, 3, 2, 1)]


def test_list_can_be_restricted(cli: CliRunner) -> None:
    assert call(cli, "list", "--since", "2100-01-01") == []
    assert "no organisation" in call(cli, "list", OTHER_ORGANISATION, status=2)


def test_show_says_what_can_be_done(cli: CliRunner) -> None:
    shown = cli.invoke(app, ["refused", "show", an_id(1)])

    assert shown.exit_code == 0
    assert "give one of them another" in shown.stdout
    assert "could not be read" in shown.stdout
    differed = cli.invoke(app, ["refused", "show", an_id(3)]).stdout
    assert "a fault of Rollcall" in differed
    assert "answered that this is refused, and the user is changed" in differed
    assert "no refused request" in call(cli, "show", an_id(5), status=2)
    assert "is not an id" in call(cli, "show", "ana", status=2)


@pytest.mark.parametrize(
    ("kind", "detail", "says"),
    [
        ("member.create", {"attribute": "userName"}, "holds an id of a user that does not exist"),
        ("member.replace", {"attribute": "externalId"}, "The user is unchanged."),
        ("group.create", {"attribute": "displayName"}, "Another group of the organisation"),
        ("member.patch", {"status": 404}, "was not there when this was applied"),
        ("group.patch", {"status": 412}, "Another request changed the group first"),
        ("group.patch", {"status": 400, "attribute": "members"}, "found wrong in members"),
        ("member.accept", {"attribute": None}, "Provision the user again"),
    ],
)
def test_every_refusal_has_an_advice(kind: Kind, detail: dict[str, Any], says: str) -> None:
    [refusal] = refusals_of(Refused(a_refusal(1, kind, **detail), MOMENT, is_unheard=False))

    assert says in refusal.advice
