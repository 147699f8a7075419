"""Rebuild and verify in an outage: one line, no result, no change; afterwards they work."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from rollcall_local.stack.kafka.native import KafkaBroker
from rollcall_operator.exits import Exit
from tests.support.postgres_faults import MortalPostgres, mortal_postgres, stack_on
from tests.support.servers import KafkaServer
from tests.support.stack import Stack, until

COMMANDS = {"verify": (), "rebuild": ("--yes",)}
"""Command → what it needs to ask nobody."""


@pytest.fixture(scope="module")
def mortal() -> Iterator[MortalPostgres]:
    with mortal_postgres() as server:
        yield server


@pytest.fixture
async def stack(
    tmp_path: Path, kafka_server: KafkaServer, mortal: MortalPostgres
) -> AsyncIterator[Stack]:
    """Ten members applied, over a Postgres that only this module uses."""
    async with stack_on(mortal, tmp_path, kafka_server.bootstrap) as made:
        await asyncio.gather(made.start("ingress"), made.start("provisioner"))
        organisation = await made.organisation()
        async with made.client(organisation) as client:
            for number in range(10):
                assert (await client.create_user(f"u{number}@example.org")).status == 201
        yield made


async def start(stack: Stack, command: str) -> asyncio.subprocess.Process:
    """The command in a process of its own."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rollcall_operator", command, *COMMANDS[command]),
        env={**stack.environment, "ROLLCALL_DATABASE_URL": stack.database_url("owner")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def end(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    """Its status, what it printed, what it complained about."""
    output, error = await asyncio.wait_for(process.communicate(), 90)
    return process.returncode, output.decode(), error.decode()


async def assert_away(process: asyncio.subprocess.Process, what: str) -> None:
    """It ends with its status of an outage and one line that names what is away."""
    status, output, error = await end(process)
    assert (status, output) == (Exit.UNAVAILABLE, "")
    assert error.startswith(f"rollcall: {what}")
    assert error.count("\n") == 1


async def assert_works(stack: Stack) -> None:
    """A rebuild, then no drift; all members are there, and nothing is left half-made."""
    status, _, error = await end(await start(stack, "rebuild"))
    assert status == 0, error
    status, output, error = await end(await start(stack, "verify"))
    assert status == 0, error
    assert "No drifts" in output
    [row] = await stack.rows("SELECT count(*) AS number FROM directory.member")
    assert row["number"] == 10
    left = await stack.rows("SELECT nspname FROM pg_namespace WHERE nspname ~ '_(rebuild|verify)$'")
    assert left == []


async def test_without_postgres_they_say_so_and_work_when_it_is_back(
    stack: Stack, mortal: MortalPostgres
) -> None:
    await mortal.kill()
    try:
        for process in [await start(stack, each) for each in COMMANDS]:
            await assert_away(process, "Postgres")
    finally:
        await mortal.start()

    await assert_works(stack)


@pytest.mark.parametrize("command", COMMANDS)
async def test_postgres_killed_in_their_middle_ends_them_and_the_next_run_works(
    stack: Stack, mortal: MortalPostgres, command: str
) -> None:
    """Held where they read the positions: somebody has those locked."""
    holder = await asyncpg.connect(stack.database_url("owner"))
    await holder.execute("BEGIN; LOCK TABLE directory.progress IN ACCESS EXCLUSIVE MODE")
    process = await start(stack, command)

    async def waits() -> bool:
        found = await stack.rows(
            "SELECT FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'",
            f"rollcall {command}",
        )
        return bool(found)

    await until(waits, f"the {command} is under way", 60)
    await mortal.kill()
    try:
        holder.terminate()
        await assert_away(process, "Postgres")
    finally:
        await mortal.start()

    await assert_works(stack)


@pytest.mark.long
async def test_a_frozen_broker_ends_them_and_the_next_run_works(
    stack: Stack, native_kafka: KafkaBroker
) -> None:
    native_kafka.pause()
    try:
        for process in [await start(stack, each) for each in COMMANDS]:
            await assert_away(process, "Kafka")
    finally:
        native_kafka.resume()

    await assert_works(stack)
