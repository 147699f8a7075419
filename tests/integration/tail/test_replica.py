"""A replica reads the log and gives the replies that a provisioner sends afterwards."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace

import pytest

from rollcall.events.bodies import Erase
from rollcall.events.reply import Reply
from rollcall.events.request import Request
from rollcall.postgres import progress
from rollcall.postgres.pool import Database, open_pool
from rollcall.postgres.progress import Progress
from rollcall.tail.batch import Uncertain
from rollcall.tail.lookup import Target
from rollcall.tail.reader import Tails
from rollcall.tail.replica import Replica
from tests.support import builders
from tests.support.builders import ORGANISATION, a_request, an_id, replacing
from tests.support.databases import TestDatabase
from tests.support.deployment import Deployment, deployed
from tests.support.samples.lookups import a_conversation
from tests.support.servers import KafkaServer
from tests.support.stack import until

WITHIN_S = 20.0
LATER_MS = 4_000_000_000_000  # whenever the reply comes, its sender still waits


class Watching:
    """One replica that reads a deployment's log."""

    def __init__(self, deployment: Deployment, database: Database) -> None:
        self.deployment = deployment
        self.database = database
        topic = deployment.topics.requests
        self.tails = Tails(deployment.settings, topic, self._applied, client_id="test-tail")
        self.replica = Replica(self.tails, lambda _: database.connection(), topic)

    @contextlib.contextmanager
    def expecting(self, requests: Sequence[Request]) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for each in requests:
                stack.enter_context(self.replica.expecting(each.id))
            yield

    async def _applied(self) -> Sequence[Progress]:
        async with self.database.connection() as connection:
            return await progress.read_all(connection, self.deployment.topics.requests)

    async def verdict(self, request: Request, offset: int) -> Reply | None:
        """The verdict of a request that `sent` has put on the log."""
        return await self.replica.verdict(request.organisation_id, 0, request.id, offset, WITHIN_S)


@pytest.fixture
async def deployment(
    kafka_server: KafkaServer, database: TestDatabase
) -> AsyncIterator[Deployment]:
    async with deployed(kafka_server.bootstrap, database) as made:
        yield made


@contextlib.asynccontextmanager
async def watching(deployment: Deployment) -> AsyncIterator[Watching]:
    """A replica with the rights of ingress."""
    pool = await open_pool(
        deployment.database.url("ingress"),
        role_hint="ingress",
        max_size=4,
        statement_timeout_s=20,
        application_name="test",
    )
    made = Watching(deployment, pool)
    task = asyncio.create_task(made.tails.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.wait([task])
        await pool.close()


async def sent(deployment: Deployment, requests: Sequence[Request]) -> list[tuple[Request, int]]:
    """The requests on the log, each with its offset; all ask for a reply."""
    asking = [replace(each, reply_to=1, answer_by_ms=LATER_MS) for each in requests]
    return [(each, (await deployment.send(each)).offset) for each in asking]


@pytest.mark.parametrize("seed", [1, 2])
async def test_what_a_replica_says_is_what_the_provisioner_replies(
    deployment: Deployment, seed: int
) -> None:
    """Without a provisioner at first, then with the rows of one that is half way."""
    requests = a_conversation(seed, 120)
    early, late = requests[:60], requests[60:]
    async with watching(deployment) as first:
        with first.expecting(requests):
            placed = await sent(deployment, early)
            said = {each.id: await first.verdict(each, offset) for each, offset in placed}
            running = await deployment.start()
            await deployment.applied(60)
            await running.end()

            placed += await sent(deployment, late)
            async with watching(deployment) as second:
                with second.expecting(requests):
                    for each, offset in placed[60:]:
                        said[each.id] = await first.verdict(each, offset)
                        assert said[each.id] == await second.verdict(each, offset)
                    assert await second.verdict(*placed[10]) is None  # it is applied

        await deployment.start()
        replies = {each.request_id: each for each in await deployment.replies(120)}

    assert len(said) == 120
    for request, offset in placed:
        assert said[request.id] == replace(replies[request.id], backlog=0), offset


async def test_an_organisation_is_behind_until_all_is_applied(deployment: Deployment) -> None:
    async with watching(deployment) as watched:
        ana = builders.create(1, "ana@example.org")
        with watched.expecting([ana]):
            [(_, offset)] = await sent(deployment, [ana])
            assert await watched.verdict(ana, offset) is not None
        await until(lambda: watched.replica.is_behind(ORGANISATION, 0), "it is behind")
        assert not watched.replica.is_behind(an_id(3), 0)

        await deployment.start()
        await until(lambda: not watched.replica.is_behind(ORGANISATION, 0), "it is not")


async def test_what_was_applied_before_it_was_folded_is_not_hidden_by_what_is_held(
    deployment: Deployment,
) -> None:
    """Records that are applied leave the tail, also those that nobody here has folded."""
    ana = builders.a_member(1)
    wanted = Target(ORGANISATION, "Users", "id", frozenset({ana.id}))
    async with watching(deployment) as watched:
        await sent(deployment, [builders.create(1, "ana@example.org")])
        await watched.tails.reach(0, 1, WITHIN_S)
        [held] = await watched.replica.find(wanted, 0)

        await deployment.start()
        await sent(deployment, [builders.patch(ana, replacing("title", "Cook"), number=950)])
        await deployment.applied(2)
        await until(lambda: watched.replica.applied(0) == (0, 2), "that is known")
        [found] = await watched.replica.find(wanted, 0)

    assert "title" not in held.row.resource
    assert found.row.resource["title"] == "Cook"


async def test_what_was_there_before_a_replica_is_behind_at_once(deployment: Deployment) -> None:
    await sent(deployment, [builders.create(1, "ana@example.org")])

    async with watching(deployment) as watched:
        await watched.tails.reach(0, 1, WITHIN_S)
        assert watched.replica.is_behind(ORGANISATION, 0)


async def test_behind_an_erasure_nothing_is_certain_until_it_is_applied(
    deployment: Deployment,
) -> None:
    ana = builders.create(1, "ana@example.org")
    erase = a_request("member.erase", ana.resource_id, 901)
    again = builders.create(2, "ana@example.org")
    async with watching(deployment) as watched:
        with watched.expecting([ana, again]):
            placed = await sent(deployment, [ana, erase, again])
            said = await watched.verdict(*placed[0])
            assert said is not None
            assert said.status == 201
            with pytest.raises(Uncertain):
                await watched.verdict(*placed[2])

    assert isinstance(erase.body, Erase)


async def test_a_partition_is_in_time_until_a_record_waits_and_again_once_it_is_applied(
    deployment: Deployment,
) -> None:
    """For a read that begins then, Postgres has all that any replica was answered for."""
    async with watching(deployment) as watching_it:
        replica = watching_it.replica
        await until(lambda: replica.is_in_time(0), "it has read the log", WITHIN_S)

        await deployment.send(a_request("member.delete", an_id(1), 1))
        await until(lambda: _is_late(replica), "a record waits", WITHIN_S)

        await deployment.start()
        await until(lambda: replica.is_in_time(0), "it is applied", WITHIN_S)


async def test_what_was_replied_to_is_applied_at_once_and_a_frozen_reader_is_not_in_time(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching(deployment) as watching_it:
        replica = watching_it.replica
        await until(lambda: replica.is_in_time(0), "it has read the log", WITHIN_S)
        await deployment.send(a_request("member.delete", an_id(1), 1))
        await until(lambda: _is_late(replica), "a record waits", WITHIN_S)

        replica.settled(0, 0)  # as a reply to the record at offset 0 says
        assert await replica.is_in_time(0)

        monkeypatch.setattr(Tails, "is_heard", lambda *_: False)
        assert not await replica.is_in_time(0)


async def _is_late(replica: Replica) -> bool:
    return not await replica.is_in_time(0)
