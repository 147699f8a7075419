"""Whether reads showed what had been told before they were sent. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from tests.chaos.case import CLOCK_S, Case, Violation, of, was_refused
from tests.chaos.history import Attempt, Seen


def reads(case: Case) -> Iterator[Violation]:
    """What was answered yes before a read was sent is found by it, pending or not; what was decided
    then is in what it shows."""
    writes: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
    makers: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
    for attempt in case.writes.values():
        assert attempt.effect is not None
        if attempt.resource_id is not None:
            writes[attempt.organisation, attempt.resource_id].append(attempt)
        if attempt.effect.verb == "create" and attempt.is_yes and not was_refused(case, attempt):
            names = attempt.effect.attributes
            name = names["userName" if attempt.endpoint == "Users" else "displayName"]
            makers[attempt.organisation, name].append(attempt)
    for read in case.history:
        if read.effect is not None or not (read.is_yes or read.status == 404):
            continue
        if read.looked_up is not None:
            for made in makers[read.organisation, read.looked_up]:
                assert made.resource_id is not None
                of_it = writes[read.organisation, made.resource_id]
                ids = [each.resource_id for each in read.seen]
                if (
                    _is_answered_before(made, read)
                    and _is_unmoved(made, of_it, read)
                    and made.resource_id not in ids
                ):
                    how = "pending" if made.is_pending else "decided"
                    yield of(read, f"not found though created ({how})", made.resource_id, f"{ids}")
        elif read.status == 404 and read.resource_id is not None:
            yield from _gone(case, read, writes[read.organisation, read.resource_id])
        for seen in read.seen:
            yield from _stale(case, read, writes[read.organisation, seen.resource_id], seen)


def _gone(case: Case, read: Attempt, of_it: Sequence[Attempt]) -> Iterator[Violation]:
    """404 for what somebody was told is there."""
    is_ended = any(
        each.effect is not None
        and (each.effect.verb == "delete" or was_refused(case, each))
        and each.sent_s <= read.answered_s
        for each in of_it
    )
    answered = [each for each in of_it if _is_answered_before(each, read)]
    if answered and not is_ended:
        how = "pending" if all(each.is_pending for each in answered) else "decided"
        yield of(read, f"gone, though nobody removed it ({how})", "200", "404")


def _is_unmoved(made: Attempt, of_it: Iterable[Attempt], read: Attempt) -> bool:
    """Whether nobody may have removed or renamed it by the end of the read."""
    return not any(
        each.sent_s <= read.answered_s
        and each.effect is not None
        and (
            each.effect.verb == "delete"
            or {"userName", "displayName"} & each.effect.attributes.keys()
        )
        for each in of_it
        if each.token != made.token
    )


def _stale(case: Case, read: Attempt, of_it: Sequence[Attempt], seen: Seen) -> Iterator[Violation]:
    """Not older than the last change that was answered as decided before the read was sent.

    What has no version claims to be nobody's state, and where it stands cannot be told.
    """
    if seen.version is None:
        return
    offsets = [
        case.applied[each.token].offset
        for each in of_it
        if _is_decided_before(each, read) and each.token in case.applied
    ]
    history = case.versions.get((read.organisation, seen.resource_id), [])
    written_at = [offset for offset, version in history if version == seen.version]
    if not written_at and not _is_still_open(case, seen.version, read):
        yield of(read, "a version that never was", "one of its versions", seen.version)
    elif written_at and offsets:
        last = max((offset for offset, _ in history if offset <= max(offsets)), default=-1)
        if written_at[0] < last:
            yield of(
                read, "a read older than an answer", f"offset {last}", f"offset {written_at[0]}"
            )


def _is_still_open(case: Case, version: str, read: Attempt) -> bool:
    """Whether a version is that of a request which was accepted and not decided at the read."""
    writes = [case.writes.get(each.token) for each in case.found.log if each.id == version]
    return any(each is not None and not _is_decided_before(each, read) for each in writes)


def _is_answered_before(write: Attempt, read: Attempt) -> bool:
    return write.is_yes and write.answered_s + CLOCK_S < read.sent_s


def _is_decided_before(write: Attempt, read: Attempt) -> bool:
    return _is_answered_before(write, read) and not write.is_pending
