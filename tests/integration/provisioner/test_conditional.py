"""Preconditions on the log: decided in order, told in the audit, halting who does not know them."""

from dataclasses import replace

from rollcall.events.precondition import Precondition
from rollcall.events.request import Request, to_event
from rollcall.runtime.clock import now_ms
from tests.support.builders import a_member, create, patch, replacing
from tests.support.deployment import Deployment
from tests.support.stack import until

ANA = a_member(1)


def titled(title: str, number: int, version: str) -> Request:
    wanted = Precondition(if_match=(version,))
    request = patch(ANA, replacing("title", title), number=number, precondition=wanted)
    return replace(request, reply_to=1, answer_by_ms=now_ms() + 60_000)


async def test_the_first_of_two_wins_whether_they_come_in_one_batch_or_not(
    deployment: Deployment,
) -> None:
    made = create(1, "ana@example.org")
    await deployment.send(made)
    await deployment.send(titled("Captain", 901, made.id))
    last = await deployment.send(titled("Cook", 902, made.id))

    await deployment.start()
    await deployment.applied(last.offset + 1)
    again = await deployment.send(titled("Mate", 903, made.id))
    await deployment.applied(again.offset + 1)
    meant = await deployment.send(titled("Mate", 904, titled("", 901, "").id))
    await deployment.applied(meant.offset + 1)

    rows = await deployment.rows('SELECT type, status FROM audit.event ORDER BY "offset"')
    assert [row["status"] for row in rows] == [201, 200, 412, 412, 200]
    assert {row["type"] for row in rows[1:]} == {"io.rollcall.request.member.patch.v2"}
    replies = await deployment.replies(4)
    assert [reply.status for reply in replies] == [200, 412, 412, 200]
    rejected = [
        announced.outcome.detail
        for announced in await deployment.outcomes(5)
        if announced.outcome.fact == "request.rejected"
    ]
    assert [detail["status"] for detail in rejected] == [412, 412]
    [member] = await deployment.rows("SELECT document->>'title' AS title FROM directory.member")
    assert member["title"] == "Mate"


async def test_a_late_conditional_request_was_not_answered_with_success(
    deployment: Deployment,
) -> None:
    """After its time it was answered that its outcome is not known, unlike one without."""
    late = now_ms() - 1000
    plain = replace(patch(ANA, replacing("title", "Cook"), number=901), answer_by_ms=late)
    conditional = replace(titled("Cook", 902, ANA.version), answer_by_ms=late)
    await deployment.send(replace(plain, reply_to=1))
    last = await deployment.send(conditional)

    await deployment.start()

    await deployment.applied(last.offset + 1)
    rows = await deployment.rows('SELECT status, optimistic FROM audit.event ORDER BY "offset"')
    assert [tuple(row) for row in rows] == [(404, True), (404, False)]


async def test_a_version_that_is_not_known_yet_halts_and_nothing_behind_it_is_applied(
    deployment: Deployment,
) -> None:
    made = create(1, "ana@example.org")
    await deployment.send(made)
    event = to_event(titled("Captain", 901, made.id))
    newer = replace(event, type=event.type.replace(".v2", ".v3"))
    place = await deployment.send_event(newer, made.organisation_id)
    await deployment.send(titled("Cook", 902, made.id))

    await deployment.start()

    async def is_halted() -> bool:
        progress = await deployment.progress()
        return bool(progress["next_offset"] == place.offset)

    await until(is_halted, "the partition stands before the newer version")
    rows = await deployment.rows("SELECT id::text FROM audit.event")
    assert [row["id"] for row in rows] == [made.id]
