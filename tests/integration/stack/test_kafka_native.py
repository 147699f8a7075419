"""A native broker keeps what it acknowledged, and its jars are what the lock file says."""

import shutil
import socket
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from rollcall_local.stack.errors import StackError
from rollcall_local.stack.kafka import jars as kafka_jars
from rollcall_local.stack.kafka import native as kafka_native
from rollcall_local.stack.kafka.native import KafkaBroker


async def _acknowledged(bootstrap: str, topic: str, value: bytes) -> int:
    """Make the topic and return the offset of one record that all replicas have."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()
    try:
        return int((await producer.send_and_wait(topic, value, partition=0)).offset)
    finally:
        await producer.stop()


async def _read(bootstrap: str, topic: str, offset: int) -> bytes | None:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek(partition, offset)
        found = await consumer.getmany(partition, timeout_ms=15_000)
        return found[partition][0].value if found else None
    finally:
        await consumer.stop()


async def test_what_was_acknowledged_is_there_after_a_sigkill(native_kafka: KafkaBroker) -> None:
    offset = await _acknowledged(native_kafka.bootstrap, "kept", b"a joiner")
    before = native_kafka.pid

    native_kafka.kill()
    native_kafka.start()

    assert native_kafka.pid != before
    assert await _read(native_kafka.bootstrap, "kept", offset) == b"a joiner"


def test_a_frozen_broker_keeps_its_connections_and_answers_nothing(
    native_kafka: KafkaBroker,
) -> None:
    native_kafka.pause()
    try:
        with socket.create_connection(("127.0.0.1", native_kafka.settings.port), timeout=2):
            is_answered = kafka_native.answers(native_kafka.settings.port, timeout_s=0.5)
    finally:
        native_kafka.resume()

    assert not is_answered
    assert kafka_native.answers(native_kafka.settings.port, timeout_s=10)


def test_it_is_the_java_process_itself(native_kafka: KafkaBroker) -> None:
    command = Path(f"/proc/{native_kafka.pid}/cmdline")
    if not command.exists():
        pytest.skip("no /proc on this system")

    first = command.read_bytes().split(b"\0")[0]

    assert first == kafka_native.java().encode()


def test_a_jar_with_another_digest_stops_the_start_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROLLCALL_KAFKA_LIBS", raising=False)
    for variable in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nothing can be fetched
    repository = tmp_path / "kafka" / "repository"
    jar = kafka_jars.locked_jars()[0]
    (repository / jar.path).parent.mkdir(parents=True)
    (repository / jar.path).write_bytes(b"something else")

    with pytest.raises(StackError) as refused:
        kafka_jars.find_jars(cache=tmp_path)

    line = str(refused.value)
    assert "\n" not in line
    assert "ROLLCALL_KAFKA_BOOTSTRAP" in line
    assert "ROLLCALL_KAFKA_LIBS" in line
    assert refused.value.exit_code == 2


def test_a_second_start_fetches_nothing(
    native_kafka: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has started a broker once (the fixture has) needs no network any more."""
    for variable in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")

    jars = kafka_jars.find_jars()

    assert len(jars) >= 40


def test_a_folder_of_jars_replaces_the_fetched_ones(
    native_kafka: KafkaBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for jar in kafka_jars.find_jars():
        shutil.copy(jar, tmp_path / jar.name)
    monkeypatch.setenv("ROLLCALL_KAFKA_LIBS", str(tmp_path))

    native_kafka.restart()

    assert kafka_native.answers(native_kafka.settings.port)
