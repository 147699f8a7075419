"""A record on the requests topic becomes a row, a reply and an outcome, once."""

from dataclasses import replace

from rollcall.events.request import to_event
from rollcall.observability import metrics
from rollcall.runtime.clock import now_ms
from tests.support.builders import (
    ORGANISATION,
    a_member,
    an_id,
    create,
    patch,
    replacing,
    resourced,
)
from tests.support.deployment import Deployment
from tests.support.stack import until


async def test_a_create_becomes_a_row_a_reply_and_an_outcome(deployment: Deployment) -> None:
    await deployment.start()
    request = replace(create(1, "ana@example.org"), reply_to=1, answer_by_ms=now_ms() + 5000)

    acknowledged = await deployment.send(request)

    (reply,) = await deployment.replies()
    assert (reply.request_id, reply.status, reply.backlog) == (request.id, 201, 0)
    (announced,) = await deployment.outcomes()
    assert announced.outcome.fact == "member.invited"
    assert announced.request_id == request.id
    assert announced.sequence.offset == acknowledged.offset
    (row,) = await deployment.rows("SELECT id::text, status FROM directory.member")
    assert (row["id"], row["status"]) == (request.resource_id, "invited")


async def test_a_duplicate_record_is_applied_once(deployment: Deployment) -> None:
    request = create(1, "ana@example.org")
    later = patch(a_member(1), replacing("displayName", "Ana"))
    for each in (request, request, later, request):
        last = await deployment.send(each)

    await deployment.start()

    await deployment.applied(last.offset + 1)
    rows = await deployment.rows('SELECT id::text, status FROM audit.event ORDER BY "offset"')
    assert [tuple(row) for row in rows] == [(request.id, 201), (later.id, 200)]


async def test_an_expired_copy_does_not_hide_a_good_one(deployment: Deployment) -> None:
    """The first copy came too late for its own `acceptby`; the same id again is in time."""
    expired = replace(create(1, "ana@example.org"), accept_by_ms=now_ms() - 60_000)
    in_time = replace(expired, accept_by_ms=now_ms() + 60_000)
    await deployment.send(expired)
    last = await deployment.send(in_time)

    await deployment.start()

    await deployment.applied(last.offset + 1)
    (row,) = await deployment.rows('SELECT id::text, "offset" FROM audit.event')
    assert (row["id"], row["offset"]) == (in_time.id, last.offset)


async def test_what_only_expired_copies_asked_for_leaves_no_trace(deployment: Deployment) -> None:
    expired = replace(create(1, "ana@example.org"), accept_by_ms=now_ms() - 60_000)
    last = await deployment.send(expired)

    await deployment.start()

    await deployment.applied(last.offset + 1)
    assert await deployment.rows("SELECT 1 FROM audit.event") == []
    assert await deployment.rows("SELECT 1 FROM directory.member") == []


async def test_a_late_event_that_cannot_be_read_leaves_no_trace(deployment: Deployment) -> None:
    """It was answered 503: its resource is not in quarantine, and nothing is halted."""
    before = metrics.PROVISIONER_EXPIRED._value.get()
    made = create(1, "ana@example.org")
    late = replace(patch(a_member(1), replacing("title", "Cook"), number=902), accept_by_ms=1)
    await deployment.send(made)
    await deployment.send_event(replace(to_event(late), data={"operations": 7}), ORGANISATION)
    newer = replace(to_event(replace(late, id=an_id(903))), type=f"{late.type[:-1]}9")
    await deployment.send_event(newer, ORGANISATION)
    last = await deployment.send(patch(a_member(1), replacing("title", "Captain"), number=904))

    await deployment.start()

    await deployment.applied(last.offset + 1)
    rows = await deployment.rows('SELECT id::text, status FROM audit.event ORDER BY "offset"')
    assert [tuple(row) for row in rows] == [(made.id, 201), (an_id(904), 200)]
    assert await deployment.rows("SELECT 1 FROM directory.dead_letter") == []
    assert await deployment.rows("SELECT 1 FROM directory.parked") == []
    assert metrics.PROVISIONER_EXPIRED._value.get() == before + 2


async def test_a_poison_event_is_set_aside_while_the_others_flow(deployment: Deployment) -> None:
    await deployment.start()
    good = [create(number, f"user{number}@example.org") for number in (1, 2)]
    poison = to_event(replace(create(3, "c@example.org"), reply_to=0, answer_by_ms=now_ms() + 5000))
    broken = replace(poison, data={"resource": "no object", "organisation_id": 7})
    await deployment.send(good[0])
    place = await deployment.send_event(broken, ORGANISATION)
    await deployment.send(good[1])

    announced = await deployment.outcomes(3)

    assert [each.outcome.fact for each in announced] == [
        "member.invited",
        "request.failed",
        "member.invited",
    ]
    (letter,) = await deployment.rows("SELECT * FROM directory.dead_letter")
    assert (letter["event_id"], letter["offset"]) == (poison.id, place.offset)
    assert b"no object" in letter["value"]
    (reply,) = await deployment.replies()
    assert reply.status == 500
    assert f"{deployment.topics.requests}/0/{place.offset}" in (reply.detail or "")
    (dead,) = await deployment.events(deployment.topics.dead)
    assert dead.data["event_id"] == poison.id


async def test_a_decision_that_raises_sets_its_event_aside(deployment: Deployment) -> None:
    """The request is well-formed, so only the decision can find out."""
    await deployment.start()
    request = resourced(create(1, "ana@example.org"), None)
    await deployment.send(request)
    last = await deployment.send(create(2, "ben@example.org"))

    await deployment.applied(last.offset + 1)

    rows = await deployment.rows('SELECT id::text, status FROM audit.event ORDER BY "offset"')
    assert [row["status"] for row in rows] == [500, 201]
    (letter,) = await deployment.rows("SELECT error_class, error FROM directory.dead_letter")
    assert "ana" not in letter["error"]


async def test_a_newer_version_halts_its_partition_only(deployment: Deployment) -> None:
    running = await deployment.start()
    before = create(1, "ana@example.org")
    newer = replace(
        to_event(create(2, "ben@example.org")), type="io.rollcall.request.member.create.v9"
    )
    elsewhere = create(3, "cleo@example.org")
    first = await deployment.send(before)
    await deployment.send_event(newer, ORGANISATION)
    other = await deployment.send(elsewhere, partition=1)

    await deployment.applied(other.offset + 1, partition=1)

    async def is_halted() -> bool:
        return bool((await deployment.progress())["state"] == "halted")

    await until(is_halted, "partition 0 is halted")
    assert (await deployment.progress())["next_offset"] == first.offset + 1
    assert await deployment.rows("SELECT 1 FROM directory.dead_letter") == []
    assert running.requests.stalled(0) == []


async def test_records_of_every_size_are_read(deployment: Deployment) -> None:
    """A record beyond the fetch size comes whole, beside small ones of other partitions."""
    await deployment.start()
    large = create(1, "ana@example.org", title="x" * 3_000_000)
    for number in range(2, 40):
        await deployment.send(create(number, f"u{number}@example.org"), partition=number % 4)

    last = await deployment.send(large)

    await deployment.applied(last.offset + 1)
    assert len(await deployment.rows("SELECT 1 FROM directory.member WHERE id = $1", an_id(1))) == 1
