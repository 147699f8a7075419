"""The position of a consumer in one partition, stored in the database that it writes to.

`advance` moves the position in the transaction that writes a batch, as its first statement. So a
record takes effect once, and a consumer that lost its partition without knowing (a process that
was suspended, a rebalance) writes nothing: it finds another position there and is fenced.

A consumer that must not go on notes that in the same row (`halt`), and every later start of the
partition finds it there, until an operator resumes the partition. Postgres or Kafka being away is
no reason to halt: each method waits, for hours if it has to, and `waits_for_outage` says so.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

from rollcall.consuming.identity import Identity
from rollcall.consuming.insist import insist, until
from rollcall.events.envelope import from_milliseconds
from rollcall.kafka.feed import Feed, FeedClosed, Record
from rollcall.kafka.log_identity import event_id_of
from rollcall.kafka.worker import TRIED_AGAIN, Fenced, PartitionHalted, halted_before
from rollcall.observability.logging import get_logger
from rollcall.postgres import progress
from rollcall.postgres.progress import Progress, Schema, Step

if TYPE_CHECKING:
    from prometheus_client import Counter

    from rollcall.postgres.pool import Connection, Database

PAUSED_POLL_S: Final = 0.2
"""How often a paused partition asks whether it may go on: a pause is short, and callers wait."""

T = TypeVar("T")
Move = Callable[["Connection", Step], Awaitable[bool]]
"""Compares and sets the position inside a transaction; False: it is not ours."""
log = get_logger()


class Position:
    """Where one consumer stands in `partition` of `topic`, in the progress table of `schema`.

    `fenced` counts how often this consumer was fenced. `on_away` is called after each attempt that
    failed because Postgres or Kafka is away.
    """

    def __init__(
        self,
        database: "Database",
        topic: str,
        partition: int,
        *,
        schema: Schema = "directory",
        compares_record: bool = True,
        fenced: "Counter | None" = None,
        on_away: Callable[[], None] = lambda: None,
    ) -> None:
        self.next_offset = 0
        """The offset behind the last record that is applied for good."""
        self.published_offset = 0
        """Everything below is known to be announced, as far as that is written down."""
        self.epoch = 0
        """How many times an operator has accepted a new log for the partition."""
        self.log = log.bind(topic=topic, partition=partition)
        self._database = database
        self._topic = topic
        self._partition = partition
        self._schema: Schema = schema
        self._identity = Identity(compares_record=compares_record)
        self._fenced_count = fenced
        self._on_away = on_away
        self._is_away = False
        self._is_paused = False

    @property
    def waits_for_outage(self) -> bool:
        """Whether Postgres or Kafka is away, or an operator has paused the partition."""
        return self._is_away or self._is_paused

    async def start(self, feed: Feed) -> int:
        """The offset to read from. Raises PartitionHalted, Fenced, FeedClosed.

        For a consumer that has nothing to do between the steps: `read`, `require_running`,
        `compare`, and `halt` where the log is another one.
        """
        found = await self.read(feed)
        self.require_running(found)
        if (differs := await self.compare(feed, found)) is not None:
            await self.halt(feed, differs)
        self.log.info("partition.started", next_offset=self.next_offset)
        return self.next_offset

    async def read(self, feed: Feed) -> Progress:
        """Take over what is stored; waits while the partition is paused. Raises FeedClosed."""
        found = await self.insist(feed, self._begin)
        if found.state == "paused":
            found = await self._until_not_paused(feed)
        self.next_offset, self.epoch = found.next_offset, found.epoch
        self.published_offset = found.published_offset
        return found

    def require_running(self, found: Progress) -> None:
        """Raise PartitionHalted where it was halted before and is not resumed."""
        if found.state == "halted":
            raise halted_before(found.reason, found.detail)

    async def compare(self, feed: Feed, found: Progress) -> PartitionHalted | None:
        """Why the log is not the one that was applied; None if it can be. Waits for Kafka."""
        return await self.insist(feed, lambda: self._identity.compare(feed, found))

    async def compare_again(self, feed: Feed) -> PartitionHalted | None:
        """As `compare`, before a batch: at most every ten seconds, and without waiting long."""
        return await self._identity.compare_again(feed, self.next_offset, self._read)

    @asynccontextmanager
    async def advance(
        self, last: Record, *, published: int | None = None, move: "Move | None" = None
    ) -> "AsyncIterator[Connection]":
        """One transaction that moves the position behind `last`; the block writes the batch.

        `published`: everything below is announced; by default all that is applied, for a consumer
        that announces nothing. `move` compares and sets the position as `progress.advance` does,
        for a consumer that does more in the same call. Raises Fenced before the block runs, and
        Unavailable where Postgres fails: then nothing was written, or all of it if only the answer
        to the commit was lost, and the next attempt is fenced.
        """
        step = self.step(last, published=published)
        async with self._database.transaction() as connection:
            is_ours = await (move or self._move)(connection, step)
            if not is_ours:
                self.fence()
            yield connection
        self.moved(step)

    def step(self, last: Record, *, published: int | None = None) -> Step:
        """The move of the position behind `last`."""
        new = last.offset + 1
        return Step(
            self._topic,
            self._partition,
            expected=self.next_offset,
            epoch=self.epoch,
            new=new,
            published=new if published is None else published,
            last_event_id=event_id_of(last.headers),
            last_append_time=from_milliseconds(last.timestamp),
        )

    def moved(self, step: Step) -> None:
        """The move is committed."""
        self.next_offset, self.published_offset = step.new, step.published

    async def publish(self, published: int, unheard: Collection[str]) -> None:
        """Write that everything below `published` is announced, and which refusals are unheard.

        Raises Fenced, Unavailable.
        """
        async with self._database.connection() as connection:
            is_ours = await progress.publish(
                connection,
                self._topic,
                self._partition,
                expected=self.next_offset,
                epoch=self.epoch,
                published=published,
                unheard=unheard,
            )
        if not is_ours:
            self.fence()
        self.published_offset = published

    def fence(self) -> NoReturn:
        """Raise Fenced: the position is not where this consumer left it."""
        if self._fenced_count is not None:
            self._fenced_count.inc()
        self.log.warning("batch.fenced", expected=self.next_offset)
        raise Fenced

    async def halt(self, feed: Feed, halted: PartitionHalted) -> NoReturn:
        """Note that the partition stands and why, and raise `halted`; Fenced if it is not ours."""
        await self.note_halt(feed, halted)
        raise halted

    async def note_halt(self, feed: Feed, halted: PartitionHalted) -> None:
        """Note that the partition stands and why. Raises Fenced, FeedClosed."""

        async def note() -> bool:
            async with self._database.connection() as connection:
                return await progress.halt(
                    connection,
                    self._topic,
                    self._partition,
                    expected=self.next_offset,
                    epoch=self.epoch,
                    reason=halted.cause,
                    detail=str(halted),
                    schema=self._schema,
                )

        if not await self.insist(feed, note):
            self.fence()

    async def until_resumed(self, feed: Feed) -> None:
        """Wait for `rollcall partition resume`. Raises FeedClosed."""
        await until(feed, self._is_running, self._outage)

    def differs_from(self, found: Progress | None) -> bool:
        """Whether the position was set from outside: by `rollcall replay`, or another consumer."""
        here = (self.next_offset, self.epoch)
        return found is None or (found.next_offset, found.epoch) != here

    async def insist(self, feed: Feed, action: Callable[[], Awaitable[T]]) -> T:
        """The result of `action`, tried again while it raises Unavailable. Raises FeedClosed."""
        return await insist(feed, action, self._outage)

    async def _move(self, connection: "Connection", step: Step) -> bool:
        return await progress.advance(
            connection,
            step.topic,
            step.partition,
            expected=step.expected,
            epoch=step.epoch,
            new=step.new,
            published=step.published,
            last_event_id=step.last_event_id,
            last_append_time=step.last_append_time,
            schema=self._schema,
        )

    async def _begin(self) -> Progress:
        async with self._database.transaction() as connection:
            return await progress.begin(
                connection,
                self._topic,
                self._partition,
                tried_again=TRIED_AGAIN,
                schema=self._schema,
            )

    async def _read(self) -> Progress | None:
        async with self._database.connection() as connection:
            return await progress.read(
                connection, self._topic, self._partition, schema=self._schema
            )

    async def _is_running(self) -> bool:
        found = await self._read()
        return found is not None and found.state == "running"

    async def _until_not_paused(self, feed: Feed) -> Progress:
        """The position after a pause, which may be another one, in another directory."""
        self.log.info("partition.paused")
        self._is_paused = True
        try:
            while True:
                if await feed.closes_within(PAUSED_POLL_S):
                    raise FeedClosed
                found = await self.insist(feed, self._begin)
                if found.state != "paused":
                    self.log.info("partition.resumed")
                    return found
        finally:
            self._is_paused = False

    def _outage(self, is_away: bool) -> None:
        self._is_away = is_away
        if is_away:
            self._on_away()
