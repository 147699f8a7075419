"""A deployment of one test's own: topics under a prefix, named by the environment."""

import asyncio

import pytest

from rollcall.events.topics import Topics
from rollcall.kafka.admin import apply_topics
from rollcall.runtime.config import Settings, load
from rollcall.runtime.ids import new_id
from tests.support.deployment import Environment
from tests.support.servers import KafkaServer


@pytest.fixture
def deployment(kafka_server: KafkaServer, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Topics of this test's own; commands find them by `ROLLCALL_…`."""
    prefix = f"operator-{new_id()[-12:]}"
    monkeypatch.setenv("ROLLCALL_KAFKA_BOOTSTRAP", kafka_server.bootstrap)
    monkeypatch.setenv("ROLLCALL_TOPIC_PREFIX", prefix)
    monkeypatch.setenv("ROLLCALL_PUBLIC_URL", "https://scim.example")
    monkeypatch.delenv("ROLLCALL_DATABASE_URL", raising=False)
    settings = load(Settings)
    topics = Topics(prefix, requests_partitions=4, replies_partitions=1)
    asyncio.run(apply_topics(settings, topics, replication=1))
    return Environment(settings, topics)
