"""Postgres dies, freezes, is slow, full, taken, or loses its last commits: writes go on, reads 503.

Architecture §8, "Postgres, an hour" and "Postgres fails over, last commits lost". `make test` plays
some seconds of each, `make test-long` the rest (tests/long/test_postgres_long.py).
"""

import asyncio
import json
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.crash.model import Judged, Load, judge, under_load
from tests.crash.test_provisioner import everything_is_announced
from tests.support.databases import create_database
from tests.support.postgres_faults import (
    MortalPostgres,
    assignments,
    lines,
    members,
    metric,
    mortal_postgres,
)
from tests.support.servers import KafkaServer
from tests.support.stack import Client, Organisation, Stack, running, until

READ_WITHIN_S = 6.0
"""A read's bounds in a row: its turn (2 s), a connection (2 s), and what two cores add."""
COMPLAINTS = ("never retrieved", "was destroyed", "never awaited", "Traceback")


@pytest.fixture(scope="module")
def mortal() -> Iterator[MortalPostgres]:
    with mortal_postgres() as server:
        yield server


@pytest.fixture
async def mortal_stack(
    tmp_path: Path, kafka_server: KafkaServer, mortal: MortalPostgres
) -> AsyncIterator[Stack]:
    """A deployment on a Postgres that only this module uses, with one process of each service."""
    mortal.database = await create_database(mortal.shared)
    prefix = f"t{uuid.uuid4().hex[:12]}"
    async with running(tmp_path, kafka_server.bootstrap, prefix, mortal.url) as made:
        made.environment["ROLLCALL_INGRESS_REPLY_BUDGET_S"] = "1"
        await made.start_all()
        yield made


@dataclass(slots=True)
class Reads:
    """What readers were answered: status, seconds, whether it says when to come back."""

    answers: list[tuple[int, float, bool]] = field(default_factory=list)

    async def one(self, client: Client, path: str) -> int:
        began_s = time.monotonic()
        answer = await client.call("GET", path)
        took_s = time.monotonic() - began_s
        self.answers.append((answer.status, took_s, "Retry-After" in answer.headers))
        return answer.status

    async def go_on(self, client: Client, load: Load, seconds: float, readers: int = 6) -> None:
        """More readers than one organisation has connections, by id and by filter in turn."""
        until_s = time.monotonic() + seconds
        paths = [f"/Users/{load.witness}", '/Users?filter=userName eq "p0x0@model.example"']

        async def read(number: int) -> None:
            while time.monotonic() < until_s:
                await self.one(client, paths[number % 2])
                await asyncio.sleep(0.1)  # the pace of a reader

        await asyncio.gather(*(read(number) for number in range(readers)))

    @property
    def slowest_s(self) -> float:
        return max(took_s for _, took_s, _ in self.answers)

    @property
    def statuses(self) -> dict[int, int]:
        return dict(Counter(status for status, _, _ in self.answers))


@dataclass(frozen=True, slots=True)
class Played:
    """What a fault did, once everything is well again."""

    judged: Judged
    reads: Reads
    load: Load
    well_after_s: float

    def __str__(self) -> str:
        return (
            f"{self.judged}; reads {self.reads.statuses}, slowest {self.reads.slowest_s:.1f} s; "
            f"applied, and read again, {self.well_after_s:.1f} s after the end"
        )


async def play(
    stack: Stack,
    postgres: MortalPostgres,
    begin: Callable[[], Awaitable[None]],
    end: Callable[[], Awaitable[None]],
    seconds: float,
    *,
    copies_of_mails: bool = False,
    pause_s: float = 0.05,
) -> Played:
    """Let a fault happen under load and hold everything that must be kept against what is."""
    organisation = await stack.organisation()
    [provisioner], [notifier] = stack.running("provisioner"), stack.running("notifier")
    groups = [f"{stack.prefix}.provisioner", f"{stack.prefix}-notifier"]
    reads = Reads()

    async with under_load(stack, organisation, writers=4, pause_s=pause_s) as load:
        members_before = await members(stack, groups)
        assigned_before = assignments(provisioner), assignments(notifier)
        await begin()
        async with stack.client(organisation) as client:
            await reads.go_on(client, load, seconds)
            await end()
            ended_s = time.monotonic()
            await until(lambda: is_read(client, load), "reads are answered again", 30)
    judged = await judge(stack, organisation, load)
    await until(lambda: has_no_lag(stack), "the lag is 0 again", 20)
    played = Played(judged, reads, load, time.monotonic() - ended_s)

    assert load.statuses.keys() <= {200, 201, 204}, f"a write failed: {load.statuses}"
    members_after = await members(stack, groups)
    for process in (provisioner, notifier):
        assert process.is_running(), process.explain()
    assert members_after == members_before, f"put out of its group: {notifier.explain()}"
    assert (assignments(provisioner), assignments(notifier)) == assigned_before, "a rebalance"
    assert all(again for status, _, again in reads.answers if status == 503), "no Retry-After"
    await until(lambda: everything_is_announced(stack), "every outcome is announced", 30)
    await assert_mails(stack, organisation, copies_of_mails=copies_of_mails)
    await assert_nothing_is_left(stack, postgres)
    return played


async def is_read(client: Client, load: Load) -> bool:
    return (await client.call("GET", f"/Users/{load.witness}")).status == 200


async def has_no_lag(stack: Stack) -> bool:
    [provisioner] = stack.running("provisioner")
    return await metric(provisioner, "rollcall_provisioner_lag_records") == 0


async def assert_mails(stack: Stack, organisation: Organisation, *, copies_of_mails: bool) -> None:
    """Each member got one invitation; copies, where they are allowed, are the same mail."""
    rows = await stack.rows(
        "SELECT document ->> 'userName' AS name FROM directory.member WHERE organisation_id = $1",
        organisation.id,
    )
    wanted = {row["name"] for row in rows}

    async def is_settled() -> bool:
        [row] = await stack.rows("SELECT count(*) AS n FROM notice.notification WHERE state='due'")
        return row["n"] == 0 and {mail["X-RcptTo"] for mail in stack.mails()} >= wanted

    await until(is_settled, "every invitation has arrived", 90)
    ids: dict[str, list[str]] = {}
    for mail in stack.mails():
        ids.setdefault(mail["X-RcptTo"], []).append(mail["Message-ID"])
    assert ids.keys() == wanted
    assert all(len(set(of_one)) == 1 for of_one in ids.values()), "two invitations for one"
    copies = {name: len(of_one) for name, of_one in ids.items() if len(of_one) > 1}
    assert copies_of_mails or not copies, f"mails came more than once: {copies}"


async def assert_nothing_is_left(stack: Stack, postgres: MortalPostgres) -> None:
    """No session stays in a transaction, no task is forgotten, every process drains."""
    assert await postgres.left_behind() == []
    for process in (process for process in stack.processes if process.is_running()):
        assert await asyncio.to_thread(process.terminate) == 0, process.explain()
        log = process.log.read_text(errors="replace")
        assert not [word for word in COMPLAINTS if word in log], process.explain()
        failed = [line for line in lines(process) if "runbook" in line]
        assert not failed, json.dumps(failed[:3], indent=1)


@pytest.mark.timeout(180)
async def test_postgres_killed_costs_reads_and_no_write(
    mortal_stack: Stack, mortal: MortalPostgres
) -> None:
    played = await play(mortal_stack, mortal, mortal.kill, mortal.start, 5)

    print(f"\nkilled for 5 s: {played}")
    assert played.reads.statuses.keys() == {503}
    assert played.reads.slowest_s < READ_WITHIN_S


@pytest.mark.timeout(180)
async def test_postgres_frozen_costs_reads_and_no_write(
    mortal_stack: Stack, mortal: MortalPostgres
) -> None:
    """It accepts connections and answers nothing, which only our own time-outs end."""
    played = await play(mortal_stack, mortal, mortal.freeze, mortal.thaw, 10)

    print(f"\nfrozen for 10 s: {played}")
    assert played.reads.statuses.keys() == {503}
    assert played.reads.slowest_s < READ_WITHIN_S


@pytest.mark.long
@pytest.mark.timeout(180)
async def test_slow_commits_cost_waiting_and_nothing_else(
    mortal_stack: Stack, mortal: MortalPostgres
) -> None:
    """Each commit takes 500 ms; batches grow, and reads do not notice."""
    played = await play(mortal_stack, mortal, mortal.slow, mortal.fast, 8)

    print(f"\nslow for 8 s: {played}")
    assert played.reads.statuses.keys() == {200}


@pytest.mark.long
@pytest.mark.timeout(180)
async def test_a_full_disk_is_waited_for(mortal_stack: Stack, mortal: MortalPostgres) -> None:
    """Nothing can be written, everything can be read."""
    played = await play(mortal_stack, mortal, mortal.full, mortal.space, 5)

    print(f"\nfull for 5 s: {played}")
    assert played.reads.statuses.keys() == {200}


@pytest.mark.timeout(180)
async def test_without_a_free_connection_reads_are_503_and_writes_go_on(
    mortal_stack: Stack, mortal: MortalPostgres
) -> None:
    played = await play(mortal_stack, mortal, mortal.exhaust, mortal.give_back, 5)

    print(f"\nno connection for 5 s: {played}")
    assert played.reads.statuses.keys() == {503}
    assert played.reads.slowest_s < READ_WITHIN_S


@pytest.mark.timeout(180)
async def test_commits_lost_in_a_failover_are_applied_again_from_the_log(
    mortal_stack: Stack, mortal: MortalPostgres
) -> None:
    """Progress goes back together with what it says was applied, so nothing drifts.

    A mail that had left is forgotten with its row and leaves again, as the same mail.
    """
    applied_before = 0
    lost = 0

    async def position() -> int:
        query = "SELECT coalesce(sum(next_offset), 0)::bigint AS n FROM directory.progress"
        return int((await mortal.rows(query))[0]["n"])

    async def copy() -> None:
        nonlocal applied_before
        await mortal.copy()
        applied_before = await position()

    async def fail_over() -> None:
        nonlocal lost
        before = await position()
        await mortal.fail_over()
        lost = before - applied_before

    played = await play(mortal_stack, mortal, copy, fail_over, 3, copies_of_mails=True)

    print(f"\nfailed over, about {lost} applied events lost: {played}")
    assert lost > 50, "nothing was lost: the test proves nothing"
    headers = [
        each
        for each in await mortal_stack.headers(mortal_stack.topics.outcomes)
        if "ce_sequence" in each  # not that a mail left
    ]
    by_place: dict[tuple[str, str], set[str]] = {}
    for each in headers:
        place = each["ce_causationid"], each["ce_sequence"]
        by_place.setdefault(place, set()).add(each["ce_id"])
    assert all(len(ids) == 1 for ids in by_place.values()), "announced under two ids"
    assert len(headers) > len(by_place), "nothing was announced twice: nothing was lost"
