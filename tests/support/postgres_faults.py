"""What can happen to a Postgres of a test's own, and what the services must have kept. No tests.

A fault is a pair of steps, `begin` and `end`; between them Postgres is away, or slow, or refuses.
All faults are real ones but two: `full` raises Postgres's own SQLSTATE for a full disk (53100)
from a trigger, since filling a disk takes root (tests/crash/postgres/test_full_disk.py does),
and `slow` sleeps in each commit.
"""

import asyncio
import contextlib
import json
import shutil
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import DescribeGroupsRequest, DescribeGroupsRequest_v2

from rollcall.postgres.pool import Service
from rollcall_local.stack.postgres import roles as postgres_roles
from rollcall_local.stack.postgres.binaries import account
from rollcall_local.stack.postgres.native import PostgresServer as NativePostgres
from rollcall_local.stack.postgres.native import home
from tests.support.databases import create_database
from tests.support.servers import PostgresServer, own_postgres
from tests.support.stack import Process, Stack, running

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

LAUNCHER = ThreadPoolExecutor(1)
"""A child dies with the thread that started it, so that thread must outlive the event loop."""
MAX_CONNECTIONS = 40
_ROLES = ("rollcall_ingress", "rollcall_provisioner", "rollcall_notifier")
_SLOW = """
CREATE FUNCTION public.sleep_at_commit() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON directory.progress
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.sleep_at_commit();
CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON notice.progress
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.sleep_at_commit();
"""
_FAST = """
DROP TRIGGER slow ON directory.progress;
DROP TRIGGER slow ON notice.progress;
DROP FUNCTION public.sleep_at_commit();
"""
_FULL = """
CREATE FUNCTION public.no_space() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device'
       USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON audit.event
    FOR EACH STATEMENT EXECUTE FUNCTION public.no_space();
CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON notice.notification
    FOR EACH STATEMENT EXECUTE FUNCTION public.no_space();
"""
_SPACE = """
DROP TRIGGER full_disk ON audit.event;
DROP TRIGGER full_disk ON notice.notification;
DROP FUNCTION public.no_space();
"""


@dataclass(slots=True)
class MortalPostgres:
    """A native server that may be hurt, and one migrated database on it."""

    native: NativePostgres
    shared: PostgresServer
    database: str
    _held: list[Connection] = field(default_factory=list)

    def url(self, service: Service = "owner") -> str:
        """The URL of the database with a service's role."""
        return self.shared.url(self.database, f"rollcall_{service}")

    # Away

    async def kill(self) -> None:
        """SIGKILL the postmaster; its sessions end."""
        await asyncio.to_thread(self.native.kill)

    async def start(self) -> None:
        """Start it again on the same port and data."""
        await asyncio.get_running_loop().run_in_executor(LAUNCHER, self.native.start)

    async def freeze(self) -> None:
        """SIGSTOP: the kernel goes on accepting connections, nobody answers."""
        await asyncio.to_thread(self.native.pause)

    async def thaw(self) -> None:
        """SIGCONT."""
        await asyncio.to_thread(self.native.resume)

    # Slow and full

    async def slow(self, seconds: float = 0.5) -> None:
        """Each commit of a batch takes so long from now on."""
        await self._execute(_SLOW.format(seconds=seconds))

    async def fast(self) -> None:
        """No more of that."""
        await self._execute(_FAST)

    async def full(self) -> None:
        """There is no space for rows any more."""
        await self._execute(_FULL)

    async def space(self) -> None:
        """There is again."""
        await self._execute(_SPACE)

    # Connections

    async def exhaust(self) -> None:
        """Take every connection that the server has, those of the services too."""
        async with asyncio.timeout(60):
            while True:
                await self._take_all()
                if await self._cut_services() == 0:
                    return

    async def give_back(self) -> None:
        """Close what was taken."""
        held, self._held = self._held, []
        await asyncio.gather(*(each.close(timeout=10) for each in held))

    async def _take_all(self) -> None:
        # Not as superuser: a few connections are kept for those.
        with contextlib.suppress(asyncpg.TooManyConnectionsError):
            while True:
                self._held.append(await asyncpg.connect(self.url("owner"), timeout=10))

    async def _cut_services(self) -> int:
        """End the connections of services; how many there were, those that are logging in too."""
        rows = await self.rows(
            "SELECT usename IS NULL OR pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND (usename = ANY ($1) OR usename IS NULL)",
            list(_ROLES),
        )
        return len(rows)

    # Failover

    async def copy(self) -> None:
        """Keep the data as it is at this moment, as a standby that hears nothing any more."""
        await self.freeze()
        try:
            await asyncio.to_thread(self._copy_data)
        finally:
            await self.thaw()

    async def fail_over(self) -> None:
        """The primary dies; the copy, which lacks the commits since, takes its address."""
        await self.kill()
        await asyncio.to_thread(self._swap_data)
        await self.start()

    def _copy_data(self) -> None:
        self._drop_copy()
        # With its owner and its modes, which Postgres checks.
        subprocess.run(["cp", "-a", self._data, self._standby], check=True, timeout=60)
        (self._standby / "postmaster.pid").unlink(missing_ok=True)

    def _swap_data(self) -> None:
        shutil.rmtree(self._data)
        self._standby.rename(self._data)

    def _drop_copy(self) -> None:
        shutil.rmtree(self._standby, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return home(self.native.settings.folder, account()) / "data"

    @property
    def _standby(self) -> Path:
        return self._data.with_name("standby")

    # Looking

    async def rows(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Rows, as the superuser, in the test's database."""
        connection = await asyncpg.connect(self.shared.url(self.database), timeout=10)
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close(timeout=10)

    async def left_behind(self) -> list[str]:
        """Sessions of the services that are in a transaction and do nothing, or for long."""
        rows = await self.rows(
            "SELECT usename, state, query FROM pg_stat_activity WHERE usename = ANY ($1) "
            "AND state <> 'idle' AND clock_timestamp() - state_change > interval '5 seconds'",
            list(_ROLES),
        )
        return [f"{row['usename']}: {row['state']}: {row['query'][:60]}" for row in rows]

    async def _execute(self, statements: str) -> None:
        connection = await asyncpg.connect(self.shared.url(self.database), timeout=10)
        try:
            await connection.execute(statements)
        finally:
            await connection.close(timeout=10)


class SmallPostgres(NativePostgres):
    """A server with few connections."""

    def _came_up(self, command: list[str], deadline: float) -> bool:
        return super()._came_up([*command, "-c", f"max_connections={MAX_CONNECTIONS}"], deadline)


@contextlib.contextmanager
def mortal_postgres() -> Iterator[MortalPostgres]:
    """A server of one's own with a migrated database; removed afterwards."""
    with own_postgres(SmallPostgres) as native:
        shared = PostgresServer(native.admin_url, "native")
        asyncio.run(postgres_roles.bootstrap(native.admin_url, shared.passwords, database=None))
        yield MortalPostgres(native, shared, asyncio.run(create_database(shared)))


# What must have been kept


class _DescribeGroup:
    """One version of the request, in the shape that aiokafka's connection takes."""

    API_KEY = DescribeGroupsRequest.API_KEY

    def __init__(self, groups: list[str]) -> None:
        self._groups = groups

    def prepare(self, versions: dict[int, tuple[int, int]]) -> Any:
        return DescribeGroupsRequest_v2(self._groups)


async def members(stack: Stack, groups: list[str]) -> dict[str, set[str]]:
    """Group → the ids that Kafka gave its members; a member that was put out has a new one."""
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.bootstrap)
    await admin.start()
    try:
        found: dict[str, set[str]] = {}
        for name in groups:
            # aiokafka 0.14 reads the answer to its newest version of this request wrongly.
            answer = await admin._client.send(
                await admin.find_coordinator(name), _DescribeGroup([name])
            )
            for group in answer.to_object()["groups"]:
                assert group["error_code"] == 0, group
                found[group["group"]] = {each["member_id"] for each in group["members"]}
        return found
    finally:
        await admin.close()


def lines(process: Process) -> list[dict[str, Any]]:
    """What a process has logged, but for what is no line of ours."""
    text = process.log.read_text(errors="replace").splitlines()
    return [json.loads(line) for line in text if line.startswith("{")]


def assignments(process: Process) -> int:
    """How many times its groups have given it partitions: once each, unless they rebalanced."""
    return sum(line["event"] == "consumer.assigned" for line in lines(process))


async def metric(process: Process, name: str) -> float:
    """The sum of a metric over its labels."""
    url = f"http://127.0.0.1:{process.admin_port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        text = await answer.text()
    values = [
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if line.partition("{")[0].partition(" ")[0] == name
    ]
    return sum(values)


@contextlib.asynccontextmanager
async def stack_on(mortal: MortalPostgres, folder: Path, bootstrap: str) -> AsyncIterator[Stack]:
    """A deployment on a Postgres that only this module uses; nothing is started yet."""
    mortal.database = await create_database(mortal.shared)
    prefix = f"t{uuid.uuid4().hex[:12]}"
    async with running(folder, bootstrap, prefix, mortal.url) as made:
        yield made


@contextlib.asynccontextmanager
async def whole_stack_on(
    mortal: MortalPostgres, folder: Path, bootstrap: str
) -> AsyncIterator[Stack]:
    """The same with one process of each service, and a short wait for replies."""
    async with stack_on(mortal, folder, bootstrap) as made:
        made.environment["ROLLCALL_INGRESS_REPLY_BUDGET_S"] = "1"
        await made.start_all()
        yield made
