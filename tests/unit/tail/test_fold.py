"""A replica's fold gives the provisioner's replies, wherever the log is cut and whatever is loaded
in between."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rollcall.applying.dead_letters import SourceLog
from rollcall.applying.understand import Entry, understand
from rollcall.directory.fold import Folded, fold_batch
from rollcall.directory.quarantine import Quarantine
from rollcall.directory.state import State
from rollcall.events.bodies import Incomplete
from rollcall.events.envelope import from_milliseconds
from rollcall.events.reply import Reply
from rollcall.events.request import Request, to_event
from rollcall.postgres.tail_read import Read, Wanted
from rollcall.tail import lookup
from rollcall.tail.fold import OrganisationFold, Verdict
from rollcall.tail.held import GroundMoved
from rollcall.tail.lookup import Found
from tests.support.builders import ORGANISATION
from tests.support.samples import directory_store
from tests.support.samples.lookups import a_conversation, expected, targets
from tests.support.samples.records import FakeRecord, a_record

PARTITION = 3
APPENDED_MS = 1_790_000_000_000


class Log:
    """The log of one organisation, and what a provisioner makes of it."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self.requests = requests
        self.entries = list(
            understand([_record(n, each) for n, each in enumerate(requests)]).entries
        )

    def applied(self, upto: int) -> tuple[State, list[Folded]]:
        state = State(ORGANISATION)
        batch = [(each, from_milliseconds(APPENDED_MS)) for each in self.requests[:upto]]
        return state, fold_batch({ORGANISATION: state}, batch)

    def read(self, applied: int, wanted: Wanted, epoch: int = 0) -> Read:
        """What Postgres returns while everything below `applied` is applied."""
        whole, _ = self.applied(applied)
        found = directory_store.read(whole, wanted)
        found.state.quarantines = {
            key: Quarantine(each.dead_id, cause=each.cause)
            for key, each in whole.quarantines.items()
        }
        ids = {each.id for each in self.requests[:applied]} & wanted.event_ids
        return Read(found.state, epoch, applied, None, found.displays, ids)


def _record(offset: int, request: Request) -> FakeRecord:
    asking = replace(request, reply_to=1, answer_by_ms=APPENDED_MS)
    return a_record(offset, to_event(asking), key=ORGANISATION, timestamp=APPENDED_MS)


def advance(
    fold: OrganisationFold, log: Log, entries: Sequence[Entry], applied: Sequence[int]
) -> list[Verdict]:
    """Fold the entries as the driver does; `applied`: how far it is at each load."""
    at = 0
    while True:
        entries = [each for each in entries if each.record.offset >= fold.position]
        wanted = fold.wanted(entries)
        read = log.read(applied[min(at, len(applied) - 1)], wanted)
        at += 1
        if fold.take(read, wanted) and fold.is_loaded(entries):
            return fold.fold(entries, read.applied_ids)


def with_poison(requests: list[Request], chance: random.Random) -> list[Request]:
    """Some of them raise when they are decided: their resources go into quarantine."""
    return [
        replace(each, body=Incomplete(is_create=each.kind.endswith("create")), precondition=None)
        if chance.random() < 0.1 and not each.kind.endswith(("delete", "accept"))
        else each
        for each in requests
    ]


@settings(max_examples=200, deadline=None)
@example(seed=1, length=60, cuts=7, poisoned=True)
@example(seed=72, length=70, cuts=7956206, poisoned=True)  # a group has whom a dead create makes
@given(
    seed=st.integers(0, 1 << 32),
    length=st.integers(1, 80),
    cuts=st.integers(0, 1 << 32),
    poisoned=st.booleans(),
)
def test_a_replica_s_replies_are_the_provisioner_s(
    seed: int, length: int, cuts: int, poisoned: bool
) -> None:
    """At every offset that it folds, whatever was applied at each of its loads."""
    chance = random.Random(cuts)
    requests = a_conversation(seed, length)
    log = Log(with_poison(requests, chance) if poisoned else requests)
    _, decided = log.applied(length)
    fold = OrganisationFold(ORGANISATION, SourceLog("requests", PARTITION))
    applied, end, pace = chance.randint(0, length // 2), 0, chance.choice((0.02, 0.1, 0.5))
    seen: set[int] = set()
    while end < length:
        end = min(length, max(end, fold.position) + chance.randint(1, 6))
        steps = [applied]
        while chance.random() < pace:
            steps.append(min(length, steps[-1] + chance.randint(0, 6)))
        applied = steps[-1]
        for verdict in advance(fold, log, log.entries[:end], steps):
            _assert_same(verdict.reply, decided[verdict.offset])
            seen.add(verdict.offset)
        assert fold.position >= end
        assert seen >= set(range(fold.begin, fold.position))


def test_a_read_from_before_the_fold_began_covers_nothing_and_moves_nothing() -> None:
    log = Log(a_conversation(1, 20))
    fold = OrganisationFold(ORGANISATION, SourceLog("requests", PARTITION))
    advance(fold, log, log.entries, [10])
    old = log.read(9, fold.wanted([]))

    assert (fold.begin, fold.position) == (10, 20)
    assert not fold.covers(old)
    with pytest.raises(GroundMoved):
        fold.take(old, fold.wanted([]))
    for other in (replace(old, next_offset=15, epoch=1), replace(old, next_offset=15, directory=7)):
        assert not fold.covers(other)
        with pytest.raises(GroundMoved):
            fold.take(other, fold.wanted([]))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32), length=st.integers(1, 60), cuts=st.integers(0, 1 << 32))
def test_a_look_up_is_what_the_whole_log_leads_to(seed: int, length: int, cuts: int) -> None:
    """Whatever is held, and however far Postgres is when it is asked."""
    chance = random.Random(cuts)
    log = Log(a_conversation(seed, length))
    whole, _ = log.applied(length)
    fold = OrganisationFold(ORGANISATION, SourceLog("requests", PARTITION))
    applied = chance.randint(0, length - 1)
    while fold.position < length:
        end = min(length, fold.position + chance.randint(1, 20))
        advance(fold, log, list(log.entries[:end]), [applied])

    for target in targets():
        found: Found | None = None
        to_show = frozenset[str]()
        while found is None or found.without_display - to_show:
            to_show |= frozenset() if found is None else found.without_display
            wanted = lookup.wanted(fold.held, target, to_show)
            read = log.read(chance.randint(applied, length), wanted)
            assert fold.covers(read)
            found = lookup.find(fold.held, read, target)
        assert found.resources == expected(whole, target), target


def _assert_same(reply: Reply, decided: Folded) -> None:
    if decided.error is not None:
        assert reply.status == 500
    else:
        assert reply == decided.reply
