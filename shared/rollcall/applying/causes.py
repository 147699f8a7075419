"""Too many dead letters: decide whether to park one organisation or to halt the partition. No I/O.

The rule. What counts is the number of different causes (`directory/cause.py`) of the letters that
are dead among the last thousand offsets. An organisation that alone has half of the limit is
parked: its events wait, all others continue, and its letters are not counted any more. If a second
organisation reaches half of the limit, or several together reach the limit, the fault is not in one
organisation's data but in the release, and the partition halts. So one organisation counts for at
most half of the limit. Letters without a certain resource belong to no organisation and count in
full.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from rollcall.kafka.worker import TOO_MANY_DEAD, PartitionHalted
from rollcall.postgres.dead_letter import Dead, InARow

RECENT_OFFSETS: Final = 1000


def share_of(limit: int) -> int:
    """The number of different causes for which one organisation is parked."""
    return max(1, limit // 2)


def judge(earlier: Sequence[Dead], fresh: Sequence[Dead], limit: int, classes: str) -> str | None:
    """The id of the first of the `fresh` letters behind which its organisation is to be parked.

    `earlier` are the letters that were dead before this batch; both are in the order of offsets. A
    fresh letter with `is_parked` has already parked its organisation. `classes` (error classes) are
    for the message of PartitionHalted, which is raised for too many.
    """
    parked = {each.organisation_id for each in earlier if each.is_parked}
    dead = list(earlier)
    for letter in fresh:
        dead.append(letter)
        organisation_id = letter.organisation_id
        if letter.is_parked or organisation_id in parked:
            parked.add(organisation_id)
            continue
        causes = _causes(dead, letter.offset)
        together = sum(
            len(own) if of is None else min(len(own), share_of(limit))
            for of, own in causes.items()
            if of not in parked
        )
        beyond = {of for of, own in causes.items() if of and len(own) >= share_of(limit)}
        is_beyond = organisation_id in beyond
        if together >= limit or (is_beyond and len(beyond) > 1):
            raise PartitionHalted(
                f"dead letters of {len(causes)} organisations among {RECENT_OFFSETS} offsets up to "
                f"{letter.offset}, {sum(map(len, causes.values()))} causes ({classes})",
                TOO_MANY_DEAD,
            )
        if is_beyond:
            return letter.id
    return None


def check_row(row: InARow, limit: int, classes: str) -> None:
    """Raise PartitionHalted if the last events are all dead and not all of one organisation."""
    if row.letters >= limit and (row.organisations > 1 or row.without_organisation):
        raise PartitionHalted(f"{limit} dead letters in a row ({classes})", TOO_MANY_DEAD)


def _causes(dead: Sequence[Dead], upto: int) -> dict[str | None, set[str]]:
    """Organisation → the different causes of its letters among the last RECENT_OFFSETS offsets."""
    found: dict[str | None, set[str]] = defaultdict(set)
    for letter in dead:
        if upto - RECENT_OFFSETS < letter.offset <= upto:
            found[letter.organisation_id].add(letter.cause)
    return found
