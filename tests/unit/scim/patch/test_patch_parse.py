"""What a PATCH is refused for without looking at the resource (RFC 7644 §3.5.2)."""

from typing import Any

import orjson
import pytest

from rollcall.scim.errors import (
    InvalidFilter,
    InvalidPath,
    InvalidSyntax,
    InvalidValue,
    Mutability,
    NoTarget,
    ScimError,
)
from rollcall.scim.patch.patch import PATCH_URN, apply_patch, parse_patch
from rollcall.scim.patch.path import PatchPath, read_path
from rollcall.scim.profile import Profile
from rollcall.scim.schema import ENTERPRISE_URN, GROUP, USER, USER_URN
from tests.unit.scim.patching import a_member, add, parsed, remove, replace


@pytest.mark.parametrize("body", [
    {}, {"Operations": []}, {"Operations": None}, {"Operations": {}}, {"Operations": "x"},
    {"Operations": [5]}, {"Operations": [{}]}, {"Operations": [{"op": "move", "path": "title"}]},
    {"Operations": [{"op": None, "path": "title"}]}, {"members": [{"value": "a"}]},
])  # fmt: skip
def test_body_without_operations_is_invalid_syntax(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidSyntax):
        parse_patch({"schemas": [PATCH_URN], **body}, USER, Profile.COMPATIBLE)


def test_names_of_the_message_have_no_letter_case() -> None:
    body = {"SCHEMAS": [PATCH_URN], "operations": [{"OP": "add", "Path": "title", "VALUE": "x"}]}

    patch = parse_patch(body, USER, Profile.INTEROP)

    assert patch.operations == ({"op": "add", "path": "title", "value": "x"},)


def test_schemas_are_asked_for_in_interop_only() -> None:
    body = {"Operations": [add("title", "Buyer")]}

    assert parse_patch(body, USER, Profile.COMPATIBLE).repairs == ("missing-schemas",)
    with pytest.raises(InvalidSyntax):
        parse_patch(body, USER, Profile.INTEROP)


def test_number_of_operations_has_a_limit() -> None:
    with pytest.raises(InvalidValue):
        parsed(*[add("title", "Buyer")] * 1001)


@pytest.mark.parametrize("path", [
    "emails[", "emails]", "emails[]x", 'emails[type eq "work"', 'emails[type eq "work"]value',
    'emails[type eq "work"].a.b', "title title", "5title", "name..givenName", "userName.first",
    "title[value pr]", 'emails.value[type eq "x"]', "a\nb", "x" * 9000, ".",
    f"{ENTERPRISE_URN}[department pr]", "__proto__[0]",
])  # fmt: skip
@pytest.mark.parametrize("profile", Profile)
def test_path_that_cannot_be_read_is_invalid_path(path: str, profile: Profile) -> None:
    with pytest.raises(InvalidPath):
        parsed(add(path, "x"), profile=profile)


def test_path_must_be_text() -> None:
    with pytest.raises(InvalidPath):
        parsed({"op": "add", "path": 5, "value": "x"})


@pytest.mark.parametrize("path", [
    "emails[]", "emails[0].value", 'emails[type xx "work"]', 'emails[nobody eq "x"]',
    "emails[type eq ]", 'emails[emails[type eq "x"]]',
])  # fmt: skip
def test_filter_of_a_path_that_cannot_be_read_is_invalid_filter(path: str) -> None:
    with pytest.raises((InvalidFilter, InvalidPath)):
        parsed(add(path, "x"))


@pytest.mark.parametrize(("given_path", "canonical"), [
    ("DISPLAYNAME", "displayName"),
    (f"{USER_URN}:Name.GivenName", "name.givenName"),
    (f"{ENTERPRISE_URN.upper()}:DEPARTMENT", f"{ENTERPRISE_URN}:department"),
    ('Emails[Type EQ "work"  and(not (Value sw "a"))].Value',
     'emails[type eq "work" and not (value sw "a")].value'),
    ('emails[value eq "a]\\"b"].type', 'emails[value eq "a]\\"b"].type'),
    ("emails[type eq work].value", 'emails[type eq "work"].value'),
    ('emails[(type eq "a" or type eq "b") and value pr].display',
     'emails[(type eq "a" or type eq "b") and value pr].display'),
    ("emails[primary eq True].display", "emails[primary eq true].display"),
])  # fmt: skip
def test_path_is_spelt_canonically(given_path: str, canonical: str) -> None:
    patch = parsed(add(given_path, "x@y.example"))

    assert patch.operations[0]["path"] == canonical


def test_canonical_path_means_the_same_when_read_again() -> None:
    text = parsed(add("emails[type eq work or value co x].value", "y@x.example")).operations[0]

    for profile in Profile:
        again = read_path(text["path"], USER, profile)
        assert isinstance(again.target, PatchPath)
        assert again.target.text == text["path"]
        assert again.repairs == ()


def test_values_in_the_filter_of_a_path_may_have_unusual_spaces_but_no_controls() -> None:
    (operation,) = parsed(remove('addresses[formatted eq "1\u00a0rue\u200d"]')).operations

    assert operation["path"] == 'addresses[formatted eq "1\u00a0rue\u200d"]'
    for path in ('addresses[formatted eq "1\true"]', "emails\u200d", "emails[type pr].\u200d"):
        with pytest.raises(InvalidPath):
            parsed(remove(path))


def test_every_path_that_is_accepted_can_be_read_again() -> None:
    nested = 'type eq "a"'
    for _ in range(28):
        nested = f'type eq "b" or type eq "c" and not ({nested})'
    nearly_too_long = " or ".join(["type eq wwwwwwww"] * 99)

    for text in (nested, nearly_too_long, "value pr" + " " * 8000):
        (operation,) = parsed(remove(f"emails[{text}]")).operations
        assert read_path(operation["path"], USER, Profile.COMPATIBLE).target is not None
    quoted = " or ".join([f"type eq {'w' * 73}"] * 95)
    assert len(f"emails[{quoted}]") <= 8192
    with pytest.raises(InvalidPath, match="longer"):
        parsed(remove(f"emails[{quoted}]"))


def test_operations_are_json() -> None:
    patch = parsed(
        replace("active", "False"),
        replace(None, {"name": {"givenName": "Ana"}, "emails": [{"value": "a@x.example"}]}),
        remove("title"),
    )

    assert orjson.loads(orjson.dumps(patch.operations)) == list(patch.operations)
    assert "value" not in patch.operations[-1]


def test_values_are_validated_at_once() -> None:
    with pytest.raises(InvalidValue) as caught:
        parsed(add("title", "Buyer"), replace('emails[type eq "work"].value', "no address"))

    assert caught.value.attribute == "emails.value"


@pytest.mark.parametrize("value", ["x", ["x"], 5, True])
def test_path_less_value_must_be_an_object(value: Any) -> None:
    with pytest.raises(InvalidValue):
        parsed(replace(None, value))


def test_first_failing_operation_decides() -> None:
    with pytest.raises(NoTarget):
        parsed(replace("displayName", "Changed"), remove(None), add("id", "x"))


def test_unknown_attribute_is_ignored_or_refused_by_profile() -> None:
    patch = parsed(add("favouriteColour", "green"), replace("displayName", "Crew"), schema=GROUP)

    assert [operation["path"] for operation in patch.operations] == ["displayName"]
    with pytest.raises(InvalidSyntax) as caught:
        parsed(add("favouriteColour", "green"), profile=Profile.INTEROP)
    assert caught.value.attribute == "favouriteColour"


@pytest.mark.parametrize("name", [
    "urn:scim:schemas:extension:slack:guest:1.0", "urn:example:ext:2.0:Custom.attr.deep",
    "a.b.c", "_x.y", "Cost v1.0", "\u00e9.\u00e9",
])  # fmt: skip
def test_names_of_no_schema_are_ignored_beside_others_wherever_they_stand(name: str) -> None:
    known = {"department": "Sales"}
    operations = ({"op": "add", "path": f"{ENTERPRISE_URN}:department", "value": "Sales"},)

    for given in (
        add(None, {name: {"x": 1}, ENTERPRISE_URN: known}),
        add(None, {ENTERPRISE_URN: {name: 1, **known}}),
        replace(ENTERPRISE_URN, {name: 1, **known}),
    ):
        patch = parsed(given)
        assert [{**operation, "op": "add"} for operation in patch.operations] == list(operations)
        assert "unknown-attribute" in patch.repairs
    with pytest.raises(InvalidSyntax):
        parsed(add(ENTERPRISE_URN, {name: 1, **known}), profile=Profile.INTEROP)


def test_a_schema_urn_that_ends_in_a_number_is_a_path() -> None:
    old = "urn:scim:schemas:extension:enterprise:1.0"
    canonical = ({"op": "add", "path": f"{ENTERPRISE_URN}:department", "value": "Sales"},)

    for given in (add(old, {"department": "Sales"}), add(None, {old: {"department": "Sales"}})):
        patch = parsed(given)
        assert patch.operations == canonical
        assert "old-urn" in patch.repairs
    with pytest.raises(InvalidSyntax):
        parsed(add("urn:scim:schemas:extension:slack:guest:1.0", {}), profile=Profile.INTEROP)


def test_read_only_names_in_an_extension_of_a_path_less_value_are_dropped() -> None:
    patch = parsed(add(None, {ENTERPRISE_URN: {"manager.displayName": "Bo", "division": "D"}}))

    assert [operation["path"] for operation in patch.operations] == [f"{ENTERPRISE_URN}:division"]
    assert "read-only-dropped" in patch.repairs


def test_schemas_and_refs_are_the_servers() -> None:
    patch = parsed(replace("schemas", ["x"]), replace(f"{ENTERPRISE_URN}:manager.$ref", ""))

    assert patch.operations == ()
    with pytest.raises(Mutability):
        parsed(replace("groups.$ref", "https://x.example"))


def test_applying_checks_what_is_required() -> None:
    with pytest.raises(ScimError):
        apply_patch({"title": "Cook"}, [], USER, Profile.COMPATIBLE)


def test_no_operations_are_no_change() -> None:
    assert apply_patch(a_member(), [], USER, Profile.COMPATIBLE) == a_member()
