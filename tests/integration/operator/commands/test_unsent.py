"""`rollcall mails --unsent`: which notices did not leave, and why."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from typer.testing import CliRunner, Result

from rollcall.control.tenancy_log import open_log
from rollcall.postgres import notification
from rollcall.tenancy.organisation import Organisation
from rollcall_operator.cli import app
from tests.support.builders import MOMENT, ORGANISATION, OTHER_ORGANISATION, an_id
from tests.support.databases import TestDatabase
from tests.support.samples.notices import NOW, a_notice, settle_sent
from tests.support.stack import Stack


@pytest.fixture
async def unsent(stack: Stack, database: TestDatabase) -> Stack:
    """Two organisations; of their five notices one is due, one was sent, three did not leave."""
    async with open_log(stack.settings) as log:
        await log.write(Organisation(ORGANISATION, "Zeeburg", 0, MOMENT))
        await log.write(Organisation(OTHER_ORGANISATION, "Amstel", 1, MOMENT))
    notices = [
        replace(a_notice(number, member=number), event_time=NOW + timedelta(seconds=number))
        for number in range(1, 5)
    ]
    notices.append(a_notice(5, "revocation", member=5, organisation=OTHER_ORGANISATION))
    async with database.connect("notifier") as connection:
        await notification.plan(connection, notices)
        claimed = await notification.claim(
            connection, "a", now=NOW, lease_s=60, limit=10, requests_topic="t.requests"
        )
        assert len(claimed.notices) == 5
        await settle_sent(connection, an_id(1), "invitation", "a", message_id="m", sent_at=NOW)
        for number, reason in ((2, "recipient_budget"), (3, "removed")):
            await notification.settle_dropped(
                connection, an_id(number), "invitation", "a", reason=reason
            )
        await notification.settle_failed(
            connection, an_id(5), "revocation", "a", reason="smtp_recipient_550"
        )
    return stack


async def mails(stack: Stack, *words: str) -> Result:
    environment = {
        "ROLLCALL_KAFKA_BOOTSTRAP": stack.bootstrap,
        "ROLLCALL_TOPIC_PREFIX": stack.prefix,
        "ROLLCALL_DATABASE_URL": stack.database_url("owner"),
    }
    call = ("mails", *words, "--unsent", "--data", str(stack.folder))
    return await asyncio.to_thread(CliRunner().invoke, app, call, env=environment)


async def test_what_was_dropped_or_has_failed_is_listed_newest_first(unsent: Stack) -> None:
    everything = json.loads((await mails(unsent, "--json")).stdout)
    of_one = json.loads((await mails(unsent, "Zeeburg", "--json")).stdout)
    over = json.loads((await mails(unsent, "--reason", "recipient_budget", "--json")).stdout)
    table = await mails(unsent, "Zeeburg")

    assert [(each["kind"], each["state"], each["reason"]) for each in everything] == [
        ("invitation", "dropped", "removed"),
        ("invitation", "dropped", "recipient_budget"),
        ("revocation", "failed", "smtp_recipient_550"),
    ]
    assert [each["reason"] for each in of_one] == ["removed", "recipient_budget"]
    assert over == [
        {
            "time": "2026-11-25T08:00:02.000Z",
            "kind": "invitation",
            "state": "dropped",
            "reason": "recipient_budget",
            "organisation_id": ORGANISATION,
            "member_id": an_id(2),
            "event_id": an_id(2),
        }
    ]
    assert "recipient_budget" in table.stdout
    assert an_id(2) in table.stdout


async def test_a_long_list_says_that_there_is_more_and_an_empty_one_that_there_is_none(
    unsent: Stack,
) -> None:
    cut = await mails(unsent, "--limit", "2", "--json")
    none = await mails(unsent, "--reason", "no_address")

    assert len(json.loads(cut.stdout)) == 2
    assert "more than 2" in cut.stderr
    assert none.exit_code == 0
    assert none.stdout == "No such notice was dropped or has failed.\n"
