"""Topics on a real broker: made, checked, altered."""

import asyncio
import uuid
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from rollcall.events.topics import Topics
from rollcall.kafka.admin import (
    apply_topics,
    check_topics,
    partition_count,
    topic_config,
    wait_until_reachable,
)
from rollcall.runtime.config import Settings, load
from rollcall.runtime.errors import Unavailable
from rollcall_local.stack import ports
from rollcall_local.stack.kafka.native import KafkaBroker
from rollcall_local.stack.kafka.settings import BrokerSettings
from tests.support.servers import KafkaServer


@pytest.fixture(scope="module")
def kafka_server(native_kafka: KafkaBroker) -> KafkaServer:
    """A broker of this module's own, set up as it must be."""
    return KafkaServer(native_kafka.bootstrap, "native")


@pytest.fixture
def settings(kafka_server: KafkaServer) -> Settings:
    return load(Settings, kafka_bootstrap=kafka_server.bootstrap)


def some_topics(partitions: int = 3) -> Topics:
    return Topics(f"a{uuid.uuid4().hex[:12]}", partitions, 2)


async def test_applying_makes_what_checking_asks_for(settings: Settings) -> None:
    topics = some_topics()
    before = await check_topics(settings, topics, replication=1)

    done = await apply_topics(settings, topics, replication=1)

    assert len(before) == len(done) == 5
    assert await check_topics(settings, topics, replication=1) == []
    assert await apply_topics(settings, topics, replication=1) == []


async def test_partitions_are_added_and_never_taken_away(settings: Settings) -> None:
    topics = some_topics(3)
    await apply_topics(settings, topics, replication=1)

    await apply_topics(settings, Topics(topics.prefix, 5, 2), replication=1)
    await apply_topics(settings, topics, replication=1)

    assert await partition_count(settings, topics.requests) == 5


async def test_a_setting_that_differs_is_named_and_set_back(settings: Settings) -> None:
    """What an operator set beside ours stays: the call replaces all settings of a topic."""
    topics = some_topics()
    await apply_topics(settings, topics, replication=1)
    changed = {"message.timestamp.type": "CreateTime", "segment.bytes": "20000000"}
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topics.requests, changed)])
    await admin.close()

    expected = f"{topics.requests}: message.timestamp.type is CreateTime, wanted LogAppendTime"
    async with asyncio.timeout(10):  # the broker learns of it a moment later
        while expected not in await check_topics(settings, topics, replication=1):
            pass

    done = await apply_topics(settings, topics, replication=1)

    assert f"{topics.requests}: message.timestamp.type CreateTime -> LogAppendTime" in done
    config = await topic_config(settings, topics.requests)
    assert config is not None
    assert config["message.timestamp.type"] == "LogAppendTime"
    assert config["segment.bytes"] == "20000000"


async def test_too_few_replicas_are_named(settings: Settings) -> None:
    topics = some_topics()
    await apply_topics(settings, topics, replication=1)

    found = await check_topics(settings, topics, replication=3)

    assert f"{topics.requests}: replication 1, wanted 3" in found
    assert f"{topics.requests}: min.insync.replicas is 1, wanted 2" in found


async def test_a_topic_that_is_not_there_has_no_settings(settings: Settings) -> None:
    assert await topic_config(settings, "nobody-made-this") is None
    assert await partition_count(settings, "nobody-made-this") == 0


async def test_kafka_away_is_unavailable() -> None:
    nowhere = load(Settings, kafka_bootstrap="127.0.0.1:1")

    with pytest.raises(Unavailable):
        await check_topics(nowhere, some_topics(), replication=1)
    with pytest.raises(TimeoutError):
        await wait_until_reachable(nowhere, 0.3)


async def test_a_broker_whose_death_would_be_noticed_late_is_named(tmp_path: Path) -> None:
    port = ports.choose()
    slow = BrokerSettings(
        tmp_path,
        port,
        ports.choose([port]),
        extra={"broker.session.timeout.ms": "9000"},
    )
    broker = KafkaBroker(slow)
    await asyncio.to_thread(broker.start)
    try:
        settings = load(Settings, kafka_bootstrap=broker.bootstrap)
        topics = some_topics(1)
        await apply_topics(settings, topics, replication=1)

        found = await check_topics(settings, topics, replication=1)
    finally:
        await asyncio.to_thread(broker.stop)

    assert len(found) == 1
    assert found[0].startswith("broker 1: broker.session.timeout.ms is 9000, wanted 3000 or less")
