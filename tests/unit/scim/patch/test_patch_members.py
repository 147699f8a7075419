"""PATCH of a group's members, as a delta (RFC 7644 §3.5.2)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.scim.body.json_body import Json
from rollcall.scim.errors import InvalidFilter, InvalidPath, InvalidSyntax, InvalidValue, Mutability
from rollcall.scim.patch.members import MemberDelta
from rollcall.scim.profile import Profile
from rollcall.scim.schema import GROUP
from tests.unit.scim.patching import add, parsed, remove, replace


def delta(*operations: Json, profile: Profile = Profile.COMPATIBLE) -> MemberDelta | None:
    return parsed(*operations, schema=GROUP, profile=profile).members


def refs(*ids: str) -> list[Json]:
    return [{"value": member_id} for member_id in ids]


@pytest.mark.parametrize(("operation", "wanted"), [
    (add("members", refs("a", "b", "a")), MemberDelta(False, ("a", "b"), ())),
    (add("members", {"value": "a"}), MemberDelta(False, ("a",), ())),
    (add("members", "a"), MemberDelta(False, ("a",), ())),
    (add("members", [{"$ref": None, "value": "a", "colour": "red"}]), MemberDelta(False, ("a",),
    ())),
    (add("MEMBERS", [{"VALUE": "a"}]), MemberDelta(False, ("a",), ())),
    (add(None, {"members": refs("a")}), MemberDelta(False, ("a",), ())),
    (add('members[value eq "a"]', {"value": "a"}), MemberDelta(False, ("a",), ())),
    (replace("members", refs("a")), MemberDelta(True, ("a",), ())),
    (replace("members", []), MemberDelta(True, (), ())),
    (replace("members", None), MemberDelta(True, (), ())),
    (replace(None, {"members": refs("a")}), MemberDelta(True, ("a",), ())),
    (replace('members[value eq "a"]', {"value": "b"}), MemberDelta(False, ("b",), ("a",))),
    (replace('members[value eq "a"].value', "b"), MemberDelta(False, ("b",), ("a",))),
    (remove("members"), MemberDelta(True, (), ())),
    (remove("members", value=None), MemberDelta(True, (), ())),
    (remove("members", value=refs("a")), MemberDelta(False, (), ("a",))),
    (remove("members", value=["a"]), MemberDelta(False, (), ("a",))),
    (remove('members[value eq "a"]'), MemberDelta(False, (), ("a",))),
    (remove("members[value eq a]"), MemberDelta(False, (), ("a",))),
    (remove('members[value eq "a" or value eq "b"]'), MemberDelta(False, (), ("a", "b"))),
    (remove('members[(value eq "a") or (value eq "b" or value eq "c")]'),
     MemberDelta(False, (), ("a", "b", "c"))),
    (remove("members", value=[]), None),
    (add("members", []), None),
    (replace('members[value eq "a"].type', "User"), None),
])  # fmt: skip
def test_operation_comes_down_to_a_delta(operation: Json, wanted: MemberDelta | None) -> None:
    assert delta(operation) == wanted


def test_the_id_of_a_member_is_immutable_in_the_interop_profile() -> None:
    """RFC 7643 §8.7.1; the compatible profile takes it for one member less and one more."""
    with pytest.raises(Mutability):
        delta(replace('members[value eq "a"].value', "b"), profile=Profile.INTEROP)

    same = delta(replace('members[value eq "a"].value', "a"), profile=Profile.INTEROP)
    assert same == MemberDelta(False, ("a",), ())


def test_members_are_no_operation_of_their_own() -> None:
    patch = parsed(add("members", refs("a")), replace("displayName", "Crew"), schema=GROUP)

    assert patch.operations == ({"op": "replace", "path": "displayName", "value": "Crew"},)


def test_later_operation_wins() -> None:
    assert delta(add("members", refs("a")), remove('members[value eq "a"]')) == MemberDelta(
        False, (), ("a",)
    )
    assert delta(remove('members[value eq "a"]'), add("members", refs("a"))) == MemberDelta(
        False, ("a",), ()
    )


@pytest.mark.parametrize("path", [
    'members[display eq "Ana"]', 'members[value ne "a"]', 'members[not (value eq "a")]',
    'members[value eq "a" and type eq "User"]', "members[value pr]", 'members[value sw "a"]',
])  # fmt: skip
def test_selection_other_than_by_id_is_invalid_filter(path: str) -> None:
    with pytest.raises(InvalidFilter):
        delta(remove(path))


def test_sub_attribute_of_all_members_is_invalid_path() -> None:
    with pytest.raises(InvalidPath):
        delta(remove("members.value"))


@pytest.mark.parametrize("value", [5, [5], [{"value": 5}], [["a"]], [{"value": "a\n"}]])
def test_wrong_kinds_are_invalid_value(value: Any) -> None:
    with pytest.raises(InvalidValue):
        delta(add("members", value))


def test_value_list_beside_a_remove_is_refused_in_interop() -> None:
    """A server that overlooks it empties the group."""
    with pytest.raises(InvalidSyntax):
        delta(remove("members", value=refs("a")), profile=Profile.INTEROP)


def test_number_of_members_has_a_limit() -> None:
    half = refs(*map(str, range(60_000)))
    other = refs(*(f"x{number}" for number in range(60_000)))

    with pytest.raises(InvalidValue) as caught:
        delta(add("members", half), add("members", other))

    assert caught.value.attribute == "members"


IDS = st.sampled_from("abcd")
SOME = st.lists(IDS, max_size=3)
STEPS: st.SearchStrategy[tuple[str, list[str]]] = st.one_of(
    st.tuples(st.just("add"), SOME),
    st.tuples(st.just("replace"), SOME),
    st.tuples(st.just("remove"), SOME),
    st.tuples(st.just("select"), IDS.map(lambda member_id: [member_id])),
    st.tuples(st.just("clear"), st.just([])),
)


def _operation(kind: str, ids: list[str]) -> Json:
    if kind == "select":
        return remove(f'members[value eq "{ids[0]}"]')
    if kind == "clear":
        return remove("members")
    return {"op": kind, "path": "members", "value": refs(*ids)}


def _one_by_one(before: set[str], kind: str, ids: list[str]) -> set[str]:
    match kind:
        case "add":
            return before | set(ids)
        case "replace":
            return set(ids)
        case "clear":
            return set()
    return before - set(ids)


@given(before=st.sets(IDS), steps=st.lists(STEPS, min_size=1, max_size=6))
def test_delta_does_what_the_operations_do_one_by_one(
    before: set[str], steps: list[tuple[str, list[str]]]
) -> None:
    wanted = before
    for kind, ids in steps:
        wanted = _one_by_one(wanted, kind, ids)

    result = delta(*(_operation(kind, ids) for kind, ids in steps)) or MemberDelta(False, (), ())

    start = set() if result.clear else before
    assert (start | set(result.add)) - set(result.remove) == wanted
    assert not set(result.add) & set(result.remove)
