"""The provisioner asks Postgres four times for a batch (docs/decisions/0061)."""

import asyncio
from collections.abc import Sequence

import pytest

from rollcall.events.request import Request
from tests.support.builders import (
    a_group,
    a_member,
    a_request,
    a_user,
    an_id,
    create,
    patch,
    regroup,
    replacing,
)
from tests.support.deployment import Deployment
from tests.support.stack import until
from tests.support.statements import LoggedPostgres

FOUR = ["BEGIN;", "SELECT is_ours", "SELECT more_of_groups", "COMMIT;"]
BETWEEN = ("WITH moved AS (", "SELECT topic, partition, next_offset")
"""What may be asked between batches: how far is announced, and every ten seconds the position."""


def trips(logged: LoggedPostgres, begin: int) -> list[list[str]]:
    """The statements of each batch since then; nothing else is asked, but for `BETWEEN`."""
    batches: dict[int, list[str]] = {}
    ended: list[list[str]] = []
    for each in logged.since(begin, "provisioner"):
        if each.text.startswith("BEGIN"):
            batches[each.session] = []
        if each.session not in batches:
            assert each.text.startswith(BETWEEN), each
            continue
        batches[each.session].append(each.text)
        if each.text.startswith("COMMIT"):
            ended.append(batches.pop(each.session))
    assert not batches
    return ended


async def applied(deployment: Deployment, *requests: Request) -> None:
    """Send them at once, and wait until they are applied and announced."""
    before = len(await deployment.outcomes(0))
    sent = await asyncio.gather(*(deployment.send(request) for request in requests))
    await deployment.applied(max(each.offset for each in sent) + 1)
    await deployment.outcomes(before + len(requests))


def members(first: int, number: int) -> list[Request]:
    return [create(each, f"u{each}@example.org") for each in range(first, first + number)]


def patches(first: int, number: int) -> list[Request]:
    return [
        patch(a_member(1 + each), replacing("title", f"t{first}"), number=first + each)
        for each in range(number)
    ]


GROUP = a_group(60, "Sailors")
GROUP_MADE = a_request("group.create", GROUP.id, 700, resource={"displayName": "Sailors"})


@pytest.mark.parametrize(
    "requests",
    [
        members(100, 1),
        members(100, 50),
        patches(3000, 1),
        patches(3000, 50),
        [a_request("member.replace", an_id(3), 3001, resource=a_user("new@example.org"))],
        [regroup(GROUP, add=(an_id(1), an_id(2)), remove=(an_id(3),), number=3002)],
        [a_request("group.create", an_id(61), 3003, resource={"displayName": "Cooks"})],
        [a_request("group.delete", GROUP.id, 3004)],
        [a_request("member.delete", an_id(4), 3005)],
        [a_request("member.delete", an_id(999), 3006)],
        [a_request("member.erase", an_id(5), 3007)],
        [*members(100, 20), *patches(3000, 20), regroup(GROUP, add=(an_id(9),), number=3002)],
        [create(1, "u1@example.org")],
    ],
    ids=[
        "a create",
        "fifty creates",
        "a patch",
        "fifty patches",
        "a replace",
        "members of a group",
        "a group",
        "a group's end",
        "a delete",
        "a refusal",
        "an erasure",
        "all kinds",
        "a copy",
    ],
)
async def test_a_batch_takes_four_round_trips(
    deployment: Deployment, logged: LoggedPostgres, requests: Sequence[Request]
) -> None:
    await deployment.start()
    await applied(deployment, *members(1, 50), GROUP_MADE)
    begin = logged.end

    sent = await asyncio.gather(*(deployment.send(request) for request in requests))
    await deployment.applied(max(each.offset for each in sent) + 1)

    batches = trips(logged, begin)
    assert 0 < len(batches) <= max(1, len(requests) // 2)
    for batch in batches:
        assert len(batch) <= 4, batch
        assert all(map(str.startswith, batch, FOUR[:2])), batch
        assert batch[-1].startswith("COMMIT"), batch


async def test_nothing_is_asked_when_nothing_comes(
    deployment: Deployment, logged: LoggedPostgres
) -> None:
    await deployment.start()
    await applied(deployment, *members(1, 3))

    async def is_written() -> bool:
        found = await deployment.progress()
        return bool(found["published_offset"] == found["next_offset"])

    await until(is_written, "how far is announced is written")
    begin = logged.end
    await asyncio.sleep(6)

    assert logged.since(begin, "provisioner") == []
