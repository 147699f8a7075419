"""A run, sorted for judgement: answers, log and audit brought together. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tests.chaos.found import Audited, Logged, Observed, ResourceKey, Stored
from tests.chaos.history import Attempt
from tests.chaos.reference import Directory, PersonState

CLOCK_S: Final = 0.01
"""Two moments nearer than this are taken for one."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One promise that was not kept; `resource` and `token` (an attempt) where they are known."""

    what: str
    organisation: str
    resource: str | None
    expected: str
    found: str
    token: str | None = None


@dataclass(slots=True)
class Case:
    """A run, sorted for judgement."""

    history: Sequence[Attempt]
    found: Observed
    writes: dict[str, Attempt]
    """Token → attempt."""
    records: dict[str, list[Logged]]
    """Token → its records, in time or not."""
    applied: dict[str, Logged]
    """Token → the record that counts: the first in time."""
    audited: dict[str, Audited]
    """Request id → its row."""
    expected: dict[str, int]
    """Request id → the status that the reference decides."""
    persons: dict[ResourceKey, Stored]
    groups: dict[ResourceKey, Stored]
    life: dict[ResourceKey, list[PersonState]]
    versions: dict[ResourceKey, list[tuple[int, str]]]
    """Resource → its versions in their order, each with the offset that made it."""

    def is_promised(self, token: str) -> bool:
        """Whether a decision was promised for the attempt, and not taken back by a copy."""
        records = self.records.get(token, [])
        return bool(records) and all(each.is_promised for each in records)

    def row_of(self, attempt: Attempt) -> Audited | None:
        """What became of an attempt that is on the log."""
        record = self.applied.get(attempt.token)
        return None if record is None else self.audited.get(record.id)


def make_case(history: Sequence[Attempt], found: Observed) -> Case:
    """Bring answers, log and audit together, and let the reference decide."""
    writes = {each.token: each for each in history if each.effect is not None}
    records: dict[str, list[Logged]] = defaultdict(list)
    applied: dict[str, Logged] = {}
    audited = {row.id: row for row in found.audit}
    case = Case(history, found, writes, records, applied, audited, {}, {}, {}, {}, {})
    directories: dict[str, Directory] = defaultdict(Directory)
    for record in found.log:
        records[record.token].append(record)
        attempt = writes.get(record.token)
        if attempt is None or not record.is_in_time or record.token in applied:
            continue
        applied[record.token] = record
        row = audited.get(record.id)
        at_s = row.recorded_s if row is not None else record.append_ms / 1000
        directory = directories[record.organisation]
        case.expected[record.id] = directory.apply(record, attempt, at_s)
    for organisation, directory in directories.items():
        persons, groups = directory.stored(organisation)
        case.persons |= persons
        case.groups |= groups
        case.life |= {(organisation, id_): life for id_, life in directory.life.items()}
        case.versions |= {(organisation, id_): each for id_, each in directory.versions.items()}
    return case


def of(attempt: Attempt, what: str, expected: str, found: str) -> Violation:
    """A violation about one attempt."""
    return Violation(
        what, attempt.organisation, attempt.resource_id, expected, found, attempt.token
    )


def was_refused(case: Case, attempt: Attempt) -> bool:
    """Whether an attempt was decided with a refusal."""
    row = case.row_of(attempt)
    return row is not None and row.status >= 400


def tell(violation: Violation, case: Case) -> str:
    """The violation, and everything that was asked and answered about its resource."""
    lines = [
        f"{violation.what}: organisation {violation.organisation}",
        f"  resource: {violation.resource}, attempt {violation.token}",
        f"  expected: {violation.expected}",
        f"  found:    {violation.found}",
    ]
    attempts = [
        each
        for each in case.history
        if each.token == violation.token
        or (
            violation.resource is not None
            and (
                each.resource_id == violation.resource
                or any(seen.resource_id == violation.resource for seen in each.seen)
                or (
                    each.token in case.applied
                    and case.applied[each.token].resource_id == violation.resource
                )
                or (
                    each.effect is not None
                    and violation.resource
                    in {
                        *(each.effect.members or ()),
                        *each.effect.add,
                        *each.effect.remove,
                    }
                )
            )
        )
    ]
    lines += [_line(each, case) for each in sorted(attempts, key=lambda each: each.sent_s)]
    return "\n".join(lines)


def _line(attempt: Attempt, case: Case) -> str:
    record, row = case.applied.get(attempt.token), case.row_of(attempt)
    began_s = min(each.sent_s for each in case.history)
    verb = attempt.effect.verb if attempt.effect is not None else "read"
    parts = [
        f"  {attempt.sent_s - began_s:7.2f}s +{attempt.took_s:5.2f}s {attempt.provider}",
        f"step {attempt.step} {attempt.what}: {verb} {attempt.endpoint} {attempt.resource_id}",
        f"→ {attempt.status or 'no answer'}{' pending' if attempt.is_pending else ''}",
    ]
    if record is not None:
        parts.append(f"offset {record.partition}/{record.offset} id {record.id}")
    elif case.records.get(attempt.token):
        parts.append("expired on the log")
    if row is not None:
        parts.append(f"decided {row.status} at {row.recorded_s - began_s:.2f}s")
    parts += [
        f"seen {seen.resource_id[-6:]}@{(seen.version or 'none')[-6:]}" for seen in attempt.seen
    ]
    return " ".join(parts)
