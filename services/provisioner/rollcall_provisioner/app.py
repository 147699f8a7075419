"""The provisioner's parts, put together by hand; start, run, drain."""

import asyncio
from collections.abc import Sequence
from typing import Final

from rollcall.events.topics import Topics
from rollcall.http.health import health_app
from rollcall.http.server import Listener
from rollcall.kafka.admin import topic_config
from rollcall.kafka.log_probe import LogProbe
from rollcall.kafka.producer import Producer
from rollcall.kafka.watchdog import Watchdog
from rollcall.observability import metrics
from rollcall.observability.logging import get_logger
from rollcall.postgres.pool import open_pool
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.lifecycle import FaultPoint, drain_step
from rollcall.runtime.retry import backoff_s
from rollcall_provisioner.config import ProvisionerSettings
from rollcall_provisioner.consume import requests_pump, tenancy_pump
from rollcall_provisioner.tools import Tools

APPEND_TIME: Final = "LogAppendTime"
MEASURE_EVERY_S: Final = 1.0
PRODUCER_STOP_S: Final = 5.0
DATABASE_CLOSE_S: Final = 3.0
STOP_S: Final = 5.0
ADMIN_DRAIN_S: Final = 2.0

log = get_logger()


class WrongTopic(Exception):
    """The requests topic is not as it must be; nothing is applied from it."""


class Provisioner:
    """One process: two pumps, a producer, a pool, the admin port."""

    def __init__(self, settings: ProvisionerSettings, tools: Tools) -> None:
        self._settings = settings
        self._tools = tools
        self._requests = requests_pump(settings, tools)
        self._tenancy = tenancy_pump(settings, tools)
        self._is_started = False
        self._is_draining = False

    def not_ready(self) -> Sequence[str]:
        """Why this replica should not be counted: it has no place in the group yet, or drains."""
        reasons = []
        if not self._is_started:
            reasons.append("Kafka has not been reached yet")
        if not self._requests.has_joined:
            reasons.append("the group has not given an assignment yet")
        if self._is_draining:
            reasons.append("draining")
        return reasons

    def not_alive(self) -> Sequence[str]:
        """Partitions whose worker stands still for no known reason: the process is to end."""
        limit_s = self._settings.stall_s
        return [
            f"partition {partition} of {name} makes no progress"
            for name, pump in (("requests", self._requests), ("tenancy", self._tenancy))
            for partition in pump.stalled(limit_s)
        ]

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then drain. Raises WrongTopic, NoProgress."""
        admin = Listener(
            health_app("provisioner", not_ready=self.not_ready, not_alive=self.not_alive),
            self._settings.provisioner_admin_host,
            self._settings.provisioner_admin_port,
            drain_s=ADMIN_DRAIN_S,
        )
        await admin.start()
        log.info("service.started", admin_port=admin.port)
        try:
            if await self._start(stop):
                await self._serve(stop)
        finally:
            await drain_step(
                "producer", self._tools.producer.stop(PRODUCER_STOP_S), 2 * PRODUCER_STOP_S
            )
            if self._tools.outcomes is not None:
                await drain_step("outcomes", self._tools.outcomes.close(), STOP_S)
            await drain_step("postgres", self._tools.database.close(DATABASE_CLOSE_S), STOP_S)
            await drain_step("admin port", admin.drain(), STOP_S)
            log.info("service.stopped")

    async def _start(self, stop: asyncio.Event) -> bool:
        """Reach Kafka, be it after hours; whether that was before `stop` was set."""
        if not await _check_append_times(self._settings, self._tools.topics, stop):
            return False
        starting = asyncio.create_task(self._tools.producer.start())
        if not await _done_before(starting, stop):
            return False
        self._is_started = True
        return True

    async def _serve(self, stop: asyncio.Event) -> None:
        """Pump until told to stop; both pumps drain their workers and leave their groups."""
        watchdog = Watchdog(self.not_alive, limit_s=self._settings.stall_s)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watchdog.run(stop))
            measuring = tasks.create_task(self._measure(stop))
            pumps = [
                tasks.create_task(self._requests.run(stop)),
                tasks.create_task(self._tenancy.run(stop)),
            ]
            await stop.wait()
            self._is_draining = True
            log.info("service.draining", partitions=self._requests.partitions)
            await asyncio.wait(pumps)
            measuring.cancel()
        watchdog.raise_if_fired()

    async def _measure(self, stop: asyncio.Event) -> None:
        shown: set[str] = set()
        was_ready = False
        while not stop.is_set():
            lags = {str(number): lag for number, lag in self._requests.lags().items()}
            for partition in shown - lags.keys():
                metrics.PROVISIONER_LAG.remove(partition)
                metrics.PROVISIONER_BEHIND.remove(partition)
                metrics.PROVISIONER_TRIED_AGAIN.remove(partition)
                if int(partition) not in self._requests.partitions:
                    self._tools.standing.passed(int(partition))
            for partition, lag in lags.items():
                metrics.PROVISIONER_LAG.labels(partition).set(lag)
                tried_s = self._tools.standing.seconds(int(partition))
                metrics.PROVISIONER_TRIED_AGAIN.labels(partition).set(tried_s)
            metrics.PROVISIONER_BUDGET_BYTES.set(self._tools.budget.held_bytes)
            for number, part in self._requests.behind().items():
                metrics.PROVISIONER_BEHIND.labels(str(number)).set(part)
            shown = set(lags)
            if not was_ready and not self.not_ready():
                was_ready = True
                log.info("service.ready", partitions=self._requests.partitions)
            await asyncio.sleep(MEASURE_EVERY_S)


async def build(settings: ProvisionerSettings) -> Provisioner:
    """The provisioner of these settings; neither Kafka nor Postgres need be there."""
    database = await open_pool(
        settings.database_url.get_secret_value(),
        role_hint="provisioner",
        max_size=settings.provisioner_pool_size,
        statement_timeout_s=settings.provisioner_statement_timeout_s,
        application_name="rollcall provisioner",
    )
    topics = Topics(settings.topic_prefix)
    tools = Tools(
        database=database,
        producer=Producer(settings, client_id="rollcall-provisioner"),
        topics=topics,
        faults=FaultPoint(settings.fault),
        batch_records=settings.provisioner_batch_records,
        batch_bytes=settings.provisioner_batch_bytes,
        dead_letter_limit=settings.provisioner_dead_letter_limit,
        outcomes=LogProbe(settings, topics.outcomes),
    )
    return Provisioner(settings, tools)


async def _check_append_times(
    settings: ProvisionerSettings, topics: Topics, stop: asyncio.Event
) -> bool:
    """Make sure that the requests carry the broker's append times; False if told to stop.

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
        pause = asyncio.create_task(asyncio.sleep(backoff_s(attempt, initial_s=0.2, maximum_s=5)))
        await _done_before(pause, stop)
    return False


def _require_append_time(topic: str, kind: str | None) -> None:
    if kind is not None and kind != APPEND_TIME:
        raise WrongTopic(
            f"{topic} has message.timestamp.type={kind}; what was accepted in time is known only "
            f"with {APPEND_TIME}: `rollcall topics apply` sets it"
        )


async def _done_before(task: "asyncio.Task[None]", stop: asyncio.Event) -> bool:
    """Wait for the task or for `stop`, whichever comes first; whether the task is done."""
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
            return True
        return False
    finally:
        for waiting in (task, stopping):
            waiting.cancel()
        await asyncio.wait([task, stopping])
