"""An erasure, and the end of an organisation: what they take away, quarantine included."""

from datetime import timedelta

from rollcall.applying.understand import Entry, runs, stands_alone
from rollcall.directory.changes import EraseHeld, PutGroup, RemoveMember, RemoveOrganisation
from rollcall.directory.fold import Folded, collapse, fold_batch
from rollcall.directory.state import State
from rollcall.events.outcome import Fact
from rollcall.events.request import Request
from tests.support import builders
from tests.support.builders import (
    MOMENT,
    ORGANISATION,
    OTHER_ORGANISATION,
    a_group,
    a_member,
    a_request,
    a_state,
    an_id,
    redrive,
    replacing,
)

AT = MOMENT + timedelta(seconds=1)
ANA, BEN, CREW = a_member(), a_member(2, "ben@example.org"), a_group()
ERASE = a_request("member.erase", ANA.id, 950, actor="operator")
END = a_request("organisation.delete", ORGANISATION, 951, actor="operator")


def folded(state: State, *requests: Request) -> list[Folded]:
    return fold_batch({ORGANISATION: state}, [(each, AT) for each in requests])


def facts(result: Folded) -> list[Fact]:
    assert result.decision is not None
    return [outcome.fact for outcome in result.decision.outcomes]


def crowd() -> State:
    return a_state(ANA, BEN, groups=(CREW,), memberships=((CREW.id, ANA.id), (CREW.id, BEN.id)))


def test_an_erased_member_is_removed_and_its_groups_get_a_new_version() -> None:
    state = crowd()

    [result] = folded(state, ERASE)

    assert result.decision is not None
    assert result.decision.changes[:2] == (EraseHeld(ANA.id), RemoveMember(ANA.id))
    [moved] = [each.group for each in result.decision.changes if isinstance(each, PutGroup)]
    assert moved.version == ERASE.id
    assert facts(result) == ["member.removed", "member.erased"]
    assert (set(state.members), state.memberships[CREW.id]) == ({BEN.id}, {BEN.id})


def test_a_member_that_was_removed_before_is_erased_as_well() -> None:
    state = crowd()
    folded(state, a_request("member.delete", ANA.id))

    [result] = folded(state, ERASE)

    assert facts(result) == ["member.erased"]
    assert result.decision is not None
    assert result.decision.changes == (EraseHeld(ANA.id),)


def test_an_erasure_does_not_wait_behind_a_dead_event_but_takes_it_away() -> None:
    state = crowd()
    dead = a_request("member.replace", ANA.id, 901)  # without its resource: it raises
    parked = builders.patch(ANA, replacing("title", "Cook"), number=902)
    folded(state, dead, parked)

    erased, redriven, late = folded(
        state, ERASE, redrive(dead), builders.patch(ANA, replacing("title", "Mate"), number=903)
    )

    assert not erased.is_parked
    assert facts(erased) == ["member.removed", "member.erased"]
    assert redriven.redriven is None
    assert late.decision is not None
    assert late.decision.verdict.status == 404
    assert state.quarantines == {}


def test_a_member_that_was_never_made_leaves_the_groups_in_which_its_id_was_known() -> None:
    state = a_state(groups=(CREW,))
    state.groups_of[ANA.id] = {CREW.id}
    state.memberships[CREW.id] = {ANA.id}

    [result] = folded(state, ERASE)

    assert facts(result) == ["member.erased"]
    assert state.memberships[CREW.id] == set()


def test_the_end_of_an_organisation_leaves_an_empty_state_and_one_outcome() -> None:
    state = crowd()
    folded(state, a_request("member.replace", BEN.id, 901))  # in quarantine

    [result] = folded(state, END)

    assert facts(result) == ["organisation.deleted"]
    assert state == State(ORGANISATION)


def test_what_was_put_before_the_end_in_the_same_batch_is_not_written() -> None:
    state, other = crowd(), a_member(3, "eve@example.org")
    create = builders.create(4, "dan@example.org")
    results = folded(state, create, END)
    changes = [
        (ORGANISATION, change)
        for result in results
        for change in (result.decision.changes if result.decision else ())
    ]
    [others] = fold_batch(
        {OTHER_ORGANISATION: State(OTHER_ORGANISATION)},
        [
            (
                builders.a_request(
                    "member.create",
                    other.id,
                    960,
                    resource=other.resource,
                    organisation_id=OTHER_ORGANISATION,
                ),
                AT,
            )
        ],
    )
    assert others.decision is not None
    changes.extend((OTHER_ORGANISATION, change) for change in others.decision.changes)

    net = collapse(changes)

    assert [organisation for organisation, _ in net.put_members] == [OTHER_ORGANISATION]
    assert net.left == [(ORGANISATION, END.id, END.time)]
    assert RemoveOrganisation(END.id, END.time) in [change for _, change in changes]


def test_what_takes_away_more_than_a_row_is_a_batch_of_its_own() -> None:
    requests = [builders.create(1, "a@b.example"), ERASE, builders.create(2, "c@b.example"), END]
    entries = [Entry(None, AT, None, each) for each in (*requests, None)]  # type: ignore[arg-type]

    found = [[entry.request for entry in run] for run in runs(entries, stands_alone)]

    assert found == [[requests[0]], [ERASE], [requests[2]], [END], [None]]
    assert an_id(950) == ERASE.id
