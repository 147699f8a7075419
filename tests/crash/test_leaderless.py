"""A partition without a leader keeps no other one waiting: three brokers, one of them killed.

Topics with one replica each: what the killed broker led has no leader until it comes back.
"""

import asyncio
import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollcall.events.topics import Topics
from rollcall.kafka.admin import apply_topics
from rollcall.kafka.log_probe import LogProbe
from rollcall.runtime.config import Settings, load
from rollcall.runtime.errors import Unavailable
from tests.support.databases import TestDatabase
from tests.support.deploy.cluster import own_cluster, start_again
from tests.support.kafka_cluster import KafkaCluster
from tests.support.stack import running, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]
PARTITIONS = 12
ROUNDS = 5
ANSWERED_IN_S = 2.0


@pytest.fixture
def cluster() -> Iterator[KafkaCluster]:
    """Three brokers of this test's own: one of them stays dead."""
    with own_cluster() as made:
        yield made


def led_by_others(cluster: KafkaCluster, topic: str, dead: int) -> set[int]:
    leaders = {number: cluster.partition(topic, number).leader for number in range(PARTITIONS)}
    return {number for number, leader in leaders.items() if leader not in (dead, None)}


async def timed(probe: LogProbe, partition: int) -> tuple[int, bool, float]:
    """Partition, whether it was answered, and in how many seconds."""
    began_s = time.monotonic()
    try:
        await probe.look(partition, 0)
    except Unavailable:
        return partition, False, time.monotonic() - began_s
    return partition, True, time.monotonic() - began_s


async def test_each_question_about_a_partition_has_its_own_answer(cluster: KafkaCluster) -> None:
    settings = load(Settings, kafka_bootstrap=cluster.bootstrap)
    topics = Topics(f"l{uuid.uuid4().hex[:12]}", PARTITIONS, 1)
    await apply_topics(settings, topics, replication=1)
    alive = led_by_others(cluster, topics.requests, dead=1)
    assert 0 < len(alive) < PARTITIONS
    probe = LogProbe(settings, topics.requests)
    cluster.brokers[1].kill()
    try:
        await timed(probe, min(alive))  # connects, and learns who is dead
        asking = [
            asyncio.create_task(timed(probe, number))
            for number in set(range(PARTITIONS)) - alive
            for _ in range(3)
        ]
        for _ in range(ROUNDS):
            answers = await asyncio.gather(*(timed(probe, number) for number in alive))

            assert all(answered for _, answered, _ in answers)
            assert max(took_s for *_, took_s in answers) < ANSWERED_IN_S
        assert not any(answered for _, answered, _ in await asyncio.gather(*asking))
        await start_again(cluster.brokers[1])

        async def is_answered() -> bool:
            return (await timed(probe, min(set(range(PARTITIONS)) - alive)))[1]

        await until(is_answered, "the partition answers again", 60)
    finally:
        await probe.close()


async def test_a_starting_provisioner_begins_with_what_has_a_leader(
    tmp_path: Path, cluster: KafkaCluster, database: TestDatabase
) -> None:
    prefix = f"t{uuid.uuid4().hex[:12]}"
    async with running(tmp_path, cluster.bootstrap, prefix, database.url, replication=1) as stack:
        topic = stack.topics.requests
        leaders = [cluster.leader_of(topic, number) for number in range(4)]
        keeps = cluster.leader_of(stack.topics.tenancy, 0)
        dead = next(each for each in leaders if each != keeps)
        wanted = {number for number, leader in enumerate(leaders) if leader != dead}
        cluster.brokers[dead].kill()

        process = await stack.start("provisioner", ready=False)

        def have_started() -> bool:
            return wanted <= started(process.log.read_text(), topic)

        await until(have_started, "all that have a leader have started", 40, process.explain)


def started(log: str, topic: str) -> set[int]:
    """The partitions of the topic whose worker has begun, by the service's log."""
    events = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return {
        event["partition"]
        for event in events
        if event.get("event") == "partition.started" and event.get("topic") == topic
    }
