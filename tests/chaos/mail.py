"""Which mails must be there at the end, and which must not. Pure.

A notice is judged when it leaves; so a mail was due if what it says was so at its moment, or had
been until shortly before. Shortly: `SLACK_S`, and for as long as something that a
mail passes through stood still. A second copy is the same mail again, and there is a reason for it
only if something was disturbed between the first copy and its record.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from tests.chaos.case import Case, Violation
from tests.chaos.found import Mail, ResourceKey
from tests.chaos.reference import PersonState

SLACK_S: Final = 4.0
"""From the judgement of a notice to the mail in the mailbox, on a busy machine."""
PASSED: Final = ("notifier", "smtp", "postgres")
"""Targets that a mail, and the record that it has left, pass through."""
DECIDED: Final = (*PASSED, "provisioner")
"""The same, and whoever's change was begun when it was recorded, and seen when it was committed."""


def mails(case: Case) -> Iterator[Violation]:
    """Every due mail is there, none that was no longer due, none twice without a reason."""
    of_person: dict[ResourceKey, list[Mail]] = defaultdict(list)
    for mail in case.found.mails:
        row = case.audited.get(mail.event_id)
        if row is None:
            yield _about(("", ""), "a mail about nothing", "none", mail.event_id)
            continue
        of_person[row.organisation, row.resource_id].append(mail)
    for key, life in case.life.items():
        own = sorted(of_person.get(key, ()), key=lambda each: each.at_s)
        yield from _wrong(case, key, life, own)
        yield from _copies(case, key, own)
        yield from _missing(key, life, own)


def _about(key: ResourceKey, what: str, expected: str, found: str) -> Violation:
    return Violation(what, key[0], key[1] or None, expected, found)


def _wrong(
    case: Case, key: ResourceKey, life: Sequence[PersonState], own: Sequence[Mail]
) -> Iterator[Violation]:
    for mail in own:
        if not any(_is_due(case, mail, life, index) for index in range(len(life))):
            yield _about(key, "a mail that was not due", "none", f"{mail.kind} {mail.event_id}")


def _is_due(case: Case, mail: Mail, life: Sequence[PersonState], index: int) -> bool:
    """Whether the mail says what was so in this state, and left in it or soon after it."""
    state = life[index]
    if not state.is_there or mail.recipient != state.address:
        return False
    is_so = {
        "invitation": state.is_active and state.invitation == mail.event_id,
        "revocation": not state.is_active,
        "restoration": state.is_active,
    }[mail.kind]
    ended_s = life[index + 1].from_s if index + 1 < len(life) else float("inf")
    return is_so and state.from_s - SLACK_S <= mail.at_s <= _later(case, ended_s)


def _later(case: Case, moment_s: float) -> float:
    """The moment, later by what mails may be late by."""
    latest_s = moment_s + SLACK_S
    ends = (
        each.until_s + SLACK_S
        for each in case.found.disturbances
        if each.target.startswith(DECIDED) and each.from_s <= latest_s and each.until_s >= moment_s
    )
    return max((latest_s, *ends))


def _copies(case: Case, key: ResourceKey, own: Sequence[Mail]) -> Iterator[Violation]:
    first: dict[tuple[str, str], Mail] = {}
    for mail in own:
        before = first.get((mail.event_id, mail.kind))
        first[mail.event_id, mail.kind] = mail
        if before is not None and not _was_disturbed(case, before.at_s):
            yield _about(key, "a mail came twice", "once", f"{mail.kind} {mail.event_id}")


def _was_disturbed(case: Case, at_s: float) -> bool:
    return any(
        each.target.startswith(PASSED)
        and each.from_s <= at_s + SLACK_S
        and each.until_s >= at_s - SLACK_S
        for each in case.found.disturbances
    )


def _missing(
    key: ResourceKey, life: Sequence[PersonState], own: Sequence[Mail]
) -> Iterator[Violation]:
    """Who is invited at the end has the open invitation, and nothing after it that denies it.

    Who is revoked at the end, and has had that invitation, was told of the revocation.
    """
    last = life[-1]
    if not last.is_there or last.invitation is None:
        return
    invited = [
        index
        for index, mail in enumerate(own)
        if mail.kind == "invitation" and mail.event_id == last.invitation
    ]
    if not invited:
        if last.is_active:
            yield _about(key, "no invitation", f"invitation {last.invitation}", "none")
        return
    kinds = [mail.kind for mail in own[invited[0] :]]
    if last.is_active and kinds[-1] == "revocation":
        yield _about(key, "told that it is revoked, and it is not", "a restoration", str(kinds))
    if not last.is_active and kinds[-1] != "revocation":
        yield _about(key, "not told that it is revoked", "a revocation", str(kinds))
