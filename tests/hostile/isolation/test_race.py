"""Two replicas are given the same name at the same time: one order decides, so one gets it.

A check before an insert would let two through; here the provisioner decides in the log's order.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from rollcall.control.organisations import change_organisation
from rollcall.control.tenancy_log import open_log
from tests.support.scim_client import GROUP, SCIM, USER
from tests.support.stack import Stack

Bodies = Callable[[int], dict[str, Any]]
CONNECTIONS = 40


def same_user_name(number: int) -> dict[str, Any]:
    """One name in different letter case."""
    name = "mara@harbour.example"
    return {"schemas": [USER], "userName": name.upper() if number % 3 else name}


def same_external_id(number: int) -> dict[str, Any]:
    return {"schemas": [USER], "userName": f"m{number}@harbour.example", "externalId": "e-1"}


def same_display_name(number: int) -> dict[str, Any]:
    return {"schemas": [GROUP], "displayName": "SAILORS" if number % 3 else "sailors"}


@pytest.mark.parametrize(
    ("endpoint", "table", "bodies", "count"),
    [
        ("Users", "member", same_user_name, 1000),
        ("Users", "member", same_external_id, 100),
        ("Groups", '"group"', same_display_name, 100),
    ],
)
async def test_of_many_creates_with_one_name_over_two_replicas_one_is_created(
    endpoint: str, table: str, bodies: Bodies, count: int, whole_stack: Stack
) -> None:
    second = await whole_stack.start("ingress")
    organisation = await whole_stack.organisation()
    async with open_log(whole_stack.settings) as log:  # where it is not asked for they may share it
        await change_organisation(log, organisation.id, ["unique_external_ids=on"])
    headers = {**SCIM, "Authorization": f"Bearer {organisation.key}"}
    urls = [
        f"http://127.0.0.1:{port}/v2/{organisation.id}/{endpoint}"
        for port in (whole_stack.door_port, second.door_port)
    ]
    numbers = iter(range(count))
    answers: list[tuple[int, Any]] = []

    async def client(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            async with session.post(urls[number % 2], json=bodies(number)) as answer:
                answers.append((answer.status, await answer.json(content_type=None)))

    async with (
        aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=60),
        ) as session,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(CONNECTIONS):
            group.create_task(client(session))

    assert Counter(status for status, _ in answers) == {201: 1, 409: count - 1}
    [created] = [body["id"] for status, body in answers if status == 201]
    assert {body["scimType"] for status, body in answers if status == 409} == {"uniqueness"}
    rows = await whole_stack.rows(f"SELECT id::text FROM directory.{table}")
    assert [row["id"] for row in rows] == [created]
