"""One ingress in this process: its own topics, its own database, real sockets. No test in here."""

import asyncio
import contextlib
import os
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from rollcall.events import reply as reply_event
from rollcall.events import request as request_event
from rollcall.events.envelope import decode
from rollcall.events.reply import Reply
from rollcall.events.request import Request
from rollcall.events.topics import Topics
from rollcall.kafka.admin import apply_topics
from rollcall.kafka.client import client_options
from rollcall.kafka.producer import Producer
from rollcall.runtime.clock import now
from rollcall.runtime.config import load
from rollcall.runtime.ids import new_id
from rollcall.tenancy import api_key
from rollcall.tenancy.organisation import ApiKey, Organisation, record_key, to_event
from rollcall_ingress.app import Ingress, build
from rollcall_ingress.config import IngressSettings
from rollcall_local.stack import ports
from tests.support.scim_client import USER, Client

SECRET = "a secret of thirty-two characters!"
PARTITIONS = 4
DEADLINE_S = 15.0
KNOWS_LOG_WITHIN_S = 5.0


@dataclass(slots=True)
class Door:
    """A running ingress with one organisation and one key, and a client for it."""

    ingress: Ingress
    settings: IngressSettings
    topics: Topics
    producer: Producer
    http: aiohttp.ClientSession
    organisation: Organisation
    key: str
    records: dict[str, ApiKey] = field(default_factory=dict)

    @property
    def root(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.ingress.port}"

    @property
    def base(self) -> str:
        """The SCIM base of the organisation."""
        return f"{self.root}/v2/{self.organisation.id}"

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = "own",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, Any] | None, Any]:
        """Status, JSON body (None for none) and headers; `path` is below the organisation."""
        sent = dict(headers or {})
        if key is not None:
            sent["Authorization"] = f"Bearer {self.key if key == 'own' else key}"
        if isinstance(body, bytes):
            sent.setdefault("Content-Type", "application/scim+json")
        url = path if path.startswith("http") else self.base + path
        answer = await Client(self.http, "").call(method, url, body, **sent)
        if answer.body is not None:
            assert answer.headers["Content-Type"] == "application/scim+json; charset=utf-8"
        return answer.status, answer.body, answer.headers

    async def tell(self, *records: Organisation | ApiKey) -> None:
        """Put records on the tenancy topic, acknowledged."""
        for record in records:
            await self.producer.send(
                self.topics.tenancy,
                partition=0,
                key=record_key(record),
                event=to_event(record, event_id=new_id(), time=now()),
            )

    async def new_key(self, organisation: Organisation | None = None, **fields: Any) -> str:
        """A new key of the organisation, told on the topic; its text."""
        made = api_key.make(os.urandom(48))
        owner = organisation or self.organisation
        record = ApiKey(made.public_id, owner.id, "test", made.sha256, now(), **fields)
        self.records[made.text] = record
        await self.tell(record)
        return made.text

    async def revoke(self, key: str) -> None:
        """Put the revocation of a key on the topic."""
        await self.tell(replace(self.records[key], revoked=now()))

    async def log(self) -> list[tuple[ConsumerRecord, Request]]:
        """Everything on the requests topic now."""
        consumer = AIOKafkaConsumer(**client_options(self.settings), enable_auto_commit=False)
        await consumer.start()
        try:
            partitions = [TopicPartition(self.topics.requests, n) for n in range(PARTITIONS)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            ends = await consumer.end_offsets(partitions)
            found: list[tuple[ConsumerRecord, Request]] = []
            async with asyncio.timeout(DEADLINE_S):
                while len(found) < sum(ends.values()):
                    for records in (await consumer.getmany(timeout_ms=200)).values():
                        for record in records:
                            event = decode(record.headers, record.value)
                            found.append((record, request_event.from_event(event)))
            return found
        finally:
            await consumer.stop()

    async def answer_next(self, **fields: Any) -> Request:
        """Play the provisioner: wait for the next request on the log and reply to it."""
        async with asyncio.timeout(DEADLINE_S):
            seen = 0
            while True:
                log = await self.log()
                if len(log) > seen and log[-1][1].reply_to is not None:
                    break
                await asyncio.sleep(0.01)
        request = log[-1][1]
        reply = Reply(request_id=request.id, resource_id=request.resource_id, **fields)
        await self.producer.send(
            self.topics.replies,
            partition=request.reply_to,
            key=None,
            event=reply_event.to_event(reply, event_id=new_id(), time=now()),
        )
        return request


async def open_door(
    kafka: str, database_url: str, prefix: str, **settings: Any
) -> tuple[Door, IngressSettings]:
    """Start an ingress with one organisation and a key, and wait until it is ready."""
    loaded = load(
        IngressSettings,
        **{
            "environment": "test",
            "kafka_bootstrap": kafka,
            "topic_prefix": prefix,
            "database_url": database_url,
            "invitation_secret": SECRET,
            "ingress_port": ports.choose(),
            "ingress_admin_port": ports.choose(),
            "ingress_reply_budget_s": 0.3,
            "ingress_drain_s": 2,
            **settings,
        },
    )
    topics = Topics(prefix, requests_partitions=PARTITIONS, replies_partitions=PARTITIONS)
    await apply_topics(loaded, topics, replication=1)
    producer = Producer(loaded, client_id="test")
    await producer.start()
    ingress = await build(loaded)
    await ingress.start()
    organisation = Organisation(new_id(), "Harbour", 2, now())
    http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
    door = Door(ingress, loaded, topics, producer, http, organisation, "")
    await door.tell(organisation)
    door.key = await door.new_key()
    async with asyncio.timeout(DEADLINE_S):
        while ingress.not_ready():  # noqa: ASYNC110 - as a probe asks
            await asyncio.sleep(0.01)
    with contextlib.suppress(TimeoutError):  # it never has where Postgres is away
        async with asyncio.timeout(KNOWS_LOG_WITHIN_S):
            while not ingress.knows_log:  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.01)
    return door, loaded


async def close_door(door: Door) -> None:
    """Stop everything that `open_door` started."""
    await door.http.close()
    await door.ingress.stop()
    await door.producer.stop()


def a_body(user_name: str = "ana@example.org", **attributes: Any) -> dict[str, Any]:
    return {"schemas": [USER], "userName": user_name, **attributes}
