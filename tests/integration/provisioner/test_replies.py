"""Each reply stands alone: one whose partition is not there costs nobody else theirs."""

from dataclasses import replace

import pytest

from rollcall.events.request import Request
from rollcall.events.topics import Topics
from rollcall.kafka.admin import apply_topics
from rollcall.observability import metrics
from rollcall.runtime.clock import now_ms
from tests.support.builders import create
from tests.support.deployment import PARTITIONS, Deployment
from tests.support.stack import until

MISSING = 9


def unsent(reason: str) -> float:
    return float(metrics.PROVISIONER_REPLIES_UNSENT.labels(reason)._value.get())


def waits_on(partition: int, number: int) -> Request:
    """A create whose sender waits on a partition of the replies."""
    made = create(number, f"u{number}@example.org")
    return replace(made, reply_to=partition, answer_by_ms=now_ms() + 60_000)


@pytest.mark.parametrize("order", [(MISSING, 0, 1), (0, MISSING, 1), (MISSING, MISSING, 1)])
async def test_a_reply_for_a_missing_partition_stops_no_other_reply(
    deployment: Deployment, order: tuple[int, ...]
) -> None:
    """All of them are of one batch: the provisioner starts when everything is there."""
    before = unsent("unknown partition"), unsent("Kafka")
    asked = [waits_on(partition, number) for number, partition in enumerate(order, 1)]
    for request in asked:
        last = await deployment.send(request)

    await deployment.start()
    await deployment.applied(last.offset + 1)

    heard = [request.id for request in asked if request.reply_to != MISSING]
    found = await deployment.replies(len(heard))
    assert {each.request_id for each in found} == set(heard)
    assert {each.status for each in found} == {201}
    await until(
        lambda: unsent("unknown partition") == before[0] + len(asked) - len(heard),
        "the others are counted",
    )
    assert unsent("Kafka") == before[1]


async def test_a_partition_that_was_added_is_found_without_a_restart(
    deployment: Deployment,
) -> None:
    """The producer asks for its metadata again as soon as somebody waits where it knows nobody."""
    await deployment.start()
    await deployment.send(waits_on(0, 1))
    await deployment.replies(1)  # it knows the partitions of the replies now
    topics = Topics(
        deployment.topics.prefix, requests_partitions=PARTITIONS, replies_partitions=MISSING + 1
    )
    await apply_topics(deployment.settings, topics, replication=1)
    widened = replace(deployment, topics=topics)
    numbers = iter(range(2, 1000))

    async def is_heard() -> bool:
        number = next(numbers)
        sent = await deployment.send(waits_on(MISSING, number))
        await deployment.applied(sent.offset + 1)
        return len(await widened.events(topics.replies)) > 1

    await until(is_heard, "a reply arrives in the partition that was added", 30)
