"""`rollcall replay --into notifier`: whatever its rows have lost, no mail leaves a second time.

Whole stacks: the real notifier, two of them where it matters, and a real mailbox.
"""

import asyncio
import os
import signal
import sys
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from rollcall.postgres import notification, progress
from rollcall.postgres.upkeep import replay
from rollcall_operator.cli import app
from tests.integration.operator.rebuilding import heed_ctrl_c
from tests.support.databases import Connection, TestDatabase
from tests.support.load import creates, mails, settled
from tests.support.poison import rollcall
from tests.support.samples.notices import NOW, a_notice
from tests.support.stack import Organisation, Stack, until

REPLAY = ("replay", "--topic", "outcomes", "--into", "notifier", "--from")


def environment(stack: Stack) -> dict[str, str]:
    return {
        "ROLLCALL_KAFKA_BOOTSTRAP": stack.bootstrap,
        "ROLLCALL_TOPIC_PREFIX": stack.prefix,
        "ROLLCALL_DATABASE_URL": stack.database_url("owner"),
    }


async def refused(stack: Stack, *arguments: str) -> Result:
    """What the command says where it ends badly."""
    call = (*arguments, "--data", str(stack.folder))
    done = await asyncio.to_thread(CliRunner().invoke, app, call, env=environment(stack))
    assert done.exit_code, done.output
    return done


async def invited(stack: Stack, number: int = 20, prefix: str = "m") -> Organisation:
    """An organisation whose members have their invitations; some were revoked and told so."""
    made = await stack.organisation()
    async with stack.client(made) as client:
        answered = await creates(client, number, clients=4, prefix=prefix)
        await settled(stack, made)
        for member in list(answered.created.values())[:3]:
            done = await client.patch(
                f"/Users/{member}", {"op": "replace", "path": "active", "value": False}
            )
            assert done.status == 200
    await settled(stack, made)
    assert sum(mails(stack).values()) == number + 3
    return made


async def notices(stack: Stack) -> set[tuple[str, int]]:
    rows = await stack.rows("SELECT state, count(*) AS n FROM notice.notification GROUP BY state")
    return {(row["state"], row["n"]) for row in rows}


async def stop_notifiers(stack: Stack) -> None:
    for process in stack.running("notifier"):
        assert await asyncio.to_thread(process.terminate) == 0


@pytest.mark.timeout(200)
async def test_mails_that_left_are_not_sent_again_though_every_row_is_lost(
    whole_stack: Stack,
) -> None:
    """Under two running notifiers, of which only one reads each partition."""
    stack = whole_stack
    await stack.start("notifier")
    zeeburg = await invited(stack)
    before, known = mails(stack), await notices(stack)
    await stack.rows("DELETE FROM notice.notification")

    report = await rollcall(stack, *REPLAY, "0")
    await settled(stack, zeeburg)

    assert report["read"]
    assert report["records"] > 40
    assert mails(stack) == before
    assert await notices(stack) == known
    again = await rollcall(stack, *REPLAY, "2020-01-01")
    await settled(stack, zeeburg)
    assert again["records"] >= report["records"]
    assert mails(stack) == before


@pytest.mark.timeout(200)
async def test_what_never_left_leaves_once(whole_stack: Stack) -> None:
    """Planned, and its rows lost before the mail server was back."""
    stack = whole_stack
    zeeburg = await invited(stack)
    before = mails(stack)
    stack.stop_mailbox()
    async with stack.client(zeeburg) as client:
        await creates(client, 5, clients=2, prefix="late")

    async def is_planned() -> bool:
        return ("due", 5) in await notices(stack)

    await until(is_planned, "five are due")
    await stack.rows("DELETE FROM notice.notification")

    await rollcall(stack, *REPLAY, "0")
    stack.start_mailbox()
    await settled(stack, zeeburg)

    added = mails(stack) - before
    assert sorted(added.values()) == [1] * 5
    assert mails(stack) - added == before


@pytest.mark.timeout(200)
async def test_a_table_older_than_the_mails_sends_none_of_them_again(whole_stack: Stack) -> None:
    """Only the notices are restored: their rows are due, and the position is beyond the facts.

    The notifier that starts then is killed over its first batch, and another one goes on.
    """
    stack = whole_stack
    zeeburg = await invited(stack)
    before = mails(stack)
    await stop_notifiers(stack)
    await stack.rows(
        "UPDATE notice.notification SET state = 'due', sent_at = NULL, message_id = NULL, "
        "announced = false, leased_until = NULL, lease_owner = NULL"
    )

    report = await rollcall(stack, *REPLAY, "0", "--no-wait")
    dying = await stack.start("notifier", ready=False, ROLLCALL_FAULT="notifier.before_batch")
    assert await dying.ended() != 0
    await stack.start("notifier")
    await settled(stack, zeeburg)

    assert not report["read"]
    assert mails(stack) == before
    assert {state for state, _ in await notices(stack)} == {"sent"}


@pytest.mark.timeout(200)
async def test_new_mails_leave_after_a_replay(whole_stack: Stack) -> None:
    stack = whole_stack
    zeeburg = await invited(stack)
    await rollcall(stack, *REPLAY, "0", zeeburg.id)

    async with stack.client(zeeburg) as client:
        assert (await client.create_user("new@replay.example")).status == 201

    await until(lambda: bool(stack.mails("new@replay.example")), "it is sent", 30)


@pytest.mark.timeout(200)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "killed"])
async def test_who_ends_the_command_ends_the_waiting_and_not_the_replay(
    whole_stack: Stack, how: signal.Signals
) -> None:
    stack = whole_stack
    zeeburg = await invited(stack)
    before = mails(stack)
    await stop_notifiers(stack)
    await stack.rows("DELETE FROM notice.notification")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rollcall_operator", *REPLAY, "0", "--data", str(stack.folder)),
        env={**os.environ, **environment(stack)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        preexec_fn=heed_ctrl_c,
    )

    async def is_set_back() -> bool:
        rows = await position(stack, zeeburg)
        return bool(rows["next_offset"] == 0)

    await until(is_set_back, "the position is set back")
    process.send_signal(how)
    assert await asyncio.wait_for(process.wait(), 30) == (130 if how is signal.SIGINT else -how)
    lag = await rollcall(stack, "lag")
    [again] = [each for each in lag["partitions"] if each["replayed_to"] is not None]
    assert (again["topic"], again["lag"]) == ("outcomes", again["replayed_to"])
    assert "its mails wait" in again["trouble"]

    await stack.start("notifier")
    await settled(stack, zeeburg)

    assert mails(stack) == before
    at = await position(stack, zeeburg)
    assert at["next_offset"] == at["published_offset"]


async def position(stack: Stack, organisation: Organisation) -> Any:
    [row] = await stack.rows(
        "SELECT next_offset, published_offset FROM notice.progress "
        "WHERE topic = $1 AND partition = $2",
        stack.topics.outcomes,
        organisation.partition,
    )
    return row


@pytest.mark.timeout(200)
async def test_a_beginning_behind_what_is_due_is_refused(whole_stack: Stack) -> None:
    """Whether those mails left may be told before it."""
    stack = whole_stack
    zeeburg = await invited(stack)
    await stop_notifiers(stack)
    before = await position(stack, zeeburg)
    await stack.rows(
        "UPDATE notice.notification SET state = 'due', sent_at = NULL, message_id = NULL"
    )

    done = await refused(stack, *REPLAY, "30", zeeburg.id)

    assert done.exit_code == 2
    assert "begin there" in done.stderr
    assert await position(stack, zeeburg) == before


@pytest.mark.timeout(200)
async def test_a_partition_that_stands_is_refused_and_a_dry_run_changes_nothing(
    whole_stack: Stack,
) -> None:
    stack = whole_stack
    zeeburg = await invited(stack, 5)
    before = await position(stack, zeeburg)

    planned = await rollcall(stack, *REPLAY, "0", "--dry-run")
    assert await position(stack, zeeburg) == before
    assert planned["records"] == before["next_offset"]
    await stop_notifiers(stack)
    await stack.rows("UPDATE notice.progress SET state = 'halted', detail = 'newer version'")
    done = await refused(stack, *REPLAY, "0")

    assert done.exit_code == 2
    assert "is halted: newer version" in done.stderr
    assert await position(stack, zeeburg) == before


async def test_nothing_is_claimed_of_a_partition_before_it_is_read_to_where_it_was(
    database: TestDatabase,
) -> None:
    """By any replica, whatever it has read itself: the facts may stand in the last record."""
    topic, here = "t.outcomes", 3
    elsewhere = replace(a_notice(2, member=2), partition=4)
    async with database.connect("notifier") as notifier, database.connect("owner") as owner:
        await progress.ensure(notifier, topic, here, schema="notice")
        await move(notifier, 0, 10)
        found = await progress.read(owner, topic, here, schema="notice")
        assert found is not None
        assert await replay.rewind(owner, found, 2, 12, last_event_id=None, last_append_time=None)
        stale = await replay.rewind(owner, found, 1, 12, last_event_id=None, last_append_time=None)
        await notification.plan(notifier, [a_notice(1), elsewhere])

        at_once = await claimed(notifier)
        await move(notifier, 2, 11)
        nearly = await claimed(notifier)
        await move(notifier, 11, 12)
        then = await claimed(notifier)

    assert not stale
    assert (at_once, nearly, then) == ([4], [], [here])


async def move(connection: Connection, begin: int, end: int) -> None:
    """As the notifier does with each batch."""
    assert await progress.advance(
        connection,
        "t.outcomes",
        3,
        expected=begin,
        epoch=0,
        new=end,
        published=end,
        last_event_id=None,
        last_append_time=None,
        schema="notice",
    )


async def claimed(connection: Connection) -> list[int]:
    """The partitions of what a sender gets that does not know how far outcomes were read."""
    found = await notification.claim(
        connection,
        "a",
        now=NOW,
        lease_s=60,
        limit=10,
        requests_topic="t.requests",
        outcomes_topic="t.outcomes",
    )
    return [each.notice.partition for each in found.notices]
