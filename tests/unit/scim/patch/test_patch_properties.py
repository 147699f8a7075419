"""What holds for every PATCH."""

import contextlib
import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rollcall.scim.errors import ScimError
from rollcall.scim.patch.patch import apply_patch, parse_patch
from rollcall.scim.profile import Profile
from rollcall.scim.resource import canonicalise, represent
from rollcall.scim.schema import GROUP, USER, ResourceSchema
from tests.support.samples import strategies

PROFILES = st.sampled_from(list(Profile))


def _canonical(body: dict[str, Any], schema: ResourceSchema = USER) -> dict[str, Any]:
    return canonicalise(body, schema, Profile.COMPATIBLE).resource


@given(body=strategies.patches, profile=PROFILES, schema=st.sampled_from([USER, GROUP]))
def test_no_patch_raises_anything_but_scim_errors(
    body: dict[str, Any], profile: Profile, schema: ResourceSchema
) -> None:
    with contextlib.suppress(ScimError):
        parse_patch(body, schema, profile)


@given(user=strategies.users(), body=strategies.patches, profile=PROFILES)
def test_apply_is_atomic_and_leaves_its_input_alone(
    user: dict[str, Any], body: dict[str, Any], profile: Profile
) -> None:
    before = _canonical(user)
    untouched = copy.deepcopy(before)
    try:
        patch = parse_patch(body, USER, profile)
        operations = copy.deepcopy(patch.operations)
        apply_patch(before, patch.operations, USER, profile)
        assert patch.operations == operations
    except ScimError:
        pass

    assert before == untouched


@given(user=strategies.users(), body=strategies.patches)
def test_result_is_canonical(user: dict[str, Any], body: dict[str, Any]) -> None:
    try:
        patch = parse_patch(body, USER, Profile.COMPATIBLE)
        after = apply_patch(_canonical(user), patch.operations, USER, Profile.COMPATIBLE)
    except ScimError:
        return

    shown = represent(
        after, USER, id="7", created="c", last_modified="m", version="v", location="l"
    )
    assert _canonical(shown) == after


REPLACES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["title", "nickName"]), st.sampled_from(["A", "B", None])),
        st.tuples(st.just("emails"), st.lists(strategies.emails, max_size=3)),
        st.tuples(st.just("name"), st.fixed_dictionaries({"givenName": st.sampled_from("AB")})),
        st.tuples(
            st.sampled_from(['emails[type eq "work"].value', 'emails[type eq "home"].value']),
            st.sampled_from(["a@x.example", "d@x.example"]),
        ),
        st.tuples(st.just("emails[primary eq true].display"), st.sampled_from("AB")),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda pair: pair[0].partition("[")[0],
)


@given(user=strategies.users(), replaces=REPLACES)
def test_replacing_twice_is_once(user: dict[str, Any], replaces: list[tuple[str, Any]]) -> None:
    operations = [{"op": "replace", "path": path, "value": value} for path, value in replaces]
    patch = parse_patch({"Operations": operations}, USER, Profile.COMPATIBLE)

    once = apply_patch(_canonical(user), patch.operations, USER, Profile.COMPATIBLE)
    twice = apply_patch(once, patch.operations, USER, Profile.COMPATIBLE)

    assert twice == once


@given(user=strategies.users())
def test_patch_with_what_is_there_changes_nothing(user: dict[str, Any]) -> None:
    """RFC 7644 §3.5.2: such a PATCH must not move lastModified."""
    resource = _canonical(user)
    for op in ("add", "replace"):
        patch = parse_patch(
            {"Operations": [{"op": op, "value": resource}]}, USER, Profile.COMPATIBLE
        )

        assert apply_patch(resource, patch.operations, USER, Profile.COMPATIBLE) == resource


@given(user=strategies.users(), wanted=strategies.users())
def test_path_less_replace_arrives(user: dict[str, Any], wanted: dict[str, Any]) -> None:
    before, target = _canonical(user), _canonical(wanted)
    flat = {name: value for name, value in target.items() if not isinstance(value, dict)}
    patch = parse_patch(
        {"Operations": [{"op": "replace", "value": flat}]}, USER, Profile.COMPATIBLE
    )

    after = apply_patch(before, patch.operations, USER, Profile.COMPATIBLE)

    assert {name: after[name] for name in flat} == flat
