"""How far each partition is applied: the consumer's offset, kept with what the consumer writes.

`advance` is the first statement of a batch's transaction. It compares the offset with what the
worker believes it to be, so that a worker which lost its partition without knowing (a zombie)
writes nothing, and it takes the row's lock, so that two owners follow one another.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

from rollcall.postgres import queries
from rollcall.postgres.rows import to_utc

if TYPE_CHECKING:
    import asyncpg

    from rollcall.postgres.pool import Connection

Schema = Literal["directory", "notice"]
ProgressState = Literal["running", "halted", "paused"]

_SQL = queries.load("progress")
_ENSURE: Final = {"directory": _SQL["ensure_directory"], "notice": _SQL["ensure_notice"]}
_READ: Final = {"directory": _SQL["read_directory"], "notice": _SQL["read_notice"]}
_LIST: Final = {"directory": _SQL["list_directory"], "notice": _SQL["list_notice"]}
_ADVANCE: Final = {"directory": _SQL["advance_directory"], "notice": _SQL["advance_notice"]}
_PUBLISH: Final = _SQL["publish_directory"]
_NOTE_TRIED: Final = _SQL["note_tried_directory"]
_LIST_TRIED: Final = _SQL["list_tried_directory"]
_HALT: Final = {"directory": _SQL["halt_directory"], "notice": _SQL["halt_notice"]}
_RESUME: Final = {"directory": _SQL["resume_directory"], "notice": _SQL["resume_notice"]}
_PAUSE: Final = _SQL["pause_directory"]
_UNPAUSE: Final = _SQL["unpause_directory"]
_END_PAUSE: Final = _SQL["end_pause_directory"]
_ACCEPT_LOG: Final = {
    "directory": _SQL["accept_log_directory"],
    "notice": _SQL["accept_log_notice"],
}


@dataclass(frozen=True, slots=True)
class Progress:
    """One partition: records below `next_offset` are applied, below `published_offset` announced.

    `last_event_id` and `last_append_time` are those of the record before `next_offset`, whatever
    became of it; None before any, an id also where that record has none in canonical form.
    `epoch` rises when an operator accepts a new log for the topic. `reason` (one word of a small
    set) and `detail` (a sentence) say why a halted partition stands. A paused one stands for a
    moment, by itself no longer than its pause lasts.
    """

    topic: str
    partition: int
    next_offset: int
    published_offset: int
    last_event_id: str | None
    last_append_time: datetime | None
    epoch: int
    state: ProgressState
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """How often what stands at a partition's position was cut off, since when, and by what."""

    since: datetime
    tries: int
    because: str


async def ensure(
    connection: "Connection", topic: str, partition: int, *, schema: Schema = "directory"
) -> Progress:
    """The partition's progress, made at offset 0 if it is new."""
    await connection.execute(_ENSURE[schema], topic, partition)
    found = await read(connection, topic, partition, schema=schema)
    if found is None:
        raise LookupError(f"progress of {topic} {partition} was deleted while it was read")
    return found


async def read(
    connection: "Connection", topic: str, partition: int, *, schema: Schema = "directory"
) -> Progress | None:
    """The partition's progress, None where nobody has ever owned it."""
    row = await connection.fetchrow(_READ[schema], topic, partition)
    return None if row is None else to_progress(row)


async def read_all(
    connection: "Connection", topic: str, *, schema: Schema = "directory"
) -> list[Progress]:
    """Progress of all partitions of a topic that anybody has ever owned, in their order."""
    return [to_progress(row) for row in await connection.fetch(_LIST[schema], topic)]


async def begin(
    connection: "Connection",
    topic: str,
    partition: int,
    *,
    tried_again: Collection[str] = (),
    schema: Schema = "directory",
) -> Progress:
    """What a worker starts from: the partition's progress, made at offset 0 if it is new.

    A partition that was halted for a reason in `tried_again` runs again; any other stays halted.
    """
    if schema == "directory":
        await connection.execute(_END_PAUSE, topic, partition)
    found = await ensure(connection, topic, partition, schema=schema)
    if found.state != "halted" or found.reason not in tried_again:
        return found
    await resume(connection, found, schema=schema)
    return await ensure(connection, topic, partition, schema=schema)


async def advance(
    connection: "Connection",
    topic: str,
    partition: int,
    *,
    expected: int,
    epoch: int,
    new: int,
    published: int,
    last_event_id: str | None,
    last_append_time: datetime | None,
    schema: Schema = "directory",
) -> bool:
    """Move the partition from offset `expected` to `new`; False: it is not ours any more.

    After False the transaction must not write anything: stop, and read progress anew. A halted
    or paused partition is nobody's, and so is one of another epoch. `last_event_id` and
    `last_append_time` are those of the record before `new`: by them a later owner knows the log
    again.
    """
    moved = await connection.fetchval(
        _ADVANCE[schema],
        topic,
        partition,
        expected,
        epoch,
        new,
        published,
        last_event_id,
        last_append_time,
    )
    return moved is True


async def publish(
    connection: "Connection",
    topic: str,
    partition: int,
    *,
    expected: int,
    epoch: int,
    published: int,
) -> bool:
    """Write that everything below `published` is announced; False: it is not ours any more."""
    moved = await connection.fetchval(_PUBLISH, topic, partition, expected, epoch, published)
    return moved is True


async def note_tried(
    connection: "Connection", topic: str, partition: int, *, expected: int, epoch: int, because: str
) -> None:
    """Note that what stands at the position was cut off; the next `advance` takes it back."""
    await connection.execute(_NOTE_TRIED, topic, partition, expected, epoch, because)


async def tried(connection: "Connection", topic: str) -> dict[int, Tried]:
    """Partition → how its position was tried, where it was not passed yet."""
    return {
        row["partition"]: Tried(to_utc(row["tried_since"]), row["tries"], row["tried_because"])
        for row in await connection.fetch(_LIST_TRIED, topic)
    }


async def halt(
    connection: "Connection",
    topic: str,
    partition: int,
    *,
    expected: int,
    epoch: int,
    reason: str,
    detail: str,
    schema: Schema = "directory",
) -> bool:
    """Let the partition stand and keep why; False: it is not ours any more, and goes on."""
    halted = await connection.fetchval(
        _HALT[schema], topic, partition, expected, epoch, reason, detail
    )
    return halted is True


async def resume(
    connection: "Connection", halted: Progress, *, schema: Schema = "directory"
) -> bool:
    """Let a halted partition go on from where it stands; False: it is not as `halted` says."""
    resumed = await connection.fetchval(
        _RESUME[schema], halted.topic, halted.partition, halted.next_offset, halted.epoch
    )
    return resumed is True


async def pause(
    connection: "Connection", topic: str, partitions: Collection[int], who: str, for_s: float
) -> set[int]:
    """Let partitions stand for `for_s` seconds, or prolong that; returns those that stand so now.

    A batch that is being applied is waited for. What is halted, or paused by somebody else, is
    left out.
    """
    rows = await connection.fetch(_PAUSE, topic, sorted(partitions), who, for_s)
    return {row["partition"] for row in rows}


async def unpause(connection: "Connection", topic: str, who: str) -> None:
    """Let the partitions run again that `who` paused."""
    await connection.execute(_UNPAUSE, topic, who)


async def accept_log(
    connection: "Connection",
    halted: Progress,
    begin_at: int,
    *,
    end: int,
    schema: Schema = "directory",
) -> bool:
    """Let a halted partition go on in a new log from `begin_at`, in the next epoch.

    `end`: where that log ends now. The notifier sends nothing of the partition before it has read
    so far: the log may say that a mail has left. False: it is not as `halted` says; nothing was
    written.
    """
    ends = (end,) if schema == "notice" else ()
    accepted = await connection.fetchval(
        _ACCEPT_LOG[schema],
        halted.topic,
        halted.partition,
        halted.next_offset,
        halted.epoch,
        begin_at,
        *ends,
    )
    return accepted is True


def to_progress(row: "asyncpg.Record") -> Progress:
    """The position in a row of `progress`."""
    last_append_time = row["last_append_time"]
    return Progress(
        topic=row["topic"],
        partition=row["partition"],
        next_offset=row["next_offset"],
        published_offset=row["published_offset"],
        last_event_id=row["last_event_id"],
        last_append_time=None if last_append_time is None else to_utc(last_append_time),
        epoch=row["epoch"],
        state=row["state"],
        reason=row["reason"],
        detail=row["detail"],
    )
