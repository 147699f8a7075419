"""Groups: members of others, of nobody, of themselves, too many, or of the wrong kind."""

from typing import Any, Final

from tests.hostile.entry import GROUP, USER, Entry, patch, send

_SKIPPED = "architecture §5: unknown members are skipped, never an error (compatible)"
_KIND = "no reference: 400 invalidValue"
_ABSENT = "01900000-0000-7000-8000-00000000dead"


def _group(name: str, members: Any, expected: set[int], why: str, **more: Any) -> Entry:
    body = {"schemas": [GROUP], "displayName": "Hostile<<n>>", "members": members}
    return send(name, "POST", "/Groups", body, expected, why, **more)


def _add(name: str, value: Any, expected: set[int], why: str, **more: Any) -> Entry:
    operations = [{"op": "add", "path": "members", "value": value}]
    return patch(name, operations, expected, why, of="group", **more)


_MEMBERS: Final[list[tuple[str, Any, str]]] = [
    ("of the victim", [{"value": "<<victim_member>>"}], _SKIPPED),
    ("the victim's group", [{"value": "<<victim_group>>", "type": "Group"}], _SKIPPED),
    (
        "the victim by reference",
        [
            {
                "value": "<<victim_member>>",
                "$ref": "/v2/<<victim_organisation>>/Users/<<victim_member>>",
            }
        ],
        _SKIPPED,
    ),
    ("nobody", [{"value": _ABSENT}], _SKIPPED),
    ("no UUID", [{"value": "<<mark>>"}], _SKIPPED),
    ("a number as text", [{"value": "1"}], _SKIPPED),
    ("SQL", [{"value": "' OR 1=1 --"}], _SKIPPED),
    ("a path", [{"value": "../Users/<<victim_member>>"}], _SKIPPED),
    ("nil", [{"value": "00000000-0000-0000-0000-000000000000"}], _SKIPPED),
    ("a group of one's own", [{"value": "<<group>>", "type": "Group"}], _SKIPPED),
]

_UNREAD = "who is meant cannot be read: 400 invalidValue (decision 0041)"

_WRONG: Final[list[tuple[str, Any, str]]] = [
    ("empty text", "", _UNREAD),
    ("empty object", {}, _UNREAD),
    ("list of null", [None], _UNREAD),
    ("list of nothing", [[]], _UNREAD),
    ("element of nothing", [{}], _UNREAD),
    ("blank id", [{"value": ""}], _UNREAD),
    ("a blank beside somebody", [{"value": "<<member>>"}, {"value": ""}], _UNREAD),
    ("display only", [{"display": "<<mark>>"}], _UNREAD),
    ("id for value", [{"id": "<<member>>"}], _UNREAD),
    ("two ids in a text", "<<member>>,<<member>>", _UNREAD),
    ("two ids with a space", "<<member>> <<member>>", _UNREAD),
    ("a list in value", {"value": [{"value": "<<member>>"}]}, _UNREAD),
    ("number", 5, _KIND),
    ("true", True, _KIND),
    ("list of numbers", [1, 2], _KIND),
    ("list of lists", [["<<member>>"]], _KIND),
    ("value number", [{"value": 5}], _KIND),
    ("value object", [{"value": {"value": "<<member>>"}}], _KIND),
    ("value list", [{"value": ["<<member>>"]}], _KIND),
    ("value true", [{"value": True}], _KIND),
    ("value with NUL", [{"value": "a\0b"}], "U+0000 is refused"),
    ("value with a line break", [{"value": "a\nb"}], _KIND),
    ("value of 321", [{"value": "v" * 321}], "320 at most"),
]

ENTRIES: Final[tuple[Entry, ...]] = (
    *(
        _group(name, members, {201}, why, never=("<<victim_name>>", "Victoria", "victim_member"))
        for name, members, why in _MEMBERS
    ),
    *(
        _add(f"PATCH {name}", members, {200, 204}, why, never=("<<victim_name>>",))
        for name, members, why in _MEMBERS
    ),
    *(
        _group(f"{name}, interop", members, {400}, "interop: 400", profile="interop")
        for name, members, _ in _MEMBERS[:5]
    ),
    *(
        _add(f"PATCH {name}, interop", members, {400}, "interop: 400", profile="interop")
        for name, members, _ in _MEMBERS[:5]
    ),
    *(_group(f"members {name}", members, {400}, why) for name, members, why in _WRONG),
    *(_add(f"PATCH members {name}", members, {400}, why) for name, members, why in _WRONG),
    _add("itself", [{"value": "<<group>>"}], {200, 204, 400}, "members are users: skipped"),
    _group("no members", None, {201}, "null is unassigned"),
    _group("members of null", [None], {201, 400}, "an element that is null"),
    _group("members without value", [{"display": "<<mark>>"}], {201, 400}, "no reference"),
    _group(
        "display",
        [{"value": "<<member>>", "display": "<<mark>>"}],
        {201},
        "derived",
        never=("<<mark>>",),
    ),
    _group("one member 10,000 times", [{"value": "<<member>>"}] * 10_000, {201}, "once in effect"),
    _group(
        "100,001 members",
        [{"value": f"m{n}"} for n in range(100_001)],
        {400, 413},
        "100,000 at most",
    ),
    _group("members as text", "<<member>>", {201, 400}, "docs/idp/generic.md: a bare reference"),
    send("no name", "POST", "/Groups", {"schemas": [GROUP]}, {400}, "displayName is required"),
    send("name number", "POST", "/Groups", {"schemas": [GROUP], "displayName": 5}, {400}, _KIND),
    send(
        "name blank", "POST", "/Groups", {"schemas": [GROUP], "displayName": " "}, {400}, "required"
    ),
    send(
        "name of 1,001",
        "POST",
        "/Groups",
        {"schemas": [GROUP], "displayName": "n" * 1001},
        {400},
        "1,000 at most",
    ),
    send(
        "name with NUL",
        "POST",
        "/Groups",
        {"schemas": [GROUP], "displayName": "a\0"},
        {400},
        "U+0000",
    ),
    send(
        "a user at Groups",
        "POST",
        "/Groups",
        {"schemas": [USER], "userName": "x"},
        {400},
        "no Group",
    ),
    send(
        "the victim's name",
        "POST",
        "/Groups",
        {"schemas": [GROUP], "displayName": "<<victim_group_name>>"},
        {201},
        "unique within an organisation only: no oracle",
        never=("<<victim_group>>",),
    ),
    patch(
        "a member's value",
        [
            {
                "op": "replace",
                "path": 'members[value eq "<<member>>"].value',
                "value": "<<victim_member>>",
            }
        ],
        {200, 204, 400},
        "immutable (RFC 7643 §8.7.1): 400 mutability, or no effect",
        of="group",
        never=("<<victim_name>>",),
    ),
    patch(
        "a member's name",
        [{"op": "replace", "path": 'members[value eq "<<member>>"].display', "value": "<<mark>>"}],
        {200, 204, 400},
        "readOnly: 400 mutability, or no effect",
        of="group",
    ),
    patch(
        "remove the victim's",
        [{"op": "remove", "path": 'members[value eq "<<victim_member>>"]'}],
        {200, 204},
        "removing what is not there is success without change",
        of="group",
    ),
    patch(
        "members by a broken filter",
        [{"op": "remove", "path": 'members[value eq "<<member>>'}],
        {400},
        "400 invalidPath",
        of="group",
    ),
    patch(
        "members by everything",
        [{"op": "remove", "path": "members[value pr or not (value pr)]"}],
        {200, 204, 400},
        "refused, or all of its own members; never anybody else's",
        of="group",
    ),
    patch(
        "members with NUL",
        [{"op": "remove", "path": 'members[value eq "a\0"]'}],
        {400},
        "U+0000 is refused",
        of="group",
    ),
)
