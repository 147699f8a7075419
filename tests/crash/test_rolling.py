"""Every service is restarted, one process after the other, under load: nobody notices.

Architecture §9. The client is one that tries again once, at the other replica, where a connection
is refused; a connection that breaks under a request counts as a failure.
"""

import asyncio
import itertools
import socket
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from rollcall.http.server import Listener
from rollcall_local.stack import ports
from rollcall_local.stack.kafka.native import KafkaBroker
from tests.support.databases import create_database
from tests.support.load import Answered, applied, assert_once, everything_is_announced
from tests.support.postgres_faults import MortalPostgres, lines, mortal_postgres
from tests.support.scim_client import SCIM, Client
from tests.support.stack import Organisation, Process, Stack, running, until

CLIENTS = 4
PACE_S = 0.02
MAILED_EVERY = 20
"""So many of a client's members are one that is invited: all mails have to leave as well."""
LONGEST_DRAIN_S = 30.0
"""Beside the settings: what two cores under load take for the steps of a drain."""


@dataclass(slots=True)
class Fleet:
    """Two replicas of ingress, each on a port that stays its own."""

    stack: Stack
    ports: list[int] = field(default_factory=list)
    replicas: list[Process] = field(default_factory=list)

    async def start(self, place: int) -> None:
        """Start the replica of that place, and wait until it is ready."""
        started = await self.stack.start("ingress", ROLLCALL_INGRESS_PORT=str(self.ports[place]))
        self.replicas[place : place + 1] = [started]


@dataclass(slots=True)
class Rolled:
    """What the clients saw."""

    answered: Answered = field(default_factory=Answered)
    failures: list[str] = field(default_factory=list)
    refused: int = 0
    invited: int = 0


@pytest.fixture
async def fleet(stack: Stack) -> Fleet:
    """The whole deployment, with two replicas of ingress."""
    stack.environment |= {
        "ROLLCALL_INGRESS_REPLY_BUDGET_S": "2",
        "ROLLCALL_INGRESS_PRE_STOP_S": "1",
    }
    made = Fleet(stack, [stack.door_port, ports.choose(stack.taken_ports)])
    stack.taken_ports.append(made.ports[1])
    for place in (0, 1):
        await made.start(place)
    await stack.start("provisioner")
    await stack.start("notifier")
    return made


async def one_client(
    fleet: Fleet, organisation: Organisation, number: int, rolled: Rolled, stop: asyncio.Event
) -> None:
    """Create members, one after another; refused: once more, at the other replica."""
    headers = {**SCIM, "Authorization": f"Bearer {organisation.key}"}
    path = organisation.base.partition("/v2/")[2]
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        doors = [Client(session, f"http://127.0.0.1:{port}/v2/{path}") for port in fleet.ports]
        preferred = number % 2

        for count in itertools.count():
            if stop.is_set():
                return
            name = f"c{number}-{count}@rolling.example"
            for attempt in (0, 1):
                try:
                    door = doors[(preferred + attempt) % 2]
                    answer = await door.create_user(name, active=count % MAILED_EVERY == 0)
                except aiohttp.ClientConnectorError as error:
                    rolled.refused += 1
                    if attempt:
                        rolled.failures.append(f"refused by both: {error!r}")
                    continue
                except (aiohttp.ClientError, TimeoutError) as error:
                    rolled.failures.append(f"broke: {error!r}")
                    rolled.answered.unanswered.add(name)
                    break
                if answer.status == 201:
                    rolled.answered.created[name] = answer.body["id"]
                    rolled.invited += count % MAILED_EVERY == 0
                else:
                    rolled.failures.append(f"{answer.status}: {answer.body}")
                preferred = (preferred + attempt) % 2
                break
            await asyncio.sleep(PACE_S)


async def ended_well(process: Process) -> float:
    """SIGTERM; seconds until it has ended by itself, with status 0."""
    began_s = time.monotonic()
    status = await asyncio.to_thread(process.terminate, 60.0)
    assert status == 0, process.explain()
    return time.monotonic() - began_s


async def goes_on(rolled: Rolled) -> None:
    """Wait until fifty more have been created."""
    before = len(rolled.answered.created)
    await until(lambda: len(rolled.answered.created) > before + 50, "the load goes on", 60)


async def test_a_rolling_restart_of_all_services_fails_no_request_and_loses_nothing(
    fleet: Fleet,
) -> None:
    stack, rolled, stop = fleet.stack, Rolled(), asyncio.Event()
    organisation = await stack.organisation()
    load = asyncio.gather(
        *(one_client(fleet, organisation, number, rolled, stop) for number in range(CLIENTS))
    )
    await until(lambda: len(rolled.answered.created) > 50, "the load is under way")
    took: dict[str, float] = {}

    for place in (0, 1):
        took[f"ingress {place}"] = await ended_well(fleet.replicas[place])
        await fleet.start(place)
        await goes_on(rolled)
    for service in ("provisioner", "notifier"):
        [process] = stack.running(service)
        took[service] = await ended_well(process)
        await stack.start(service)
    await goes_on(rolled)
    stop.set()
    await load

    assert not rolled.failures, (len(rolled.failures), rolled.failures[:5], took)
    assert rolled.refused, "no connection was ever refused: nothing was restarted under load"
    assert max(took.values()) < LONGEST_DRAIN_S, took
    await until(lambda: applied(stack, organisation), "the log is applied", 30)
    await assert_once(stack, organisation, rolled.answered)
    await until(lambda: everything_is_announced(stack), "every outcome is announced", 15)
    await until(lambda: len(stack.mails()) >= rolled.invited, "mails leave", 60)
    recipients = [mail["X-RcptTo"] for mail in stack.mails()]
    assert len(recipients) == len(set(recipients)) == rolled.invited, "each mail once"


@pytest.fixture(scope="module")
def mortal() -> Iterator[MortalPostgres]:
    with mortal_postgres() as server:
        yield server


@pytest.fixture
async def frozen_stack(
    tmp_path: Path, native_kafka: KafkaBroker, mortal: MortalPostgres
) -> AsyncIterator[Stack]:
    """A deployment whose Kafka and Postgres stop at will."""
    mortal.database = await create_database(mortal.shared)
    prefix = f"t{uuid.uuid4().hex[:12]}"
    async with running(tmp_path, native_kafka.bootstrap, prefix, mortal.url) as made:
        made.environment |= {
            "ROLLCALL_INGRESS_DRAIN_S": "3",
            "ROLLCALL_PROVISIONER_DRAIN_S": "3",
            "ROLLCALL_NOTIFIER_DRAIN_S": "3",
        }
        await made.start_all()
        yield made


@pytest.mark.long
async def test_every_drain_ends_in_time_while_kafka_and_postgres_stand_still(
    frozen_stack: Stack, native_kafka: KafkaBroker, mortal: MortalPostgres
) -> None:
    """Each step has a time-out: with requests, batches and announcements under way."""
    stack = frozen_stack
    organisation = await stack.organisation()
    async with stack.client(organisation) as client:
        assert (await client.create_user("before@rolling.example")).status == 201
        native_kafka.pause()
        await mortal.freeze()
        try:
            under_way = [
                asyncio.create_task(client.create_user(f"u{number}@rolling.example"))
                for number in range(20)
            ]
            reading = asyncio.create_task(client.call("GET", "/Users"))
            await asyncio.wait([reading], timeout=0.5)
            processes = [process for process in stack.processes if process.is_running()]
            took = await asyncio.gather(*(ended_well(process) for process in processes))
        finally:
            native_kafka.resume()
            await mortal.thaw()
        await asyncio.wait([*under_way, reading], timeout=30)
        for task in (*under_way, reading):
            task.exception()

    by_service = dict(zip([process.service for process in processes], took, strict=True))
    assert max(took) < 40.0, by_service
    assert len(processes) == 3
    for process in processes:
        assert "service.stopped" in {line["event"] for line in lines(process)}, process.explain()


async def test_a_connection_that_is_not_accepted_yet_is_served_at_a_drain() -> None:
    """The kernel has it, and its request; closed unaccepted it would break under the client."""

    async def hello(_: web.Request) -> web.Response:
        response = web.Response(text="hello")
        response.force_close()
        return response

    app = web.Application()
    app.router.add_get("/", hello)
    listener = Listener(app, "127.0.0.1", 0, drain_s=5.0, quiet_s=5.0)
    await listener.start()
    # Connects and sends without giving the event loop a turn to accept.
    port = listener.port
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    try:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

        await listener.drain()

        answer = await asyncio.to_thread(client.recv, 1000)
    finally:
        client.close()
    assert answer.startswith(b"HTTP/1.1 200 ")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=10)
