"""The cost of a batch: transactions of 500 events in one partition, in Postgres, without Kafka.

    python -m benchmarks.batches [--events 20000]

Writes the same members into a fresh database in three ways, in one run: bare `unnest` inserts of
500 rows (the cost of Postgres alone); the provisioner's whole batch transaction (position compared
and set, duplicates looked up, state loaded, decided, rows and audit written); and the same with one
event per transaction. Prints events per second, CPU of this process per event, and the two ratios.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rollcall.directory.fold import collapse, fold_batch
from rollcall.directory.touch import touches
from rollcall.events.bodies import Create
from rollcall.events.outcome import to_data
from rollcall.events.request import Request
from rollcall.postgres import audit, progress
from rollcall.postgres.audit import AuditRow
from rollcall.postgres.directory_load import load_states
from rollcall.postgres.directory_write import write_changes
from rollcall.postgres.pool import Database, open_pool
from rollcall.runtime.ids import new_id
from rollcall_local.stack.postgres import roles as postgres_roles
from tests.support.databases import TestDatabase, create_database
from tests.support.servers import PostgresServer, own_postgres

TOPIC = "bench.requests"
BATCH = 500
BARE = """
CREATE TABLE IF NOT EXISTS bare (organisation_id uuid, id uuid, user_name_key text, document jsonb,
PRIMARY KEY (organisation_id, id), UNIQUE (organisation_id, user_name_key))
"""
INSERT_BARE = """
INSERT INTO bare SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::jsonb[])
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """Events written, wall seconds, CPU seconds of this process."""

    events: int
    wall_s: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.wall_s

    def __str__(self) -> str:
        return f"{self.rate:8.0f} events/s   {self.cpu_s / self.events * 1e6:6.0f} µs CPU an event"


def creates(organisation_id: str, count: int, run: str) -> list[Request]:
    """Requests that create `count` members."""
    moment = datetime.now(UTC)
    return [
        Request(
            id=new_id(),
            endpoint="Users",
            organisation_id=organisation_id,
            resource_id=new_id(),
            time=moment,
            body=Create(
                {
                    "userName": f"{run}{number}@bench.example",
                    "externalId": f"{run}-{number}",
                    "active": True,
                    "name": {"givenName": "Ana", "familyName": f"Number {number}"},
                    "emails": [
                        {"value": f"{run}{number}@bench.example", "type": "work", "primary": True}
                    ],
                },
                name_key=f"{run}{number}@bench.example",
            ),
        )
        for number in range(count)
    ]


async def measure(
    requests: Sequence[Request], size: int, write: Callable[[Sequence[Request]], Awaitable[None]]
) -> Measured:
    """Write all requests in batches of `size`."""
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    for start in range(0, len(requests), size):
        await write(requests[start : start + size])
    return Measured(len(requests), time.perf_counter() - began_s, time.process_time() - began_cpu_s)


class Partition:
    """Applies batches as the provisioner's worker does, without Kafka."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._offset = 0

    async def apply(self, requests: Sequence[Request]) -> None:
        """Apply one batch in one transaction."""
        at = datetime.now(UTC)
        async with self._database.transaction() as connection:
            is_ours = await progress.advance(
                connection,
                TOPIC,
                0,
                expected=self._offset,
                epoch=0,
                new=self._offset + len(requests),
                published=self._offset,
                last_event_id=requests[-1].id,
                last_append_time=at,
            )
            assert is_ours
            await audit.already_applied(connection, [request.id for request in requests])
            states = await load_states(connection, touches(requests))
            folded = fold_batch(states, [(request, at) for request in requests])
            rows = []
            changes = []
            for number, (request, item) in enumerate(zip(requests, folded, strict=True)):
                assert item.decision is not None
                changes += [(request.organisation_id, c) for c in item.decision.changes]
                rows.append(audit_row(request, self._offset + number, at, item.decision))
            await write_changes(connection, collapse(changes))
            await audit.record(connection, rows)
        self._offset += len(requests)


def audit_row(request: Request, offset: int, at: datetime, decision: object) -> AuditRow:
    """The audit row of one event."""
    outcomes = decision.outcomes  # type: ignore[attr-defined]
    return AuditRow(
        id=request.id,
        organisation_id=request.organisation_id,
        topic=TOPIC,
        partition=0,
        offset=offset,
        epoch=0,
        type=request.type,
        resource_id=request.resource_id,
        actor=request.actor,
        append_time=at,
        event_time=request.time,
        status=201,
        scim_type=None,
        outcomes=[{"fact": outcome.fact, "data": to_data(outcome)} for outcome in outcomes],
        optimistic=False,
    )


async def run(server: PostgresServer, events: int) -> None:
    """All three ways, one after another, in one database."""
    await postgres_roles.bootstrap(server.admin_url, server.passwords, database=None)
    database = TestDatabase(await create_database(server), server)
    organisation_id = new_id()
    async with database.connect() as owner:
        await owner.execute(BARE)

        async def bare(requests: Sequence[Request]) -> None:
            await owner.execute(
                INSERT_BARE,
                [organisation_id] * len(requests),
                [request.resource_id for request in requests],
                [request.name_key for request in requests],
                [
                    request.body.resource if isinstance(request.body, Create) else None
                    for request in requests
                ],
            )

        inserts = await measure(creates(organisation_id, events, "b"), BATCH, bare)
        assert await owner.fetchval("SELECT count(*) FROM bare") == events
    pool = await open_pool(
        database.url("provisioner"),
        role_hint="provisioner",
        max_size=1,
        statement_timeout_s=30,
        application_name="benchmark",
    )
    async with pool.transaction() as connection:
        await progress.ensure(connection, TOPIC, 0)
    partition = Partition(pool)
    await measure(creates(organisation_id, BATCH, "w"), BATCH, partition.apply)
    batches = await measure(creates(organisation_id, events, "p"), BATCH, partition.apply)
    single = await measure(creates(organisation_id, events // 20, "s"), 1, partition.apply)
    async with database.connect() as owner:
        written = await owner.fetchval("SELECT count(*) FROM directory.member")
    assert written == BATCH + events + events // 20
    await pool.close()
    print(f"bare unnest inserts of {BATCH}     {inserts}")
    print(f"batch transactions of {BATCH}      {batches}")
    print(f"a transaction an event        {single}")
    print(
        f"a batch takes {inserts.rate / batches.rate:.1f}× the time of bare inserts; a transaction "
        f"an event takes {batches.rate / single.rate:.1f}× the time of a batch"
    )


def main() -> None:
    """Start a Postgres of its own (fsync off, as in tests) and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    args = parser.parse_args()
    with own_postgres() as postgres:
        asyncio.run(run(PostgresServer(postgres.admin_url, "native"), args.events))


if __name__ == "__main__":
    main()
