"""Holds what a deployment holds against what identity providers were told. Pure.

What must be so, each with a function of its own:

1. `answers`: nothing but the answers that are promised; a 503 says when to come back.
2. `log`: every yes is on the log, in time, under one id and with the id that was answered. What was
   refused with 503 is not, except where no acknowledgement came in time.
3. `order`: what was sent after a yes, in the same organisation, stands after it on the log.
4. `audit`: what is on the log in time is recorded, and nothing else; it was decided as the
   reference decides it in the order of the log.
5. `answered`: a decided answer is the decision; a `pending` yes became one, or is in the list of
   refused requests, which has nothing that anybody was told otherwise.
6. `directory`: rows, memberships and versions are those of the reference.
7. `versions`: a version that was seen never shows another state.
8. `reads`: what was answered yes is found, pending or not; what was decided is in what is read
   (reading.py).
9. `outcomes`: each is announced, under one id. `halted`: nothing is dead, nothing stands still.
10. `mails` (mail.py).
"""

import itertools
from collections.abc import Iterator
from typing import Final

from tests.chaos.case import CLOCK_S, Case, Violation, of, was_refused
from tests.chaos.found import Logged, Stored
from tests.chaos.history import NO_ANSWER, Attempt, Seen, State
from tests.chaos.mail import mails
from tests.chaos.reading import reads

PROMISED: Final = frozenset({NO_ANSWER, 200, 201, 204, 404, 409, 412, 503})


def judge(case: Case) -> list[Violation]:
    """Every promise that was not kept."""
    checks = (
        answers,
        log,
        order,
        audit,
        answered,
        directory,
        versions,
        reads,
        outcomes,
        halted,
        mails,
    )
    return [violation for check in checks for violation in check(case)]


def answers(case: Case) -> Iterator[Violation]:
    """Only the promised ones, and with `Retry-After` where the client shall come back."""
    for attempt in case.history:
        if attempt.status not in PROMISED:
            yield of(attempt, "an answer that nobody is promised", "2xx", str(attempt.status))
        if attempt.status == 503 and not attempt.has_retry_after:
            yield of(attempt, "503 without Retry-After", "Retry-After", "none")


def log(case: Case) -> Iterator[Violation]:
    """A yes is on the log, once; a 503 is not."""
    for attempt in case.writes.values():
        records = case.records.get(attempt.token, [])
        record = case.applied.get(attempt.token)
        if len({each.id for each in records}) > 1:
            yield of(attempt, "one attempt, two requests", "one id", f"{len(records)} records")
        if attempt.is_yes and record is None:
            was = "expired on the log" if records else "not on the log"
            yield of(attempt, "answered yes and lost", "on the log in time", was)
        elif attempt.is_yes and record is not None and attempt.resource_id is not None:
            if record.resource_id != attempt.resource_id:
                yield of(attempt, "another id than was answered", "the same", record.resource_id)
        elif attempt.status == 503 and record is not None and not _may_be_unknown(attempt):
            yield of(attempt, "refused with 503, and applied", "not on the log", f"{record.offset}")


def _may_be_unknown(attempt: Attempt) -> bool:
    """Whether a 503 may have been applied: it says so. No other says that nothing was done."""
    return attempt.is_unknown


def order(case: Case) -> Iterator[Violation]:
    """Sent after an answer: after it on the log. Over all providers of an organisation."""
    placed = sorted(
        (
            (case.applied[token], attempt)
            for token, attempt in case.writes.items()
            if token in case.applied
        ),
        key=lambda each: (each[0].organisation, each[0].offset),
    )
    for _, group in itertools.groupby(placed, key=lambda each: each[0].organisation):
        earliest: Attempt | None = None
        for _, attempt in reversed(list(group)):
            if earliest is not None and attempt.sent_s > earliest.answered_s + CLOCK_S:
                yield of(attempt, "out of order", f"after what {earliest.token} asked", "before it")
            if attempt.is_yes and (earliest is None or attempt.answered_s < earliest.answered_s):
                earliest = attempt


def audit(case: Case) -> Iterator[Violation]:
    """What was in time is recorded, and was decided as it should be; nothing else is."""
    found = case.found
    in_time: dict[str, Logged] = {}
    for record in found.log:
        if record.is_in_time:
            in_time.setdefault(record.id, record)
        if record.token not in case.writes:
            yield Violation(
                "on the log, and nobody asked", record.organisation, record.resource_id, "", ""
            )
    for row in found.audit:
        if row.id not in in_time:
            yield Violation(
                "applied, and not on the log in time",
                row.organisation,
                row.resource_id,
                "no row",
                str(row.status),
            )
    for request_id, record in in_time.items():
        row_or_none = case.audited.get(request_id)
        if row_or_none is None:
            yield Violation(
                "not applied", record.organisation, record.resource_id, "a row", "", record.token
            )
        elif row_or_none.status != case.expected.get(request_id, row_or_none.status):
            yield Violation(
                "decided otherwise",
                record.organisation,
                record.resource_id,
                str(case.expected[request_id]),
                str(row_or_none.status),
                record.token,
            )


def answered(case: Case) -> Iterator[Violation]:
    """What was told against what was decided."""
    listed = case.found.refused
    for attempt in case.writes.values():
        row = case.row_of(attempt)
        if row is None:
            if attempt.status in (404, 409, 412):
                yield from _unfounded(case, attempt)
            continue
        answered, decided = attempt.status, row.status
        if attempt.is_yes and decided >= 400 and row.id not in listed:
            yield of(attempt, "answered yes, refused, and not listed", "in the list", str(decided))
        if attempt.is_yes and not attempt.is_pending and decided >= 400:
            yield of(attempt, "a decided yes that was refused", str(answered), str(decided))
        if 400 <= answered < 500 and decided < 400:
            yield of(attempt, "a refusal that left a trace", str(answered), str(decided))
        if row.id in listed and case.is_promised(attempt.token):
            yield of(attempt, "promised, and listed", "not listed", listed[row.id])
        is_early = attempt.is_pending and not case.is_promised(attempt.token)
        if answered == NO_ANSWER or is_early or answered == 503:
            continue
        if answered != decided:
            yield of(attempt, "answered otherwise than decided", str(decided), str(answered))
        elif decided >= 400 and listed.get(row.id) == "yes":
            yield of(attempt, "listed as answered yes, and answered no", "not listed", "listed")
    by_id = {record.id: record.token for record in case.found.log}
    for request_id in listed:
        refused_row = case.audited.get(request_id)
        if refused_row is None or refused_row.status < 400:
            token = by_id.get(request_id)
            yield Violation("listed, and not refused", "", None, "refused", request_id, token)


def taken_back(case: Case) -> Iterator[Violation]:
    """While Postgres is there and can be asked, nothing that was answered is taken back."""
    by_id = {record.id: record for record in case.found.log}
    for request_id, answered in case.found.refused.items():
        record = by_id.get(request_id)
        yield Violation(
            "taken back",
            record.organisation if record else "",
            record.resource_id if record else None,
            "nothing is listed",
            f"told: {answered}",
            record.token if record else None,
        )


def _unfounded(case: Case, attempt: Attempt) -> Iterator[Violation]:
    """A refusal without a record: there must be somebody or something that it can be about."""
    others = [
        each
        for each in case.writes.values()
        if each.organisation == attempt.organisation
        and each.token != attempt.token
        and each.sent_s <= attempt.answered_s
        and each.effect is not None
        and each.endpoint == attempt.endpoint
    ]
    effect = attempt.effect
    assert effect is not None
    if attempt.status == 409:
        names = ("userName", "displayName")  # several may have one externalId
        mine = {n: effect.attributes[n] for n in names if n in effect.attributes}
        has_rival = any(
            each.effect is not None
            and any(each.effect.attributes.get(n) == value for n, value in mine.items())
            for each in others
        )
        if not has_rival:
            yield of(attempt, "409 without a rival", "no refusal", "409")
    elif attempt.status == 404:
        is_known_gone = any(
            each.resource_id == attempt.resource_id
            and each.effect is not None
            and (each.effect.verb == "delete" or was_refused(case, each))
            for each in others
        )
        if not is_known_gone:
            yield of(attempt, "404 for what nobody removed", "there", "404")


def directory(case: Case) -> Iterator[Violation]:
    """The rows are those of the reference: attributes, memberships, versions."""
    for what, expected, found in (
        ("member", case.persons, case.found.persons),
        ("group", case.groups, case.found.groups),
    ):
        for key in expected.keys() | found.keys():
            wanted, there = expected.get(key), found.get(key)
            if wanted == there:
                continue
            if there is None:
                kind = f"a {what} is lost"
            elif wanted is None:
                kind = f"a {what} that nobody was told of"
            else:
                kind = f"a {what} is not as answered"
            yield Violation(kind, key[0], key[1], _shown(wanted), _shown(there))


def _shown(stored: Stored | None) -> str:
    """Without names and addresses: which attributes there are is told by their digest."""
    if stored is None:
        return "nothing"
    values = {name: _short(value) for name, value in stored.state.attributes}
    members = sorted(stored.state.members)
    return f"version {stored.version} {values} members {members}"


def _short(value: object) -> str:
    if isinstance(value, str) and "@" in value:
        return value.partition("@")[0]
    return str(value)


def versions(case: Case) -> Iterator[Violation]:
    """One version of a resource, one state."""
    states: dict[tuple[str, str, str], tuple[State, Attempt | None]] = {}

    def look(organisation: str, seen: Seen, by: Attempt | None) -> Iterator[Violation]:
        if seen.version is None:
            return
        key = organisation, seen.resource_id, seen.version
        first, first_by = states.setdefault(key, (seen.state, by))
        if first != seen.state:
            about = by or first_by
            yield Violation(
                "one version, two states",
                organisation,
                seen.resource_id,
                f"{_shown(Stored(seen.version, first))} ({first_by and first_by.token})",
                _shown(Stored(seen.version, seen.state)),
                about.token if about is not None else None,
            )

    for attempt in case.history:
        for seen in attempt.seen:
            yield from look(attempt.organisation, seen, attempt)
    for endpoint, rows in (("Users", case.found.persons), ("Groups", case.found.groups)):
        for (organisation, id_), stored in rows.items():
            row = Seen(endpoint, id_, stored.version, stored.state)  # type: ignore[arg-type]
            yield from look(organisation, row, None)


def outcomes(case: Case) -> Iterator[Violation]:
    """Each outcome of the audit is announced, under one id; and no other is."""
    announced = case.found.announced
    wanted = {(row.id, index) for row in case.found.audit for index in range(row.outcomes)}
    for request_id, index in wanted - announced.keys():
        row = case.audited[request_id]
        yield Violation(
            "not announced", row.organisation, row.resource_id, f"{request_id}/{index}", "nothing"
        )
    for request_id, index in announced.keys() - wanted:
        yield Violation("announced, and not decided", "", None, "nothing", f"{request_id}/{index}")
    for (request_id, index), ids in announced.items():
        if len(set(ids)) > 1:
            yield Violation(
                "announced under two ids", "", None, f"{request_id}/{index}", str(len(set(ids)))
            )


def halted(case: Case) -> Iterator[Violation]:
    """Nothing in this run is anybody's poison."""
    if case.found.dead:
        yield Violation("dead letters", "", None, "none", str(case.found.dead))
    for reason in case.found.halted:
        yield Violation("a partition is halted", "", None, "running", reason)
