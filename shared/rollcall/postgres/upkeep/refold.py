"""What a second fold of the log reads from the live database, and writes when it replaces it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rollcall.directory.quarantine import Refused
from rollcall.postgres import queries
from rollcall.postgres.progress import Progress, to_progress
from rollcall.postgres.queries import in_schema
from rollcall.postgres.refusal import NO_ROW, words_of
from rollcall.postgres.upkeep.scratch import LIVE, Names

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

_SQL = queries.load("refold")
_RECORDED_LETTERS = _SQL["recorded_letters"]
_RECORDED_PARKED = _SQL["recorded_parked"]
_FORGET_DEPARTED = _SQL["forget_departed"]
_KNOWN_DEATHS = _SQL["known_deaths"]
_LAST_DECIDED = _SQL["last_decided"]
_EPOCH_DECIDED = _SQL["epoch_decided"]
_CLOSED_LETTERS = _SQL["closed_letters"]
_CLOSE_LETTERS = _SQL["close_letters"]
_LOCK_PROGRESS = _SQL["lock_progress"]
_PUT_PROGRESS = _SQL["put_progress"]
_FORGET_OTHER_PROGRESS = _SQL["forget_other_progress"]
_RETIRE_PROGRESS = _SQL["retire_progress"]
_SQLSTATE: Final = re.compile(r"^[0-9A-Z]{5}$")


@dataclass(frozen=True, slots=True)
class Known:
    """Earlier decisions that do not follow from the log: which events were dead, and behind which
    of them their organisation was parked."""

    deaths: Mapping[str, Exception]
    parks: frozenset[str]


NOTHING_KNOWN: Final = Known({}, frozenset())


async def known_deaths(connection: "Connection", ids: Sequence[str]) -> Known:
    """Event id → the error of its death, for the decided events with these audit ids.

    For a redrive among them: the events that it found dead again. The class of the error is from
    the audit; for an event that Postgres refused, the message is from its letter.
    """
    rows = await connection.fetch(_KNOWN_DEATHS, ids)
    deaths = {
        row["held_id"] or row["event_id"]: _error(row["error_class"], row["error"] or "")
        for row in rows
    }
    return Known(deaths, frozenset(row["event_id"] for row in rows if row["is_parked"]))


async def settle_letters(connection: "Connection", names: Names) -> None:
    """Give dead letters and parked events in the scratch the times that the audit has for them.

    A letter without a resource is closed if the live one is, because no event of the log says that.
    Letters in other partitions in the name of a departed organisation are deleted.
    """
    for query in (_FORGET_DEPARTED, _RECORDED_LETTERS, _RECORDED_PARKED):
        await connection.execute(in_schema(query, LIVE, names.directory))
    closed = await connection.fetch(_CLOSED_LETTERS)
    if closed:
        columns = (
            [row[name] for row in closed] for name in ("topic", "partition", "offset", "epoch")
        )
        await connection.execute(in_schema(_CLOSE_LETTERS, LIVE, names.directory), *columns)


async def last_decided(
    connection: "Connection", topic: str, partition: int, epoch: int
) -> int | None:
    """The highest offset of a partition that was decided according to the audit, or None."""
    offset: int | None = await connection.fetchval(_LAST_DECIDED, topic, partition, epoch)
    return offset


async def epoch_decided(connection: "Connection", position: Progress) -> int | None:
    """The epoch in which the event before a position was decided; None if not in the audit."""
    epoch: int | None = await connection.fetchval(
        _EPOCH_DECIDED,
        position.last_event_id,
        position.topic,
        position.partition,
        position.next_offset - 1,
    )
    return epoch


async def lock_progress(connection: "Connection") -> list[Progress]:
    """All positions of all topics, locked until the transaction ends."""
    return [to_progress(row) for row in await connection.fetch(_LOCK_PROGRESS)]


async def put_progress(connection: "Connection", names: Names, position: Progress) -> None:
    """Make a position in the scratch equal to this one."""
    await connection.execute(
        in_schema(_PUT_PROGRESS, LIVE, names.directory),
        position.topic,
        position.partition,
        position.next_offset,
        position.published_offset,
        position.last_event_id,
        position.last_append_time,
        position.epoch,
        position.state,
        position.reason,
        position.detail,
    )


async def forget_other_progress(connection: "Connection", names: Names, topic: str) -> None:
    """Delete the scratch's positions of all other topics."""
    await connection.execute(in_schema(_FORGET_OTHER_PROGRESS, LIVE, names.directory), topic)


async def retire_progress(connection: "Connection", why: str) -> None:
    """Prevent workers from moving positions of the live directory: it is being replaced."""
    await connection.execute(_RETIRE_PROGRESS, why)


def _error(error_class: str, words: str) -> Exception:
    """An error with this class and the message that was stored before.

    `words` are used only if they can be our own message for that class (`refusal.py`).
    """
    if words == NO_ROW:
        return Refused(error_class, words)
    if _SQLSTATE.match(error_class):
        plain = words_of(error_class)
        named = re.fullmatch(rf"{re.escape(plain)} \([A-Za-z0-9_]+\)", words)
        return Refused(error_class, words if named else plain)
    made: type[Exception] = type(error_class, (Exception,), {})
    return made()
