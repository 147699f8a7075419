"""One tenant's fault stays its own: poison that is sent again, and ever new poison, on real Kafka
and Postgres. Three organisations share a partition throughout."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from rollcall.applying.causes import share_of
from rollcall.directory import members
from rollcall.directory.changes import Decision
from rollcall.directory.state import State
from rollcall.events.bodies import Create, EndOrganisation
from rollcall.events.request import Request
from rollcall.observability import metrics
from rollcall.runtime.clock import now_ms
from rollcall.runtime.ids import new_id
from tests.integration.provisioner.poison import execute, letters
from tests.support.builders import (
    MOMENT,
    ORGANISATION,
    OTHER_ORGANISATION,
    a_member,
    a_request,
    an_id,
    create,
    patch,
    redrive,
    replacing,
)
from tests.support.deployment import Deployment
from tests.support.poison import POISON_TITLE, REFUSE_TITLE
from tests.support.stack import until

THIRD_ORGANISATION = "01900000-0000-7000-8000-000000000003"
LIMIT = 10
SHARE = share_of(LIMIT)
TIMES = 50
NORMAL_S = 2.0
"""The budget for which ingress waits for a reply (docs/reference/settings.md)."""
HELD_UP_S = 8.0
"""What a neighbour waited for each refusal before the organisation was parked: never again."""


def asking(request: Request, organisation_id: str = ORGANISATION) -> Request:
    """The request under ids of its own, of a sender who waits."""
    return replace(
        request,
        id=new_id(),
        organisation_id=organisation_id,
        resource_id=new_id() if request.kind.endswith(".create") else request.resource_id,
        reply_to=0,
        answer_by_ms=now_ms() + 60_000,
    )


def poison(name: str = "bad", organisation_id: str = ORGANISATION) -> Request:
    return asking(create(1, f"{name}@example.org", title=POISON_TITLE), organisation_id)


@pytest.fixture(params=["a decision that raises", "a refusal of Postgres"])
async def poisonous(
    request: pytest.FixtureRequest, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Any]:
    """Members of the poison title cannot be made; call it to mend that."""
    if request.param == "a refusal of Postgres":
        await execute(deployment, REFUSE_TITLE)
        return lambda: execute(deployment, "DROP TRIGGER refuse_title ON directory.member")
    right = members.create

    def wrong(state: State, asked: Request, body: Create) -> Decision:
        if body.resource.get("title") == POISON_TITLE:
            raise KeyError(POISON_TITLE)
        return right(state, asked, body)

    monkeypatch.setattr(members, "create", wrong)

    async def mend() -> None:
        monkeypatch.setattr(members, "create", right)

    return mend


@dataclass(slots=True)
class Neighbours:
    """The other organisations, which go on all the time; each request waits for its reply."""

    deployment: Deployment
    sent: dict[str, int] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1000))

    async def go_on(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            for organisation_id in (OTHER_ORGANISATION, THIRD_ORGANISATION):
                number = next(self.numbers)
                made = asking(create(number, f"m{number}@example.org"), organisation_id)
                place = await self.deployment.send(made)
                self.sent[made.id] = place.append_time_ms
            with_pause = asyncio.wait_for(stop.wait(), 0.02)
            try:
                await with_pause
            except TimeoutError:
                continue

    async def waited_s(self) -> list[float]:
        """How long each took by the broker's clock, from its record to its reply."""
        heard: dict[str, int] = {}

        async def are_there() -> bool:
            for record in await self.deployment.records(self.deployment.topics.replies):
                cause = dict(record.headers).get("ce_causationid", b"").decode()
                heard.setdefault(cause, record.timestamp)
            return self.sent.keys() <= heard.keys()

        await until(are_there, "every neighbour is answered", 60)
        return sorted((heard[key] - at_ms) / 1000 for key, at_ms in self.sent.items())


async def statuses(deployment: Deployment, asked: list[Request]) -> list[int]:
    """What the senders were answered, in their order."""
    found: dict[str, int] = {}

    async def are_there() -> bool:
        found.update({each.request_id: each.status for each in await deployment.replies()})
        return all(each.id in found for each in asked)

    await until(are_there, "all are answered", 60)
    return [found[each.id] for each in asked]


async def is_halted(deployment: Deployment) -> bool:
    return bool((await deployment.progress())["state"] == "halted")


async def send_all(deployment: Deployment, requests: list[Request]) -> int:
    """Send them, and return the offset behind the last one."""
    for request in requests:
        last = await deployment.send(request)
    return last.offset + 1


async def parks(deployment: Deployment) -> list[str]:
    rows = await deployment.rows(
        "SELECT organisation_id::text FROM directory.parked_organisation ORDER BY since"
    )
    return [row["organisation_id"] for row in rows]


async def count(deployment: Deployment, table: str) -> int:
    [row] = await deployment.rows(f"SELECT count(*) FROM {table}")
    return int(row["count"])


def let_go(dead: Request) -> Request:
    """What `rollcall dead release` writes."""
    return replace(
        redrive(dead),
        id=new_id(),
        resource_id=dead.organisation_id,
        endpoint="Users",
    )


@pytest.mark.timeout(300)
async def test_one_organisation_s_poison_costs_the_others_nothing_and_that_of_two_halts(
    deployment: Deployment, poisonous: Callable[[], Any]
) -> None:
    repeats_before = metrics.PROVISIONER_REPEATS._value.get()
    await deployment.start()
    neighbours, stop = Neighbours(deployment), asyncio.Event()
    going_on = asyncio.create_task(neighbours.go_on(stop))
    same = [poison() for _ in range(TIMES)]
    different = [poison(f"bad{number}") for number in range(TIMES)]
    try:
        for request in same:
            await deployment.send(request)
            await asyncio.sleep(0)
        end = await send_all(deployment, different)
        await deployment.applied(end)
        assert await statuses(deployment, same) == [500] * TIMES
        decided = await statuses(deployment, different)
        applied_before = len(neighbours.sent)
        await until(lambda: len(neighbours.sent) > applied_before + 20, "the neighbours go on", 30)
    finally:
        stop.set()
        await going_on

    # One letter for fifty repeats, and so many different ones until the organisation is parked.
    assert decided == [500] * (SHARE - 1) + [202] * (TIMES - SHARE + 1)
    assert [each[2] for each in await letters(deployment)] == ["dead"] * SHARE
    assert metrics.PROVISIONER_REPEATS._value.get() == repeats_before + TIMES - 1
    assert await parks(deployment) == [ORGANISATION]
    assert await count(deployment, "directory.parked") == TIMES - SHARE + 1
    waited_s = await neighbours.waited_s()
    print(
        f"{len(waited_s)} requests of the neighbours: median {waited_s[len(waited_s) // 2]:.3f} s, "
        f"longest {waited_s[-1]:.3f} s"
    )
    # A machine that is busy with other tests may hold up one in fifty; poison held up every one.
    assert waited_s[len(waited_s) * 98 // 100 - 1] < NORMAL_S
    assert waited_s[-1] < HELD_UP_S
    assert (await deployment.progress())["state"] == "running"
    rows = await deployment.rows(
        "SELECT status, count(*) FROM audit.event WHERE organisation_id <> $1 GROUP BY 1",
        ORGANISATION,
    )
    assert [tuple(row) for row in rows] == [(201, len(neighbours.sent))]

    both = [
        poison(f"worse{number}", organisation_id)
        for number in range(LIMIT)
        for organisation_id in (OTHER_ORGANISATION, THIRD_ORGANISATION)
    ]
    await send_all(deployment, both)
    await until(lambda: is_halted(deployment), "the poison of two halts the partition", 60)
    stands = await deployment.progress()
    assert stands["reason"] == "too-many-dead-letters"
    by_organisation = Counter(
        row["organisation_id"]
        for row in await deployment.rows(
            "SELECT organisation_id::text FROM directory.dead_letter WHERE state = 'dead'"
        )
    )
    assert sum(by_organisation.values()) < SHARE + LIMIT


async def test_all_in_one_batch_comes_to_the_same(
    deployment: Deployment, poisonous: Callable[[], Any]
) -> None:
    """The provisioner starts when everything is there: first, repeats, what parks, what waits."""
    asked = [poison() for _ in range(5)] + [poison(f"bad{number}") for number in range(9)]
    other = asking(create(9, "m9@example.org"), OTHER_ORGANISATION)
    behind = asking(create(8, "m8@example.org"))
    end = await send_all(deployment, [*asked, other, behind])

    await deployment.start()
    await deployment.applied(end)

    assert await statuses(deployment, [*asked, other, behind]) == (
        [500] * 5 + [500] * (SHARE - 1) + [202] * (9 - SHARE + 1) + [201, 202]
    )
    assert len(await letters(deployment)) == SHARE
    assert await parks(deployment) == [ORGANISATION]


async def test_a_repeat_is_known_after_a_restart_and_no_longer_once_it_is_mended(
    deployment: Deployment, poisonous: Callable[[], Any]
) -> None:
    running = await deployment.start()
    first = poison()
    await deployment.applied(await send_all(deployment, [first]))
    await running.end()
    await deployment.start()

    again = [poison(), poison("other"), poison()]
    await deployment.applied(await send_all(deployment, again))
    assert await statuses(deployment, again) == [500] * 3
    assert [each[0] for each in await letters(deployment)] == [first.id, again[1].id]

    await poisonous()
    repeat = poison()  # mended, and still in quarantine
    await deployment.applied(await send_all(deployment, [repeat]))
    assert await statuses(deployment, [repeat]) == [500]
    given_up = redrive(again[1], 802, kind="dead.discard")
    later = [poison(), poison("other")]
    end = await send_all(deployment, [redrive(first, 801), given_up, *later])
    await deployment.applied(end)

    assert await statuses(deployment, later) == [409, 201]
    assert [each[2] for each in await letters(deployment)] == ["redriven", "discarded"]
    assert await count(deployment, "directory.member") == 2


async def test_a_redrive_that_fails_again_frees_no_name(
    deployment: Deployment, poisonous: Callable[[], Any]
) -> None:
    await deployment.start()
    first = poison()

    repeat = poison()
    end = await send_all(deployment, [first, redrive(first), repeat])
    await deployment.applied(end)

    assert await statuses(deployment, [repeat]) == [500]
    assert [each[2:] for each in await letters(deployment)] == [("dead", 2)]


async def test_a_repeat_that_was_answered_with_success_is_listed_as_refused(
    deployment: Deployment, poisonous: Callable[[], Any]
) -> None:
    """The provisioner was away; both were answered 201, pending."""
    first, repeat = (replace(poison(), reply_to=None) for _ in range(2))
    end = await send_all(deployment, [first, repeat])
    await deployment.start()
    await deployment.applied(end)

    rows = await deployment.rows(
        'SELECT id::text, status, optimistic, outcomes FROM audit.event ORDER BY "offset"'
    )
    assert [(row["id"], row["status"], row["optimistic"]) for row in rows] == [
        (first.id, 500, True),
        (repeat.id, 500, True),
    ]
    detail = rows[1]["outcomes"][0]["data"]["detail"]
    assert (detail["repeat_of"], detail["told"]) == (first.id, True)
    found = await deployment.outcomes(2)
    assert [each.outcome.fact for each in found] == ["request.failed", "request.rejected"]


async def park(deployment: Deployment) -> tuple[list[Request], Request]:
    """Park the first organisation; its poison, and the event behind which it is."""
    bad = [poison(f"bad{number}") for number in range(SHARE)]
    await deployment.applied(await send_all(deployment, bad))
    assert await parks(deployment) == [ORGANISATION]
    return bad, bad[-1]


async def test_what_waits_is_released_in_order_part_by_part(
    deployment: Deployment, poisonous: Callable[[], Any]
) -> None:
    await deployment.start()
    ana = a_member(1, "ana@example.org")
    await deployment.applied(await send_all(deployment, [create(1, "ana@example.org")]))
    bad, behind = await park(deployment)
    waits = [
        asking(patch(ana, replacing("title", f"T{number}"), number=2000 + number))
        for number in range(70)
    ]
    removal = asking(a_request("member.delete", ana.id))
    await deployment.applied(await send_all(deployment, [*waits, removal]))
    assert set(await statuses(deployment, waits)) == {202}
    await poisonous()

    meanwhile = asking(create(2, "ben@example.org"))
    end = await send_all(deployment, [let_go(behind), meanwhile, let_go(behind)])
    await deployment.applied(end)

    assert await statuses(deployment, [meanwhile]) == [202]
    assert await parks(deployment) == []
    assert await count(deployment, "directory.parked") == 0
    rows = await deployment.rows("SELECT id::text FROM directory.member")
    assert [row["id"] for row in rows] == [meanwhile.resource_id], "ana was removed last"
    found = await deployment.outcomes(70)
    changed = [each for each in found if each.outcome.fact == "member.changed"]
    assert [each.request_id for each in changed] == [each.id for each in waits]
    free = asking(create(3, "cy@example.org"))
    letters_back = [redrive(each, 900 + number) for number, each in enumerate(bad)]
    await deployment.applied(await send_all(deployment, [free, *letters_back]))
    assert await statuses(deployment, [free]) == [201]
    assert {each[2] for each in await letters(deployment)} == {"redriven"}


async def test_a_release_of_what_is_not_mended_stops_where_it_began(
    deployment: Deployment, poisonous: Callable[[], Any]
) -> None:
    await deployment.start()
    _, behind = await park(deployment)
    more = [poison(f"more{number}") for number in range(3)]
    good = asking(create(2, "ben@example.org"))
    end = await send_all(deployment, [*more, good, let_go(behind)])
    await deployment.applied(end)

    assert len(await letters(deployment)) == SHARE + 1
    assert await parks(deployment) == [ORGANISATION]
    assert await count(deployment, "directory.parked") == 3
    assert (await deployment.progress())["state"] == "running"
    await poisonous()
    await deployment.applied(await send_all(deployment, [let_go(behind)]))
    assert await parks(deployment) == []
    assert await count(deployment, "directory.member") == 3


async def test_an_erasure_and_the_end_of_a_parked_organisation_leave_nothing_of_it(
    deployment: Deployment, poisonous: Callable[[], Any]
) -> None:
    await deployment.start()
    ana = a_member(1, "ana@example.org")
    await deployment.applied(await send_all(deployment, [create(1, "ana@example.org")]))
    await park(deployment)
    waits = patch(ana, replacing("title", "Cook"), number=950)
    erasure = a_request("member.erase", ana.id, 951)
    await deployment.applied(await send_all(deployment, [waits, erasure]))
    assert await count(deployment, "directory.member") == 0
    assert await count(deployment, "directory.parked") == 0

    ending = Request(
        id=new_id(),
        endpoint="Users",
        organisation_id=ORGANISATION,
        resource_id=ORGANISATION,
        time=MOMENT,
        body=EndOrganisation(),
        actor="operator",
    )
    again = replace(waits, id=an_id(952))
    await deployment.applied(await send_all(deployment, [again, ending, poison()]))

    for table in ("member", "dead_letter", "parked", "parked_organisation"):
        assert await count(deployment, f"directory.{table}") == 0, table


async def test_a_broken_release_halts_although_it_meets_one_organisation_first(
    deployment: Deployment, poisonous: Callable[[], Any]
) -> None:
    await deployment.start()
    await park(deployment)

    await send_all(
        deployment, [poison(f"other{number}", OTHER_ORGANISATION) for number in range(LIMIT)]
    )

    await until(lambda: is_halted(deployment), "it is halted", 60)
    assert len(await letters(deployment)) < LIMIT
