"""Crash tests always run on native brokers, whatever the other tests of the run use."""

import pytest

from rollcall_local.stack.kafka.native import KafkaBroker
from tests.support.servers import KafkaServer


@pytest.fixture(scope="module")
def kafka_server(native_kafka: KafkaBroker) -> KafkaServer:
    """The module's own native broker."""
    return KafkaServer(native_kafka.bootstrap, "native")
