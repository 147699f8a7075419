"""What a PATCH will have made of a resource: as the provisioner decides it on the same resource."""

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rollcall.directory.fold import fold_batch
from rollcall.directory.lifecycle import Status
from rollcall.directory.state import Member
from rollcall.events.request import MemberDelta, Request, Settings
from rollcall.postgres.directory_search import Resource
from rollcall_ingress.behind.foresee import foresee
from tests.support import builders
from tests.support.builders import (
    MOMENT,
    ORGANISATION,
    a_group,
    a_member,
    a_request,
    a_state,
    operations_of,
    patch,
    replacing,
)

LATER = MOMENT + timedelta(hours=1)
ANA, BO, CY = a_member(1, "ana"), a_member(2, "bo"), a_member(3, "cy")
CREW = a_group(50, "Crew")


def foreseen(request: Request, found: Any, *, with_related: bool = True) -> Resource:
    made = foresee(request, found, with_related=with_related)
    assert made is not None
    return made


def test_a_member_is_as_the_decision_would_leave_it() -> None:
    request = patch(ANA, replacing("active", False), time=LATER)

    made = foreseen(request, Resource(ANA, ((CREW.id, "Crew"),)))

    assert isinstance(made.row, Member)
    assert made.row.status is Status.REVOKED
    assert made.row.resource["active"] is False
    assert (made.row.version, made.row.last_modified) == (request.id, LATER)
    assert made.related == ((CREW.id, "Crew"),)


def test_without_effect_version_and_time_stay() -> None:
    same = patch(ANA, replacing("active", True), time=LATER)
    regroup = builders.regroup(CREW, add=(ANA.id,), remove=(BO.id,), time=LATER)
    crew = Resource(CREW, ((ANA.id, "Ana"),))

    assert foreseen(same, Resource(ANA)).row == ANA
    assert foreseen(regroup, crew).row == CREW


def test_what_would_be_refused_is_not_foreseen() -> None:
    nothing_there = patch(ANA, replacing('emails[type eq "home"].value', "a@example.org"))
    strict = a_request(
        "member.patch",
        ANA.id,
        operations=operations_of(nothing_there),
        settings=Settings(profile="interop"),
    )

    assert foresee(strict, Resource(ANA), with_related=False) is None


def test_a_group_shows_who_stays_and_who_comes() -> None:
    request = builders.regroup(CREW, add=(CY.id, "nobody"), remove=(ANA.id,))

    made = foreseen(request, Resource(CREW, ((ANA.id, "Ana"), (BO.id, "Bo"))))

    assert made.related == ((BO.id, "Bo"), (CY.id, None))
    assert made.row.version == request.id


def test_a_group_whose_members_were_not_read_counts_a_change_of_them_as_one() -> None:
    found = Resource(CREW)

    for request in (
        builders.regroup(CREW, add=(ANA.id,)),
        builders.regroup(CREW, remove=(ANA.id,)),
    ):
        made = foreseen(request, found, with_related=False)

        assert (made.row.version, made.related) == (request.id, ())


ids = st.sets(st.sampled_from([ANA.id, BO.id, CY.id])).map(lambda found: tuple(sorted(found)))


@settings(deadline=None)
@given(ids, ids, ids, st.booleans(), st.booleans())
def test_a_group_is_as_the_provisioner_leaves_it(
    members: tuple[str, ...], add: tuple[str, ...], remove: tuple[str, ...], clear: bool, name: bool
) -> None:
    delta = MemberDelta(clear, add, () if clear else tuple(sorted(set(remove) - set(add))))
    operations = (replacing("displayName", "Sailors"),) if name else ()
    request = a_request("group.patch", CREW.id, members=delta, operations=operations)
    state = a_state(
        ANA, BO, CY, groups=(CREW,), memberships=tuple((CREW.id, each) for each in members)
    )

    made = foreseen(request, Resource(CREW, tuple((each, "x") for each in members)))
    fold_batch({ORGANISATION: state}, [(request, LATER)])

    assert made.row == state.groups[CREW.id]
    assert {each for each, _ in made.related} == state.memberships[CREW.id]
