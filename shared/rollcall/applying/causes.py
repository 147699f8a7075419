"""Whose fault it is: how many dead letters are too many, of one organisation or of several.

The rule. What counts are different causes (`directory/cause.py`) among the letters that are
dead in the last thousand offsets. An organisation that alone comes to half of the limit is parked:
its events wait, all others go on, and its letters count for nobody else any more. Where a second
one comes to as many, or several together to the limit, it is no organisation's data: it is a
release, and the partition halts. So one organisation counts for half of the limit at most. What
names no resource for certain is nobody's, and counts in full. No I/O.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from rollcall.kafka.worker import TOO_MANY_DEAD, PartitionHalted
from rollcall.postgres.dead_letter import Dead, InARow

RECENT_OFFSETS: Final = 1000


def share_of(limit: int) -> int:
    """So many different causes of one organisation park it."""
    return max(1, limit // 2)


def judge(standing: Sequence[Dead], fresh: Sequence[Dead], limit: int, classes: str) -> str | None:
    """The id of the first of the `fresh` letters behind which its organisation is to be parked.

    Both in the order of offsets; `standing` were dead before. A fresh letter that `is_parked` has
    parked its organisation already. `classes` are named by what is raised: PartitionHalted.
    """
    parked = {each.organisation_id for each in standing if each.is_parked}
    dead = list(standing)
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
    """Raise PartitionHalted where all of the last events are dead, and not of one organisation."""
    if row.letters >= limit and (row.organisations > 1 or row.of_nobody):
        raise PartitionHalted(f"{limit} dead letters in a row ({classes})", TOO_MANY_DEAD)


def _causes(dead: Sequence[Dead], upto: int) -> dict[str | None, set[str]]:
    """Organisation → the different causes of its letters among the last offsets."""
    found: dict[str | None, set[str]] = defaultdict(set)
    for letter in dead:
        if upto - RECENT_OFFSETS < letter.offset <= upto:
            found[letter.organisation_id].add(letter.cause)
    return found
