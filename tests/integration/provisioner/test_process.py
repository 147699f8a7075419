"""`python -m rollcall_provisioner` as an operator runs it."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import aiohttp
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from rollcall.events.request import to_event
from rollcall.kafka.admin import apply_topics, topic_config
from tests.support.builders import ORGANISATION, create
from tests.support.deployment import Deployment
from tests.support.stack import ROOT, Process, Stack, until


async def test_it_starts_applies_and_drains(stack: Stack, deployment: Deployment) -> None:
    variables = {
        "ROLLCALL_TOPIC_PREFIX": deployment.topics.prefix,
        "ROLLCALL_DATABASE_URL": deployment.database.url("provisioner"),
    }
    process = await stack.start("provisioner", ready=True, **variables)
    last = await deployment.send(create(1, "ana@example.org"))
    await deployment.applied(last.offset + 1)
    base = f"http://127.0.0.1:{process.admin_port}"
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{base}/livez") as alive:
            assert alive.status == 200

        async def is_counted() -> bool:  # a moment after the commit
            async with session.get(f"{base}/metrics") as metrics:
                text = await metrics.text()
            return 'events_total{kind="member.create",status="2xx"} 1.0' in text

        await until(is_counted, "the event is counted")

    status = process.terminate()

    assert status == 0, process.explain()
    assert "ana@example.org" not in process.log.read_text()
    found = await deployment.progress()
    assert found["published_offset"] == last.offset + 1


async def test_what_was_committed_before_a_kill_is_announced_by_the_next(
    stack: Stack, deployment: Deployment
) -> None:
    variables = {
        "ROLLCALL_TOPIC_PREFIX": deployment.topics.prefix,
        "ROLLCALL_DATABASE_URL": deployment.database.url("provisioner"),
    }
    for fault, number in (
        ("provisioner.before_commit", 1),
        ("provisioner.after_commit", 2),
        ("provisioner.after_replies", 3),
    ):
        process = await stack.start("provisioner", ROLLCALL_FAULT=fault, ready=True, **variables)
        await deployment.send(create(number, f"user{number}@example.org"))
        await process.ended()

    await stack.start("provisioner", ready=True, **variables)

    announced = await deployment.outcomes(3)
    assert [each.sequence.offset for each in announced] == [0, 1, 2]
    rows = await deployment.rows("SELECT count(*) AS events FROM audit.event")
    assert rows[0]["events"] == 3


async def test_a_zombie_is_fenced_and_writes_nothing(stack: Stack, deployment: Deployment) -> None:
    """Stopped with a batch in hand, continued after its successor has applied everything."""
    variables = {
        "ROLLCALL_TOPIC_PREFIX": deployment.topics.prefix,
        "ROLLCALL_DATABASE_URL": deployment.database.url("provisioner"),
    }
    number = 3000
    fault = "provisioner.before_batch:2:stop"
    zombie = await stack.start("provisioner", ROLLCALL_FAULT=fault, ready=True, **variables)
    sent = [
        await deployment.producer.enqueue(
            deployment.topics.requests,
            partition=0,
            key=ORGANISATION,
            event=to_event(create(n, f"user{n}@example.org")),
        )
        for n in range(number)
    ]
    await asyncio.gather(*sent)
    await until(lambda: is_stopped(zombie), "it stands before its second batch")
    stopped_at = (await deployment.progress())["next_offset"]

    await stack.start("provisioner", ready=True, **variables)
    await deployment.applied(number)
    zombie.resume()

    await until(lambda: "batch.fenced" in zombie.log.read_text(), "the zombie is fenced")
    rows = await deployment.rows("SELECT count(*) AS events FROM audit.event")
    assert stopped_at < number
    assert rows[0]["events"] == number
    members = await deployment.rows("SELECT count(*) AS members FROM directory.member")
    assert members[0]["members"] == number


async def test_a_topic_without_append_times_is_refused(
    stack: Stack, deployment: Deployment
) -> None:
    """Nobody could tell what was accepted in time."""
    topics = deployment.topics
    await _set_create_time(deployment)

    process = await stack.start("provisioner", ready=False, ROLLCALL_TOPIC_PREFIX=topics.prefix)

    assert await process.ended() == 1
    assert "message.timestamp.type=CreateTime" in process.explain()
    await apply_topics(deployment.settings, topics, replication=1)


def test_every_mistake_in_the_settings_is_named() -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ROLLCALL_")}

    done = subprocess.run(
        [sys.executable, "-m", "rollcall_provisioner"],
        cwd=ROOT,
        env={**environment, "ROLLCALL_PROVISIONER_DEAD_LETTER_LIMIT": "0"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 2
    for name in ("KAFKA_BOOTSTRAP", "DATABASE_URL", "PROVISIONER_DEAD_LETTER_LIMIT"):
        assert f"ROLLCALL_{name}" in done.stderr


def is_stopped(process: Process) -> bool:
    """Whether the process has stopped itself (SIGSTOP)."""
    return "State:\tT" in Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")


async def _set_create_time(deployment: Deployment) -> None:
    topic = deployment.topics.requests
    setting = {"message.timestamp.type": "CreateTime"}
    admin = AIOKafkaAdminClient(bootstrap_servers=deployment.settings.kafka_bootstrap)
    await admin.start()
    try:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, setting)])
    finally:
        await admin.close()

    async def is_set() -> bool:
        config = await topic_config(deployment.settings, topic)
        return config is not None and config["message.timestamp.type"] == "CreateTime"

    await until(is_set, "the topic has create times")
