"""The only broker dies or freezes under load: writes wait, then 503 or 2xx; reads go on.

Architecture §8, "Kafka, 30 s". `make test` plays ten seconds or so, `make test-long` thirty.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rollcall_local.stack.kafka.native import KafkaBroker
from tests.crash.model import Judged, Load, accepted_again, judge, under_load
from tests.support.databases import TestDatabase
from tests.support.deploy.cluster import start_again
from tests.support.stack import Organisation, Stack, running

UNDER_WAY = "late@model.example"
"""Sent while the broker is away: the writers may all wait for replies just then."""


@pytest.fixture
async def mortal_stack(
    tmp_path: Path, native_kafka: KafkaBroker, database: TestDatabase
) -> AsyncIterator[Stack]:
    """A deployment on a broker that only this module uses: the door and a provisioner."""
    prefix = f"t{uuid.uuid4().hex[:12]}"
    async with running(tmp_path, native_kafka.bootstrap, prefix, database.url) as made:
        made.environment["ROLLCALL_INGRESS_REPLY_BUDGET_S"] = "2"
        await asyncio.gather(made.start("ingress"), made.start("provisioner"))
        yield made


async def assert_the_model_holds(
    stack: Stack, organisation: Organisation, load: Load, what: str
) -> Judged:
    """Hold the answers against log, audit and directory, and print the figures."""
    judged = await judge(stack, organisation, load)
    slowest_s = max(seconds for _, seconds in load.reads)
    print(f"\n{what}: {judged}; {load.seen()}")
    print(f"{what}: {len(load.reads)} reads, slowest {slowest_s:.1f} s")
    assert {status for status, _ in load.reads} == {200}, "a read failed"
    assert judged.unanswered == 0
    assert judged.expired > 0, "nobody was under way when the broker went"
    return judged


@pytest.mark.long
@pytest.mark.timeout(150)
@pytest.mark.parametrize("seconds", [10.0, 30.0])
async def test_a_broker_killed_under_load_loses_nothing(
    mortal_stack: Stack, native_kafka: KafkaBroker, seconds: float
) -> None:
    organisation = await mortal_stack.organisation()

    async with under_load(mortal_stack, organisation) as load:
        await asyncio.to_thread(native_kafka.kill)
        under_way = asyncio.create_task(load.write_once(UNDER_WAY))
        await asyncio.sleep(seconds)  # the length of the outage is what is tested
        await start_again(native_kafka)
        took_s = await accepted_again(load)
        await under_way

    print(f"\nkilled for {seconds:g} s: accepted again {took_s:.1f} s after the restart")
    await assert_the_model_holds(mortal_stack, organisation, load, f"killed for {seconds:g} s")


@pytest.mark.timeout(150)
@pytest.mark.long
@pytest.mark.parametrize("seconds", [11.0, 30.0])
async def test_a_broker_frozen_under_load_loses_nothing(
    mortal_stack: Stack, native_kafka: KafkaBroker, seconds: float
) -> None:
    """After eleven seconds the acknowledgements come to senders who still wait, and say: late."""
    organisation = await mortal_stack.organisation()

    async with under_load(mortal_stack, organisation) as load:
        native_kafka.pause()
        under_way = asyncio.create_task(load.write_once(UNDER_WAY))
        try:
            await asyncio.sleep(seconds)  # the length of the outage is what is tested
        finally:
            native_kafka.resume()
        took_s = await accepted_again(load)
        await under_way

    print(f"\nfrozen for {seconds:g} s: accepted again {took_s:.1f} s after it went on")
    await assert_the_model_holds(mortal_stack, organisation, load, f"frozen for {seconds:g} s")
