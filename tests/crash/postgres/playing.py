"""A fault of Postgres under load, and all that must hold after it. No test in here."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.crash.model import Judged, Load, judge, under_load
from tests.support.load import everything_is_announced
from tests.support.postgres_faults import (
    MortalPostgres,
    assignments,
    lines,
    members,
    metric,
)
from tests.support.scim_client import Client
from tests.support.stack import Organisation, Stack, until

READ_WITHIN_S = 6.0
"""A read's bounds in a row: its turn (2 s), a connection (2 s), and what two cores add."""
COMPLAINTS = ("never retrieved", "was destroyed", "never awaited", "Traceback")


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
