"""Questions to one broker, asked without a client."""

import uuid

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from rollcall_local.stack import ports
from rollcall_local.stack.kafka.native import KafkaBroker
from rollcall_local.stack.process import wait_until
from tests.support import kafka_wire


def test_a_lone_broker_knows_itself(native_kafka: KafkaBroker) -> None:
    assert kafka_wire.members(native_kafka.settings.port) == {1}


def test_eligible_leader_replicas_are_on_in_a_new_cluster(native_kafka: KafkaBroker) -> None:
    """KIP-966: without them the last replica standing can lose what was acknowledged."""
    features = kafka_wire.features(native_kafka.settings.port)

    assert features is not None
    assert features["eligible.leader.replicas.version"] == 1


async def test_a_topic_is_described_by_its_partitions(native_kafka: KafkaBroker) -> None:
    name = f"wire-{uuid.uuid4().hex}"
    port = native_kafka.settings.port
    admin = AIOKafkaAdminClient(bootstrap_servers=native_kafka.bootstrap)
    await admin.start()
    try:
        before = kafka_wire.partitions(port, name)
        await admin.create_topics([NewTopic(name, 3, 1)])
    finally:
        await admin.close()

    wanted = {number: kafka_wire.Partition(1, (1,)) for number in range(3)}
    is_known = wait_until(lambda: kafka_wire.partitions(port, name) == wanted, 10)

    assert before == {}
    assert is_known


def test_a_closed_port_gives_no_answer() -> None:
    port = ports.choose()

    assert kafka_wire.members(port) is None
    assert kafka_wire.features(port) is None
