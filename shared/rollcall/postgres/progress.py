"""Progress: how far each partition is applied. The position is stored with the applied rows.

`advance` is the first statement of a batch's transaction. It compares the stored offset with the
one that the worker expects, so a worker that lost its partition without knowing it (a zombie)
writes nothing. It also locks the row, so that two owners cannot write at the same time.
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
    was decided of it. They are None before the first record; the id is also None if that record has
    none in canonical form. `epoch` rises when an operator accepts a new log for the topic. `reason`
    (one word of a small set) and `detail` (a sentence) say why a partition is halted. A paused
    partition continues by itself when the pause is over.
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
class Step:
    """A move of a partition's position, from `expected` in `epoch` to `new`.

    `published`: everything below is announced. `last_event_id` and `last_append_time` are those of
    the record before `new`, by which a later owner recognises the log.
    """

    topic: str
    partition: int
    expected: int
    epoch: int
    new: int
    published: int
    last_event_id: str | None
    last_append_time: datetime | None


@dataclass(frozen=True, slots=True)
class Tried:
    """How often, since when and by what the attempts at a partition's position were cut off."""

    since: datetime
    tries: int
    because: str


async def ensure(
    connection: "Connection", topic: str, partition: int, *, schema: Schema = "directory"
) -> Progress:
    """The partition's progress, created at offset 0 if it is new."""
    await connection.execute(_ENSURE[schema], topic, partition)
    found = await read(connection, topic, partition, schema=schema)
    if found is None:
        raise LookupError(f"progress of {topic} {partition} was deleted while it was read")
    return found


async def read(
    connection: "Connection", topic: str, partition: int, *, schema: Schema = "directory"
) -> Progress | None:
    """The partition's progress, or None if it was never owned."""
    row = await connection.fetchrow(_READ[schema], topic, partition)
    return None if row is None else to_progress(row)


async def read_all(
    connection: "Connection", topic: str, *, schema: Schema = "directory"
) -> list[Progress]:
    """The progress of all partitions of a topic that were ever owned, in order."""
    return [to_progress(row) for row in await connection.fetch(_LIST[schema], topic)]


async def begin(
    connection: "Connection",
    topic: str,
    partition: int,
    *,
    tried_again: Collection[str] = (),
    schema: Schema = "directory",
) -> Progress:
    """The progress from which a worker starts, created at offset 0 if the partition is new.

    A partition that was halted for a reason in `tried_again` runs again; others stay halted.
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
    """Move the partition from offset `expected` to `new`; False if it is not ours any more.

    After False the transaction must not write anything: stop, and read the progress again. It is
    also False for a halted or paused partition and for another epoch. `last_event_id` and
    `last_append_time` are those of the record before `new`, by which a later owner recognises the
    log.
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
    unheard: Collection[str] = (),
) -> bool:
    """Store that everything below `published` is announced; False if it is not ours any more.

    `unheard`: ids of refusals below whose reply came too late or may not have come. One statement,
    so it needs no transaction around it.
    """
    moved = await connection.fetchval(
        _PUBLISH, topic, partition, expected, epoch, published, sorted(unheard)
    )
    return moved is True


async def note_tried(
    connection: "Connection", topic: str, partition: int, *, expected: int, epoch: int, because: str
) -> None:
    """Note that the batch at the position was cut off; the next `advance` clears the note."""
    await connection.execute(_NOTE_TRIED, topic, partition, expected, epoch, because)


async def tried(connection: "Connection", topic: str) -> dict[int, Tried]:
    """Partition → the attempts at its position, if that was not passed yet."""
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
    """Halt the partition and store why; False if another owner has it, which continues."""
    halted = await connection.fetchval(
        _HALT[schema], topic, partition, expected, epoch, reason, detail
    )
    return halted is True


async def resume(
    connection: "Connection", halted: Progress, *, schema: Schema = "directory"
) -> bool:
    """Let a halted partition continue at its position; False if `halted` is out of date."""
    resumed = await connection.fetchval(
        _RESUME[schema], halted.topic, halted.partition, halted.next_offset, halted.epoch
    )
    return resumed is True


async def pause(
    connection: "Connection", topic: str, partitions: Collection[int], who: str, for_s: float
) -> set[int]:
    """Pause partitions for `for_s` seconds, or prolong their pause; returns the paused ones.

    It waits for batches that are being applied. Partitions that are halted, or paused by another
    `who`, are left out.
    """
    rows = await connection.fetch(_PAUSE, topic, sorted(partitions), who, for_s)
    return {row["partition"] for row in rows}


async def unpause(connection: "Connection", topic: str, who: str) -> None:
    """Let the partitions that `who` paused run again."""
    await connection.execute(_UNPAUSE, topic, who)


async def accept_log(
    connection: "Connection",
    halted: Progress,
    begin_at: int,
    *,
    end: int,
    schema: Schema = "directory",
) -> bool:
    """Let a halted partition continue in a new log from `begin_at`, in the next epoch.

    `end`: where that log ends now. The notifier sends nothing of the partition before it has read
    that far, because the log may say that a mail was sent. False, with nothing written, if `halted`
    is out of date.
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
    """The progress in a row of `progress`."""
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
