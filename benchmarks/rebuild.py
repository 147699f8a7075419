"""Rebuild and verify: how fast the log is folded again, and how long a lost Postgres takes.

    python -m benchmarks.rebuild [--events 50000] [--members 0]

On a deployment of its own with native servers, `--events` creates of one organisation are put on
the log and a provisioner catches up; then the same log is rebuilt and verified. Prints events per
second of each, and the ratios of rebuild and verify to catching up (measured from its first to its
last batch, so that no process start is in any of the three). With `--members`, the directory gets
that many more members (written by SQL, as if their events had left the log) and a snapshot. Then
Postgres is lost: an empty database is migrated and rebuilt from the snapshot, and ingress and
provisioner start on it. Prints the seconds of each step, up to the first answered read.
"""

import argparse
import asyncio
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from pydantic import SecretStr

from benchmarks.catch_up import fill
from rollcall.control.deployment import Deployment as Reached
from rollcall.control.rebuild import rebuild, snapshot, verify
from rollcall.control.rebuild.rebuild import Options
from rollcall.control.settings import OperatorSettings
from rollcall.postgres.migrate import migrate
from rollcall_local.stack.kafka.native import KafkaBroker
from rollcall_local.stack.postgres import roles as postgres_roles
from rollcall_local.stack.postgres.native import PostgresServer as NativePostgres
from rollcall_operator.owner import open_deployment
from rollcall_operator.progress_bar import Bar
from tests.support.databases import TestDatabase, create_database
from tests.support.load import applied
from tests.support.servers import PostgresServer, own_kafka, own_postgres
from tests.support.stack import Organisation, Stack, running, until

FILL = """
INSERT INTO directory.member (
    organisation_id, id, user_name_key, external_id, status, version, created, last_modified,
    display_name_key, email_keys, document)
SELECT $1::uuid, gen_random_uuid(), 'f' || n || '@bench.example', 'f-' || n, 'invited',
       gen_random_uuid(), now(), now(), 'fill number ' || n,
       ARRAY['f' || n || '@bench.example', 'work f' || n || '@bench.example'],
       jsonb_build_object(
           'userName', 'f' || n || '@bench.example', 'externalId', 'f-' || n, 'active', true,
           'displayName', 'Fill Number ' || n,
           'name', jsonb_build_object('givenName', 'Fill', 'familyName', 'Number ' || n),
           'emails', jsonb_build_array(jsonb_build_object(
               'value', 'f' || n || '@bench.example', 'type', 'work', 'primary', true)))
FROM generate_series($2::integer, $3::integer) AS n
"""
FILL_AT_ONCE = 50_000


async def over(stack: Stack, url: str, what: Callable[[Reached, Bar], Awaitable[None]]) -> float:
    """Run a command's work on a database; returns the seconds."""
    settings = OperatorSettings(
        kafka_bootstrap=stack.bootstrap, topic_prefix=stack.prefix, database_url=SecretStr(url)
    )
    began_s = time.perf_counter()
    async with open_deployment(settings, "benchmark") as world:
        with Bar() as meter:
            await what(world, meter)
    return time.perf_counter() - began_s


async def measure_folds(stack: Stack, organisation: Organisation, events: int) -> None:
    """Catch up, rebuild and verify the same log."""
    await fill(stack, organisation, events)
    process = await stack.start("provisioner")
    await until(lambda: applied(stack, organisation), "caught up", 600)
    process.terminate()
    # From the start of the first batch to that of the last, without the start of a process, as in
    # the figures that it is compared with.
    [row] = await stack.rows(
        "SELECT count(*) / extract(epoch FROM max(recorded) - min(recorded)) AS rate "
        "FROM audit.event WHERE recorded < (SELECT max(recorded) FROM audit.event)"
    )
    caught_up = float(row["rate"])
    url = stack.database_url("owner")

    async def do_rebuild(world: Reached, meter: Bar) -> None:
        report = await rebuild.rebuild(world, Options(), meter)
        print(f"  partitions stood for {report.paused_s:.2f} s")

    async def do_verify(world: Reached, meter: Bar) -> None:
        verified = await verify.verify(world, None, meter)
        assert not verified.drifts, verified.drifts[:5]

    rebuilt = events / await over(stack, url, do_rebuild)
    verified = events / await over(stack, url, do_verify)
    print(f"catch up {caught_up:8.0f} events/s (batch to batch)")
    print(f"rebuild  {rebuilt:8.0f} events/s   {rebuilt / caught_up:.2f} of catching up")
    print(f"verify   {verified:8.0f} events/s   {verified / caught_up:.2f} of catching up")


async def measure_loss(
    stack: Stack, server: PostgresServer, organisation: Organisation, members: int, folder: Path
) -> None:
    """Snapshot, loss, restore, and the first answered read."""
    began_s = time.perf_counter()
    for first in range(1, members + 1, FILL_AT_ONCE):
        last = min(first + FILL_AT_ONCE - 1, members)
        await stack.rows(FILL, organisation.id, first, last)
    taken: list[snapshot.Manifest] = []
    print(f"{members} members written in {time.perf_counter() - began_s:.0f} s")

    async def do_snapshot(world: Reached, meter: Bar) -> None:
        taken.append(await snapshot.take(world, folder, meter))
        size = sum(each.size_bytes for each in taken[0].files)
        print(f"  {size / 1e6:.0f} MB in {len(taken[0].files)} files")

    async def do_rebuild(world: Reached, meter: Bar) -> None:
        await rebuild.rebuild(world, Options(snapshot=taken[0].folder), meter)

    print(f"snapshot {await over(stack, stack.database_url('owner'), do_snapshot):.1f} s")
    empty = TestDatabase(await create_database(server, template=None), server)
    began_s = time.perf_counter()
    await migrate(empty.url("owner"))
    print(f"migrate  {time.perf_counter() - began_s:.1f} s")
    print(f"restore  {await over(stack, empty.url('owner'), do_rebuild):.1f} s")
    stack.database_url = empty.url
    await asyncio.gather(stack.start("provisioner"), stack.start("ingress"))
    async with stack.client(organisation) as client:
        answer = await client.call("GET", '/Users?filter=userName%20eq%20"f1@bench.example"')
        assert answer.body["totalResults"] == 1
        made = await client.create_user("after@bench.example")
        assert made.status == 201
    print(f"serving again {time.perf_counter() - began_s:.1f} s after the empty database")


async def run(broker: KafkaBroker, postgres: NativePostgres, events: int, members: int) -> None:
    """Both measurements on one deployment."""
    server = PostgresServer(postgres.admin_url, "native")
    await postgres_roles.bootstrap(server.admin_url, server.passwords, database=None)
    database = TestDatabase(await create_database(server), server)
    prefix = f"b{uuid.uuid4().hex[:10]}"
    with tempfile.TemporaryDirectory() as name:
        async with running(Path(name), broker.bootstrap, prefix, database.url) as stack:
            organisation = await stack.organisation()
            await measure_folds(stack, organisation, events)
            if members:
                await measure_loss(stack, server, organisation, members, Path(name) / "snapshots")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--members", type=int, default=0)
    arguments = parser.parse_args()
    with own_kafka() as broker, own_postgres() as postgres:
        asyncio.run(run(broker, postgres, arguments.events, arguments.members))


if __name__ == "__main__":
    main()
