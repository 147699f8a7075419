"""The services as real processes over the run's shared Kafka and Postgres. No test in here.

Each `Stack` is a deployment of its own: topics under its own prefix (4 partitions), a database
cloned from the template, a mailbox, and as many processes of each service as a test starts. Tests
kill, freeze and restart them by pid, and read Postgres and the Maildir, never our logs.
"""

import asyncio
import contextlib
import email
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default as mail_policy
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from rollcall.control.organisations import create_organisation
from rollcall.control.tenancy_log import open_log
from rollcall.events.topics import Topics
from rollcall.kafka.admin import apply_topics
from rollcall.postgres.pool import Service
from rollcall.runtime.config import Settings
from rollcall_local.stack import ports
from rollcall_local.stack.mailbox import Rule, misbehave
from rollcall_local.stack.services import module_of
from tests.support import forked
from tests.support.forked import Forked
from tests.support.scim_client import SCIM, Client

ROOT = Path(__file__).parents[2]
SECRET = "an-invitation-secret-that-only-tests-use"
SERVICES: tuple[Service, ...] = ("ingress", "provisioner", "notifier")


@dataclass(frozen=True, slots=True)
class Organisation:
    """An organisation of the test, and a client's way in."""

    id: str
    partition: int
    key: str
    base: str


@dataclass(slots=True)
class Process:
    """One process of a service."""

    service: str
    popen: "Forked | subprocess.Popen[bytes]"
    admin_port: int
    log: Path
    door_port: int | None = None

    @property
    def pid(self) -> int:
        """The process id of the interpreter itself."""
        return self.popen.pid

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.popen.kill()
        self.popen.wait(10)

    def pause(self) -> None:
        """SIGSTOP: silent, not dead."""
        self.popen.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.popen.send_signal(signal.SIGCONT)

    def terminate(self, timeout_s: float = 30.0) -> int:
        """SIGTERM, and the exit status of the drain."""
        self.popen.terminate()
        return self.popen.wait(timeout_s)

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.popen.poll() is None

    async def ended(self, timeout_s: float = 30.0) -> int:
        """The exit status, once it has ended by itself (a fault point, a setting)."""
        await until(lambda: not self.is_running(), f"{self.service} ends", timeout_s)
        return self.popen.wait()

    def explain(self) -> str:
        """The end of its log, for a failed wait."""
        return self.log.read_text(errors="replace")[-3000:]


@dataclass(slots=True)
class Stack:
    """A deployment: made by `running`."""

    folder: Path
    bootstrap: str
    prefix: str
    database_url: Callable[[Service], str]
    """Service (or `owner`) → URL of the test's database with that service's role."""
    environment: dict[str, str]
    smtp_port: int
    door_port: int
    """The port of the first ingress; a later one takes it when the first has ended."""
    processes: list[Process] = field(default_factory=list)
    taken_ports: list[int] = field(default_factory=list)
    mailbox: Forked | None = None
    partitions: int = 4
    """Of the topics of requests and outcomes; replies have 4."""
    forks: bool = True
    """Whether services start in no time. Otherwise they take seconds, as they do in a cluster."""

    def __post_init__(self) -> None:
        self.taken_ports += [self.smtp_port, self.door_port]

    @property
    def settings(self) -> Settings:
        """What an operator's command would know."""
        return Settings(kafka_bootstrap=self.bootstrap, topic_prefix=self.prefix)

    @property
    def topics(self) -> Topics:
        """The deployment's topics."""
        return Topics(self.prefix, requests_partitions=self.partitions, replies_partitions=4)

    @property
    def maildir(self) -> Path:
        """Where mails lie."""
        return self.folder / "mail"

    async def start(self, service: Service, *, ready: bool = True, **variables: str) -> Process:
        """Start a process of a service; `variables` are added to its `ROLLCALL_…` settings."""
        # Services start side by side: none may get a port that another is about to take.
        admin_port = ports.choose(self.taken_ports)
        self.taken_ports.append(admin_port)
        door_port = None
        if service == "ingress":
            door_port = self.door_port
            if self.running("ingress"):
                door_port = ports.choose(self.taken_ports)
                self.taken_ports.append(door_port)
        if service == "console":
            door_port = ports.choose(self.taken_ports)
            self.taken_ports.append(door_port)
        own = {
            f"ROLLCALL_{service.upper()}_ADMIN_PORT": str(admin_port),
            "ROLLCALL_DATABASE_URL": self.database_url(service),
        }
        if door_port is not None:
            own[f"ROLLCALL_{service.upper()}_PORT"] = str(door_port)
        log = self.folder / f"{service}-{len(self.processes)}.log"
        start = forked.start if self.forks else forked.spawn
        popen = start(module_of(service), [], {**self.environment, **own, **variables}, log)
        process = Process(service, popen, admin_port, log, door_port)
        self.processes.append(process)
        if ready:
            await self.until_ready(process)
        return process

    async def until_ready(self, process: Process, timeout_s: float = 40.0) -> None:
        """Wait until `/readyz` says so. Fails with the log when the process has ended."""
        url = f"http://127.0.0.1:{process.admin_port}/readyz"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:

            async def is_ready() -> bool:
                if not process.is_running():
                    raise AssertionError(f"{process.service} ended:\n{process.explain()}")
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(url) as answer:
                        return answer.status == 200
                return False

            await until(is_ready, f"{process.service} is ready", timeout_s, process.explain)

    async def start_all(self) -> None:
        """One process of each service, ready."""
        async with asyncio.TaskGroup() as group:
            for service in SERVICES:
                group.create_task(self.start(service))

    def running(self, service: str) -> list[Process]:
        """Processes of a service that have not ended."""
        return [p for p in self.processes if p.service == service and p.is_running()]

    @property
    def doors(self) -> list[str]:
        """The roots of the ingresses that run: what a balancer without stickiness chooses from."""
        return [f"http://127.0.0.1:{each.door_port}" for each in self.running("ingress")]

    async def organisation(self, name: str = "Zeeburg", language: str = "en") -> Organisation:
        """A new organisation with a key, made as `rollcall org create` makes it."""
        async with open_log(self.settings) as log:
            made, key = await create_organisation(log, name, language)
        base = f"http://127.0.0.1:{self.door_port}/v2/{made.id}"
        return Organisation(made.id, made.partition, key.text, base)

    @contextlib.asynccontextmanager
    async def client(self, organisation: Organisation) -> AsyncIterator["Client"]:
        """A SCIM client of the organisation."""
        headers = {**SCIM, "Authorization": f"Bearer {organisation.key}"}
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession(
            connector=connector, headers=headers, timeout=timeout
        ) as session:
            yield Client(session, organisation.base)

    async def rows(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Rows of the test's database, as its owner."""
        connection = await asyncpg.connect(self.database_url("owner"))
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()

    async def end_offset(self, topic: str, partition: int) -> int:
        """The offset behind the last record of a partition."""
        async with self._consumer() as consumer:
            place = TopicPartition(topic, partition)
            return int((await consumer.end_offsets([place]))[place])

    async def headers(self, topic: str) -> list[dict[str, str]]:
        """The headers of every record of a topic, in the order of each partition."""
        return [
            {name: raw.decode() for name, raw in record.headers}
            for record in await self._read(topic)
        ]

    async def records(self, topic: str) -> list[str]:
        """Every record of a topic as text, headers and all."""
        return [
            f"{record.key!r} {record.headers!r} {record.value!r}"
            for record in await self._read(topic)
        ]

    @contextlib.asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    async def _read(self, topic: str) -> "list[ConsumerRecord[bytes, bytes]]":
        found: list[ConsumerRecord[bytes, bytes]] = []
        async with self._consumer() as consumer:
            [count] = [each.partitions for each in self.topics.all() if each.name == topic]
            partitions = [TopicPartition(topic, number) for number in range(count)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            while any([await consumer.position(each) < ends[each] for each in partitions]):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found.extend(records)
        return found

    def mails(self, recipient: str | None = None) -> list[EmailMessage]:
        """Mails in the mailbox, oldest first; only those to `recipient` where given."""
        found = []
        for path in sorted((self.maildir / "new").glob("*"), key=lambda each: each.name):
            message = email.message_from_bytes(path.read_bytes(), policy=mail_policy)
            if recipient is None or message["X-RcptTo"] == recipient:
                found.append(message)
        return found

    def misbehave(self, *rules: Rule) -> None:
        """Let the mail server misbehave from now on; without rules it behaves."""
        misbehave(self.folder / "behaviour.json", rules)

    def start_mailbox(self) -> None:
        """Start the mail server, over the mails that are there already."""
        arguments = (
            *("--port", str(self.smtp_port), "--maildir", str(self.maildir)),
            *("--behaviour-file", str(self.folder / "behaviour.json")),
        )
        self.mailbox = forked.start(
            "rollcall_local.stack.mailbox",
            arguments,
            self.environment,
            self.folder / "mailbox.log",
        )

    def stop_mailbox(self) -> None:
        """End the mail server; connections are refused from then on."""
        if self.mailbox is not None:
            self.mailbox.terminate()
            self.mailbox.wait(10)
            self.mailbox = None

    def stop(self) -> None:
        """End every process, frozen ones too."""
        for process in self.processes:
            if process.is_running():
                process.popen.send_signal(signal.SIGCONT)
                process.popen.terminate()
        deadline = time.monotonic() + 15
        for process in self.processes:
            try:
                process.popen.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.popen.kill()
                process.popen.wait()


@contextlib.asynccontextmanager
async def running(
    folder: Path,
    bootstrap: str,
    prefix: str,
    database_url: Callable[[Service], str],
    *,
    replication: int = 1,
    partitions: int = 4,
    **extra: str,
) -> AsyncIterator[Stack]:
    """A deployment without services yet: topics made, the mailbox up. Stops all at the end."""
    smtp_port = ports.choose()
    door_port = ports.choose([smtp_port])
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ROLLCALL_")},
        "ROLLCALL_ENVIRONMENT": "test",
        "ROLLCALL_KAFKA_BOOTSTRAP": bootstrap,
        "ROLLCALL_TOPIC_PREFIX": prefix,
        "ROLLCALL_PUBLIC_URL": f"http://127.0.0.1:{door_port}",
        "ROLLCALL_INVITATION_SECRET": SECRET,
        "ROLLCALL_CONSOLE_SECRET": SECRET,
        "ROLLCALL_INGRESS_REPLY_BUDGET_S": "20",
        "ROLLCALL_NOTIFIER_INVITATION_GRACE_S": "0",
        # As in production, only shorter: what tests change by the second settles into one mail.
        "ROLLCALL_NOTIFIER_SETTLE_S": "3",
        "ROLLCALL_SMTP_HOST": "127.0.0.1",
        "ROLLCALL_SMTP_PORT": str(smtp_port),
        "ROLLCALL_SMTP_FROM": "Rollcall <rollcall@rollcall.example>",
        "ROLLCALL_LOG_FORMAT": "json",
        **extra,
    }
    stack = Stack(
        folder, bootstrap, prefix, database_url, environment, smtp_port, door_port,
        partitions=partitions,
    )  # fmt: skip
    stack.start_mailbox()
    try:
        await until(lambda: not ports.is_free(smtp_port), "the mailbox listens")
        await apply_topics(stack.settings, stack.topics, replication=replication)
        yield stack
    finally:
        stack.stop()
        stack.stop_mailbox()


async def until(
    holds: Callable[[], bool | Awaitable[bool]],
    what: str,
    timeout_s: float = 30.0,
    explain: Callable[[], str] = lambda: "",
) -> None:
    """Wait for a condition with a deadline; fails with `what` and the explanation."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = holds()
        if found if isinstance(found, bool) else await found:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}\n{explain()}")
        await asyncio.sleep(0.05)
