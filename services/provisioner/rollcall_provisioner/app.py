"""The provisioner's parts, put together by hand; start, run, drain."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rollcall.events.topics import Topics
from rollcall.kafka.admin import topic_config
from rollcall.kafka.log_probe import LogProbe
from rollcall.kafka.producer import Producer
from rollcall.observability import metrics
from rollcall.observability.logging import get_logger
from rollcall.postgres.pool import open_pool
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.lifecycle import FaultPoint, drain_step, ends_before, is_set_within
from rollcall.runtime.retry import backoff_s
from rollcall.service import STOP_S, CannotServe, Service
from rollcall_provisioner.config import ProvisionerSettings
from rollcall_provisioner.consume import requests_pump, tenancy_pump
from rollcall_provisioner.worker_context import WorkerContext

APPEND_TIME: Final = "LogAppendTime"
MEASURE_EVERY_S: Final = 1.0
POOL_SIZE: Final = 8
"""Most connections to Postgres, shared by the partitions: each uses one while it applies a batch,
which is calculated in one interpreter. More connections would wait for that."""
PRODUCER_STOP_S: Final = 5.0
DATABASE_CLOSE_S: Final = 3.0

log = get_logger()


class WrongTopic(CannotServe):
    """The requests topic is not as it must be; nothing is applied from it."""


class Provisioner(Service):
    """One process: two pumps, a producer, a pool."""

    def __init__(self, settings: ProvisionerSettings, context: WorkerContext) -> None:
        super().__init__(
            "provisioner",
            admin_host=settings.provisioner_admin_host,
            admin_port=settings.provisioner_admin_port,
            stall_s=settings.stall_s,
        )
        self._settings = settings
        self._context = context
        self._requests = requests_pump(settings, context)
        self._tenancy = tenancy_pump(settings, context)
        self._has_reached_kafka = False

    def missing(self) -> Sequence[str]:
        """It has no place in the group yet."""
        reasons = []
        if not self._has_reached_kafka:
            reasons.append("Kafka has not been reached yet")
        if not self._requests.has_joined:
            reasons.append("the group has not given an assignment yet")
        return reasons

    def not_alive(self) -> Sequence[str]:
        """Partitions whose worker stands still for no known reason."""
        limit_s = self._settings.stall_s
        return [
            f"partition {partition} of {name} makes no progress"
            for name, pump in (("requests", self._requests), ("tenancy", self._tenancy))
            for partition in pump.stalled(limit_s)
        ]

    def facts(self) -> Mapping[str, Any]:
        """Its partitions of the requests."""
        return {"partitions": self._requests.partitions}

    async def work(self, stop: asyncio.Event) -> None:
        """Reach Kafka, then pump; both pumps drain their workers and leave their groups.

        Raises WrongTopic.
        """
        if not await _check_append_times(self._settings, self._context.topics, stop):
            return
        if not await ends_before(self._context.producer.start(), stop):
            return
        self._has_reached_kafka = True
        async with asyncio.TaskGroup() as tasks:
            measuring = tasks.create_task(self._measure())
            pumps = [
                tasks.create_task(self._requests.run(stop)),
                tasks.create_task(self._tenancy.run(stop)),
            ]
            await asyncio.wait(pumps)
            measuring.cancel()

    async def close(self) -> None:
        """What was announced is acknowledged before the rest is closed."""
        context = self._context
        await drain_step("producer", context.producer.stop(PRODUCER_STOP_S), 2 * PRODUCER_STOP_S)
        if context.outcomes is not None:
            await drain_step("outcomes", context.outcomes.close(), STOP_S)
        await drain_step("postgres", context.database.close(DATABASE_CLOSE_S), STOP_S)

    async def _measure(self) -> None:
        shown: set[str] = set()
        while True:
            lags = {str(number): lag for number, lag in self._requests.lags().items()}
            for partition in shown - lags.keys():
                metrics.PROVISIONER_LAG.remove(partition)
                metrics.PROVISIONER_BEHIND.remove(partition)
                metrics.PROVISIONER_TRIED_AGAIN.remove(partition)
                if int(partition) not in self._requests.partitions:
                    self._context.stuck.passed(int(partition))
            for partition, lag in lags.items():
                metrics.PROVISIONER_LAG.labels(partition).set(lag)
                tried_s = self._context.stuck.seconds(int(partition))
                metrics.PROVISIONER_TRIED_AGAIN.labels(partition).set(tried_s)
            metrics.PROVISIONER_BUDGET_BYTES.set(self._context.budget.held_bytes)
            for number, part in self._requests.behind().items():
                metrics.PROVISIONER_BEHIND.labels(str(number)).set(part)
            shown = set(lags)
            await asyncio.sleep(MEASURE_EVERY_S)


async def build(settings: ProvisionerSettings) -> Provisioner:
    """The provisioner of these settings; neither Kafka nor Postgres need be there."""
    database = await open_pool(
        settings.database_url.get_secret_value(),
        role_hint="provisioner",
        max_size=POOL_SIZE,
        statement_timeout_s=settings.provisioner_statement_timeout_s,
        application_name="rollcall provisioner",
    )
    topics = Topics(settings.topic_prefix)
    context = WorkerContext(
        database=database,
        producer=Producer(settings, client_id="rollcall-provisioner"),
        topics=topics,
        faults=FaultPoint(settings.fault),
        dead_letter_limit=settings.provisioner_dead_letter_limit,
        outcomes=LogProbe(settings, topics.outcomes),
    )
    return Provisioner(settings, context)


async def _check_append_times(
    settings: ProvisionerSettings, topics: Topics, stop: asyncio.Event
) -> bool:
    """Make sure that the requests carry the broker's append times; False if `stop` was set before.

    Waits for Kafka and for the topic. Raises WrongTopic. Where the principal may not read the
    topic's settings, each record is still looked at, and halts its partition (understand.py).
    """
    attempt = 0
    while not stop.is_set():
        try:
            config = await topic_config(settings, topics.requests)
        except Unavailable as error:
            reason = error.what
        else:
            if config is not None:
                _require_append_time(topics.requests, config.get("message.timestamp.type"))
                return True
            reason = f"there is no topic {topics.requests}"
        attempt += 1
        log.warning("kafka.unavailable", reason=reason, attempt=attempt)
        await is_set_within(stop, backoff_s(attempt, initial_s=0.2, maximum_s=5))
    return False


def _require_append_time(topic: str, kind: str | None) -> None:
    if kind is not None and kind != APPEND_TIME:
        raise WrongTopic(
            f"{topic} has message.timestamp.type={kind}; what was accepted in time is known only "
            f"with {APPEND_TIME}: `rollcall topics apply` sets it"
        )
