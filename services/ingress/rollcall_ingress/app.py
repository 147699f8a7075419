"""Wiring by hand, readable from top to bottom; the route table; start and drain."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from aiohttp import web

from rollcall.events.reply import Reply
from rollcall.events.topics import Topics
from rollcall.http.server import Listener
from rollcall.kafka.log_probe import LogProbe
from rollcall.kafka.producer import Producer
from rollcall.kafka.reply_reader import reply_reader
from rollcall.kafka.topic_reader import TopicReader
from rollcall.observability.logging import get_logger
from rollcall.observability.metrics import INGRESS_KEYS_AGE
from rollcall.postgres import audit, progress
from rollcall.postgres.pool import Database, open_pool
from rollcall.postgres.progress import Progress
from rollcall.runtime.lifecycle import drain_step, ends_before
from rollcall.scim.limits import MAX_BODY_BYTES
from rollcall.scim.schema import GROUP, USER
from rollcall.service import STOP_S, CannotServe, Service
from rollcall.tail.reader import Tails
from rollcall.tail.replica import Replica
from rollcall_ingress import invitation
from rollcall_ingress.behind.is_behind import IsBehind
from rollcall_ingress.behind.log_end import LogEnd
from rollcall_ingress.behind.own_writes import OwnWrites
from rollcall_ingress.behind.precheck import Precheck
from rollcall_ingress.behind.reads import ExactReads
from rollcall_ingress.config import IngressSettings
from rollcall_ingress.discovery import NOT_OFFERED, Discovery, NotOffered
from rollcall_ingress.door.access import AccessLog
from rollcall_ingress.door.admission import BODY_TIMEOUT_S, INVITATION_PAGE, Admission, Bounds
from rollcall_ingress.door.authenticate import Authenticator, StaleAfter
from rollcall_ingress.door.edge import Door, expect_later, malformed
from rollcall_ingress.door.key_directory import KeyDirectory
from rollcall_ingress.door.key_use import KeyUse
from rollcall_ingress.door.rate import Rates
from rollcall_ingress.door.routes import SEARCH, Route
from rollcall_ingress.invitation import InvitationPage
from rollcall_ingress.read.directory_reads import STATEMENT_TIMEOUT_S, DirectoryReads
from rollcall_ingress.scim_read import Reading, ScimRead
from rollcall_ingress.scim_write import ScimWrite, Writing
from rollcall_ingress.write.await_reply import Breakers, Waiting
from rollcall_ingress.write.broker_clock import BrokerClock
from rollcall_ingress.write.decide import Decisions
from rollcall_ingress.write.hearing import Hearing
from rollcall_ingress.write.ignored_names import IGNORED
from rollcall_ingress.write.publish import Publisher
from rollcall_ingress.write.submitted import Budgets
from rollcall_ingress.write.under_way import UnderWay
from rollcall_ingress.write.write_path import WritePath

CLIENT_ID = "rollcall-ingress"
PRODUCER_STOP_S = 5.0
QUIET_S = 1.0
"""Seconds of the drain in which requests are still accepted, behind a load balancer."""
DATABASE_CLOSE_S = 3.0
TENANCY_FETCH_WAIT_MS = 100
READ_LOG_WITHIN_S = 10.0
"""Seconds for which a new replica is not ready because it has not read what was accepted before."""
LEARN_AGAIN_S = 0.5

log = get_logger()


def route_table(reading: Reading, writing: Writing, discovery: Discovery) -> tuple[Route, ...]:
    """Every route below `/v2/ORGANISATION`; anything else is 404, other methods are 405."""
    routes: list[Route] = []
    for schema in (USER, GROUP):
        read, write = ScimRead(reading, schema), ScimWrite(writing, schema)
        about = (schema.endpoint.lower(),)
        routes.append(Route(schema.endpoint, False, {"GET": read.many}, {"POST": write}, about))
        routes.append(
            Route(f"{schema.endpoint}/{SEARCH}", False, {"POST": read.search}, resources=about)
        )
        writes = {"PUT": write, "PATCH": write, "DELETE": write}
        routes.append(Route(schema.endpoint, True, {"GET": read.one}, writes, about))
    routes.append(Route("ServiceProviderConfig", False, {"GET": discovery}))
    for endpoint in ("ResourceTypes", "Schemas"):
        routes.append(Route(endpoint, False, {"GET": discovery}))
        routes.append(Route(endpoint, True, {"GET": discovery}))
    for endpoint, methods, detail in NOT_OFFERED:
        routes.append(Route(endpoint, False, dict.fromkeys(methods, NotOffered(detail))))
    return tuple(routes)


class Ingress(Service):
    """The whole service; `port` and `admin_port` are what it listens on."""

    def __init__(self, settings: IngressSettings, database: Database) -> None:
        super().__init__(
            "ingress",
            admin_host=settings.ingress_admin_host,
            admin_port=settings.ingress_admin_port,
            shown={"/ignored": IGNORED.counts},
        )
        topics = Topics(settings.topic_prefix)
        self._settings = settings
        self._topics = topics
        self._database = database
        self._tenancy = TopicReader(
            settings, topics.tenancy, client_id=CLIENT_ID, fetch_wait_ms=TENANCY_FETCH_WAIT_MS
        )
        self._replies: TopicReader = reply_reader(settings, topics.replies, client_id=CLIENT_ID)
        self._producer = Producer(settings, client_id=CLIENT_ID)
        broker_clock = BrokerClock()
        self._hearing = Hearing(
            self._producer, topics.replies, self._replies, broker_clock, self._note_unheard
        )
        self._is_clock_known = asyncio.Event()
        self.directory = KeyDirectory(self._tenancy)
        breakers = Breakers(clock=time.monotonic)
        self._log_end = LogEnd(LogProbe(settings, topics.requests))
        self._tails = Tails(settings, topics.requests, self._read_applied, client_id=CLIENT_ID)
        self._reads = DirectoryReads(
            database, pool_size=settings.ingress_pool_size, wait_s=STATEMENT_TIMEOUT_S
        )
        self._replica = Replica(self._tails, self._reads.connection, topics.requests)
        self._own = OwnWrites(self._replica.applied)
        self._decisions = Decisions(self._replica, time.monotonic, self._note_difference)
        self._log_awaited_until_s: float | None = None
        self._waiting = Waiting(
            on_reply=self._on_reply,
            on_working=breakers.working,
            on_mark=self._hearing.on_mark,
        )
        self._key_use = KeyUse(database)
        self._stale_after = StaleAfter()
        authenticator = Authenticator(self.directory, self._stale_after, Rates(time.monotonic_ns))
        self._is_behind = IsBehind(
            self.directory,
            self._own,
            breakers,
            self._replies,
            settings.ingress_reply_budget_s,
        )
        self.under_way = UnderWay(self._own, self._is_behind, self._replica)
        self.write_path = WritePath(
            self.directory,
            Publisher(
                self._producer,
                topics.requests,
                acknowledge_s=settings.ingress_acknowledge_s,
                broker_clock=broker_clock,
            ),
            self._waiting,
            breakers,
            self._replies,
            self.under_way,
            Budgets(settings.ingress_accept_s, settings.ingress_reply_budget_s),
            broker_clock,
            self._hearing,
            self._decisions,
        )
        self._admission = admission = Admission(
            Bounds(
                requests=settings.ingress_max_requests,
                bytes=settings.ingress_max_bytes,
                body_bytes=MAX_BODY_BYTES,
                body_timeout_s=BODY_TIMEOUT_S,
            )
        )
        self._door = Door(
            self._routes(authenticator, admission),
            authenticator,
            self._key_use,
            admission,
            settings.trusted_proxies,
        )
        self._listener = Listener(
            self._door_app(),
            settings.ingress_host,
            settings.ingress_port,
            drain_s=settings.ingress_drain_s,
            on_malformed=malformed,
            quiet_s=min(QUIET_S, settings.ingress_pre_stop_s),
            observer=AccessLog(),
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._noting: set[asyncio.Task[bool]] = set()
        self._has_failed = asyncio.Event()

    def _routes(self, authenticator: Authenticator, admission: Admission) -> tuple[Route, ...]:
        settings = self._settings
        reads = self._reads
        known = ExactReads(
            reads,
            self._replica,
            self._log_end,
            self._own,
            self._is_behind,
            settings.ingress_accept_s,
            time.monotonic,
        )
        root_url = settings.root_url
        return route_table(
            Reading(
                root_url=root_url,
                admission=admission,
                under_way=self.under_way,
                known=known,
                settle_s=settings.ingress_reply_budget_s,
            ),
            Writing(
                root_url=root_url,
                authenticator=authenticator,
                admission=admission,
                write_path=self.write_path,
                reads=reads,
                known=known,
                precheck=Precheck(known, time.monotonic),
            ),
            Discovery(root_url),
        )

    def _door_app(self) -> web.Application:
        app = web.Application()
        invitation.setup(
            app,
            InvitationPage(
                find_organisation=self.directory.organisation,
                submit=self.write_path.submit,
                secret=self._settings.invitation_secret.get_secret_value().encode(),
                public_url=self._settings.root_url,
                admit=partial(self._admission.admit, INVITATION_PAGE),
            ),
        )
        app.router.add_route("*", "/{anything:.*}", self._door.handle, expect_handler=expect_later)
        return app

    @property
    def knows_log(self) -> bool:
        """Whether it has read what was accepted before it was started."""
        return self._tails.are_caught_up

    @property
    def port(self) -> int:
        """The port of the door."""
        return self._listener.port

    def facts(self) -> Mapping[str, Any]:
        """The port of the door."""
        return {"port": self.port}

    def missing(self) -> Sequence[str]:
        """What has to be read from Kafka before a request can be answered."""
        reasons = []
        if not self._tenancy.caught_up.is_set():
            reasons.append("organisations and keys are not loaded (Kafka)")
        if not self._replies.positioned.is_set():
            reasons.append("the replies topic is not positioned (Kafka)")
        if not self._is_clock_known.is_set():
            reasons.append("the broker's clock is not known (Kafka)")
        if not reasons and self._waits_for_log():
            reasons.append("what was accepted before is not read yet (Kafka, Postgres)")
        return reasons

    def _waits_for_log(self) -> bool:
        """Whether requests should wait for the log to be read; not for long, and not again later.

        Without Postgres it is not known where to begin, and writes are accepted all the same.
        """
        now_s = time.monotonic()
        if self._log_awaited_until_s is None:
            self._log_awaited_until_s = now_s + READ_LOG_WITHIN_S
        if self._tails.are_caught_up:
            self._log_awaited_until_s = now_s
        return now_s < self._log_awaited_until_s

    async def open(self) -> None:
        """Listen, and connect in the background. Raises CannotListen."""
        await self._listener.start()
        self._tenancy.start(self.directory.apply)
        self._replies.start(self._waiting.apply)
        for name, work in (
            ("producer", self._producer.start()),
            ("key use", self._key_use.run()),
            ("keys age", self._watch_keys_age()),
            ("tails", self._tails.run()),
            ("clock", self._learn_clock()),
            ("keys loaded", self._log_keys_loaded()),
        ):
            self._tasks.append(asyncio.create_task(work, name=name))
        for task in self._tasks:
            task.add_done_callback(self._on_task_end)

    async def work(self, stop: asyncio.Event) -> None:
        """Answer until `stop` is set. Raises CannotServe where a part has ended by itself."""
        if await ends_before(self._has_failed.wait(), stop):
            raise CannotServe("a part of ingress has ended by itself; the log says which")

    async def close(self) -> None:
        """Go on for a moment, finish what is in flight, flush, close."""
        self._door.is_draining = True
        await asyncio.sleep(self._settings.ingress_pre_stop_s)
        await self._listener.drain()
        for task in self._tasks:
            task.cancel()
        await drain_step("tasks", _ended(self._tasks), STOP_S)
        await drain_step("producer", self._producer.stop(PRODUCER_STOP_S), 2 * PRODUCER_STOP_S)
        await asyncio.gather(
            drain_step("replies", self._replies.stop(), STOP_S),
            drain_step("tenancy", self._tenancy.stop(), STOP_S),
            drain_step("log end", self._log_end.close(), STOP_S),
            drain_step("marks", self._hearing.close(), STOP_S),
            drain_step("key use", self._key_use.flush(), STOP_S),
        )
        await drain_step("postgres", self._database.close(DATABASE_CLOSE_S), STOP_S)

    def _on_task_end(self, task: "asyncio.Task[None]") -> None:
        """A task that ends by itself is a bug: drain, and let a new process take over."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(
                "task.failed",
                task=task.get_name(),
                error=type(error).__name__,
                exc_info=error,
                runbook="worker-failed",
            )
            self._has_failed.set()

    async def _watch_keys_age(self) -> None:
        """Keep the metric, and log once when the keys have become too old for writes."""
        was_stale = True  # until they have been loaded, that is no news
        while True:
            age_s = self.directory.age_s
            INGRESS_KEYS_AGE.set(age_s)
            is_stale = age_s > self._stale_after.write_s
            if is_stale and not was_stale:
                log.warning("keys.stale", age_s=round(age_s))
            was_stale = is_stale
            await asyncio.sleep(1.0)

    async def _learn_clock(self) -> None:
        """Compare clocks with the broker before anything is accepted (broker_clock.py)."""
        await self._replies.positioned.wait()
        while not await self._hearing.learn():
            if self._hearing.may_not_mark:
                break  # served all the same: what is unheard is noted in Postgres
            await asyncio.sleep(LEARN_AGAIN_S)
        self._is_clock_known.set()

    async def _read_applied(self) -> Sequence[Progress]:
        async with self._database.connection() as connection:
            return await progress.read_all(connection, self._topics.requests)

    async def _note_unheard(self, given: Mapping[str, int | None]) -> None:
        async with self._database.connection() as connection:
            await audit.note_unheard(connection, given)

    def _note_difference(self, request_id: str, given: int) -> None:
        """Let `rollcall refused list` show it."""
        task = asyncio.create_task(self._hearing.noted(request_id, given), name="differed")
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)

    def _on_reply(self, reply: Reply) -> None:
        self._hearing.on_reply(reply)
        self._decisions.on_reply(reply)

    async def _log_keys_loaded(self) -> None:
        await self._tenancy.caught_up.wait()
        log.info("keys.loaded")


async def _ended(tasks: Sequence["asyncio.Task[None]"]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


async def build(settings: IngressSettings) -> Ingress:
    """The service, wired and not started; Postgres may be away."""
    database = await open_pool(
        settings.database_url.get_secret_value(),
        role_hint="ingress",
        max_size=settings.ingress_pool_size,
        statement_timeout_s=STATEMENT_TIMEOUT_S,
        application_name=CLIENT_ID,
        acquire_timeout_s=STATEMENT_TIMEOUT_S,
    )
    return Ingress(settings, database)
