"""A burst of 20,000 requests with everything behind ingress frozen: bounded, and answered.

Architecture §3: what waits is bounded in count and bytes. The memory is read from the kernel
(`VmHWM`, the most that was ever resident), not from our own metrics.
"""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from rollcall_local.stack.kafka.native import KafkaBroker
from tests.support.databases import create_database
from tests.support.postgres_faults import MortalPostgres, metric, mortal_postgres
from tests.support.scim_client import USER
from tests.support.stack import Organisation, Process, Stack, running, until

REQUESTS = 20_000
CONNECTIONS = 5_500
"""More than may be in flight: the bound itself is reached."""
MOST_BYTES = 400 * 1024 * 1024


@pytest.fixture(scope="module")
def mortal() -> Iterator[MortalPostgres]:
    with mortal_postgres() as server:
        yield server


@pytest.fixture
async def frozen_stack(
    tmp_path: Path, native_kafka: KafkaBroker, mortal: MortalPostgres
) -> AsyncIterator[Stack]:
    """Only ingress runs: there is no provisioner, and Postgres is frozen from the start on."""
    mortal.database = await create_database(mortal.shared)
    prefix = f"t{uuid.uuid4().hex[:12]}"
    async with running(tmp_path, native_kafka.bootstrap, prefix, mortal.url) as made:
        made.environment["ROLLCALL_INGRESS_REPLY_BUDGET_S"] = "2"
        await made.start("ingress")
        await mortal.freeze()
        try:
            yield made
        finally:
            await mortal.thaw()


def most_resident_bytes(process: Process) -> int:
    """The most memory that was ever resident, as the kernel counts it."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    [line] = [line for line in text.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def a_create(organisation: Organisation, name: str) -> bytes:
    """A whole request with a body of about 1 kB."""
    host = organisation.base.removeprefix("http://").partition("/")[0]
    path = organisation.base.removeprefix(f"http://{host}")
    body = (
        f'{{"schemas":["{USER}"],"userName":"{name}","active":true,'
        f'"emails":[{{"value":"{name}","type":"work","primary":true}}],'
        f'"displayName":"{"A long name " * 60}"}}'
    )
    return (
        f"POST {path}/Users HTTP/1.1\r\nHost: {host}\r\n"
        f"Authorization: Bearer {organisation.key}\r\n"
        f"Content-Type: application/scim+json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def burst(organisation: Organisation, title: str, connections: int) -> Counter[str]:
    """20,000 creates over so many connections: answers by status, and what broke."""
    host, _, port = organisation.base.removeprefix("http://").partition("/")[0].partition(":")
    seen: Counter[str] = Counter()
    numbers = iter(range(REQUESTS))

    async def one() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            for number in numbers:
                writer.write(a_create(organisation, f"{title}{number}@burst.example"))
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].split()[0])
                await reader.readexactly(length)
                status = head[9:12].decode()
                is_pending = b"rollcall-outcome: pending" in head
                says_when = b"retry-after:" in head
                seen[status + (" pending" if is_pending else "") + (" later" * says_when)] += 1
        finally:
            writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(one())
    return seen


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_a_burst_with_everything_frozen_stays_below_400_mib(
    frozen_stack: Stack, native_kafka: KafkaBroker
) -> None:
    """First without a directory (all are accepted and remembered), then without a log as well."""
    stack = frozen_stack
    organisation = await stack.organisation()
    [ingress] = stack.running("ingress")

    accepted = await burst(organisation, "a", 200)
    without_directory = most_resident_bytes(ingress)
    native_kafka.pause()
    try:
        frozen = asyncio.create_task(burst(organisation, "f", CONNECTIONS))
        await until(lambda: has_waiting(ingress), "requests wait for Kafka", 60)
        refused = await frozen
    finally:
        native_kafka.resume()
    without_anything = most_resident_bytes(ingress)

    print(f"without a directory {without_directory / 2**20:.0f} MiB: {dict(accepted)}")
    print(f"without a log {without_anything / 2**20:.0f} MiB: {dict(refused)}")
    assert accepted == {"201 pending": REQUESTS}
    assert set(refused) == {"503 later"}, "what is refused is told when to come back"
    assert refused.total() == REQUESTS
    assert without_anything < MOST_BYTES
    await until(lambda: is_at_rest(ingress), "nothing is in flight any more", 60)


async def has_waiting(ingress: Process) -> bool:
    """Whether some do, as an operator sees it."""
    return await metric(ingress, "rollcall_producer_waiting_records") > 100


async def is_at_rest(ingress: Process) -> bool:
    """Whether what was bounded is given back."""
    return (
        await metric(ingress, "rollcall_ingress_in_flight_requests") == 0
        and await metric(ingress, "rollcall_ingress_in_flight_bytes") == 0
        and await metric(ingress, "rollcall_producer_waiting_records") == 0
    )
