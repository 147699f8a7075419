"""What is seen at the door when Kafka or Postgres dies, freezes, and comes back."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from rollcall.runtime.ids import new_id
from rollcall_local.stack.kafka.native import KafkaBroker
from tests.support.databases import TestDatabase
from tests.support.door import Door, a_body, close_door, open_door
from tests.support.servers import KafkaServer

LAUNCHER = ThreadPoolExecutor(1)
"""A child dies with the thread that started it, so that thread must outlive the event loop."""


@pytest.fixture
async def mortal_door(native_kafka: KafkaBroker, database: TestDatabase) -> AsyncIterator[Door]:
    """An ingress on a broker that the test may kill; it gives up on Kafka after 2 s."""
    opened, _ = await open_door(
        native_kafka.bootstrap,
        database.url("ingress"),
        f"t{new_id().replace('-', '')}",
        ingress_reply_budget_s=0,
        ingress_accept_s=1.5,
        ingress_acknowledge_s=2.0,
    )
    yield opened
    await close_door(opened)


async def post(door: Door, name: str) -> int:
    return (await door.call("POST", "/Users", a_body(f"{name}@example.org")))[0]


async def test_a_killed_broker_costs_no_acknowledged_write(
    mortal_door: Door, native_kafka: KafkaBroker
) -> None:
    accepted: set[str] = set()
    stop_at = time.monotonic() + 12

    async def write(worker: int) -> None:
        number = 0
        while time.monotonic() < stop_at:
            number += 1
            name = f"w{worker}n{number}"
            status = await post(mortal_door, name)
            assert status in (201, 503)
            if status == 201:
                accepted.add(f"{name}@example.org")
            else:
                await asyncio.sleep(0.05)

    async def kill() -> None:
        await asyncio.sleep(1)
        await asyncio.to_thread(native_kafka.kill)
        await asyncio.sleep(1)
        await asyncio.get_running_loop().run_in_executor(LAUNCHER, native_kafka.start)

    await asyncio.gather(kill(), *(write(worker) for worker in range(5)))

    async with asyncio.timeout(30):
        while await post(mortal_door, "after") != 201:
            pass
    log = await mortal_door.log()
    in_time = [
        request.name_key
        for record, request in log
        if request.accept_by_ms is not None and record.timestamp <= request.accept_by_ms
    ]
    assert accepted <= set(in_time)
    assert len(in_time) == len(set(in_time))


async def test_a_frozen_broker_is_503_and_what_it_held_is_late(
    mortal_door: Door, native_kafka: KafkaBroker
) -> None:
    assert await post(mortal_door, "before") == 201
    await asyncio.to_thread(native_kafka.pause)
    try:
        frozen = await mortal_door.call("POST", "/Users", a_body("frozen@example.org"))
        began_s = time.monotonic()
        at_once = await mortal_door.call("POST", "/Users", a_body("behind@example.org"))
        took_s = time.monotonic() - began_s
        read = await mortal_door.call("GET", "/Users")
        probe = mortal_door.ingress.not_ready()
    finally:
        await asyncio.to_thread(native_kafka.resume)

    assert (frozen[0], at_once[0], read[0]) == (503, 503, 200)
    assert took_s < 1
    assert int(frozen[2]["Retry-After"]) >= 1
    assert list(probe) == []
    async with asyncio.timeout(30):
        while await post(mortal_door, "after") != 201:
            pass
    late = [
        record.timestamp > (request.accept_by_ms or 0)
        for record, request in await mortal_door.log()
        if request.name_key == "frozen@example.org"
    ]
    assert all(late)


async def test_without_postgres_writes_go_on_and_reads_are_503(
    kafka_server: KafkaServer,
) -> None:
    door, _ = await open_door(
        kafka_server.bootstrap,
        "postgresql://rollcall_ingress:x@127.0.0.1:1/none",
        f"t{new_id().replace('-', '')}",
        ingress_reply_budget_s=0,
    )
    try:
        written = await door.call("POST", "/Users", a_body())
        read = await door.call("GET", "/Users")
        discovered = await door.call("GET", "/Schemas")
        reasons = door.ingress.not_ready()
    finally:
        await close_door(door)

    assert (written[0], read[0], discovered[0]) == (201, 503, 200)
    assert "Postgres" in str(read[1])
    assert list(reasons) == []


async def test_requests_in_flight_finish_while_draining(patient_door: Door) -> None:
    call = asyncio.create_task(patient_door.call("POST", "/Users", a_body()))
    while not patient_door.ingress.under_way._writes:  # noqa: ASYNC110
        await asyncio.sleep(0.01)

    stop = asyncio.create_task(patient_door.ingress._listener.drain())
    await patient_door.answer_next(status=409, detail="Taken.")

    assert (await call)[0] == 409
    await stop


async def test_a_read_does_not_wait_out_the_budget_for_writes_that_hang_in_a_frozen_broker(
    native_kafka: KafkaBroker, database: TestDatabase
) -> None:
    door, _ = await open_door(
        native_kafka.bootstrap,
        database.url("ingress"),
        f"t{new_id().replace('-', '')}",
        ingress_reply_budget_s=12.0,
        ingress_accept_s=20.0,
        ingress_acknowledge_s=25.0,
    )
    loop = asyncio.get_running_loop()
    first_write = asyncio.create_task(post(door, "before"))  # the producer knows its way
    await door.answer_next(status=409, detail="Taken.")
    assert await first_write == 409
    await door.call("GET", "/Users")
    await asyncio.to_thread(native_kafka.pause)
    write = asyncio.create_task(post(door, "frozen"))
    try:
        while not door.ingress.under_way._writes:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        times_s = [loop.time()]
        for _ in range(3):
            assert (await door.call("GET", "/Users"))[0] == 200
            times_s.append(loop.time())
        was_done = write.done()
    finally:
        await asyncio.to_thread(native_kafka.resume)
        write.cancel()
        await asyncio.gather(write, return_exceptions=True)
        await close_door(door)

    first, second, third = (after - before for before, after in itertools.pairwise(times_s))
    assert not was_done
    assert first < 10  # a quarter of the budget, on a slow machine
    assert max(second, third) < 2
