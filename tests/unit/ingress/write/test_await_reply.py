"""Waiters and breakers, with a clock that the test turns."""

from collections.abc import Iterable
from dataclasses import dataclass

from rollcall.events.envelope import encode
from rollcall.events.reply import Reply, Working, to_event, working_to_event
from rollcall.events.topics import MEBIBYTE
from rollcall.observability import metrics
from rollcall_ingress.write.await_reply import Breakers, Waiting
from tests.support.builders import MOMENT, an_id


@dataclass(frozen=True, slots=True)
class Record:
    value: bytes | None
    headers: Iterable[tuple[str, bytes]]
    offset: int = 0


@dataclass(slots=True)
class Clock:
    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


def a_record(reply: Reply) -> Record:
    headers, value = encode(to_event(reply, event_id=an_id(9), time=MOMENT))
    return Record(value, headers)


async def test_a_reply_completes_the_one_that_waits_for_it() -> None:
    waiting = Waiting()
    mine, other = waiting.register(an_id(1)), waiting.register(an_id(2))

    waiting.apply(a_record(Reply(an_id(1), 204, backlog=3)))

    assert mine.result() == Reply(an_id(1), 204, backlog=3)
    assert not other.done()


async def test_replies_to_others_late_ones_and_rubbish_harm_no_waiting_request() -> None:
    waiting = Waiting()
    mine = waiting.register(an_id(1))
    waiting.forget(an_id(1))
    waiting.forget(an_id(1))

    waiting.apply(a_record(Reply(an_id(1), 204)))
    waiting.apply(a_record(Reply(an_id(3), 204)))
    waiting.apply(Record(b"{", ()))
    waiting.apply(Record(None, ()))

    assert not mine.done()


async def test_a_repeated_reply_changes_nothing() -> None:
    waiting = Waiting()
    mine = waiting.register(an_id(1))

    waiting.apply(a_record(Reply(an_id(1), 204)))
    waiting.apply(a_record(Reply(an_id(1), 409)))

    assert mine.result().status == 204


def test_three_missed_budgets_open_the_breaker_of_that_partition_only() -> None:
    breakers = Breakers(long_queue=100, clock=Clock())

    for _ in range(3):
        assert breakers.may_wait(1)
        breakers.missed(1)

    assert not breakers.may_wait(1)
    assert breakers.may_wait(2)


def test_one_probe_a_second_waits_and_its_answer_closes_the_breaker() -> None:
    clock = Clock()
    breakers = Breakers(long_queue=100, clock=clock)
    for _ in range(3):
        breakers.missed(1)

    clock.now_s += 1.1
    probes = [breakers.may_wait(1) for _ in range(5)]
    breakers.answered(1, backlog=0)

    assert probes == [True, False, False, False, False]
    assert breakers.may_wait(1)
    assert not breakers.is_open(1)


def test_a_long_queue_opens_the_breaker_and_keeps_it_open() -> None:
    clock = Clock()
    breakers = Breakers(long_queue=100, clock=clock)

    breakers.answered(1, backlog=100)
    clock.now_s += 1.1
    probe = breakers.may_wait(1)
    breakers.answered(1, backlog=5000)

    assert probe
    assert breakers.is_open(1)
    assert not breakers.may_wait(1)


def test_missed_budgets_between_answers_do_not_add_up() -> None:
    breakers = Breakers(long_queue=100, clock=Clock())

    for _ in range(5):
        breakers.missed(1)
        breakers.missed(1)
        breakers.answered(1, backlog=1)

    assert not breakers.is_open(1)


def a_batch(partition: int, mebibytes: int) -> Record:
    working = Working(partition, 3, mebibytes * MEBIBYTE, an_id(1))
    headers, value = encode(working_to_event(working, event_id=an_id(9), time=MOMENT))
    return Record(value, headers)


def test_one_slow_batch_that_says_its_size_does_not_open_the_breaker() -> None:
    clock = Clock()
    breakers = Breakers(long_queue=100, clock=clock)
    waiting = Waiting(on_working=breakers.working)

    waiting.apply(a_batch(1, mebibytes=3))
    clock.now_s += 7.9
    for _ in range(50):
        breakers.missed(1)
        breakers.missed(2)

    assert not breakers.is_open(1)
    assert breakers.is_open(2)


def test_slow_batch_after_slow_batch_opens_it_and_so_does_one_that_never_ends() -> None:
    clock = Clock()
    breakers = Breakers(long_queue=100, clock=clock)
    waiting = Waiting(on_working=breakers.working)

    waiting.apply(a_batch(1, mebibytes=200))
    clock.now_s += 10.1
    waiting.apply(a_batch(1, mebibytes=200))
    for _ in range(3):
        breakers.missed(1)

    assert breakers.is_open(1)


def test_every_opening_is_counted_by_its_reason() -> None:
    reasons = ("missed budgets", "long queue")
    counters = [metrics.INGRESS_BREAKERS_OPENED.labels(reason) for reason in reasons]
    before = [counter._value.get() for counter in counters]
    breakers = Breakers(long_queue=100, clock=Clock())

    for _ in range(9):
        breakers.missed(1)
    breakers.answered(2, backlog=100)
    breakers.answered(2, backlog=100)

    assert [counter._value.get() for counter in counters] == [each + 1 for each in before]


async def test_replies_that_no_request_awaits_any_more_are_still_passed_on() -> None:
    """The overlay drops what is decided."""
    heard: list[str] = []
    waiting = Waiting(on_reply=lambda reply: heard.append(reply.request_id))

    waiting.apply(a_record(Reply(an_id(3), 204)))

    assert heard == [an_id(3)]


def test_an_unreadable_batch_of_replies_harms_no_waiting_request() -> None:
    heard: list[Working] = []
    waiting = Waiting(on_working=heard.append)
    record = a_batch(1, 3)

    waiting.apply(Record(b'{"partition": "x"}', record.headers))
    waiting.apply(Record(b"[]", record.headers))

    assert heard == []
