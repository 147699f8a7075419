"""A large batch says its size to those who wait, before it is applied; a small one says nothing."""

from dataclasses import replace

from rollcall.events import reply
from rollcall.events.request import MemberDelta
from rollcall.runtime.clock import now_ms
from tests.support import builders
from tests.support.builders import a_request, an_id
from tests.support.deployment import Deployment


async def test_a_large_batch_says_its_size_before_its_replies(deployment: Deployment) -> None:
    waits = {"reply_to": 1, "answer_by_ms": now_ms() + 60_000}
    ids = tuple(an_id(number) for number in range(8000))
    crew = a_request(
        "group.create",
        an_id(50),
        resource={"displayName": "Crew"},
        members=MemberDelta(add=ids),
        **waits,
    )
    await deployment.send(crew, partition=2)

    await deployment.start()
    await deployment.applied(1, partition=2)
    told, answered = await deployment._at_least(deployment.topics.replies, 2)

    working = reply.working_from_event(told)
    assert (working.partition, working.records, working.batch_id) == (2, 1, crew.id)
    assert working.size_bytes > 8000 * 36
    assert reply.from_event(answered).request_id == crew.id


async def test_a_small_batch_says_nothing(deployment: Deployment) -> None:
    small = replace(
        builders.create(1, "ana@example.org"), reply_to=1, answer_by_ms=now_ms() + 60_000
    )
    await deployment.send(small)

    await deployment.start()
    [only] = await deployment._at_least(deployment.topics.replies, 1)

    assert reply.from_event(only).request_id == small.id
