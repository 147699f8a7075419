"""One call for a batch of outcomes leaves the rows that its pieces leave, and nothing if fenced."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import pytest

from rollcall.events.mail import MailSent
from rollcall.events.outcome import Announcement, Fact, Outcome, outcome_id
from rollcall.events.outcome import Sequence as Order
from rollcall.postgres import notification, progress
from rollcall.postgres.progress import Step
from rollcall_notifier.consume import write_layer
from rollcall_notifier.plan import Layer, plan
from tests.support.builders import MOMENT, ORGANISATION, OTHER_ORGANISATION, an_id
from tests.support.databases import Connection, TestDatabase

TOPIC = "t.outcomes"
FACTS: Final[tuple[Fact, ...]] = (
    "member.invited",
    "member.revoked",
    "member.restored",
    "member.removed",
    "member.changed",
)
ROWS = (
    "SELECT event_id::text, kind, organisation_id::text, member_id::text, partition, epoch, "
    '"offset", "index", event_time, detail, state, reason, due_at, message_id, sent_at, announced, '
    "leased_until, lease_owner FROM notice.notification ORDER BY event_id, kind"
)


def announced(chance: random.Random, number: int) -> Announcement:
    """An outcome of one of few members, of an organisation that may have left."""
    request = an_id(1000 + number)
    of = ORGANISATION if chance.random() < 0.8 else OTHER_ORGANISATION
    return Announcement(
        id=outcome_id(request, 0),
        request_id=request,
        sequence=Order(0, number, 0),
        time=MOMENT + timedelta(seconds=number),
        outcome=Outcome(
            chance.choice(FACTS), of, an_id(chance.randint(1, 4)), detail={"from": "invited"}
        ),
    )


def left(chance: random.Random, number: int) -> list[MailSent]:
    return [
        MailSent(
            an_id(1000 + chance.randint(1, number)),
            chance.choice(("invitation", "revocation", "restoration")),
            ORGANISATION,
            an_id(1),
            f"<{number}@example.org>",
            MOMENT,
        )
        for _ in range(chance.randint(2, 6))
    ]


async def lease(connection: Connection, chance: random.Random) -> None:
    """Somebody has claimed a row, and is at work or died."""
    until = "clock_timestamp() + interval '1 hour'" if chance.random() < 0.5 else "'2026-01-01'"
    await connection.execute(
        f"UPDATE notice.notification SET lease_owner = 'a', leased_until = {until} "
        "WHERE member_id = $1 AND state = 'due'",
        an_id(chance.randint(1, 4)),
    )


async def in_pieces(
    connection: Connection, step: Step, layer: Layer, mails: Sequence[MailSent]
) -> int:
    async with connection.transaction():
        assert await progress.advance(
            connection,
            step.topic,
            step.partition,
            expected=step.expected,
            epoch=step.epoch,
            new=step.new,
            published=step.published,
            last_event_id=step.last_event_id,
            last_append_time=step.last_append_time,
            schema="notice",
        )
        planned = await write_layer(connection, layer)
        await notification.mark_sent(connection, mails)
    return planned


async def in_one_call(
    connection: Connection, step: Step, layer: Layer, mails: Sequence[MailSent]
) -> int:
    planned = await notification.plan_batch(connection, step, layer.notices, layer.endings, mails)
    assert planned is not None
    return planned


async def played(connection: Connection, seed: int, way: Any) -> tuple[list[int], list[Any], Any]:
    """What each batch planned, the rows, and the position in the end."""
    chance = random.Random(seed)
    planned: list[int] = []
    at = number = 0
    earlier: list[Announcement] = []
    await connection.execute("DELETE FROM notice.notification")
    await connection.execute("DELETE FROM notice.progress")
    await progress.ensure(connection, TOPIC, 3, schema="notice")
    for _ in range(12):
        fresh = [announced(chance, number := number + 1) for _ in range(chance.randint(1, 6))]
        batch = [
            chance.choice(earlier) if earlier and chance.random() < 0.2 else one for one in fresh
        ]
        earlier += batch
        mails = left(chance, number)
        for layer in plan(batch, partition=3, grace_s=60) or (Layer(),):
            step = Step(TOPIC, 3, at, 0, at + 1, at, an_id(at), MOMENT)
            planned.append(await way(connection, step, layer, mails))
            at += 1
        await lease(connection, chance)
    rows = [
        {name: str(value) if name == "leased_until" and value else value for name, value in row}
        for row in (each.items() for each in await connection.fetch(ROWS))
    ]
    for row in rows:
        row["leased_until"] = row["leased_until"] and row["leased_until"][:4]
    return planned, rows, await progress.read(connection, TOPIC, 3, schema="notice")


@pytest.mark.parametrize("seed", range(12))
async def test_one_call_leaves_what_its_pieces_leave(database: TestDatabase, seed: int) -> None:
    async with database.connect() as connection:
        await connection.execute(
            "INSERT INTO directory.departed VALUES ($1, $2, $3)",
            OTHER_ORGANISATION,
            an_id(1),
            MOMENT,
        )
        expected = await played(connection, seed, in_pieces)
        found = await played(connection, seed, in_one_call)

    assert found == expected
    assert {row["state"] for row in found[1]} >= {"due", "sent", "dropped"}


async def test_what_is_fenced_plans_nothing(database: TestDatabase) -> None:
    chance = random.Random(1)
    batch = [announced(chance, number) for number in range(1, 20)]
    async with database.connect("notifier") as connection:
        await progress.ensure(connection, TOPIC, 3, schema="notice")
        [layer, *_] = plan(batch, partition=3, grace_s=60)

        step = Step(TOPIC, 3, 5, 0, 6, 6, None, MOMENT)
        planned = await notification.plan_batch(connection, step, layer.notices, layer.endings, [])

        assert planned is None
        assert await connection.fetchval("SELECT count(*) FROM notice.notification") == 0
