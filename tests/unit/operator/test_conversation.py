"""The player's pure half: dotted paths, variables, comparison."""

import pytest

from rollcall_local.demo import conversation
from rollcall_local.demo.conversation import MISSING, Expectation, differences, dig, fill

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("", {"emails": [{"value": "ana@x.example"}], f"{ENTERPRISE}": {"department": "Ops"}}),
        ("emails.0.value", "ana@x.example"),
        ("emails.length", 1),
        (f"{ENTERPRISE}.department", "Ops"),
        ("emails.1.value", MISSING),
        ("emails.x", MISSING),
        ("name.givenName", MISSING),
    ],
)
def test_dig_follows_dotted_paths_through_urns_and_lists(path: str, value: object) -> None:
    document = {"emails": [{"value": "ana@x.example"}], ENTERPRISE: {"department": "Ops"}}

    found = dig(document, path)

    assert found is value if value is MISSING else found == value


def test_length_of_an_empty_object_is_zero() -> None:
    assert dig({}, "Resources.length") == 0


def test_fill_replaces_known_names_everywhere_and_leaves_unknown_ones() -> None:
    value = {"path": "/Users/${ana}", "list": ["${ana}", 3, None], "${ana}": "${nobody}"}

    filled = fill(value, {"ana": "42"})

    assert filled == {"path": "/Users/42", "list": ["42", 3, None], "42": "${nobody}"}


def test_an_answer_as_expected_has_no_differences() -> None:
    expect = Expectation(201, must_contain={"userName": "${name}"}, must_not_contain=("password",))

    found = differences(expect, 201, {"userName": "ana", "password": None}, {"name": "ana"})

    assert found == []


def test_another_status_is_the_only_difference_named() -> None:
    expect = Expectation(201, must_contain={"userName": "ana"})

    assert differences(expect, 500, None, {}) == ["status 500, expected 201"]


def test_a_status_that_is_also_ok_ends_the_comparison() -> None:
    expect = Expectation(200, also_ok=(204,), must_contain={"userName": "ana"})

    assert differences(expect, 204, None, {}) == []


def test_absent_wrong_and_forbidden_values_are_each_named() -> None:
    expect = Expectation(200, must_contain={"a": 1, "b": 2}, must_not_contain=("password", "empty"))

    found = differences(expect, 200, {"b": 3, "password": "x", "empty": []}, {})

    assert found == [
        "a is absent, expected 1",
        "b is 3, expected 2",
        "password is present",
    ]


def test_an_absent_list_is_as_good_as_an_empty_one() -> None:
    expect = Expectation(200, must_contain={"members": [], "members.length": 0})

    assert differences(expect, 200, {"id": "1"}, {}) == []


def test_the_order_of_schemas_means_nothing() -> None:
    expect = Expectation(200, must_contain={"schemas.0": "urn:b"})

    assert differences(expect, 200, {"schemas": ["urn:a", "urn:b"]}, {}) == []
    assert differences(expect, 200, {"schemas": ["urn:a"]}, {}) != []


@pytest.mark.parametrize("name", conversation.NAMES)
def test_every_conversation_loads_and_saves_what_its_later_steps_name(name: str) -> None:
    steps = conversation.load(name)

    known = {"apiKey", "otherOrgApiKey"}
    for step in steps:
        for text in (step.path, str(step.body), str(step.headers)):
            assert set(conversation._VARIABLE.findall(text)) <= known, step.id
        known |= set(step.save)
    assert len({step.id for step in steps}) == len(steps) > 0
