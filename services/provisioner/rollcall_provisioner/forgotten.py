"""What was decided before, and is forgotten: by a restore, or a failover without its last commits.

Its events are applied again, long after anybody waited for them. By the time alone each refusal
among them would count as answered with success, though it was heard in time. The outcomes remember
how far the partition was decided: each has the place of its request (`sequence`). What is at or
below the last of them, and not applied, was decided before.

That is all they say for certain: whether a refusal was heard in time was in what is forgotten. So
such a refusal is neither told nor untold, and is listed as `unknown` (docs/decisions/0046).
"""

from rollcall.applying.dead_letters import Place
from rollcall.events import mail
from rollcall.events.envelope import MalformedEvent, NewerVersion, decode
from rollcall.events.outcome import from_event
from rollcall.kafka.feed import Record
from rollcall.kafka.log_probe import LogProbe


async def decided_below(outcomes: LogProbe, place: Place) -> int:
    """Everything below this offset of the requests was decided before, by what is announced.

    Rather too little than too much: what lies between is judged by its time, as if it were new.
    Raises Unavailable.
    """
    look = await outcomes.look(place.partition, 0)
    first, end = look.first_offset, look.end_offset
    # Outcomes have a sequence, mails that left have none: back in ever longer steps to an outcome,
    # then half-way forth to the last one before the mails.
    at, behind, distance, found = end, end, 1, None
    while found is None:
        if at == first:
            return 0
        behind, at = at, max(first, end - distance)
        distance *= 2
        found = await _offset_at(outcomes, place, at)
    while behind - at > 1:
        middle = (at + behind) // 2
        further = await _offset_at(outcomes, place, middle)
        if further is None:
            behind = middle
        else:
            at, found = middle, max(found, further)
    return found + 1


async def _offset_at(outcomes: LogProbe, place: Place, at: int) -> int | None:
    """The offset of the request whose outcome stands there; None for what is no outcome."""
    record = (await outcomes.look(place.partition, at + 1)).before
    return None if record is None else offset_in(record, place.epoch)


def offset_in(record: Record, epoch: int) -> int | None:
    """The same of a record; -1 for an outcome of another epoch: nothing of this one is decided."""
    try:
        event = decode(record.headers, record.value)
        if event.type.startswith(mail.TYPE_PREFIX):
            return None
        sequence = from_event(event).sequence
    except (MalformedEvent, NewerVersion):
        return None
    return sequence.offset if sequence.epoch == epoch else -1
