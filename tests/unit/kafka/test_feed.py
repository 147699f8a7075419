"""The feed's contract: backpressure, position, close, failure."""

import asyncio

import pytest

from rollcall.kafka.feed import RECORD_OVERHEAD_BYTES, Feed, FeedClosed
from rollcall.kafka.worker import OutOfRange
from tests.support.samples.records import FakeRecord


def a_feed(max_records: int = 10, max_bytes: int = 1 << 20) -> Feed:
    feed = Feed(0, max_records=max_records, max_bytes=max_bytes)
    feed.open(0)
    return feed


def records(*offsets: int, size: int = 2) -> list[FakeRecord]:
    return [FakeRecord(offset, value=b"x" * size) for offset in offsets]


async def test_what_was_put_is_taken_in_order_within_the_bounds() -> None:
    feed = a_feed()
    feed.put(records(0, 1, 2, 3))

    first = await feed.take(3, 1 << 20, 1)
    second = await feed.take(3, 1 << 20, 1)

    assert [each.offset for each in first + second] == [0, 1, 2, 3]
    assert len(first) == 3


async def test_a_batch_is_bounded_in_bytes_but_holds_one_record_at_least() -> None:
    feed = a_feed()
    feed.put(records(0, 1, 2, size=1000))

    taken = await feed.take(10, 10, 1)
    more = await feed.take(10, 2 * (1000 + RECORD_OVERHEAD_BYTES), 1)

    assert [each.offset for each in taken] == [0]
    assert [each.offset for each in more] == [1, 2]


async def test_nothing_comes_back_after_the_time() -> None:
    assert await a_feed().take(1, 1, 0.01) == []


async def test_take_wakes_up_when_something_is_put() -> None:
    feed = a_feed()
    taking = asyncio.create_task(feed.take(1, 1, 5))
    await asyncio.sleep(0)

    feed.put(records(0))

    assert [each.offset for each in await asyncio.wait_for(taking, 1)] == [0]


async def test_records_before_the_position_are_dropped() -> None:
    """After a seek aiokafka may still deliver what it had fetched."""
    feed = a_feed()
    feed.open(5)

    feed.put(records(3, 4, 5, 6))

    assert [each.offset for each in await feed.take(10, 1 << 20, 1)] == [5, 6]


async def test_opening_again_forgets_what_was_queued() -> None:
    feed = a_feed()
    feed.put(records(0, 1, 2))

    feed.open(1)
    feed.put(records(1))

    assert [each.offset for each in await feed.take(10, 1 << 20, 1)] == [1]


async def test_a_full_feed_says_so_and_asks_for_more_when_half_is_taken() -> None:
    feed = a_feed(max_records=4)
    asked: list[bool] = []
    feed.on_room = lambda: asked.append(True)
    feed.put(records(0, 1, 2, 3))
    was_full = feed.is_full

    await feed.take(1, 1 << 20, 1)
    after_one = len(asked)
    await feed.take(1, 1 << 20, 1)

    assert was_full
    assert after_one == 0
    assert len(asked) == 1


def test_a_feed_is_full_by_bytes_as_well() -> None:
    feed = a_feed(max_bytes=5000)

    feed.put(records(0, 1, size=3000))

    assert feed.is_full


async def test_a_closed_feed_ends_its_worker_at_once() -> None:
    feed = a_feed()
    feed.put(records(0))
    taking = asyncio.create_task(a_feed_take_after(feed))

    feed.close()

    with pytest.raises(FeedClosed):
        await asyncio.wait_for(taking, 1)


async def a_feed_take_after(feed: Feed) -> None:
    await feed.take(1, 1, 5)


async def test_a_failure_comes_after_what_was_fetched_before() -> None:
    feed = a_feed()
    feed.put(records(0))
    feed.fail(OutOfRange("gone"))

    taken = await feed.take(1, 1 << 20, 1)

    assert [each.offset for each in taken] == [0]
    with pytest.raises(OutOfRange):
        await feed.take(1, 1 << 20, 1)


async def test_the_backlog_is_what_is_known_behind_the_batch() -> None:
    feed = a_feed()
    feed.put(records(0, 1, 2))
    feed.highwater = 100

    await feed.take(2, 1 << 20, 1)

    assert feed.backlog == 98
