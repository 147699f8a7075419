"""A write is answered with its decision: the provisioner's reply, or what the log leads to."""

import asyncio
from dataclasses import replace
from typing import cast

import pytest
import structlog

from rollcall.events.precondition import Precondition
from rollcall.events.reply import Reply
from rollcall.events.request import Request
from rollcall.runtime.errors import Unavailable
from rollcall.scim.errors import ServiceUnavailable
from rollcall.tail.replica import Replica
from rollcall_ingress.write import decide, write_path
from rollcall_ingress.write.await_reply import Waiting
from rollcall_ingress.write.decide import DOUBTS_S, Decisions
from tests.support.builders import an_id
from tests.unit.ingress.write.foretelling import FakeReplica
from tests.unit.ingress.write.paths import FakePublisher, a_path, a_request

TAKEN = Reply(an_id(1), 409, scim_type="uniqueness")
DONE = Reply(an_id(1), 204)
REPLY_S = 0.4


def replying(waiting: Waiting, reply: Reply, after_s: float) -> FakePublisher:
    """The provisioner replies so long after the acknowledgement."""

    def act(request: Request) -> None:
        loop = asyncio.get_running_loop()
        waiter = waiting._waiters[request.id]
        loop.call_later(after_s, waiter.set_result, reply)

    return FakePublisher(act)


async def test_a_reply_in_time_is_the_decision_and_nothing_is_folded() -> None:
    waiting, replica = Waiting(), FakeReplica(knows=True)
    publisher = replying(waiting, DONE, 0.0)
    path, _ = a_path(publisher, waiting, replica=replica)

    submitted = await path.submit(a_request())

    assert (submitted.reply, submitted.is_applied) == (DONE, True)
    assert replica.asked == []
    ((request, _),) = publisher.published
    assert request.promise == "decision"
    assert request.reply_to is not None


@pytest.mark.parametrize("verdict", [DONE, TAKEN])
async def test_without_a_provisioner_the_log_decides(verdict: Reply) -> None:
    replica = FakeReplica(knows=True, verdicts={an_id(1): verdict})
    waiting = Waiting()
    path, breakers = a_path(FakePublisher(), waiting, replica=replica)

    submitted = await path.submit(a_request())

    assert (submitted.reply, submitted.is_applied) == (verdict, False)
    assert replica.asked == [(an_id(1), 0)]
    for _ in range(2):
        await path.submit(a_request())
    await asyncio.gather(*path._probes)
    assert breakers.is_open(3), "three budgets have passed without a reply"
    assert waiting._waiters == {}


@pytest.mark.parametrize("is_late", [True, False])
async def test_in_a_partition_that_is_late_the_log_is_asked_at_once(is_late: bool) -> None:
    """An open breaker alone says less: other replicas rest on the head start."""
    replica = FakeReplica(knows=True, behind=is_late, verdicts={an_id(1): DONE})
    path, breakers = a_path(FakePublisher(), Waiting(), replica=replica, reply_s=REPLY_S)
    for _ in range(3):
        breakers.missed(3)
    began_s = asyncio.get_running_loop().time()

    submitted = await path.submit(a_request())

    assert submitted.reply == DONE
    took_s = asyncio.get_running_loop().time() - began_s
    assert (took_s < decide.HEAD_START_S) is is_late


async def test_what_is_applied_already_is_answered_by_its_reply() -> None:
    waiting = Waiting()
    replica = FakeReplica(knows=True, verdicts={an_id(1): None})
    publisher = replying(waiting, DONE, decide.HEAD_START_S * 1.2)
    path, _ = a_path(publisher, waiting, replica=replica, reply_s=REPLY_S)

    submitted = await path.submit(a_request())

    assert (submitted.reply, submitted.is_applied) == (DONE, True)


async def test_a_promise_that_cannot_be_kept_is_taken_back_on_the_log_and_no_other_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(write_path, "DECIDED_WITHIN_S", 0.05)
    clock_s = [0.0]
    replica = FakeReplica(knows=True)
    publisher = FakePublisher()
    path, _ = a_path(publisher, Waiting(), replica=replica, clock=lambda: clock_s[0])

    assert (await path.submit(a_request())).reply is None
    assert (await path.submit(a_request(2))).reply is None  # pending, as without a fold
    clock_s[0] = DOUBTS_S
    replica.verdicts[an_id(3)] = Reply(an_id(3), 204)
    assert (await path.submit(a_request(3))).reply == Reply(an_id(3), 204)

    sent = [(each.id, each.promise, each.is_answered) for each, _ in publisher.published]
    assert sent == [
        (an_id(1), "decision", False),
        (an_id(1), None, True),
        (an_id(2), None, False),
        (an_id(3), "decision", False),
    ]


async def test_a_promise_that_cannot_be_taken_back_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_path, "DECIDED_WITHIN_S", 0.05)

    def refuse_the_copy(request: Request) -> None:
        if request.promise is None:
            raise Unavailable("Kafka")

    path, _ = a_path(FakePublisher(refuse_the_copy), Waiting(), replica=FakeReplica(knows=True))

    with pytest.raises(ServiceUnavailable) as refused:
        await path.submit(a_request())
    assert "nothing was done" not in (refused.value.detail or "").casefold()


async def test_a_reply_that_differs_from_what_was_answered_is_reported() -> None:
    differences: list[tuple[str, int]] = []
    replica = FakeReplica(verdicts={an_id(1): DONE})
    decisions = Decisions(
        cast(Replica, replica), lambda: 0.0, lambda *each: differences.append(each)
    )
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[Reply] = loop.create_future()
    with decisions.expecting(an_id(1)):
        await decisions.decision(an_id(9), 3, an_id(1), 7, waiter, loop.time() + 1, loop.time() + 1)

    with structlog.testing.capture_logs() as lines:
        decisions.on_reply(TAKEN)
        decisions.on_reply(TAKEN)  # once

    [line] = [each for each in lines if each["event"] == "verdict.differed"]
    assert (line["given"], line["decided"]) == (204, 409)
    assert differences == [(an_id(1), 204)]


async def test_nothing_is_promised_behind_what_is_only_known_when_it_is_applied() -> None:
    publisher = FakePublisher()
    replica = FakeReplica(knows=True, behind=True, barrier=True)
    path, _ = a_path(publisher, Waiting(), replica=replica)

    submitted = await path.submit(a_request())

    assert submitted.reply is None
    assert [request.promise for request, _ in publisher.published] == [None]


async def test_a_condition_waits_longer_and_nothing_more_is_promised_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(write_path, "DECIDED_WITHIN_S", 0.05)
    replica = FakeReplica(knows=True, behind=True, verdict_s=0.2, verdicts={an_id(1): DONE})
    publisher = FakePublisher()
    path, _ = a_path(publisher, Waiting(), replica=replica, reply_s=0.05)

    conditional = replace(a_request(), precondition=Precondition(if_match=(an_id(7),)))
    first = asyncio.create_task(path.submit(conditional))
    await asyncio.wait((first,), timeout=0.1)
    second = await path.submit(a_request(2))

    assert second.reply is None
    assert (await first).reply == DONE
