"""A look-up with the overlay gives what the fold of the whole log gives, wherever it is cut."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rollcall.directory.state import State
from rollcall.events.request import MemberDelta
from rollcall.postgres.directory_search import Resource
from rollcall_ingress.behind import accepted
from rollcall_ingress.behind.overlay import Overlay
from rollcall_ingress.behind.selecting import Target, begin
from tests.support import builders
from tests.support.builders import ORGANISATION, a_request, an_id, replacing
from tests.support.samples.lookups import a_conversation, expected, folded, targets
from tests.support.samples.overlay_store import accept, an_overlay, look_up


@settings(max_examples=60, deadline=None)
@example(seed=8307, length=46, applied=40, dropped=40)  # out of a replaced group, not named there
@given(
    seed=st.integers(0, 1 << 32),
    length=st.integers(1, 60),
    applied=st.integers(0, 60),
    dropped=st.integers(0, 60),
)
def test_a_look_up_over_any_prefix_is_the_fold_of_the_whole_log(
    seed: int, length: int, applied: int, dropped: int
) -> None:
    """Whatever is applied, and whatever of that the overlay knows to be applied."""
    conversation = a_conversation(seed, length)
    applied, whole = min(applied, length), folded(*conversation)
    overlay = an_overlay(*conversation)
    overlay.applied(3, min(dropped, applied))

    for target in targets():
        directory = folded(*conversation[:applied])
        found = look_up(overlay, directory, applied, target)
        assert found == expected(whole, target), target


@pytest.mark.parametrize("seed", range(3))
def test_a_crowd_that_a_request_names_is_found_by_any_of_its_members(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepted, "NAMED_ONE_BY_ONE", 1)
    conversation = a_conversation(seed, 80)
    applied = random.Random(seed).randint(0, 40)
    overlay = an_overlay(*conversation)

    for target in targets():
        directory = folded(*conversation[:applied])
        assert look_up(overlay, directory, applied, target) == expected(
            folded(*conversation), target
        )


def a_target(key: str, attribute: Any = "id", related: bool = True) -> Target:
    return Target(ORGANISATION, "Users", attribute, key, related)


def test_create_read_back_and_add_to_a_group_go_on_without_the_provisioner() -> None:
    ana = builders.create(1, "ana@example.org", externalId="e-1")
    crew = a_request("group.create", an_id(50), 901, resource={"displayName": "Crew"})
    joins = a_request("group.patch", an_id(50), 902, members=MemberDelta(add=(an_id(1),)))
    overlay = an_overlay(ana, crew, joins)

    for attribute, key in (
        ("id", an_id(1)),
        ("userName", "ana@example.org"),
        ("externalId", "e-1"),
    ):
        [found] = look_up(overlay, State(ORGANISATION), 0, a_target(key, attribute))
        assert found.row.version == ana.id
        assert found.related == ((an_id(50), "Crew"),)


def test_a_request_that_will_be_refused_is_not_shown() -> None:
    ana = builders.a_member(1)
    copy = builders.create(2, "ana@example.org")
    overlay = an_overlay(copy)

    assert look_up(overlay, builders.a_state(ana), 0, a_target(an_id(2))) == []
    [found] = look_up(
        overlay, builders.a_state(ana), 0, a_target("ana@example.org", "userName", False)
    )
    assert found == Resource(ana)


def test_what_is_below_next_offset_is_not_folded_again() -> None:
    """The state has it, and more that is newer: folded again it would bring back what was."""
    ana = builders.a_member(1)
    retired = builders.patch(ana, replacing("title", "Retired"), number=902)
    overlay = an_overlay(retired, first_offset=7)
    now = builders.a_state(replace(ana, resource={**ana.resource, "title": "Back"}))

    [found] = look_up(overlay, now, 8, a_target(ana.id))

    assert found.row.resource["title"] == "Back"


def test_only_what_is_connected_with_the_look_up_is_folded() -> None:
    overlay = Overlay()
    for number in range(1, 500):
        accept(overlay, builders.create(number, f"user-{number}@example.org"), number)

    for target in (a_target(an_id(7)), a_target("user-8@example.org", "userName")):
        selection, nodes = begin(overlay, target)
        assert list(selection.extend(overlay, nodes)) == []
        assert len(selection.entries) == 1


def test_what_is_accepted_while_a_look_up_selects_is_not_mixed_in() -> None:
    """Otherwise it could see a name taken again without seeing it given up before."""
    ana = builders.a_member(1)
    overlay = an_overlay()
    selection, nodes = begin(overlay, a_target(ana.id))

    accept(overlay, builders.patch(ana, replacing("title", "Later")), 0)
    steps = list(selection.extend(overlay, nodes))

    assert (steps, selection.entries) == ([], {})


def test_a_large_selection_lets_others_in_between() -> None:
    overlay = Overlay()
    people = [builders.create(n, f"user-{n}@example.org") for n in range(1, 1001)]
    ids = tuple(person.resource_id for person in people)
    crew = a_request(
        "group.create",
        an_id(5000),
        90_000,
        resource={"displayName": "C"},
        members=MemberDelta(add=ids),
    )
    for offset, request in enumerate((*people, crew)):
        accept(overlay, request, offset)
    target = Target(ORGANISATION, "Groups", "id", an_id(5000), with_related=True)
    selection, nodes = begin(overlay, target)

    pauses = list(selection.extend(overlay, nodes))

    assert len(selection.entries) == 1001
    assert len(pauses) >= 5
    [found] = look_up(overlay, State(ORGANISATION), 0, target)
    assert len(found.related) == 1000
