"""Topics: create them, compare them with what is required, and alter what differs.

The client speaks Kafka's AlterConfigs, which replaces *all* settings of a topic. So settings that
an operator made besides ours are read first and written again.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from rollcall.events.topics import Topic, Topics
from rollcall.kafka.client import client_options, unavailable_if_away
from rollcall.runtime.config import Settings
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.retry import until_available

_TIMEOUT_S: Final = 30.0
BROKER_SESSION: Final = "broker.session.timeout.ms"
MAX_BROKER_SESSION_MS: Final = 3000
_SET_ON_TOPIC: Final = 1
"""`config_source` in DescribeConfigs for a setting that was made on the topic itself."""


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as Kafka describes it; `own` holds only the settings made on the topic itself.

    `is_led`: every partition has a leader, so that clients that start now can use it.
    """

    partitions: int
    replication: int
    config: Mapping[str, str]
    own: Mapping[str, str]
    is_led: bool = True


async def apply_topics(settings: Settings, topics: Topics, *, replication: int) -> list[str]:
    """Create missing topics, add partitions, alter settings; returns one line for each change.

    Partitions are never removed and replicas never moved; `check_topics` reports such differences.
    Raises Unavailable.
    """
    done: list[str] = []
    async with admin_client(settings) as admin:
        wanted = [required(topic, replication) for topic in topics.all()]
        found = await _topic_states(admin, [topic.name for topic in wanted])
        missing = [topic for topic in wanted if topic.name not in found]
        if missing:
            done += await _create(admin, missing, replication)
        for topic in wanted:
            if topic.name in found:
                done += await _adapt(admin, topic, found[topic.name])
        await _until_in_force(admin, wanted)
    return done


async def check_topics(settings: Settings, topics: Topics, *, replication: int) -> list[str]:
    """Differences from the topics that our promises need, one line each; empty if there are none.

    Raises Unavailable.
    """
    async with admin_client(settings) as admin:
        wanted = [required(topic, replication) for topic in topics.all()]
        found = await _topic_states(admin, [topic.name for topic in wanted])
        sessions = await _broker_sessions(admin)
    lines = [
        line for topic in wanted for line in differences(topic, found.get(topic.name), replication)
    ]
    return lines + slow_to_notice(sessions)


async def topic_config(settings: Settings, name: str) -> Mapping[str, str] | None:
    """All settings in force of one topic; None if the topic does not exist.

    Empty if the principal may not read them. Raises Unavailable.
    """
    async with admin_client(settings) as admin:
        found = await _topic_states(admin, [name])
    return found[name].config if name in found else None


async def partition_count(settings: Settings, name: str) -> int:
    """The number of partitions of a topic; 0 if it does not exist. Raises Unavailable."""
    async with admin_client(settings) as admin:
        found = await _topic_states(admin, [name])
    return found[name].partitions if name in found else 0


async def wait_until_reachable(settings: Settings, timeout_s: float | None = None) -> None:
    """Return when a broker answers. Raises TimeoutError after `timeout_s`; None: no limit."""
    async with asyncio.timeout(timeout_s):
        async for attempt in until_available(wait_max_s=2.0):
            with attempt:
                async with admin_client(settings) as admin:
                    await _bounded(admin.describe_cluster())


def required(topic: Topic, replication: int) -> Topic:
    """The topic plus `min.insync.replicas`, which follows from the number of replicas."""
    in_sync = {"min.insync.replicas": "2" if replication >= 3 else "1"}
    return Topic(topic.name, topic.partitions, {**topic.config, **in_sync})


def differences(topic: Topic, found: TopicState | None, replication: int) -> list[str]:
    """What differs from `topic`, one line each, with what to do."""
    if found is None:
        return [f"{topic.name}: is missing"]
    lines = []
    if found.partitions < topic.partitions:
        lines.append(f"{topic.name}: {found.partitions} partitions, wanted {topic.partitions}")
    if found.replication < replication:
        lines.append(f"{topic.name}: replication {found.replication}, wanted {replication}")
    lines += [
        f"{topic.name}: {name} is {found.config.get(name, 'unset')}, wanted {value}"
        for name, value in topic.config.items()
        if found.config.get(name) != value
    ]
    return lines


def slow_to_notice(sessions: Mapping[int, int]) -> list[str]:
    """The brokers (id → session in ms) whose failure is noticed too late, one line each."""
    return [
        f"broker {broker}: {BROKER_SESSION} is {session_ms}, wanted {MAX_BROKER_SESSION_MS} or "
        "less, or writes are refused for some seconds when a broker dies (decision 0010)"
        for broker, session_ms in sorted(sessions.items())
        if session_ms > MAX_BROKER_SESSION_MS
    ]


def is_of_broker(line: str) -> bool:
    """Whether the difference is in a broker's own settings and not in a topic."""
    return line.startswith("broker ")


async def _broker_sessions(admin: AIOKafkaAdminClient) -> dict[int, int]:
    """Broker id → its session with the controller in ms, for the brokers that report it."""
    brokers = [
        broker["node_id"] for broker in (await _bounded(admin.describe_cluster()))["brokers"]
    ]
    resources = [
        ConfigResource(ConfigResourceType.BROKER, str(broker), {BROKER_SESSION: ""})
        for broker in brokers
    ]
    found: dict[int, int] = {}
    for response in await _bounded(admin.describe_configs(resources)):
        for code, _, _, name, entries in response.resources:
            # A managed Kafka may hide its brokers' settings. Then this cannot be checked.
            if not code:
                found |= {int(name): int(entry[1]) for entry in entries if entry[1]}
    return found


async def _create(
    admin: AIOKafkaAdminClient, topics: Sequence[Topic], replication: int
) -> list[str]:
    new = [
        NewTopic(topic.name, topic.partitions, replication, topic_configs=dict(topic.config))
        for topic in topics
    ]
    response = await _bounded(admin.create_topics(new, timeout_ms=15_000))
    for entry in response.topic_errors:
        name, code, message = entry[0], entry[1], entry[2] if len(entry) > 2 else None
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise Unavailable(f"Kafka (topic {name}: {error.__name__}: {message})")
    return [f"{topic.name}: created with {topic.partitions} partitions" for topic in topics]


async def _adapt(admin: AIOKafkaAdminClient, topic: Topic, found: TopicState) -> list[str]:
    done = []
    if found.partitions < topic.partitions:
        await _bounded(admin.create_partitions({topic.name: NewPartitions(topic.partitions)}))
        done.append(f"{topic.name}: partitions {found.partitions} -> {topic.partitions}")
    differing = {
        name: value for name, value in topic.config.items() if found.config.get(name) != value
    }
    if differing:
        resource = ConfigResource(
            ConfigResourceType.TOPIC, topic.name, {**found.own, **topic.config}
        )
        for response in await _bounded(admin.alter_configs([resource])):
            for code, message, *_ in response.resources:
                if code:
                    raise Unavailable(f"Kafka (topic {topic.name}: {message})")
        done += [
            f"{topic.name}: {name} {found.config.get(name, 'unset')} -> {value}"
            for name, value in differing.items()
        ]
    return done


async def _topic_states(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, TopicState]:
    """The topics in `names` that exist."""
    described = {
        topic["topic"]: topic["partitions"]
        for topic in await _bounded(admin.describe_topics(list(names)))
        if not topic["error_code"]
    }
    if not described:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in described]
    found = {}
    for response in await _bounded(admin.describe_configs(resources)):
        for code, message, _, name, entries in response.resources:
            if for_code(code) is UnknownTopicOrPartitionError:
                continue  # just created, and this broker does not know it yet
            # Without the right to read settings they are empty; a wrong one shows in the records.
            if code and for_code(code) is not TopicAuthorizationFailedError:
                raise Unavailable(f"Kafka (topic {name}: {message})")
            partitions = described[name]
            found[name] = TopicState(
                partitions=len(partitions),
                replication=min(len(partition["replicas"]) for partition in partitions),
                config={entry[0]: entry[1] or "" for entry in entries},
                own={
                    entry[0]: entry[1] or ""
                    for entry in entries
                    if entry[3] == _SET_ON_TOPIC and not entry[2]
                },
                is_led=all(
                    partition["leader"] >= 0 and not partition["error_code"]
                    for partition in partitions
                ),
            )
    return found


async def _until_in_force(admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> None:
    """Wait until every partition has a leader and every setting is in force on a broker.

    Brokers learn both a moment after the call that created or altered the topic returned.
    """
    names = [topic.name for topic in topics]
    async with asyncio.timeout(_TIMEOUT_S):
        while True:
            found = await _topic_states(admin, names)
            if all(_is_in_force(topic, found.get(topic.name)) for topic in topics):
                return
            await asyncio.sleep(0.05)  # between questions; the loop's condition is above


def _is_in_force(topic: Topic, found: TopicState | None) -> bool:
    return found is not None and found.is_led and not differences(topic, found, 0)


@asynccontextmanager
async def admin_client(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """A started admin client. Kafka errors inside the block become Unavailable."""
    admin = AIOKafkaAdminClient(**client_options(settings), request_timeout_ms=20_000)
    try:
        with unavailable_if_away():
            async with asyncio.timeout(_TIMEOUT_S):
                await admin.start()
            yield admin
    finally:
        await admin.close()


async def ask(admin: AIOKafkaAdminClient, request: Any) -> Any:
    """The answer to a request of Kafka's protocol for which the client has no method."""
    async with asyncio.timeout(_TIMEOUT_S):
        return await admin._send_request(request)  # noqa: SLF001 no public method sends it


async def _bounded(answer: Any) -> Any:
    async with asyncio.timeout(_TIMEOUT_S):
        return await answer
