"""One process's clock is wrong, or a process sleeps: a 503 never counts later, a 2xx always does.

What decides is the broker's append time against `acceptby`, two numbers that ingress and
provisioner both read. So a clock that differs shows as 503s, never as loss.
`ROLLCALL_CLOCK_OFFSET_S` sets the clock of one process off; to that process it is as if everybody
else's were wrong.
"""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rollcall_local.stack.kafka.native import KafkaBroker
from rollcall_local.stack.mailbox import Rule
from tests.crash.model import judge, under_load
from tests.support.databases import TestDatabase
from tests.support.load import Answered, applied, assert_once, creates
from tests.support.postgres_faults import lines, metric
from tests.support.stack import Stack, running, until

MINUTE = "60"
QUARTER_OF_AN_HOUR = "900"
HOUR = "3600"
LONG = pytest.mark.long


@pytest.fixture
def quick(stack: Stack) -> Stack:
    """Nobody waits long for a reply."""
    stack.environment["ROLLCALL_INGRESS_REPLY_BUDGET_S"] = "1"
    return stack


async def expired(stack: Stack) -> float:
    [provisioner] = stack.running("provisioner")
    return await metric(provisioner, "rollcall_provisioner_expired_total")


async def stored(stack: Stack) -> set[str]:
    rows = await stack.rows("SELECT document ->> 'userName' AS name FROM directory.member")
    return {row["name"] for row in rows}


async def test_an_ingress_that_is_behind_refuses_and_what_it_sent_is_never_applied(
    quick: Stack,
) -> None:
    """The broker's clock is ahead of it: each record is appended after its `acceptby`."""
    organisation = await quick.organisation()
    late = await quick.start("ingress", ROLLCALL_CLOCK_OFFSET_S=f"-{MINUTE}")
    await quick.start("provisioner")
    answered = Answered()

    async with quick.client(organisation) as client:
        answer = await client.create_user("first@crash.example")
        await creates(client, 60, clients=5, answered=answered)

    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert set(answered.refused.values()) == {503}
    assert not answered.created
    await until(lambda: applied(quick, organisation), "the log is applied")
    assert await stored(quick) == set()
    assert await expired(quick) == await quick.end_offset(
        quick.topics.requests, organisation.partition
    )
    skew_s = await metric(late, "rollcall_ingress_append_skew_last_seconds")
    assert skew_s == pytest.approx(60, abs=5)
    assert [line["partition"] for line in lines(late) if line["event"] == "clock.differed"] == [
        organisation.partition
    ]


async def test_an_ingress_that_is_ahead_serves_as_any_other(quick: Stack) -> None:
    organisation = await quick.organisation()
    early = await quick.start("ingress", ROLLCALL_CLOCK_OFFSET_S=MINUTE)
    await quick.start("provisioner")

    async with under_load(quick, organisation, writers=4) as load:
        await until(lambda: len(load.accepted) > 300, "many are accepted")
    judged = await judge(quick, organisation, load)

    assert judged.refused == 0
    skew_s = await metric(early, "rollcall_ingress_append_skew_last_seconds")
    assert skew_s == pytest.approx(-60, abs=5)
    assert any(line["event"] == "clock.differed" for line in lines(early))


@pytest.mark.parametrize(
    "offset_s",
    [
        QUARTER_OF_AN_HOUR,
        pytest.param(MINUTE, marks=pytest.mark.long),
        pytest.param(f"-{MINUTE}", marks=pytest.mark.long),
    ],
)
async def test_the_provisioner_s_own_clock_decides_nothing(offset_s: str, quick: Stack) -> None:
    """As if it had slept for so long with the batch in its buffer: in time is in time."""
    organisation = await quick.organisation()
    await quick.start("ingress")
    await quick.start("provisioner", ROLLCALL_CLOCK_OFFSET_S=offset_s)

    async with under_load(quick, organisation, writers=4) as load:
        await until(lambda: len(load.accepted) > 200, "many are accepted", 60)
    judged = await judge(quick, organisation, load)

    assert (judged.refused, judged.expired) == (0, 0)


async def test_a_provisioner_that_slept_with_a_batch_applies_it_all(quick: Stack) -> None:
    """Nobody took over: what was in time before it slept is in time when it wakes."""
    quick.environment["ROLLCALL_INGRESS_ACCEPT_S"] = "2"
    quick.environment["ROLLCALL_INGRESS_ACKNOWLEDGE_S"] = "3"
    organisation = await quick.organisation()
    await quick.start("ingress")
    sleeper = await quick.start("provisioner", ROLLCALL_FAULT="provisioner.before_batch:5:stop")

    async with under_load(quick, organisation, writers=4, pause_s=0.1) as load:
        await asyncio.sleep(8)  # it sleeps: longer than `acceptby`, longer than its session
        sleeper.resume()
    judged = await judge(quick, organisation, load)

    assert (judged.refused, judged.expired) == (0, 0)
    assert sleeper.is_running()


@pytest.mark.long
async def test_a_provisioner_that_slept_while_its_partition_moved_applies_nothing_again(
    quick: Stack,
) -> None:
    organisation = await quick.organisation()
    await quick.start("ingress")
    sleeper = await quick.start("provisioner", ROLLCALL_FAULT="provisioner.before_batch:5:stop")

    async with under_load(quick, organisation, writers=4, pause_s=0.1) as load:
        await quick.start("provisioner", ROLLCALL_CLOCK_OFFSET_S=QUARTER_OF_AN_HOUR)
        await until(lambda: is_taken_over(quick, len(load.accepted) // 2), "the heir applies", 60)
        sleeper.resume()
        await asyncio.sleep(2)  # the sleeper's batch is in the way of the load, if at all, now
    judged = await judge(quick, organisation, load)

    assert (judged.refused, judged.expired) == (0, 0)
    assert sleeper.is_running()


async def is_taken_over(stack: Stack, at_least: int) -> bool:
    [row] = await stack.rows("SELECT count(*) AS n FROM audit.event")
    return bool(row["n"] >= at_least)


@pytest.mark.long
async def test_what_a_sleeping_ingress_held_is_late_for_both(quick: Stack) -> None:
    """It wakes after `acceptby` with records in its producer: 503s, and none is applied later."""
    quick.environment["ROLLCALL_INGRESS_ACCEPT_S"] = "2"
    quick.environment["ROLLCALL_INGRESS_ACKNOWLEDGE_S"] = "3"
    organisation = await quick.organisation()
    sleeper = await quick.start("ingress")
    await quick.start("provisioner")
    answered = Answered()

    async with quick.client(organisation) as client:
        load = asyncio.create_task(creates(client, 600, answered=answered))
        await until(lambda: len(answered.created) > 100, "the load is under way")
        sleeper.pause()
        await asyncio.sleep(4)  # asleep for longer than `acceptby`
        sleeper.resume()
        await load

    await until(lambda: applied(quick, organisation), "the log is applied")
    await assert_once(quick, organisation, answered)
    assert not set(answered.refused) & await stored(quick), "a 503 was applied"


@pytest.mark.parametrize(
    "offset_s", [HOUR, *(pytest.param(each, marks=LONG) for each in (f"-{HOUR}", MINUTE))]
)
async def test_two_notifiers_whose_clocks_differ_send_each_mail_once(
    offset_s: str, quick: Stack
) -> None:
    """A lease that looks over by one's own clock is not over, and what is put off is not put off
    by an hour."""
    quick.environment["ROLLCALL_NOTIFIER_LEASE_S"] = "15"
    quick.misbehave(Rule("delay", seconds=0.3))
    organisation = await quick.organisation()
    for service in ("ingress", "provisioner", "notifier"):
        await quick.start(service)
    await quick.start("notifier", ROLLCALL_CLOCK_OFFSET_S=offset_s)

    async with quick.client(organisation) as client:
        answered = await creates(client, 60, clients=4)

    def everybody_has_mail() -> bool:
        return {mail["X-RcptTo"] for mail in quick.mails()} >= set(answered.created)

    await until(everybody_has_mail, "every invitation has arrived", 60)

    async def is_settled() -> bool:
        [row] = await quick.rows("SELECT count(*) AS n FROM notice.notification WHERE state='due'")
        return bool(row["n"] == 0)

    await until(is_settled, "every notice is settled", 60)
    copies = Counter(mail["X-RcptTo"] for mail in quick.mails())
    assert max(copies.values()) == 1, f"{sum(n > 1 for n in copies.values())} came twice"


@pytest.mark.parametrize("offset_s", [HOUR, pytest.param(f"-{HOUR}", marks=LONG)])
async def test_a_notifier_whose_clock_is_wrong_puts_no_mail_off_by_as_much(
    offset_s: str, quick: Stack
) -> None:
    """What is tried again, and what is given back, is due by Postgres's clock."""
    quick.misbehave(Rule("refuse_for_now", "rcpt"))
    organisation = await quick.organisation()
    await quick.start("ingress")
    await quick.start("provisioner")
    await quick.start("notifier", ROLLCALL_CLOCK_OFFSET_S=offset_s)
    async with quick.client(organisation) as client:
        assert (await client.create_user("ana@clock.example")).status == 201

    async def is_refused() -> bool:
        rows = await quick.rows("SELECT FROM notice.notification WHERE reason LIKE 'smtp%'")
        return bool(rows)

    await until(is_refused, "the mail was refused once", 40)
    quick.misbehave()
    await until(lambda: len(quick.mails("ana@clock.example")) == 1, "it is tried again", 40)


async def test_a_notifier_that_slept_on_the_way_to_a_mail_leaves_it_to_who_has_it_now(
    quick: Stack,
) -> None:
    quick.environment["ROLLCALL_NOTIFIER_LEASE_S"] = "2"
    organisation = await quick.organisation()
    await quick.start("ingress")
    await quick.start("provisioner")
    sleeper = await quick.start("notifier", ROLLCALL_FAULT="notifier.before_send:1:stop")
    names = [f"sleep{number}@clock.example" for number in range(6)]
    async with quick.client(organisation) as client:
        for name in names:
            assert (await client.create_user(name)).status == 201

        def sleeps() -> bool:
            status = Path(f"/proc/{sleeper.pid}/status").read_text(encoding="ascii")
            return "State:\tT" in status

        await until(sleeps, "it sleeps", 40)
        await quick.start("notifier")

        async def is_settled() -> bool:
            due = await quick.rows("SELECT FROM notice.notification WHERE state = 'due'")
            return not due

        await until(is_settled, "the other has sent all", 60)
        sleeper.resume()
        assert (await client.create_user("last@clock.example")).status == 201

    await until(lambda: len(quick.mails("last@clock.example")) == 1, "the last mail", 40)
    copies = Counter(mail["X-RcptTo"] for mail in quick.mails())
    assert copies == dict.fromkeys([*names, "last@clock.example"], 1)


@pytest.fixture
async def on_a_mortal_broker(
    tmp_path: Path, native_kafka: KafkaBroker, database: TestDatabase
) -> AsyncIterator[Stack]:
    prefix = f"t{uuid.uuid4().hex[:12]}"
    async with running(tmp_path, native_kafka.bootstrap, prefix, database.url) as made:
        made.environment["ROLLCALL_INGRESS_REPLY_BUDGET_S"] = "1"
        made.environment["ROLLCALL_INGRESS_ACCEPT_S"] = "2"
        made.environment["ROLLCALL_INGRESS_ACKNOWLEDGE_S"] = "3"
        yield made


async def test_ahead_of_a_frozen_broker_a_503_does_not_count_when_it_thaws(
    on_a_mortal_broker: Stack, native_kafka: KafkaBroker
) -> None:
    """By its own clock ingress would have given the broker a minute more than it said."""
    stack = on_a_mortal_broker
    organisation = await stack.organisation()
    await stack.start("ingress", ROLLCALL_CLOCK_OFFSET_S=MINUTE)
    await stack.start("provisioner")

    async with stack.client(organisation) as client:
        before = await client.create_user("before@crash.example")
        await asyncio.to_thread(native_kafka.pause)
        try:
            frozen = await client.create_user("frozen@crash.example")
        finally:
            await asyncio.to_thread(native_kafka.resume)

        async def is_accepted() -> bool:
            return (await client.create_user("after@crash.example")).status in (201, 409)

        await until(is_accepted, "writes are accepted again", 40)
    await until(lambda: applied(stack, organisation), "the log is applied", 40)

    assert (before.status, frozen.status) == (201, 503)
    assert await stored(stack) == {"before@crash.example", "after@crash.example"}
