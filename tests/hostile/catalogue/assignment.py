"""Assigning what is not the client's: ids, groups, states, other organisations' resources."""

from typing import Any, Final

from tests.hostile.entry import ENTERPRISE, GROUP, PATCH, USER, Entry, patch, send, user

_IGNORED = "RFC 7644 §3.3: what only the server sets is ignored"
_UNKNOWN = "no attribute of SCIM: ignored in the compatible profile"
_TEXT = "only text here: it opens nothing"
_FORGED = "01900000-0000-7000-8000-00000000f00d"

_CREATES: Final[list[tuple[str, dict[str, Any], str, tuple[str, ...]]]] = [
    ("id", {"id": _FORGED}, _IGNORED, (_FORGED,)),
    ("id of the victim", {"id": "<<victim_member>>"}, _IGNORED, ("<<victim_member>>",)),
    ("id of one's own", {"id": "<<member>>"}, _IGNORED, ("<<member>>",)),
    ("id number", {"id": 1}, _IGNORED, ()),
    ("id object", {"id": {"$ne": None}}, _IGNORED, ()),
    ("ID", {"ID": _FORGED}, _IGNORED, (_FORGED,)),
    ("id by URN", {f"{USER}:id": _FORGED}, _IGNORED, (_FORGED,)),
    (
        "meta",
        {"meta": {"created": "1970-01-01T00:00:00Z", "version": 'W/"forged"'}},
        _IGNORED,
        ("1970-01-01", "forged"),
    ),
    ("meta location", {"meta": {"location": "http://evil.example/"}}, _IGNORED, ("evil.example",)),
    ("meta type", {"meta": {"resourceType": "Group"}}, _IGNORED, ()),
    ("meta text", {"meta": "<<mark>>"}, _IGNORED, ("<<mark>>",)),
    ("groups", {"groups": [{"value": "<<group>>"}]}, _IGNORED, ("<<group>>",)),
    (
        "groups of the victim",
        {"groups": [{"value": "<<victim_group>>"}]},
        _IGNORED,
        ("<<victim_group>>",),
    ),
    ("groups text", {"groups": "admin<<mark>>"}, _IGNORED, ("<<mark>>",)),
    (
        "organisation_id",
        {"organisation_id": "<<victim_organisation>>"},
        _UNKNOWN,
        ("<<victim_organisation>>",),
    ),
    (
        "organisationId",
        {"organisationId": "<<victim_organisation>>"},
        _UNKNOWN,
        ("<<victim_organisation>>",),
    ),
    (
        "tenant",
        {"tenant": {"id": "<<victim_organisation>>"}},
        _UNKNOWN,
        ("<<victim_organisation>>",),
    ),
    ("status", {"status": "confirmed<<mark>>"}, _UNKNOWN, ("<<mark>>",)),
    ("restore_status", {"restore_status": "confirmed"}, _UNKNOWN, ("confirmed",)),
    ("invitation", {"invitation_id": _FORGED, "invitationId": _FORGED}, _UNKNOWN, (_FORGED,)),
    ("version", {"version": _FORGED}, _UNKNOWN, (_FORGED,)),
    ("user_name_key", {"user_name_key": "<<victim_name>>"}, _UNKNOWN, ("<<victim_name>>",)),
    ("members", {"members": [{"value": "<<victim_member>>"}]}, _UNKNOWN, ("<<victim_member>>",)),
    ("isAdmin", {"isAdmin": True, "admin": True, "superuser": True}, _UNKNOWN, ("isAdmin",)),
    ("prototype", {"__proto__": {"isAdmin": True}}, _UNKNOWN, ("isAdmin",)),
    ("owner", {"owner": "<<victim_member>>", "createdBy": "x"}, _UNKNOWN, ("<<victim_member>>",)),
    ("schemas", {"schemas": [USER, "urn:evil:2.0:Admin"]}, "schemas is derived", ("urn:evil",)),
    (
        "unused extension",
        {"schemas": [USER, ENTERPRISE]},
        "schemas is derived from what is there",
        (),
    ),
    ("roles", {"roles": [{"value": "admin", "primary": True}]}, _TEXT, ()),
    ("externalId of the victim", {"externalId": "<<victim_member>>"}, _TEXT, ("<<victim_name>>",)),
    (
        "externalId as the victim's",
        {"externalId": "<<victim_external>>"},
        _TEXT,
        ("<<victim_member>>",),
    ),
    ("externalId one", {"externalId": "1"}, "CVE-2025-41115: it is no row number", ()),
    (
        "manager of the victim",
        {ENTERPRISE: {"manager": {"value": "<<victim_member>>"}}},
        "kept as the id of nobody: managers may arrive later; no name is looked up",
        ("<<victim_name>>", "Victoria"),
    ),
    (
        "manager's name",
        {ENTERPRISE: {"manager": {"value": "<<member>>", "displayName": "<<mark>>"}}},
        _IGNORED,
        ("<<mark>>",),
    ),
    (
        "manager's reference",
        {ENTERPRISE: {"manager": {"value": "x", "$ref": "http://evil.example/Users/x"}}},
        _IGNORED,
        ("evil.example",),
    ),
    (
        "userName of the victim",
        {"userName": "<<victim_name>>"},
        "unique within an organisation only: no oracle",
        ("<<victim_member>>",),
    ),
]

ENTRIES: Final[tuple[Entry, ...]] = (
    *(
        user({201}, name, why, never_=never, **attributes)
        for name, attributes, why, never in _CREATES
    ),
    send(
        "PUT another id",
        "PUT",
        "/Users/<<member>>",
        {"schemas": [USER], "userName": "target@asker.example", "id": "<<victim_member>>"},
        {200},
        _IGNORED,
        never=("<<victim_member>>",),
    ),
    send(
        "PUT creates nothing",
        "PUT",
        f"/Users/{_FORGED}",
        {"schemas": [USER], "userName": "forged<<n>>@asker.example", "id": _FORGED},
        {404},
        "RFC 7644 §3.5.1: PUT never creates",
    ),
    send(
        "PUT the victim's",
        "PUT",
        "/Users/<<victim_member>>",
        {"schemas": [USER], "userName": "<<victim_name>>", "active": False},
        {404},
        "as if it were absent",
    ),
    send(
        "a group's id",
        "POST",
        "/Groups",
        {"schemas": [GROUP], "displayName": "G<<n>>", "id": "<<victim_group>>"},
        {201},
        _IGNORED,
        never=("<<victim_group>>",),
    ),
    patch(
        "a group's id by PATCH",
        [{"op": "replace", "path": "id", "value": "<<victim_group>>"}],
        {400},
        "readOnly: 400 mutability",
        of="group",
    ),
    patch(
        "the victim's version in If-Match",
        [{"op": "replace", "path": "title", "value": "x"}],
        {412},
        "a version of somebody else's resource does not match",
        headers=(("If-Match", 'W/"<<victim_version>>"'),),
    ),
    patch(
        "If-Match that is none",
        [{"op": "replace", "path": "title", "value": "x"}],
        {400, 412},
        "malformed, or no version of it; never applied",
        headers=(("If-Match", "<<mark>>"),),
    ),
    patch(
        "If-Match by SQL",
        [{"op": "replace", "path": "title", "value": "x"}],
        {400, 412},
        "malformed, or no version of it; never applied",
        headers=(("If-Match", 'W/"\' OR 1=1 --"'),),
    ),
    send(
        "PATCH of the victim's",
        "PATCH",
        "/Users/<<victim_member>>",
        {"schemas": [PATCH], "Operations": [{"op": "replace", "path": "active", "value": False}]},
        {404},
        "as if it were absent",
        headers=(("If-Match", 'W/"<<victim_version>>"'),),
    ),
)
