"""How far each partition is applied: the consumer's offset, kept with what the consumer writes.

`advance` is the first statement of a batch's transaction. It compares the offset with what the
worker believes it to be, so that a worker which lost its partition without knowing (a zombie)
writes nothing, and it takes the row's lock, so that two owners follow one another.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

from shared.postgres import queries
from shared.postgres.rows import to_utc

if TYPE_CHECKING:
    import asyncpg

    from shared.postgres.pool import Connection

Schema = Literal["directory", "notice"]
ProgressState = Literal["running", "halted"]

_SQL = queries.load("progress")
_ENSURE: Final = {"directory": _SQL["ensure_directory"], "notice": _SQL["ensure_notice"]}
_READ: Final = {"directory": _SQL["read_directory"], "notice": _SQL["read_notice"]}
_LIST: Final = {"directory": _SQL["list_directory"], "notice": _SQL["list_notice"]}
_ADVANCE: Final = {"directory": _SQL["advance_directory"], "notice": _SQL["advance_notice"]}
_SET_STATE: Final = {"directory": _SQL["set_state_directory"], "notice": _SQL["set_state_notice"]}


@dataclass(frozen=True, slots=True)
class Progress:
    """One partition: records below `next_offset` are applied, below `published_offset` announced.

    `last_event_id` and `last_append_time` are those of the last applied record, None before any.
    `epoch` rises when an operator accepts a new log for the topic.
    """

    topic: str
    partition: int
    next_offset: int
    published_offset: int
    last_event_id: str | None
    last_append_time: datetime | None
    epoch: int
    state: ProgressState


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
    return None if row is None else _to_progress(row)


async def read_all(
    connection: "Connection", topic: str, *, schema: Schema = "directory"
) -> list[Progress]:
    """Progress of all partitions of a topic that anybody has ever owned, in their order."""
    return [_to_progress(row) for row in await connection.fetch(_LIST[schema], topic)]


async def advance(
    connection: "Connection",
    topic: str,
    partition: int,
    *,
    expected: int,
    new: int,
    published: int,
    last_event_id: str | None,
    last_append_time: datetime | None,
    schema: Schema = "directory",
) -> bool:
    """Move the partition from offset `expected` to `new`; False: it is not ours any more.

    After False the transaction must not write anything: stop, and read progress anew. A halted
    partition is nobody's. `last_event_id` is a UUID, or None where the last record has none: then
    the one before stays.
    """
    moved = await connection.fetchval(
        _ADVANCE[schema],
        topic,
        partition,
        expected,
        new,
        published,
        last_event_id,
        last_append_time,
    )
    return moved is True


async def set_state(
    connection: "Connection",
    topic: str,
    partition: int,
    state: ProgressState,
    *,
    schema: Schema = "directory",
) -> None:
    """Halt the partition, or let it run again."""
    await connection.execute(_SET_STATE[schema], topic, partition, state)


def _to_progress(row: "asyncpg.Record") -> Progress:
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
    )
