"""Write paths over fakes of what stands at their edges. No test in here."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from rollcall.events.request import Request
from rollcall.kafka.producer import Acknowledged
from rollcall.kafka.topic_reader import TopicReader
from rollcall.runtime.clock import now_ms
from rollcall.tail.replica import Replica
from rollcall_ingress.behind.is_behind import IsBehind
from rollcall_ingress.behind.own_writes import OwnWrites
from rollcall_ingress.write.await_reply import Breakers, Waiting
from rollcall_ingress.write.broker_clock import BrokerClock
from rollcall_ingress.write.decide import Decisions
from rollcall_ingress.write.hearing import LAST_RESORT_S, Hearing
from rollcall_ingress.write.publish import Publisher
from rollcall_ingress.write.submitted import Budgets
from rollcall_ingress.write.under_way import UnderWay
from rollcall_ingress.write.write_path import WritePath
from tests.support import builders
from tests.support.builders import an_id
from tests.unit.ingress.tenants import a_directory, an_organisation
from tests.unit.ingress.write.foretelling import FakeReplica


def a_request(number: int = 1) -> Request:
    return builders.a_request("member.delete", an_id(2), number)


@dataclass(slots=True)
class Replies:
    """A reply reader that reads partition 5, positioned."""

    partition: int | None = 5
    positioned: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class FakeHearing:
    """What can be read and noted; `at_end` is called when all is to be read."""

    is_read: bool = True
    can_note: bool = True
    is_read_later: bool = False
    at_end: Callable[[], None] = lambda: None
    asked: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    async def read_until(self, until_ms: int, timeout_s: float) -> bool:
        self.asked.append(until_ms)
        self.at_end()
        return self.is_read or (self.is_read_later and timeout_s == LAST_RESORT_S)

    async def noted(self, request_id: str) -> bool:
        if self.can_note:
            self.notes.append(request_id)
        return self.can_note


@dataclass(slots=True)
class FakePublisher:
    """Accepts all, after `act` has been told."""

    act: Callable[[Request], None] = lambda request: None
    published: list[tuple[Request, int]] = field(default_factory=list)

    async def publish(self, request: Request, partition: int) -> Acknowledged:
        self.act(request)
        self.published.append((request, partition))
        return Acknowledged(partition, len(self.published) - 1, now_ms())


def a_path(
    publisher: FakePublisher,
    waiting: Waiting,
    *,
    reply_s: float = 0.05,
    accept_s: float = 10,
    clock: Callable[[], float] = lambda: 0.0,
    hearing: FakeHearing | None = None,
    replica: FakeReplica | None = None,
) -> tuple[WritePath, Breakers]:
    reader = Replies()
    reader.positioned.set()
    directory, replies = a_directory(an_organisation()), cast(TopicReader, reader)
    breakers = Breakers(long_queue=100, clock=clock)
    read = cast(Replica, replica or FakeReplica())
    own = OwnWrites(read.applied)
    is_behind = IsBehind(directory, own, breakers, replies, reply_s)
    path = WritePath(
        directory,
        cast(Publisher, publisher),
        waiting,
        breakers,
        replies,
        UnderWay(own, is_behind, read),
        Budgets(accept_s=accept_s, reply_s=reply_s),
        BrokerClock(),
        cast(Hearing, hearing or FakeHearing()),
        Decisions(read, clock),
    )
    return path, breakers
