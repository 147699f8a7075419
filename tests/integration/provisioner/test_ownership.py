"""Several owners, one after another or at once: nothing is lost, nothing is written twice."""

import asyncio
from dataclasses import replace

import asyncpg
import pytest

from rollcall.kafka.feed import Feed
from rollcall.kafka.producer import Acknowledged
from rollcall.kafka.worker import Fenced
from rollcall.postgres import audit, progress
from rollcall.runtime.clock import now_ms
from rollcall_provisioner.announce import announcements
from rollcall_provisioner.partition import PartitionWorker
from tests.integration.provisioner.requests import creates
from tests.support.builders import an_id, create
from tests.support.deployment import Deployment
from tests.support.stack import until


async def test_two_pumps_rebalance_without_loss(deployment: Deployment) -> None:
    first = await deployment.start()
    sent = [await deployment.send(each, n % 4) for n, each in enumerate(creates(1, 40))]

    second = await deployment.start()
    await until(lambda: len(second.requests.partitions) == 2, "the second one has its half")
    sent += [await deployment.send(each, n % 4) for n, each in enumerate(creates(41, 40))]
    await first.end()
    await until(lambda: len(second.requests.partitions) == 4, "the second one has all")
    sent += [await deployment.send(each, n % 4) for n, each in enumerate(creates(81, 40))]

    for partition in range(4):
        end = max(each.offset for each in sent if each.partition == partition) + 1
        await deployment.applied(end, partition)
    (count,) = await deployment.rows("SELECT count(*) AS members FROM directory.member")
    assert count["members"] == 120
    announced = {each.request_id for each in await deployment.outcomes(120)}
    assert len(announced) == 120


async def test_replicas_come_and_go_and_every_outcome_is_announced_once_in_order(
    deployment: Deployment,
) -> None:
    """Repeats are allowed, for a reader drops what is older than what it saw; gaps are not."""
    running = [await deployment.start()]
    sent: list[Acknowledged] = []

    async def flow() -> None:
        for number, request in enumerate(creates(1, 600)):
            sent.append(await deployment.send(request, number % 4))
            await asyncio.sleep(0.01)

    flowing = asyncio.create_task(flow())
    while not flowing.done():
        running.append(await deployment.start())
        await asyncio.sleep(0.7)
        await running.pop(0).end()
    await flowing

    for partition in range(4):
        end = max(each.offset for each in sent if each.partition == partition) + 1
        await deployment.applied(end, partition)
    (count,) = await deployment.rows("SELECT count(*) AS members FROM directory.member")
    assert count["members"] == 600
    announced = await deployment.outcomes(600)
    newest: dict[int, int] = {}
    for each in announced:
        partition = (int(each.outcome.resource_id[-4:], 16) - 1) % 4
        place = newest.get(partition, -1)
        assert each.sequence.offset <= place + 1, "an outcome overtook another one"
        newest[partition] = max(place, each.sequence.offset)
    assert newest == dict.fromkeys(range(4), 149)


async def test_a_worker_whose_position_moved_is_fenced(deployment: Deployment) -> None:
    """As a zombie finds it: its successor has applied what it holds in hand."""
    context = await deployment.context()
    worker = PartitionWorker(context, 0)
    feed = Feed(0, max_records=100, max_bytes=1 << 20)
    feed.open(await worker.start(feed))
    await deployment.rows("UPDATE directory.progress SET next_offset = 1, published_offset = 1")
    await deployment.send(create(1, "ana@example.org"))
    records = await deployment.records(deployment.topics.requests)
    feed.put(records)

    with pytest.raises(Fenced):
        await worker.run(feed)

    assert await deployment.rows("SELECT 1 FROM directory.member") == []
    assert await deployment.rows("SELECT 1 FROM audit.event") == []


async def test_a_fenced_worker_reads_its_position_again(deployment: Deployment) -> None:
    running = await deployment.start()
    one, two, three = creates(1, 3)
    await deployment.send(one)
    await deployment.applied(1)

    await deployment.rows(
        "UPDATE directory.progress SET next_offset = 2, last_event_id = NULL,"
        " last_append_time = NULL WHERE partition = 0"
    )
    await deployment.send(two)
    await deployment.send(three)

    await deployment.applied(3)
    rows = await deployment.rows('SELECT id::text FROM audit.event ORDER BY "offset"')
    assert [row["id"] for row in rows] == [one.id, three.id]
    assert running.requests.partitions == [0, 1, 2, 3]


async def test_a_takeover_announces_what_was_committed_and_not_announced(
    deployment: Deployment,
) -> None:
    running = await deployment.start()
    requests = [replace(each, reply_to=0, answer_by_ms=now_ms() + 5000) for each in creates(1, 5)]
    for each in requests:
        await deployment.send(each)
    originals = await deployment.outcomes(5)
    await running.end()
    # As if the process had died after its commit, before the last three outcomes.
    await deployment.rows("UPDATE directory.progress SET published_offset = 2 WHERE partition = 0")

    await deployment.start()

    repeated = (await deployment.outcomes(8))[5:]
    assert repeated == originals[2:]
    assert len(await deployment.replies(5)) == 5
    last = await deployment.send(create(9, "new@example.org"))
    await deployment.applied(last.offset + 1)


async def test_announcements_are_rebuilt_from_the_audit_as_they_were(
    deployment: Deployment,
) -> None:
    await deployment.start()
    for each in creates(1, 3):
        await deployment.send(each)
    announced = await deployment.outcomes(3)

    async with deployment.database.connect("provisioner") as connection:
        rows = await audit.unannounced(connection, deployment.topics.requests, 0, 0, 10)

    assert [each for row in rows for each in announcements(row)] == announced


async def test_the_announced_position_is_written_when_nothing_comes(
    deployment: Deployment,
) -> None:
    await deployment.start()
    last = await deployment.send(create(1, "ana@example.org"))

    async def is_written() -> bool:
        found = await deployment.progress()
        return bool(found["published_offset"] == found["next_offset"] == last.offset + 1)

    await until(is_written, "published_offset has caught up")


async def test_a_halted_partition_has_no_owner(deployment: Deployment) -> None:
    async with deployment.database.connect("provisioner") as connection:
        await progress.ensure(connection, deployment.topics.requests, 0)
        await progress.halt(
            connection,
            deployment.topics.requests,
            0,
            expected=0,
            epoch=0,
            reason="log-shorter",
            detail="for the test",
        )

        is_ours = await progress.advance(
            connection,
            deployment.topics.requests,
            0,
            expected=0,
            epoch=0,
            new=1,
            published=0,
            last_event_id=None,
            last_append_time=None,
        )

    assert not is_ours


async def test_postgres_away_is_waited_for(deployment: Deployment) -> None:
    """Connections are refused for a while; the membership is kept, and nothing is a dead letter."""
    running = await deployment.start()
    await deployment.send(create(1, "ana@example.org"))
    await deployment.applied(1)
    name = deployment.database.name
    server = await asyncpg.connect(deployment.database.server.admin_url)
    await server.execute(f'REVOKE CONNECT ON DATABASE "{name}" FROM PUBLIC')
    await server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = $1 AND usename = 'rollcall_provisioner'",
        name,
    )
    last = await deployment.send(create(2, "ben@example.org"))
    await until(lambda: running.requests.waiting() == [0], "the worker waits")

    await server.execute(f'GRANT CONNECT ON DATABASE "{name}" TO PUBLIC')
    await server.close()

    await deployment.applied(last.offset + 1)
    assert running.requests.partitions == [0, 1, 2, 3]
    assert await deployment.rows("SELECT 1 FROM directory.dead_letter") == []
    assert [
        row["id"] for row in await deployment.rows("SELECT id::text FROM directory.member")
    ] == [
        an_id(1),
        an_id(2),
    ]
