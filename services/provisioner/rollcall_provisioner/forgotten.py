"""How far the requests were decided before Postgres lost it, by a restore or a failover.

Such events are applied again, long after their senders were answered. Judged by the time alone,
each refusal among them would count as answered with success, though it was heard in time. The
outcomes topic remembers how far the partition was decided: each outcome carries the position of its
request (`sequence`). An event at or below the last of them that is not applied was decided before.

The outcomes do not say whether a refusal was heard in time. So such a refusal counts neither as
heard nor as unheard, and is listed as `unknown` (docs/decisions/0046).
"""

from rollcall.applying.dead_letters import SourceLog
from rollcall.events import mail
from rollcall.events.envelope import MalformedEvent, NewerVersion, decode
from rollcall.events.outcome import from_event
from rollcall.kafka.feed import Record
from rollcall.kafka.log_probe import LogProbe


async def decided_below(outcomes: LogProbe, source: SourceLog) -> int:
    """Everything below this offset of the requests was decided before, by what is announced.

    The answer may be too low, never too high: what lies between is judged by its time, like a new
    request. Raises Unavailable.
    """
    look = await outcomes.look(source.partition, 0)
    first, end = look.first_offset, look.end_offset
    # Outcomes have a sequence, mails that left have none: go back in longer and longer steps to an
    # outcome, then forward by halves to the last one before the mails.
    at, behind, distance, found = end, end, 1, None
    while found is None:
        if at == first:
            return 0
        behind, at = at, max(first, end - distance)
        distance *= 2
        found = await _offset_at(outcomes, source, at)
    while behind - at > 1:
        middle = (at + behind) // 2
        further = await _offset_at(outcomes, source, middle)
        if further is None:
            behind = middle
        else:
            at, found = middle, max(found, further)
    return found + 1


async def _offset_at(outcomes: LogProbe, source: SourceLog, at: int) -> int | None:
    """The offset of the request whose outcome stands there; None for what is no outcome."""
    record = (await outcomes.look(source.partition, at + 1)).before
    return None if record is None else offset_in(record, source.epoch)


def offset_in(record: Record, epoch: int) -> int | None:
    """The offset of the request whose outcome the record is; None where it is no outcome.

    -1 for an outcome of another epoch: nothing of this epoch is decided.
    """
    try:
        event = decode(record.headers, record.value)
        if event.type.startswith(mail.TYPE_PREFIX):
            return None
        sequence = from_event(event).sequence
    except (MalformedEvent, NewerVersion):
        return None
    return sequence.offset if sequence.epoch == epoch else -1
