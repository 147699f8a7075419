"""Records that stand on the log twice count once: rows, audit, outcomes.

A rebuilt producer or a mirror may double a record. The copies carry the same id, with which the
audit table knows them, however far apart they are.
"""

import random
from collections import Counter
from dataclasses import replace

from rollcall.events.request import Request
from rollcall.kafka.producer import Acknowledged
from rollcall.runtime.clock import now_ms
from rollcall_provisioner.worker_context import WorkerContext
from tests.support.builders import ORGANISATION, a_member, an_id, create, patch, replacing
from tests.support.deployment import Deployment
from tests.support.stack import until

BATCH = 10


async def small_batches(deployment: Deployment) -> WorkerContext:
    """The context of a provisioner whose batches hold ten records."""
    return replace(await deployment.context(), batch_records=BATCH)


async def append(deployment: Deployment, requests: list[Request]) -> list[Acknowledged]:
    """Append the requests in this order, copies and all."""
    return [await deployment.send(request) for request in requests]


async def assert_once(deployment: Deployment, sent: list[Request]) -> None:
    """One audit row and one set of outcomes for each id; then nothing is left to announce."""
    ids = list(dict.fromkeys(request.id for request in sent))
    await deployment.applied(len(sent))

    async def is_announced() -> bool:
        found = await deployment.progress()
        return bool(found["published_offset"] == found["next_offset"])

    await until(is_announced, "everything is announced")
    rows = await deployment.rows(
        'SELECT id::text, jsonb_array_length(outcomes) AS told FROM audit.event ORDER BY "offset"'
    )
    assert [row["id"] for row in rows] == ids
    announced = Counter(each.request_id for each in await deployment.outcomes())
    assert announced == {row["id"]: row["told"] for row in rows if row["told"]}


async def test_five_in_a_hundred_doubled_count_once(deployment: Deployment) -> None:
    """Creates, and changes of one member; copies follow at once or up to eighty records later."""
    dice = random.Random(5)
    first = create(1, "m1@example.org")
    requests = [first]
    for number in range(2, 301):
        title = replacing("title", f"title {number}")
        member = a_member(1, "m1@example.org")
        requests.append(
            create(number, f"m{number}@example.org")
            if number % 3
            else patch(member, title, number=10_000 + number)
        )
    sent = list(requests)
    doubled = dice.sample(requests, len(requests) * 5 // 100)
    for request in doubled:
        place = sent.index(request) + dice.choice([1, 1, 5, BATCH, 80])
        sent.insert(min(place, len(sent)), request)
    await append(deployment, sent)

    await deployment.start(await small_batches(deployment))

    await assert_once(deployment, sent)
    [members] = await deployment.rows(
        "SELECT count(*) AS number, count(DISTINCT id) AS ids FROM directory.member"
    )
    created = sum(request.kind == "member.create" for request in requests)
    assert members["number"] == members["ids"] == created
    [row] = await deployment.rows(
        "SELECT document ->> 'title' AS title, version::text FROM directory.member "
        "WHERE organisation_id = $1::uuid AND id = $2::uuid",
        ORGANISATION,
        an_id(1),
    )
    last = [request for request in requests if request.kind == "member.patch"][-1]
    assert (row["title"], row["version"]) == ("title 300", last.id)


async def test_a_copy_on_the_other_side_of_a_batch_border_counts_for_nothing(
    deployment: Deployment,
) -> None:
    """The last record of a batch is the first of the next, and changes have come between."""
    member = a_member(1, "m1@example.org")
    older = patch(member, replacing("title", "older"), number=901)
    newer = patch(member, replacing("title", "newer"), number=902)
    others = [create(number, f"m{number}@example.org") for number in range(2, 10)]
    sent = [create(1, "m1@example.org"), *others, older]
    assert len(sent) == BATCH
    sent += [older, newer, older, newer]
    await append(deployment, sent)

    await deployment.start(await small_batches(deployment))

    await assert_once(deployment, sent)
    [row] = await deployment.rows(
        "SELECT document ->> 'title' AS title FROM directory.member WHERE id = $1::uuid", an_id(1)
    )
    assert row["title"] == "newer"


async def test_a_copy_that_comes_to_the_next_owner_counts_for_nothing(
    deployment: Deployment,
) -> None:
    request = create(1, "m1@example.org")
    running = await deployment.start()
    await append(deployment, [request])
    await deployment.applied(1)
    await running.end()

    await append(deployment, [request, create(2, "m2@example.org")])
    await deployment.start()

    await assert_once(deployment, [request, request, create(2, "m2@example.org")])


async def test_a_copy_of_a_refused_request_is_refused_once(deployment: Deployment) -> None:
    """The name was taken and is free by the time the copy comes: the first verdict stays."""
    taken = create(1, "same@example.org")
    refused = create(2, "same@example.org")
    renamed = patch(
        a_member(1, "same@example.org"), replacing("userName", "other@example.org"), number=901
    )
    sent = [taken, refused, renamed, refused]
    await append(deployment, sent)

    await deployment.start()

    await assert_once(deployment, sent)
    names = await deployment.rows("SELECT document ->> 'userName' AS name FROM directory.member")
    assert [row["name"] for row in names] == ["other@example.org"]


async def test_an_expired_copy_before_a_good_one_does_not_hide_it(deployment: Deployment) -> None:
    """In one batch, and with a border between; the good one was acknowledged, so it must count.

    Append times go back when a leader with another clock takes over.
    """
    in_time_ms, too_late_ms = now_ms() + 600_000, now_ms() - 60_000
    near = create(1, "near@example.org", title="near")
    far = create(2, "far@example.org", title="far")
    filling = [create(number, f"m{number}@example.org") for number in range(3, 3 + BATCH)]
    sent = [
        replace(near, accept_by_ms=too_late_ms),
        replace(near, accept_by_ms=in_time_ms),
        replace(far, accept_by_ms=too_late_ms),
        *filling,
        replace(far, accept_by_ms=in_time_ms),
        replace(near, accept_by_ms=too_late_ms),
        replace(near, accept_by_ms=in_time_ms),
    ]
    await append(deployment, sent)

    await deployment.start(await small_batches(deployment))

    await assert_once(deployment, [near, *filling, far])
    await deployment.applied(len(sent))
    names = await deployment.rows("SELECT document ->> 'userName' AS name FROM directory.member")
    assert {"near@example.org", "far@example.org"} <= {row["name"] for row in names}
    assert len(names) == 2 + BATCH


async def test_expired_copies_alone_leave_nothing(deployment: Deployment) -> None:
    expired = replace(create(1, "m1@example.org"), accept_by_ms=now_ms() - 60_000)
    await append(deployment, [expired, expired])

    await deployment.start()

    await deployment.applied(2)
    assert await deployment.rows("SELECT 1 FROM audit.event") == []
    assert await deployment.rows("SELECT 1 FROM directory.member") == []
