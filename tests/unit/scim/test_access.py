"""No 2xx after which somebody has less access than the request could mean, nor one after which a
removal that it names did not happen: shapes around known intentions, through parse and decision.
"""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.scim.body.json_body import Json
from rollcall.scim.errors import (
    InvalidFilter,
    InvalidPath,
    InvalidSyntax,
    InvalidValue,
    NoTarget,
    ScimError,
)
from rollcall.scim.patch.members import MemberDelta
from rollcall.scim.patch.patch import apply_patch, parse_patch
from rollcall.scim.profile import Profile
from rollcall.scim.resource import canonicalise
from rollcall.scim.schema import ENTERPRISE_URN, GROUP, GROUP_URN, USER, USER_URN
from tests.unit.scim.patching import HOME, WORK, a_member, add, parsed, patched, remove, replace

A = "0190aaaa-0000-7000-8000-00000000000a"
B = "0190bbbb-0000-7000-8000-00000000000b"
C = "0190cccc-0000-7000-8000-00000000000c"
MANAGER = f"{ENTERPRISE_URN}:manager"
BOSS = {ENTERPRISE_URN: {"manager": {"value": "boss-1"}}}


def members_after(before: set[str], delta: MemberDelta | None) -> set[str]:
    """What the decision makes of a delta, all ids known."""
    if delta is None:
        return before
    return ((set() if delta.clear else before) | set(delta.add)) - set(delta.remove)


def group_after(before: set[str], *operations: Json) -> set[str]:
    return members_after(before, parsed(*operations, schema=GROUP).members)


UNREADABLE: list[Any] = [
    "", " ", {}, [None], [[]], [{}], [""], [{"value": ""}], [{"value": None}], {"value": []},
    {"value": [{"value": B}]}, [{"display": "x"}], [{"id": B}], {"id": B}, f"{B},{C}", f"{B} {C}",
    f"{B};{C}", 5, True, 0, [5], [[{"value": B}]], [[B]], {"colour": "red"}, [{"colour": "red"}],
    "{", "[", '{"value": ""}', "{}", '["', [{"$ref": ""}], [{"$ref": "https://idp.example/"}],
    [{"$ref": "https://idp.example/Users/"}], [{"value": {"value": B}}], [{"value": [B]}],
    [{"value": f"{B},{C}"}], {"members": {}}, {"members": ""}, {"members": [{}]},
    {"members": {"members": [{"id": B}]}}, {"Users": [{"value": B}]}, {"value": 7},
    [{"value": True}], {"members": {"members": ""}},
    [B, ""], [{"value": B}, {}], [{"value": B}, {"id": C}], [{"value": B}, None],
    [{"value": B}, {"display": "Bo"}], [{"value": f'"{B}"'}], [{"value": f"[{B}]"}],
]  # fmt: skip


@pytest.mark.parametrize("value", UNREADABLE, ids=repr)
def test_members_that_cannot_be_read_are_refused_everywhere(value: Any) -> None:
    """Point 9: nobody is left out, and nobody is taken for removed."""
    for operation in (
        replace("members", value),
        add("members", value),
        remove("members", value=value),
        replace(None, {"members": value}),
        replace(f"{GROUP_URN}:members", value),
    ):
        with pytest.raises(InvalidValue) as caught:
            parsed(operation, schema=GROUP)
        assert (caught.value.attribute or "").startswith("members")
    body = {"schemas": [GROUP_URN], "displayName": "Crew", "members": value}
    with pytest.raises(InvalidValue) as caught:
        canonicalise(body, GROUP, Profile.COMPATIBLE)
    assert (caught.value.attribute or "").startswith("members")


READ_AS_B: list[Any] = [
    B, [B], {"value": B}, [{"value": B}], {"members": [{"value": B}]}, {"Members": B},
    {"member": {"value": B}}, [{"VALUE": B}], [{"value": B, "colour": "red"}], f'["{B}"]',
    f'[{{"value":"{B}"}}]', f'{{"value":"{B}"}}', [f'{{"value":"{B}"}}'], f" {B} ",
    [{"value": f" {B}"}], [{"$ref": f"https://idp.example/Users/{B}"}],
    [{"$ref": f"../Users/{B}/"}], f"https://idp.example/Users/{B}", B.upper(),
    [{"value": f"/Users/{B}?x=1"}], [{"value": B.upper()}],
    f"{{{B}}}", f"urn:uuid:{B}", [{"value": B.replace("-", "")}], [{"value": B, "operation": None}],
]  # fmt: skip


@pytest.mark.parametrize("value", READ_AS_B, ids=repr)
def test_members_whose_meaning_is_certain_are_read(value: Any) -> None:
    """Points 9 and 10: one meaning in every operation."""
    assert group_after({A, C}, replace("members", value)) == {B}
    assert group_after({A}, add("members", value)) == {A, B}
    assert group_after({A, B}, remove("members", value=value)) == {A}
    assert group_after({A}, add("member", value)) == {A, B}
    assert group_after({A, B}, remove("MEMBERS", value=value)) == {A}
    body = {"schemas": [GROUP_URN], "displayName": "Crew", "members": value}
    members = canonicalise(body, GROUP, Profile.COMPATIBLE).members or ()
    assert [each.lower() for each in members] == [B]


@pytest.mark.parametrize("value", [None, [], {"members": []}, {"members": None}, "[]"])
def test_an_empty_list_of_members_clears(value: Any) -> None:
    assert group_after({A, B}, replace("members", value)) == set()


def test_an_element_of_scim_1_that_is_marked_as_deleted_is_removed() -> None:
    marked = [{"value": A, "operation": "Delete"}, {"value": C}]

    assert group_after({A, B}, add("members", marked)) == {B, C}
    assert group_after({A, B}, remove("members", value=marked[:1])) == {B}
    for operation in (
        replace("members", marked),
        add("members", [{"value": A, "operation": "purge"}]),
        add("members", [{"value": A, "operation": 5}]),
    ):
        with pytest.raises(InvalidValue):
            parsed(operation, schema=GROUP)
    with pytest.raises(InvalidValue):
        parsed(add("emails", [{**WORK, "operation": "delete"}]))
    with pytest.raises(InvalidValue):
        parsed(replace(None, {"title": "Buyer", "meta": {"attributes": ["nickName"]}}))
    with pytest.raises(InvalidSyntax):
        parse_patch(
            {"Operations": [add("displayName", "Crew")], "members": marked},
            GROUP,
            Profile.COMPATIBLE,
        )


@pytest.mark.parametrize("operation", [
    remove("members.value", value=A), remove("members.A"), remove("/members/0"),
    remove(f"/members/{A}"), remove(f"members/{A}"), remove("/members/A"), remove("members[0]"),
    remove(f'members["{A}"]'), remove('members[display eq "Ana"]'), remove("members[type eq User]"),
    remove(f'members[value eq "{A},{B}"]'), remove(f'members[value eq "{A}"].display'),
    remove(f'members[value eq "{A}"].type'), remove(f'members[value eq "{A}"].$ref'),
    remove(f'members[value eq "{A}"].colour'), remove("member"), remove("members.colour"),
    remove(f'members[value eq "{A}" and type eq "User"]'), remove(f'members[id eq "{A}"]'),
    {"op": "remove", "path": "members", "values": [{"value": A}]},
    {"op": "remove", "path": "members", "filter": f'value eq "{A}"'},
    remove(f'members[value eq "{A}"]', value=[{"value": B}]),
    add(f'members[value eq "{A}"]', [{"value": B}]), add(f'members[value eq "{A}"].value', B),
    remove(None, value={"members": [{"value": A}]}), remove(GROUP_URN, value={"members": []}),
])  # fmt: skip
def test_a_removal_that_is_not_understood_is_refused(operation: Json) -> None:
    """Point 10; beside another operation too."""
    for operations in ([operation], [replace("displayName", "Crew"), operation]):
        with pytest.raises(ScimError) as caught:
            parsed(*operations, schema=GROUP)
        assert caught.value.status == 400


@pytest.mark.parametrize("path", [
    f'members[value eq "{A}"]', f'MEMBERS[VALUE EQ "{A}"]', f'members[value eq "{A}"].value',
    f'members[value eq " {A}"]', f'members[value eq "{A.upper()}"]', f"members[value eq {A}]",
    f'member[value eq "{A}"]', f'members[$ref eq "https://idp.example/Users/{A}"]',
    f'members[value eq "https://idp.example/Users/{A}"]', f'{GROUP_URN}:members[value eq "{A}"]',
    f'{GROUP_URN}.members[value eq "{A}"]', f'Group:members[value eq "{A}"]',
    f'members[value eq "{A.replace("-", "")}"]',
])  # fmt: skip
def test_a_removal_by_a_path_removes_who_is_named(path: str) -> None:
    assert group_after({A, B}, remove(path)) == {B}
    assert group_after({A, B}, add("members", A.upper()), remove(path)) == {B}


UNREAD_BY_PATH: dict[str, list[Any]] = {
        "emails": [{}, [{}], [None], [[]], [{"id": "7"}], [{"address": "a@x.example"}], 5, True,
                   [{"display": "Ana"}], {"emails": {}}, [WORK, {}],
                   [WORK, {"mail": "b@x.example"}],
                   [{"type": "work", "address": "a@x.example"}], "[1]", [{"value": []}]],
        "phoneNumbers": [{}, [{}], [{"number": "1"}], [{"type": "work", "number": "1"}]],
        "addresses": [{}, [{}], [{"street": "Pier 4"}], "Pier 4"],
        "name": [{}, [{}], {"nick": "A"}, "Ana", 5, {"name": {}}],
        MANAGER: [{}, [{}], {"id": "m"}, {"displayName": "Bo"}, {"$ref": "m"}, [[]], 5],
        "active": [[], {}, "", " ", "yes", 0, 1, ["False"], [[]], {"is": False}, [{"value": []}],
                   {"value": "no"}, "[]"],
        "title": [[], {}, ["x"], 5], "userName": [[], {}, "", None, [[]], 5],
        "externalId": [[], {}, [""], 5], "displayName": [[], {}, ["x"]],
}  # fmt: skip
COMPLEX_UNREAD = [(path, value) for path, values in UNREAD_BY_PATH.items() for value in values]


@pytest.mark.parametrize(("path", "value"), COMPLEX_UNREAD, ids=repr)
def test_a_value_in_which_nothing_can_be_read_takes_nothing_away(path: str, value: Any) -> None:
    """Point 9, for every other kind of attribute."""
    for op in (add, replace):
        with pytest.raises(InvalidValue) as caught:
            parsed(op(path, value))
        assert (caught.value.attribute or "").startswith(path)
    body = {"schemas": [USER_URN], "userName": "ana", path: value}
    with pytest.raises(InvalidValue):
        canonicalise(body, USER, Profile.COMPATIBLE)


@pytest.mark.parametrize(("path", "value"), [
    ("emails", [{"type": "work", "value": ""}]), ("emails", [{"type": "work", "primary": True}]),
    ("phoneNumbers", [{"type": "mobile", "value": None}]), ("emails", ""),
    ("addresses", [{"streetAddress": "", "locality": None}]), ("name", {"givenName": ""}),
    (MANAGER, ""), (MANAGER, {"value": ""}), (MANAGER, [{"value": ""}]), (MANAGER, {"$ref": None}),
])  # fmt: skip
def test_what_says_that_it_is_blank_is_unassigned(path: str, value: Any) -> None:
    before = a_member(
        emails=[WORK], phoneNumbers=[{"value": "1"}], addresses=[{"locality": "X"}],
        name={"givenName": "Ana"}, **BOSS,
    )  # fmt: skip
    gone = MANAGER.rpartition(":")[2] if path == MANAGER else path

    assert gone not in str(patched(before, replace(path, value)).keys())
    canonicalise({"schemas": [USER_URN], "userName": "a", path: value}, USER, Profile.COMPATIBLE)


@pytest.mark.parametrize("operation", [
    remove("emails", value=""), remove("emails", value={}), remove("emails", value=[{}]),
    remove("emails", value=[WORK, {}]), remove("emails", value=[{"address": "work@x.example"}]),
    remove("emails", value=[{"type": "work", "address": "x"}]), remove("emails", value=5),
    remove("emails.work"), remove("email"), remove("emails", value=[{"value": ""}]),
    remove("name", value={}), remove("name", value={"nick": "A"}), remove("active", value="False"),
    {"op": "remove", "path": "emails", "values": [WORK]}, remove(f"{MANAGER}.$ref"),
    remove(f'{MANAGER}[displayName eq "Bo"]'), remove(f'{MANAGER}[$ref eq "x"]'),
])  # fmt: skip
def test_a_removal_of_values_that_is_not_understood_is_refused(operation: Json) -> None:
    with pytest.raises(ScimError) as caught:
        parsed(replace("title", "Buyer"), operation)

    assert caught.value.status == 400


def test_a_removal_by_value_removes_what_is_there_and_nothing_else() -> None:
    before = a_member(emails=[WORK, HOME])

    for value in ([{"value": "WORK@x.example"}], {"type": "work"}, {"emails": [WORK]}):
        assert patched(before, remove("emails", value=value))["emails"] == [HOME]
    assert patched(before, remove("emails", value=[{"value": "no@x.example"}])) == before


@pytest.mark.parametrize("path", [
    "active", "Active", f"{USER_URN}:active", f"{USER_URN}.active", f"{USER_URN}/active",
    f"{USER_URN}::active", f"{ENTERPRISE_URN}:active", f"{ENTERPRISE_URN}.active", "User.active",
    "user:active", "/active", "ACTIVE", "urn:scim:schemas:core:1.0:active", f" {USER_URN}:Active ",
    "urn:scim:schemas:core:1.0.active",
])  # fmt: skip
@pytest.mark.parametrize("value", [
    False, "False", " false ", {"value": False}, [{"value": "False"}], {"active": "false"},
])  # fmt: skip
def test_a_deactivation_is_one_under_every_name(path: str, value: Any) -> None:
    """Points 9 and 11: in a path, in a path-less value and in a body."""
    wanted = a_member(active=False)
    before = a_member(active=True)

    assert patched(before, replace(path, value)) == wanted
    if path == path.strip():
        assert patched(before, replace(None, {path: value, "badge": 5})) == wanted
        body = {"schemas": [USER_URN], "userName": "ana", path: value}
        assert canonicalise(body, USER, Profile.COMPATIBLE).resource == wanted


@pytest.mark.parametrize("path", [
    "favouriteColour", "name.nick", "urn:acme:2.0:User:badge", "emails.work", "active.value",
    "urn:ietf:params:scim:schemas:core:2.0:Group:displayName", "userName.x", "members.value",
    "urn:ietf:params:scim:schemas:core:2.0:Usr:active", f"{ENTERPRISE_URN}:badge", "",
    f"{USER_URN}:badge", "urn:ietf:params:scim:schema:core:2.0:User:active", "emails[0]",
])  # fmt: skip
def test_a_patch_of_which_nothing_is_known_is_refused(path: str) -> None:
    for operation in (replace(path, "x"), remove(path)):
        with pytest.raises((InvalidPath, InvalidValue, InvalidFilter, NoTarget)):
            parsed(operation)
        with pytest.raises(ScimError):
            parsed(operation, profile=Profile.INTEROP)
    with pytest.raises(InvalidPath) as caught:
        parsed(replace("favouriteColour", "x"), replace(None, {"shoe size": 5}))
    assert "favouriteColour, shoe size" in caught.value.detail


@pytest.mark.parametrize("path", [
    "emails.work", f"{GROUP_URN}:displayName", "urn:ietf:params:scim:schemas:core:2.0:Usr:active",
    "active.value", "email.work",
])  # fmt: skip
def test_a_near_miss_that_may_mean_several_things_is_refused_beside_known_ones(path: str) -> None:
    with pytest.raises(InvalidPath):
        parsed(replace("active", False), replace(path, "x"))


def test_unknown_names_beside_known_ones_are_ignored_and_kept_by_name() -> None:
    patch = parsed(
        replace("badge", "x"), replace(None, {"active": False, "shoe": {"size": 5}}),
        replace("name.nick", "A"), add("urn:acme:2.0:User:badge", 5),
    )  # fmt: skip

    assert patch.operations == ({"op": "replace", "path": "active", "value": False},)
    assert patch.ignored == ("badge", "shoe", "name.nick", "urn:acme:2.0:User:badge")
    with pytest.raises(InvalidSyntax):
        parsed(replace("active", False), replace("badge", "x"), profile=Profile.INTEROP)


def test_a_near_name_beside_the_attribute_itself() -> None:
    body = {"userName": "ana", "emails": [WORK], "email": "b@x.example"}

    canonical = canonicalise(body, USER, Profile.COMPATIBLE)

    assert canonical.resource["emails"] == [WORK]
    assert canonical.ignored == ("email",)
    for twins in (
        {"displayName": "Crew", "members": [A], "member": B},
        {"displayName": "Crew", "member": B, "members": [A]},
    ):
        with pytest.raises(InvalidSyntax):
            canonicalise(twins, GROUP, Profile.COMPATIBLE)
        with pytest.raises(InvalidSyntax):
            parsed(replace(None, dict(twins)), schema=GROUP)
    with pytest.raises(InvalidSyntax):
        canonicalise(
            {"userName": "ana", "active": True, ENTERPRISE_URN: {"active": False}},
            USER,
            Profile.COMPATIBLE,
        )


@pytest.mark.parametrize("name", ["emails.work", 'emails[type eq "work"].value', "active.value"])
def test_a_path_in_a_body_that_is_no_single_value_is_refused(name: str) -> None:
    with pytest.raises(InvalidSyntax):
        canonicalise({"userName": "ana", name: "a@x.example"}, USER, Profile.COMPATIBLE)


@pytest.mark.parametrize(("schemas", "is_taken"), [
    ([USER_URN], True), (None, True), ([], True), (USER_URN, True), ([USER_URN.lower()], True),
    ([USER_URN, "urn:acme:params:2.0:User"], True), ([USER_URN, ENTERPRISE_URN], True),
    (["urn:acme:params:2.0:User"], False), ([ENTERPRISE_URN], False),
    ([USER_URN, GROUP_URN], False),
    ([GROUP_URN], False), (["User"], False), ([USER_URN, ""], False), ([USER_URN, 5], False),
    ([USER_URN, "urn:ietf:params:scim:schemas:core:2.0:Device"], False),
    (["urn:ietf:params:scim:api:messages:2.0:PatchOp"], False), ("urn:acme:2.0:User", False),
    ([USER_URN, "urn:ietf:params:scim:api:messages:2.0:PatchOp"], False), ({}, False),
    ([""], False),
])  # fmt: skip
def test_schemas_of_a_body_name_its_resource(schemas: Any, is_taken: bool) -> None:
    """RFC 7643 §3, RFC 7644 §3.3."""
    body = {"schemas": schemas, "userName": "ana"}
    if is_taken:
        assert canonicalise(body, USER, Profile.COMPATIBLE).resource == {"userName": "ana"}
    else:
        with pytest.raises(InvalidSyntax):
            canonicalise(body, USER, Profile.COMPATIBLE)


def test_a_vendor_s_extension_is_an_unknown_name_where_its_object_is_there() -> None:
    """In a PUT its URN alone is an unknown schema; a create by one must not keep somebody out."""
    acme = "urn:acme:params:2.0:User"
    alone = {"schemas": [USER_URN, acme], "userName": "ana"}
    body = {**alone, acme: {"badge": "7"}}

    for read in (
        canonicalise(body, USER, Profile.COMPATIBLE, is_replace=True),
        canonicalise(body, USER, Profile.COMPATIBLE),
        canonicalise(alone, USER, Profile.COMPATIBLE),
    ):
        assert read.resource == {"userName": "ana"}
        assert acme in read.ignored
    with pytest.raises(InvalidSyntax, match="no schema of this resource type"):
        canonicalise(alone, USER, Profile.COMPATIBLE, is_replace=True)
    with pytest.raises(InvalidSyntax):
        canonicalise(body, USER, Profile.INTEROP)


@pytest.mark.parametrize(("schemas", "is_taken"), [
    (["urn:ietf:params:scim:api:messages:2.0:PatchOp"], True), (None, True), ([], True),
    (["urn:ietf:params:scim:api:messages:2.0:PATCHOP"], True),
    ("urn:ietf:params:scim:api:messages:2.0:PatchOp", True),
    (["urn:scim:api:messages:2.0:PatchOp"], True), ([USER_URN], False), (USER_URN, False),
    (["urn:ietf:params:scim:api:messages:2.0:PatchOp", USER_URN], False), (["x"], False),
    (["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], False), ([[]], False), ({}, False),
])  # fmt: skip
def test_schemas_of_a_patch_name_a_patch(schemas: Any, is_taken: bool) -> None:
    """RFC 7644 §3.5.2."""
    body = {"schemas": schemas, "Operations": [replace("active", False)]}
    if is_taken:
        assert parse_patch(body, USER, Profile.COMPATIBLE).operations
    else:
        with pytest.raises(InvalidSyntax):
            parse_patch(body, USER, Profile.COMPATIBLE)


@pytest.mark.parametrize(("path", "wanted"), [
    ('manager[value eq "boss-1"]', {}), ('manager[value eq "boss-2"]', BOSS),
    (f'{MANAGER}[value eq "boss-1"].value', {}), ('MANAGER[VALUE EQ "boss-1"]', {}),
    (f'{ENTERPRISE_URN}.manager[value eq "boss-1"]', {}), ("manager[value eq boss-1]", {}),
    ('manager[$ref eq "https://idp.example/Users/boss-1"]', {}), ('manager[value ne "x"]', {}),
])  # fmt: skip
def test_a_manager_is_removed_where_the_filter_matches(path: str, wanted: Json) -> None:
    """Point 12: Entra's own form; without effect where it does not match."""
    assert patched(a_member(**BOSS), remove(path)) == a_member(**wanted)
    assert patched(a_member(), remove(path)) == a_member()
    with pytest.raises(ScimError):
        parsed(remove(path), profile=Profile.INTEROP)


def test_a_single_value_is_written_where_the_filter_matches() -> None:
    before = a_member(name={"givenName": "Ana", "familyName": "Ek"}, **BOSS)

    after = patched(
        before,
        replace('name[givenName eq "Ana"].familyName', "Å"),
        replace('manager[value eq "boss-1"]', "boss-2"),
    )

    assert after["name"] == {"givenName": "Ana", "familyName": "Å"}
    assert after[ENTERPRISE_URN] == {"manager": {"value": "boss-2"}}
    assert patched(a_member(), add('manager[value eq "m"].value', "m"))[ENTERPRISE_URN] == {
        "manager": {"value": "m"}
    }
    with pytest.raises(NoTarget):
        patched(before, replace('name[givenName eq "Bo"].familyName', "Å"))


def test_a_filter_on_one_is_refused_by_the_rules_before_it() -> None:
    operations = parsed(remove('manager[value eq "boss-1"]')).operations

    with pytest.raises(InvalidPath):
        apply_patch(a_member(), operations, USER, Profile.COMPATIBLE, filter_on_one=False)


IDS = st.sampled_from([A, B, C])


def _wraps() -> st.SearchStrategy[Callable[[Any], Any]]:
    layers: list[Callable[[Any], Any]] = [
        lambda each: each,
        lambda each: [each],
        lambda each: [each, {}],
        lambda each: {"value": each},
        lambda each: {"members": each},
        lambda each: {"Members": each, "x": 1},
        lambda each: {"id": each},
        lambda each: {"value": each, "operation": "delete"},
        lambda each: {"$ref": f"https://idp.example/Users/{each}"},
        lambda each: {"value": each, "display": "x", "colour": 1},
        lambda each: f"{each}",
        lambda each: f"{each},",
        lambda each: f" {each} ",
        lambda each: str(each).upper(),
        lambda each: f'["{each}"]',
        lambda each: f'{{"value": "{each}"}}',
        lambda each: None,
    ]
    return st.lists(st.sampled_from(layers), max_size=3).map(_composed)


def _composed(layers: list[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def wrapped(value: Any) -> Any:
        for layer in layers:
            value = layer(value)
        return value

    return wrapped


PATHS = st.sampled_from(
    ["members", "Members", "member", f"{GROUP_URN}:members", f"{GROUP_URN}.members", "/members"]
)


@given(who=IDS, wrap=_wraps(), path=PATHS)
def test_who_is_named_in_a_removal_is_out_or_the_removal_is_refused(
    who: str, wrap: Callable[[Any], Any], path: str
) -> None:
    value = wrap(who)
    if value is None:
        return
    try:
        after = group_after({A, B, C}, {"op": "Remove", "path": path, "value": value})
    except ScimError:
        return
    named = {each for each in (A, B, C) if each in str(value).lower()}
    assert after == {A, B, C} - named


@given(who=IDS, wrap=_wraps(), path=PATHS, op=st.sampled_from(["add", "replace"]))
def test_who_is_named_in_a_value_is_in_or_the_request_is_refused(
    who: str, wrap: Callable[[Any], Any], path: str, op: str
) -> None:
    value = wrap(who)
    if "none" in str(value).lower() and value is not None:
        return
    before = {A, B, C} - {who}
    try:
        after = group_after(before, {"op": op, "path": path, "value": value})
    except ScimError:
        return
    if who not in str(value).lower():
        # A wrapping that loses the id; only null and an empty list clear.
        assert after == (set() if op == "replace" and _is_nothing(value) else before)
    elif "delete" in str(value):
        assert after == before - {who}
    else:
        assert after == ({who} if op == "replace" else before | {who})


def _is_nothing(value: Any) -> bool:
    if isinstance(value, dict) and len(value) == 1:
        ((name, value),) = value.items()
        return name.lower() == "members" and _is_nothing(value)
    return value is None or value == []


@given(
    value=st.recursive(
        st.sampled_from([False, True, None, "False", "true", "", 0, 1, "no"]),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.sampled_from(["value", "active", "x"]), inner, max_size=2)
        ),
        max_leaves=3,
    ),
    path=st.sampled_from(["active", f"{USER_URN}.active", "ACTIVE", None]),
)
def test_active_ends_as_the_value_says_or_the_request_is_refused(value: Any, path: Any) -> None:
    try:
        after = patched(
            a_member(active=True),
            replace(path, value) if path else replace(None, {"active": value}),
        )
    except ScimError:
        return
    text = str(value).lower()
    if "active" in after:
        assert ("false" in text) is not after["active"]
    else:
        assert "none" in text
        assert "false" not in text
        assert "true" not in text
