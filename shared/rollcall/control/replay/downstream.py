"""Outcomes replayed into another topic: history for a new downstream reader, once.

Every record goes to the partition of the same number, in order, with its key, value and headers,
and three more headers that say where it is from. An interrupted replay goes on by them: what the
target holds is read from its end and stored nowhere else. So a replay that is run twice adds
nothing the second time.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Final

from rollcall.control.deployment import Deployment
from rollcall.control.errors import NotPossible
from rollcall.control.meter import Meter
from rollcall.control.rebuild.approach import only_one
from rollcall.control.replay.bounds import Part, parts_of
from rollcall.control.replay.copies import EVERYBODY, Copy, Mark, Report, Wanted, mark_in
from rollcall.control.replay.send import Sender
from rollcall.control.words import counted
from rollcall.events.topics import MAX_RECORD_BYTES, Topics
from rollcall.kafka.admin import topic_config
from rollcall.kafka.log_identity import event_id_of
from rollcall.kafka.log_probe import LogProbe
from rollcall.kafka.offsets import Extent, extents
from rollcall.kafka.reading import read

OURS: Final = (".requests", ".requests.dead", ".replies", ".outcomes", ".tenancy")
FIRST_WINDOW: Final = 64


async def into_topic(deployment: Deployment, wanted: Wanted, meter: Meter) -> Report:
    """Send the records that the target does not have. Raises NotPossible, Unavailable."""
    began_s = time.monotonic()
    source = deployment.topics.outcomes
    refuse_ours(deployment.topics, wanted.into)
    report = Report(wanted.into)
    async with only_one(deployment, "replay"):
        target = await extents(deployment.settings, wanted.into)
        config = await topic_config(deployment.settings, wanted.into) or {}
        parts = await parts_of(deployment, source, wanted.begin, wanted.end, wanted.partitions)
        _refuse_unfit(wanted.into, target, config, parts)
        meter.note("look at the target", None)
        probe = LogProbe(deployment.settings, source)
        try:
            for part in parts:
                mark = await last_mark(
                    deployment, wanted.into, part.partition, target[part.partition], meter
                )
                report.copies.append(await _copy(probe, source, part, wanted, mark))
        finally:
            await probe.close()
        if not wanted.dry_run and any(map(len, report.copies)):
            limit = int(config.get("max.message.bytes", MAX_RECORD_BYTES))
            await Sender(deployment, wanted, report, limit).run(meter)
    report.taken_s = time.monotonic() - began_s
    return report


def refuse_ours(topics: Topics, name: str) -> None:
    """Raise NotPossible for a topic of this deployment, or of another one by its name."""
    if name in {each.name for each in topics.all()} or name.endswith(OURS):
        raise NotPossible(
            f"{name} is, or is named like, a topic of a deployment, and is not written to: name a "
            "topic of the reader's own"
        )
    if name.startswith("__"):
        raise NotPossible(f"{name} is a topic of Kafka's own")


def _refuse_unfit(
    name: str, target: Mapping[int, Extent], config: Mapping[str, str], parts: Sequence[Part]
) -> None:
    if not target:
        raise NotPossible(
            f"Kafka has no topic {name}; make it first, with at least "
            f"{counted(len(parts), 'partition')}"
        )
    missing = [part.partition for part in parts if part.partition not in target]
    if missing:
        raise NotPossible(
            f"{name} has {counted(len(target), 'partition')} and needs {max(missing) + 1}: each "
            "record goes to the partition of its own number, so that the order of each key is kept"
        )
    if "compact" in config.get("cleanup.policy", ""):
        raise NotPossible(f"{name} is compacted: of a history it would keep the last of each key")


async def last_mark(
    deployment: Deployment, topic: str, partition: int, held: Extent, meter: Meter
) -> Mark | None:
    """The last replayed record of a partition, searched from the end in growing steps."""
    end, window = held.end, FIRST_WINDOW
    while end > held.first:
        begin, found = max(held.first, end - window), None
        async for records in read(deployment.settings, topic, partition, begin, end):
            for record in records:
                found = mark_in(record.headers) or found
            meter.add(len(records))
        if found is not None:
            return found
        end, window = begin, window * 8
    return None


async def _copy(
    probe: LogProbe, source: str, part: Part, wanted: Wanted, mark: Mark | None
) -> Copy:
    """Where to go on in a partition. Raises NotPossible where the target holds another replay."""
    if mark is None:
        return Copy(part, part.begin, part.begin)
    where = f"partition {part.partition} of {wanted.into}"
    if (mark.topic, mark.partition) != (source, part.partition):
        raise NotPossible(f"{where} has a replay of {mark.topic}/{mark.partition}; use another")
    if mark.who != wanted.who:
        raise NotPossible(
            f"{where} has a replay of {'all organisations' if mark.who == EVERYBODY else mark.who}"
            "; use a topic for each selection"
        )
    if part.begin < mark.begin:
        raise NotPossible(
            f"{where} has a replay from offset {mark.begin} on, and what is before cannot come "
            f"after it: begin there, or use another topic"
        )
    if not await _is_there(probe, part, mark):
        raise NotPossible(f"{where} has a replay of another log of {source}; use another topic")
    is_connected = part.begin <= mark.offset + 1
    first = mark.begin if is_connected else part.begin
    return Copy(part, max(part.begin, mark.offset + 1), first)


async def _is_there(probe: LogProbe, part: Part, mark: Mark) -> bool:
    """Whether the source has the record that was replayed last, unless retention took it."""
    if mark.offset >= part.held.end:
        return False
    if mark.offset < part.held.first:
        return True
    record = (await probe.look(part.partition, mark.offset + 1)).before
    return (
        record is not None
        and record.offset == mark.offset
        and event_id_of(record.headers) == mark.event_id
    )
