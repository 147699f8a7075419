"""The cost of an organisation's tail: microseconds a record, and a look-up with 10,000 pending.

    python -m benchmarks.tail

CPU time of one core, without Kafka and Postgres: what a replica of ingress adds to its statements.
The tail is folded once, by whoever asks first; a later record is folded when it comes.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from rollcall.applying.dead_letters import SourceLog
from rollcall.applying.understand import Entry, understand
from rollcall.directory.state import State
from rollcall.events.request import MemberDelta, Request, to_event
from rollcall.kafka.feed import size_bytes
from rollcall.postgres.tail_read import Read, Wanted
from rollcall.tail import lookup
from rollcall.tail.fold import OrganisationFold
from rollcall.tail.lookup import Target
from rollcall.tail.names import PendingNames
from rollcall.tail.replica import AT_ONCE
from tests.support.builders import ORGANISATION, a_request, an_id, create
from tests.support.samples.records import FakeRecord, a_record

REQUESTS: Final = 10_000
GROUP: Final = an_id(900_000)
PATCHES: Final = 8_000
LOOK_UPS: Final = 200
NOTHING: Final = frozenset[str]()


def main() -> None:
    """Print one line per figure."""
    people = [create(n, f"user-{n}@example.org", externalId=f"e-{n}") for n in range(REQUESTS)]
    crew = a_request("group.create", GROUP, 900_001, resource={"displayName": "Crew"})
    joins = [
        a_request("group.patch", GROUP, 900_002 + n, members=MemberDelta(add=(an_id(n),)))
        for n in range(PATCHES)
    ]
    records = [record_of(n, each) for n, each in enumerate([*people, crew, *joins])]

    began_s = time.process_time()
    entries = understand(records).entries
    tell("understand a record", (time.process_time() - began_s) / len(records))
    fold = OrganisationFold(ORGANISATION, SourceLog("requests", 3))
    began_s = time.process_time()
    advance(fold, entries[:REQUESTS])
    tell("fold a create", (time.process_time() - began_s) / REQUESTS)
    began_s = time.process_time()
    advance(fold, entries[REQUESTS:])
    tell("fold a PATCH of one group", (time.process_time() - began_s) / PATCHES)
    held_bytes = sum(size_bytes(each) for each in records[:REQUESTS]) // REQUESTS
    print(f"{'bytes of a pending create':<52}{held_bytes:>10}")

    for what, target in (
        ("User by id, with groups", Target(ORGANISATION, "Users", "id", of(an_id(77)), True)),
        ("User by id, without groups", Target(ORGANISATION, "Users", "id", of(an_id(77)))),
        ("User by userName", Target(ORGANISATION, "Users", "userName", of("user-77@example.org"))),
        ("User by userName, a miss", Target(ORGANISATION, "Users", "userName", of("nobody"))),
        ("Group of 8,000 pending PATCHes", Target(ORGANISATION, "Groups", "id", of(GROUP))),
    ):
        tell(f"look up a {what}", timed(partial(look_up, fold, target), LOOK_UPS))
    whole = Target(ORGANISATION, "Groups", "id", of(GROUP), True)
    tell("the same with its 8,000 members", timed(partial(look_up, fold, whole), 10))
    names = PendingNames(0, 0, 0)
    began_s = time.process_time()
    names.take(records[:REQUESTS], REQUESTS)
    tell("note a pending userName", (time.process_time() - began_s) / REQUESTS)
    tell("ask for a pending userName", timed(lambda: names.has("user-77@example.org"), 10_000))


def of(key: str) -> frozenset[str]:
    """One key."""
    return frozenset({key})


def record_of(offset: int, request: Request) -> FakeRecord:
    """The record of a request."""
    return a_record(offset, to_event(request), key=ORGANISATION)


def read(_: Wanted) -> Read:
    """An empty directory, with no request applied."""
    return Read(State(ORGANISATION), 0, 0, None, {}, set())


def advance(fold: OrganisationFold, entries: Sequence[Entry]) -> None:
    """Fold all, in batches as a replica does."""
    for begin in range(0, len(entries), AT_ONCE):
        batch = entries[begin : begin + AT_ONCE]
        while not (fold.held is not None and fold.is_loaded(batch)):
            wanted = fold.wanted(batch)
            fold.take(read(wanted), wanted)
        fold.fold(batch, set())


def look_up(fold: OrganisationFold, target: Target) -> None:
    """A look-up in what is folded."""
    wanted = lookup.wanted(fold.held, target, NOTHING)
    lookup.find(fold.held, read(wanted), target)


def timed(work: Callable[[], object], times: int) -> float:
    """Seconds of one call, the mean of `times`."""
    began_s = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began_s) / times


def tell(what: str, seconds: float) -> None:
    """One line: what, microseconds."""
    print(f"{what:<52}{seconds * 1e6:>10.1f} µs")


if __name__ == "__main__":
    main()
