"""What was answered with success and refused afterwards is listed, and nothing else is."""

from dataclasses import replace

from rollcall.control import refused
from rollcall.control.refused import Refusal
from rollcall.events import outcome
from rollcall.events.envelope import from_milliseconds
from rollcall.events.request import Request
from rollcall.observability import metrics
from rollcall.postgres import audit, progress
from rollcall.postgres.audit import AuditRow
from rollcall.runtime.clock import now_ms
from tests.support import builders
from tests.support.builders import MOMENT, ORGANISATION, a_request, an_id
from tests.support.deployment import Deployment
from tests.support.stack import until

UNPUBLISHED = "SELECT published_offset FROM directory.progress WHERE topic = $1 AND partition = 0"


def taken_back(request: Request) -> Request:
    """The copy that ingress writes before it answers undecided."""
    return replace(request, promise=None, is_answered=True)


async def listed(deployment: Deployment) -> list[Refusal]:
    async with deployment.database.connect("owner") as connection:
        found = await audit.find_refused(connection, limit=100)
    return [refusal for each in found for refusal in refused.refusals_of(each)]


async def announced(deployment: Deployment, offset: int) -> None:
    """Everything below is told, and that is written down."""

    async def is_announced() -> bool:
        rows = await deployment.rows(UNPUBLISHED, deployment.topics.requests)
        return bool(rows) and rows[0]["published_offset"] >= offset

    await until(is_announced, f"{offset} is announced")


async def test_a_promise_is_kept_unless_a_copy_takes_it_back(deployment: Deployment) -> None:
    """Also where the copy comes in a later batch; and a copy of what is applied lists nothing."""
    late_ms = now_ms() - 1000
    first, kept, taken, later = (
        replace(
            builders.create(number, "ana@example.org"),
            reply_to=1,
            answer_by_ms=late_ms,
            promise="decision",
        )
        for number in (1, 2, 3, 4)
    )
    for each in (first, kept, taken, taken_back(first), taken_back(taken), later):
        await deployment.send(each)
    await deployment.start()
    await announced(deployment, 6)
    await deployment.send(taken_back(later))
    await announced(deployment, 7)

    assert {(each.id, each.why) for each in await listed(deployment)} == {
        (taken.id, "unheard"),
        (later.id, "unheard"),
    }
    rows = await deployment.rows("SELECT count(*) AS n FROM audit.event")
    assert rows[0]["n"] == 4, "copies are applied by nobody"


async def test_two_creates_of_one_user_name_behind_a_stopped_provisioner_leave_one_refused(
    deployment: Deployment,
) -> None:
    """Each replica of ingress has answered 201, pending."""
    before = metrics.PROVISIONER_REFUSED_AFTER_SUCCESS._value.get()
    first, second = (builders.create(number, "ana@example.org") for number in (1, 2))
    await deployment.send(first)
    await deployment.send(second)

    await deployment.start()
    await announced(deployment, 2)

    [refusal] = await listed(deployment)
    assert (refusal.id, refusal.resource) == (second.id, f"Users/{second.resource_id}")
    assert (refusal.status, refusal.attribute, refusal.answered) == (409, "userName", "yes")
    assert "Another user of the organisation has this userName." in refusal.advice
    answered = [
        each
        for each in await deployment.outcomes(2)
        if outcome.is_refused_after_success(each.outcome)
    ]
    assert [each.request_id for each in answered] == [second.id]
    assert metrics.PROVISIONER_REFUSED_AFTER_SUCCESS._value.get() == before + 1


async def test_a_refusal_that_came_in_time_is_not_listed(deployment: Deployment) -> None:
    await deployment.start()
    await deployment.send(builders.create(1, "ana@example.org"))
    waits = replace(
        builders.create(2, "ana@example.org"), reply_to=0, answer_by_ms=now_ms() + 60_000
    )
    await deployment.send(waits)

    await announced(deployment, 2)

    [reply] = await deployment.replies()
    assert reply.status == 409
    assert await listed(deployment) == []
    found = await deployment.outcomes(2)
    assert not any(outcome.is_refused_after_success(each.outcome) for each in found)


async def test_a_refusal_after_answerby_is_listed(deployment: Deployment) -> None:
    waited = replace(builders.create(2, "ana@example.org"), reply_to=0, answer_by_ms=now_ms() - 1)
    await deployment.send(builders.create(1, "ana@example.org"))
    await deployment.send(waited)

    await deployment.start()
    await announced(deployment, 2)

    assert [(each.id, each.answered) for each in await listed(deployment)] == [(waited.id, "yes")]


async def test_a_refusal_that_a_predecessor_did_not_announce_is_listed_as_perhaps_answered(
    deployment: Deployment,
) -> None:
    """It was decided in time and committed; then the process died, and replies are not repeated."""
    await deployment.send(a_request("member.delete", an_id(1)))
    row = AuditRow(
        id=an_id(900),
        organisation_id=ORGANISATION,
        topic=deployment.topics.requests,
        partition=0,
        offset=0,
        type="io.rollcall.request.member.delete.v1",
        resource_id=an_id(1),
        actor="key:abc",
        append_time=MOMENT,
        event_time=MOMENT,
        status=404,
        scim_type=None,
        outcomes=[
            {
                "fact": "request.rejected",
                "data": {
                    "organisation_id": ORGANISATION,
                    "resource_id": an_id(1),
                    "detail": {"status": 404, "kind": "member.delete", "endpoint": "Users"},
                },
            }
        ],
    )
    [record] = await deployment.records(deployment.topics.requests)
    async with deployment.database.connect("provisioner") as connection:
        await audit.record(connection, [row])
        await progress.ensure(connection, deployment.topics.requests, 0)
        await progress.advance(
            connection,
            deployment.topics.requests,
            0,
            expected=0,
            epoch=0,
            new=1,
            published=0,
            last_event_id=an_id(900),
            last_append_time=from_milliseconds(record.timestamp),
        )

    await deployment.start()
    await announced(deployment, 1)

    assert [(each.id, each.answered) for each in await listed(deployment)] == [
        (an_id(900), "perhaps")
    ]


async def test_a_refusal_whose_reply_was_late_on_the_log_is_listed_as_perhaps_answered(
    deployment: Deployment,
) -> None:
    """Decided in time, by a moment: who waited may have gone before the reply could be read."""
    running = await deployment.start()
    await deployment.send(builders.create(1, "ana@example.org"))
    await deployment.applied(1)
    soon = now_ms() + 240
    waited = replace(builders.create(2, "ana@example.org"), reply_to=0, answer_by_ms=soon)

    await deployment.send(waited)
    await announced(deployment, 2)
    await running.end()
    deployment.started.clear()

    [refusal] = await listed(deployment)
    assert refusal.id == waited.id


async def test_what_was_parked_and_is_refused_when_it_is_redriven_is_listed(
    deployment: Deployment,
) -> None:
    """The sender of a parked request was answered 2xx, also where it waited."""
    poison = builders.resourced(builders.create(1, "ana@example.org"), None)
    parked = replace(
        a_request("member.patch", an_id(1), 902, operations=(builders.replacing("active", False),)),
        reply_to=0,
        answer_by_ms=now_ms() + 60_000,
    )
    await deployment.send(poison)
    await deployment.send(parked)
    await deployment.send(builders.redrive(poison, kind="dead.discard"))

    await deployment.start()
    await announced(deployment, 3)

    [refusal] = await listed(deployment)
    assert (refusal.id, refusal.event_id) == (parked.id, an_id(800))
    assert (refusal.status, refusal.answered) == (404, "yes")
