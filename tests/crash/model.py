"""A load on one organisation, and the model that its answers are held against. No test in here.

Each operation carries a token of its own (a userName, a title), which is looked for in the raw
records of the requests topic. So the model needs nothing of what it judges: it has what clients
were answered and when, what stands on the log with which append time, and what the audit table
says was applied. What must hold, `judge` says in order.
"""

import asyncio
import itertools
import os
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import aiohttp
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.support.load import applied
from tests.support.scim_client import Answer, Client
from tests.support.stack import Organisation, Stack, until

NO_ANSWER = 0
TOKEN = re.compile(rb"[cp][0-9]+x[0-9]+@model\.example")
ACKNOWLEDGE_S = 12.0
"""How long ingress awaits an acknowledgement (its default)."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What one client knows of one operation. Times are of this process's monotonic clock."""

    token: str
    sent_s: float
    answered_s: float
    status: int
    resource_id: str | None
    retry_after: str | None

    @property
    def is_accepted(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Written:
    """One record of the organisation's partition."""

    offset: int
    append_ms: int
    accept_by_ms: int
    id: str
    token: str

    @property
    def is_in_time(self) -> bool:
        return self.append_ms <= self.accept_by_ms


@dataclass(slots=True)
class Load:
    """Clients that write and read until told to stop, and everything that they were told."""

    client: Client
    writers: int
    pause_s: float
    operations: list[Operation] = field(default_factory=list)
    reads: list[tuple[int, float]] = field(default_factory=list)
    """Status and seconds of each read."""
    witness: str = ""
    """The member whose title one client sets again and again: the cheap witness of order."""
    is_stopping: bool = False

    @property
    def accepted(self) -> list[Operation]:
        return [each for each in self.operations if each.is_accepted]

    @property
    def statuses(self) -> dict[int, int]:
        return dict(Counter(each.status for each in self.operations))

    def slowest_s(self) -> float:
        """The longest time that an accepted operation took."""
        return max(each.answered_s - each.sent_s for each in self.accepted)

    def silence_s(self) -> float:
        """The longest time in which no operation was accepted."""
        moments = sorted(each.answered_s for each in self.accepted)
        gaps = (later - earlier for earlier, later in itertools.pairwise(moments))
        return max(gaps, default=0.0)

    def seen(self) -> str:
        """What clients saw, for a test's figures."""
        return (
            f"clients without a yes for {self.silence_s():.2f} s, "
            f"slowest yes {self.slowest_s():.2f} s, load average {os.getloadavg()[0]:.1f}"
        )

    async def write(self, writer: int) -> None:
        """Create one member after another."""
        number = 0
        while not self.is_stopping:
            number += 1
            token = f"c{writer}x{number}@model.example"
            await self._note(token, self.client.create_user(token))

    async def write_once(self, token: str) -> None:
        """Create one more member, beside the writers."""
        await self._note(token, self.client.create_user(token))

    async def retitle(self) -> None:
        """Set the title of one member again and again, each after the answer to the last."""
        number = 0
        while not self.is_stopping:
            number += 1
            token = f"p0x{number}@model.example"
            operation = {"op": "replace", "path": "title", "value": token}
            await self._note(token, self.client.patch(f"/Users/{self.witness}", operation))

    async def read(self) -> None:
        """Read the witness, by id and by a filter in turn."""
        paths = [f"/Users/{self.witness}", '/Users?filter=userName eq "p0x0@model.example"']
        number = 0
        while not self.is_stopping:
            number += 1
            began_s = time.monotonic()
            answer = await self.client.call("GET", paths[number % 2])
            self.reads.append((answer.status, time.monotonic() - began_s))
            await asyncio.sleep(0.1)  # the pace of a reader, not a wait for something

    async def _note(self, token: str, call: Awaitable[Answer]) -> None:
        sent_s = time.monotonic()
        try:
            answer = await call
        except (aiohttp.ClientError, TimeoutError):
            noted = Operation(token, sent_s, time.monotonic(), NO_ANSWER, None, None)
        else:
            resource_id = (answer.body or {}).get("id") if answer.status == 201 else None
            noted = Operation(
                token,
                sent_s,
                time.monotonic(),
                answer.status,
                resource_id,
                answer.headers.get("Retry-After"),
            )
        self.operations.append(noted)
        await asyncio.sleep(self.pause_s if noted.is_accepted else max(self.pause_s, 0.2))


@asynccontextmanager
async def under_load(
    stack: Stack, organisation: Organisation, *, writers: int = 10, pause_s: float = 0.03
) -> AsyncIterator[Load]:
    """Clients at work while the block runs; each finishes what it has sent before this ends."""
    async with stack.client(organisation) as client:
        load = Load(client, writers, pause_s)
        first = await client.create_user("p0x0@model.example")
        assert first.status == 201, first
        load.witness = first.body["id"]
        async with asyncio.TaskGroup() as group:
            for writer in range(1, writers + 1):
                group.create_task(load.write(writer))
            group.create_task(load.retitle())
            group.create_task(load.read())
            try:
                await until(lambda: len(load.accepted) > 100, "the load is under way")
                yield load
            finally:
                load.is_stopping = True


async def accepted_again(load: Load, timeout_s: float = 60.0) -> float:
    """Wait until a hundred operations are accepted that are sent from now on.

    Returns the seconds until the first of them was answered.
    """
    began_s = time.monotonic()

    def is_accepted() -> bool:
        return sum(each.sent_s > began_s for each in load.accepted[-200:]) > 100

    await until(is_accepted, "writes are accepted again", timeout_s)
    return min(each.answered_s for each in load.accepted if each.sent_s > began_s) - began_s


async def written(stack: Stack, organisation: Organisation) -> list[Written]:
    """The records of the organisation's partition that carry a token, in order."""
    place = TopicPartition(stack.topics.requests, organisation.partition)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=stack.bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    found: list[Written] = []
    try:
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        while await consumer.position(place) < end:
            for record in (await consumer.getmany(place, timeout_ms=500)).get(place, ()):
                headers = {name: raw.decode() for name, raw in record.headers}
                token = TOKEN.search(record.value)
                if token is not None and record.key == organisation.id.encode():
                    found.append(
                        Written(
                            record.offset,
                            record.timestamp,
                            int(headers["ce_acceptby"]),
                            headers["ce_id"],
                            token[0].decode(),
                        )
                    )
    finally:
        await consumer.stop()
    return found


@dataclass(frozen=True, slots=True)
class Judged:
    """Figures of a run whose model holds."""

    accepted: int
    refused: int
    unanswered: int
    expired: int
    lost_acknowledgements: int
    """Refused, because no acknowledgement came in 12 s, and applied: the one thing left open."""
    doubled: int
    """Records beyond the first of an id on the log."""
    log_silence_s: float

    def __str__(self) -> str:
        return (
            f"accepted {self.accepted}, refused {self.refused}, unanswered {self.unanswered}, "
            f"expired {self.expired}, lost acknowledgements {self.lost_acknowledgements}, "
            f"doubled on the log {self.doubled}, silence on the log {self.log_silence_s:.2f} s"
        )


EXPECTED_PER_S: Final = 300
"""Changes that even a machine with other work to do applies in a second, after an outage."""


async def judge(stack: Stack, organisation: Organisation, load: Load) -> Judged:
    """Wait until the log is applied and hold everything against it. Fails where it differs."""
    timeout_s = 60 + len(load.operations) / EXPECTED_PER_S
    await until(lambda: applied(stack, organisation), "the log is applied", timeout_s)
    log = await written(stack, organisation)
    in_time: dict[str, Written] = {}
    for record in log:
        if record.is_in_time:
            in_time.setdefault(record.token, record)
    _assert_answers_agree(load, log, in_time)
    await _assert_applied(stack, organisation, log)
    await _assert_directory(stack, organisation, load, in_time)
    _assert_order(load, in_time)
    lost = [each for each in load.operations if each.status == 503 and each.token in in_time]
    ids = Counter(record.id for record in log)
    appended = [record.append_ms for record in log if record.is_in_time]
    return Judged(
        accepted=len(load.accepted),
        refused=load.statuses.get(503, 0),
        unanswered=load.statuses.get(NO_ANSWER, 0),
        expired=sum(not record.is_in_time for record in log),
        lost_acknowledgements=len(lost),
        doubled=sum(count - 1 for count in ids.values()),
        log_silence_s=max(
            (later - earlier for earlier, later in itertools.pairwise(appended)),
            default=0,
        )
        / 1000,
    )


def _assert_answers_agree(load: Load, log: Sequence[Written], in_time: dict[str, Written]) -> None:
    """A 2xx stands on the log in time under one id; a 503 does not, if its answer could be told."""
    assert set(load.statuses) <= {200, 201, 204, 503, NO_ANSWER}, load.statuses
    lost = [each.token for each in load.accepted if each.token not in in_time]
    assert not lost, f"{len(lost)} of {len(load.accepted)} accepted are not there: {lost[:3]}"
    ids: dict[str, set[str]] = {}
    for record in log:
        ids.setdefault(record.token, set()).add(record.id)
    assert all(len(of_one) == 1 for of_one in ids.values()), "one operation, two requests"
    wrong = [
        each
        for each in load.operations
        if each.status == 503
        and each.token in in_time
        and each.answered_s - each.sent_s < ACKNOWLEDGE_S - 0.5
    ]
    assert not wrong, (
        f"{len(wrong)} were refused although the acknowledgement said yes: {wrong[:3]}"
    )
    refused = [each for each in load.operations if each.status == 503]
    assert all(each.retry_after for each in refused), "a 503 without Retry-After"


async def _assert_applied(stack: Stack, organisation: Organisation, log: Sequence[Written]) -> None:
    """The audit has exactly the ids that were appended in time, in the order of the log."""
    rows = await stack.rows(
        'SELECT id::text FROM audit.event WHERE organisation_id = $1::uuid ORDER BY "offset"',
        organisation.id,
    )
    audited = [row["id"] for row in rows]
    first_in_time = list(dict.fromkeys(record.id for record in log if record.is_in_time))
    late = {record.id for record in log} - set(first_in_time)
    assert not late & set(audited), "what was refused as late was applied"
    assert audited == first_in_time


async def _assert_directory(
    stack: Stack, organisation: Organisation, load: Load, in_time: dict[str, Written]
) -> None:
    """Members: one for each create in time, under the id that was answered; the last title won."""
    rows = await stack.rows(
        "SELECT id::text, document ->> 'userName' AS name, document ->> 'title' AS title "
        "FROM directory.member WHERE organisation_id = $1::uuid",
        organisation.id,
    )
    stored = {row["name"]: row["id"] for row in rows}
    assert len(stored) == len(rows), "a name is there twice"
    created = {token for token in in_time if token.startswith("c")} | {"p0x0@model.example"}
    assert set(stored) == created
    answered = {each.token: each.resource_id for each in load.accepted if each.resource_id}
    assert all(stored[token] == id_ for token, id_ in answered.items()), "under another id"
    titles = [token for token in in_time if token.startswith("p") and token != "p0x0@model.example"]
    [title] = [row["title"] for row in rows if row["id"] == load.witness]
    assert title == (titles[-1] if titles else None)


def _assert_order(load: Load, in_time: dict[str, Written]) -> None:
    """What was sent after an answer comes after what was answered, over all clients."""
    placed = sorted((in_time[each.token].offset, each) for each in load.accepted)
    earliest_answer_s = float("inf")
    for offset, operation in reversed(placed):
        assert earliest_answer_s >= operation.sent_s, (
            f"offset {offset} was sent after a later offset had been answered"
        )
        earliest_answer_s = min(earliest_answer_s, operation.answered_s)
    titles = [int(token[3:].split("@")[0]) for token in in_time if token.startswith("p0x")]
    assert titles == sorted(titles), "one client's changes are out of order"
