"""An action is tried again through an outage, and not longer than the partition is ours."""

import asyncio

import pytest

from rollcall.consuming.insist import insist
from rollcall.kafka.feed import Feed, FeedClosed
from rollcall.runtime.errors import Unavailable


def a_feed() -> Feed:
    feed = Feed(0, max_records=10, max_bytes=1 << 20)
    feed.open(0)
    return feed


async def test_insist_tries_until_it_works() -> None:
    feed = a_feed()
    outages: list[bool] = []
    answers = iter([Unavailable("Postgres"), Unavailable("Postgres"), None])

    async def action() -> str:
        error = next(answers)
        if error is not None:
            raise error
        return "done"

    assert await insist(feed, action, outages.append) == "done"
    assert outages == [True, True, False]


async def test_insist_gives_up_when_the_partition_is_taken_away() -> None:
    feed = a_feed()

    async def action() -> None:
        raise Unavailable("Postgres")

    insisting = asyncio.create_task(insist(feed, action, lambda _: None))
    await asyncio.sleep(0)
    feed.close()

    with pytest.raises(FeedClosed):
        await asyncio.wait_for(insisting, 1)
