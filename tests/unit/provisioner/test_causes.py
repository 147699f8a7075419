"""Whose fault it is: an organisation alone is parked, several halt the partition."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.applying.causes import RECENT_OFFSETS, check_row, judge, share_of
from rollcall.kafka.worker import PartitionHalted
from rollcall.postgres.dead_letter import Dead, InARow

LIMIT = 10


def letters(of: str, *, first: int = 0, is_parked: bool = False) -> list[Dead]:
    """One letter of each organisation named by a character, `-` for nobody; each its own cause."""
    return [
        Dead(
            f"id{first + number}",
            first + number,
            None if name == "-" else name,
            f"cause{first + number}",
            is_parked,
        )
        for number, name in enumerate(of)
    ]


def verdict(fresh: list[Dead], earlier: list[Dead] | None = None) -> str | None:
    """The id behind which somebody is parked, None, or `halt`."""
    try:
        return judge(earlier or [], fresh, LIMIT, "KeyError")
    except PartitionHalted:
        return "halt"


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        ("aaaa", None),
        ("aaaaa", "id4"),
        ("abababab", None),
        ("ababababa", "id8"),  # a alone has come to its share, b has not
        ("abcabcabc", None),
        ("abcabcabca", "halt"),
        ("abcdefghi", None),
        ("abcdefghij", "halt"),
        ("b" + "a" * 9, "id5"),  # one letter of a neighbour makes nobody's fault another's
        ("bcde" + "a" * 9, "id8"),
        ("---------", None),
        ("----------", "halt"),
        ("-----aaaa", None),
        ("-----aaaaa", "halt"),
    ],
)
def test_who_is_parked_and_what_halts(of: str, expected: str | None) -> None:
    assert verdict(letters(of)) == expected


def test_a_halt_names_its_runbook_and_the_classes() -> None:
    with pytest.raises(PartitionHalted, match="KeyError") as halted:
        judge([], letters("abcdefghij"), LIMIT, "KeyError")

    assert halted.value.cause == halted.value.runbook == "too-many-dead-letters"


def test_causes_count_and_not_letters() -> None:
    same = [Dead(f"id{number}", number, "a", "cause") for number in range(200)]

    assert verdict(same) is None


def test_a_parked_organisation_counts_for_no_other() -> None:
    parked = letters("aaaaaaaaa", is_parked=True)

    assert verdict(letters("bcdefghij", first=20), parked) is None
    assert verdict(letters("bcdefghijk", first=20), parked) == "halt"


def test_a_second_one_beyond_its_share_halts() -> None:
    parked = letters("aaaaa", is_parked=True)

    assert verdict(letters("bbbb", first=20), parked) is None
    assert verdict(letters("bbbbb", first=20), parked) == "halt"


def test_a_second_one_a_thousand_records_later_is_parked_too() -> None:
    parked = letters("aaaaa", is_parked=True)
    fresh = letters("bbbbb", first=RECENT_OFFSETS + 10)

    assert verdict(fresh, parked) == fresh[-1].id


def test_what_stands_further_back_does_not_count() -> None:
    earlier = letters("aaaa")

    assert verdict(letters("a", first=RECENT_OFFSETS - 1), earlier) == f"id{RECENT_OFFSETS - 1}"
    assert verdict(letters("a", first=RECENT_OFFSETS), earlier) is None


def test_what_parked_its_organisation_already_is_not_judged_again() -> None:
    fresh = letters("aaaaa")
    fresh[-1] = Dead("id4", 4, "a", "cause4", is_parked=True)

    assert verdict(fresh) is None
    assert verdict(fresh + letters("bbbbb", first=5)) == "halt"


@given(st.text("ab", max_size=60), st.integers(2, 30))
def test_one_organisation_alone_never_halts(neighbours: str, limit: int) -> None:
    """However many of its letters there are, while its neighbours have fewer than a share."""
    others = [each for each in neighbours if each == "b"][: share_of(limit) - 1]
    earlier = letters("".join(others))
    fresh = letters("a" * len(neighbours), first=len(earlier))

    assert judge(earlier, fresh, limit, "") in {None, *(each.id for each in fresh)}


@given(st.text("abcd-", max_size=80), st.integers(2, 12))
def test_what_is_let_through_is_bounded(of: str, limit: int) -> None:
    """Played as the provisioner does: at most the limit of letters stands beside who is parked."""
    earlier: list[Dead] = []
    parked: set[str | None] = set()
    for letter in letters(of):
        if letter.organisation_id in parked:
            continue  # it waits
        try:
            behind = judge(earlier, [letter], limit, "")
        except PartitionHalted:
            break
        if behind is not None:
            parked.add(letter.organisation_id)
        earlier = [
            replace(each, is_parked=each.organisation_id in parked) for each in (*earlier, letter)
        ]

    assert len(parked) <= 1
    assert sum(not each.is_parked for each in earlier) < limit
    assert sum(each.is_parked for each in earlier) <= share_of(limit)


@pytest.mark.parametrize(
    ("row", "halts"),
    [
        (InARow(10, 1, 0), False),
        (InARow(10, 2, 0), True),
        (InARow(10, 0, 10), True),
        (InARow(9, 9, 0), False),
    ],
)
def test_all_in_a_row_halt_unless_they_are_of_one(row: InARow, halts: bool) -> None:
    if halts:
        with pytest.raises(PartitionHalted, match="in a row"):
            check_row(row, LIMIT, "KeyError")
    else:
        check_row(row, LIMIT, "KeyError")
