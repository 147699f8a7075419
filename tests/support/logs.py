"""What happens to logs: made anew, copied, cut. No test in here."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from rollcall.kafka.admin import apply_topics, partition_count
from rollcall.kafka.producer import Producer
from tests.support.deployment import Deployment
from tests.support.stack import until


async def delete(deployment: Deployment, topic: str) -> None:
    """Delete a topic."""
    async with _admin(deployment) as admin:
        await admin.delete_topics([topic])

    async def is_gone() -> bool:
        return await partition_count(deployment.settings, topic) == 0

    await until(is_gone, f"{topic} is gone")


async def recreate(deployment: Deployment, topic: str) -> None:
    """Delete a topic and make it again, empty."""
    await delete(deployment, topic)
    await apply_topics(deployment.settings, deployment.topics, replication=1)
    # The one from before knows sequence numbers of the topic that is gone.
    await deployment.producer.stop()
    deployment.producer = Producer(deployment.settings, client_id="test")
    await deployment.producer.start()


async def copy(deployment: Deployment, records: Sequence[Any], topic: str) -> None:
    """Append records as a mirror does: the same but for their append times."""
    producer = AIOKafkaProducer(bootstrap_servers=deployment.settings.kafka_bootstrap)
    await producer.start()
    try:
        for record in records:
            await producer.send_and_wait(
                topic,
                record.value,
                key=record.key,
                partition=record.partition,
                headers=list(record.headers),
            )
    finally:
        await producer.stop()


async def cut(deployment: Deployment, topic: str, before: int, partition: int = 0) -> None:
    """Take away the records before an offset, as retention does."""
    async with _admin(deployment) as admin:
        at = TopicPartition(topic, partition)
        await admin.delete_records({at: RecordsToDelete(before)})


@asynccontextmanager
async def _admin(deployment: Deployment) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=deployment.settings.kafka_bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()
