"""A restored directory decides again what it forgot: nobody knows who heard the first refusal."""

import uuid
from dataclasses import replace

import pytest

from rollcall.applying.dead_letters import SourceLog
from rollcall.control.refused import refusals_of
from rollcall.events import mail
from rollcall.events.mail import MailSent
from rollcall.events.outcome import is_refused_after_success
from rollcall.events.request import Request
from rollcall.kafka.log_probe import LogProbe
from rollcall.postgres import audit
from rollcall.runtime.clock import now, now_ms
from rollcall_provisioner.forgotten import decided_below
from rollcall_provisioner.worker_context import WorkerContext
from tests.support.builders import ORGANISATION, an_id, create
from tests.support.deployment import Deployment
from tests.support.stack import until

FORGET = """
TRUNCATE directory.member, directory."group", directory.group_member, directory.dead_letter,
         directory.parked, directory.resource_count, audit.event, audit.unheard;
UPDATE directory.progress
SET next_offset = 0, published_offset = 0, last_event_id = NULL, last_append_time = NULL
"""
WAIT_MS = 15_000


async def context_of(deployment: Deployment) -> WorkerContext:
    probe = LogProbe(deployment.settings, deployment.topics.outcomes)
    deployment.exits.push_async_callback(probe.close)
    return replace(await deployment.context(), outcomes=probe)


def waits(number: int, user_name: str) -> Request:
    return replace(
        create(number, user_name),
        id=an_id(5000 + number),
        reply_to=0,
        answer_by_ms=now_ms() + WAIT_MS,
    )


async def listed(deployment: Deployment) -> dict[str, str]:
    """Request → `answered`, of all that `rollcall refused list` shows."""
    async with deployment.database.connect("owner") as connection:
        found = await audit.find_refused(connection, limit=100)
    return {each.id: each.answered for row in found for each in refusals_of(row)}


async def test_what_was_heard_before_a_restore_is_listed_as_unknown_what_is_new_as_yes(
    deployment: Deployment,
) -> None:
    running = await deployment.start(await context_of(deployment))
    first = waits(1, "ana@example.org")
    heard = waits(2, "ana@example.org")
    alone = replace(create(3, "ana@example.org"), id=an_id(5003))
    for request in (first, heard, alone):
        sent = await deployment.send(request)
    await deployment.applied(sent.offset + 1)
    await deployment.outcomes(3)
    before = await listed(deployment)
    await running.end()

    async with deployment.database.connect("owner") as connection:
        await connection.execute(FORGET)
    late = replace(waits(4, "ana@example.org"), answer_by_ms=now_ms() - 1)
    sent = await deployment.send(late)
    until_ms = heard.answer_by_ms or 0
    await until(lambda: now_ms() > until_ms, "nobody waits any more", 30)
    await deployment.start(await context_of(deployment))
    await deployment.applied(sent.offset + 1)

    assert before == {alone.id: "yes"}
    assert await listed(deployment) == {heard.id: "unknown", alone.id: "yes", late.id: "yes"}
    announced = await deployment.outcomes(7)
    answered = {each.request_id for each in announced if is_refused_after_success(each.outcome)}
    assert heard.id not in answered


async def test_without_the_outcomes_lateness_decides_as_for_what_is_new(
    deployment: Deployment,
) -> None:
    late = replace(waits(2, "ana@example.org"), answer_by_ms=now_ms() - 1)
    await deployment.send(waits(1, "ana@example.org"))
    sent = await deployment.send(late)

    await deployment.start(await context_of(deployment))
    await deployment.applied(sent.offset + 1)

    assert await listed(deployment) == {late.id: "yes"}


@pytest.mark.parametrize("mails", [0, 1, 2, 7, 40])
async def test_the_last_outcome_is_found_behind_mails_that_left(
    mails: int, deployment: Deployment
) -> None:
    running = await deployment.start()
    for number in range(1, 6):
        sent = await deployment.send(create(number, f"user{number}@example.org"))
    await deployment.applied(sent.offset + 1)
    await deployment.outcomes(5)
    await running.end()
    for _ in range(mails):
        fact = MailSent(
            request_id=str(uuid.uuid4()),
            kind="invitation",
            organisation_id=ORGANISATION,
            member_id=an_id(1),
            message_id="<x@example.org>",
            time=now(),
        )
        await deployment.producer.send(
            deployment.topics.outcomes, partition=0, key=ORGANISATION, event=mail.to_event(fact)
        )
    probe = LogProbe(deployment.settings, deployment.topics.outcomes)
    try:
        found = [
            await decided_below(probe, SourceLog(deployment.topics.requests, *log))
            for log in ((0, 0), (0, 1), (1, 0))
        ]
    finally:
        await probe.close()

    assert found == [sent.offset + 1, 0, 0]
