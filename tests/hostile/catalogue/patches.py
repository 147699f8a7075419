"""PATCH bodies (RFC 7644 §3.5.2) that aim beside the resource."""

from typing import Any, Final

from tests.hostile.entry import ENTERPRISE, PATCH, USER, Entry, patch, send

_SHAPE = "RFC 7644 §3.5.2: the message's shape is wrong"
_PATH = "no path of RFC 7644 §3.5.2, so 400 invalidPath"
_OURS = "readOnly: 400 mutability (RFC 7643 §2.2)"
_LAX = "refused, or ignored as unknown in the compatible profile; never resolved by getattr"


def _replace(path: Any, value: Any = "<<mark>>") -> list[Any]:
    return [{"op": "replace", "path": path, "value": value}]


def _raw(name: str, body: Any, why: str) -> Entry:
    return send(name, "PATCH", "/Users/<<member>>", body, {400}, why)


_BAD_OPERATIONS: Final[list[tuple[str, Any, str]]] = [
    ("operations null", None, _SHAPE),
    ("operations empty", [], "at least one operation"),
    ("operations text", "<<mark>>", _SHAPE),
    ("operations number", 1, _SHAPE),
    ("operation text", ["<<mark>>"], _SHAPE),
    ("operation null", [None], _SHAPE),
    ("operation list", [[{"op": "add"}]], _SHAPE),
    ("op missing", [{"path": "title", "value": "x"}], _SHAPE),
    ("op null", [{"op": None, "path": "title", "value": "x"}], _SHAPE),
    ("op number", [{"op": 5, "path": "title", "value": "x"}], _SHAPE),
    ("op list", [{"op": ["add"], "path": "title", "value": "x"}], _SHAPE),
    ("op move", [{"op": "move", "from": "title", "path": "nickName"}], "JSON Patch is not SCIM"),
    ("op test", [{"op": "test", "path": "title", "value": "x"}], "JSON Patch is not SCIM"),
    ("op copy", [{"op": "copy", "from": "/a", "path": "/b"}], "JSON Patch is not SCIM"),
    ("op with NUL", [{"op": "add\0", "path": "title", "value": "x"}], "U+0000 is refused"),
    ("op in full width", [{"op": "ａｄｄ", "path": "title", "value": "x"}], "another word"),
    ("1,001 operations", _replace("title") * 1001, "1,000 at most"),
    ("100,000 operations", [{"op": "add"}] * 100_000, "1,000 at most"),
    ("path number", _replace(5), _SHAPE),
    ("path list", _replace(["title"]), _SHAPE),
    ("path object", _replace({"attr": "title"}), _SHAPE),
    ("path open bracket", _replace("emails["), _PATH),
    ("path close bracket", _replace("emails]"), _PATH),
    ("path no comparison", _replace("emails[type]"), _PATH),
    ("path no value", _replace("emails[type eq].value"), _PATH),
    ("path two filters", _replace('emails[type eq "a"][type eq "b"]'), _PATH),
    ("path brackets in brackets", _replace('emails[type[a eq "b"] eq "c"]'), _PATH),
    ("path rest", _replace('emails[type eq "work"].value.x.y'), _PATH),
    ("path injection", _replace("title'; DROP TABLE directory.member; --"), _PATH),
    ("path JSON pointer", _replace("/emails/0/value"), _PATH),
    ("path JSON path", _replace("$..value"), _PATH),
    ("path with NUL", _replace("title\0"), "U+0000 is refused"),
    ("path line break", _replace("title\nx"), _PATH),
    ("path of 10,000", _replace("t" * 10_000), _PATH),
    ("path of 40 levels", _replace("emails[" + "(" * 40 + 'type eq "a"' + ")" * 40 + "]"), _PATH),
    ("path of 1,000 nodes", _replace("emails[" + " or ".join(['type eq "a"'] * 1000) + "]"), _PATH),
    ("value missing", [{"op": "replace", "path": "userName"}], "no value to put there"),
    ("replace userName by null", _replace("userName", None), "required"),
    ("replace userName by blank", _replace("userName", " "), "required"),
    ("remove userName", [{"op": "remove", "path": "userName"}], "required: 400 mutability"),
    ("remove without path", [{"op": "remove"}], "400 noTarget"),
    ("id", _replace("id", "<<victim_member>>"), _OURS),
    ("meta", _replace("meta", {"version": "x"}), _OURS),
    ("meta.version", _replace("meta.version"), _OURS),
    ("meta.location", _replace("meta.location", "http://evil.example/"), _OURS),
    ("meta.created", _replace("meta.created", "1970-01-01T00:00:00Z"), _OURS),
    ("groups", _replace("groups", [{"value": "<<victim_group>>"}]), _OURS),
    ("groups add", [{"op": "add", "path": "groups", "value": [{"value": "<<group>>"}]}], _OURS),
    ("groups remove", [{"op": "remove", "path": "groups"}], _OURS),
    ("manager.displayName", _replace(f"{ENTERPRISE}:manager.displayName"), _OURS),
    ("id by URN", _replace(f"{USER}:id", "<<victim_member>>"), _OURS),
    ("ID in capitals", _replace("ID", "<<victim_member>>"), _OURS),
    ("active object", _replace("active", {"is": False}), "no boolean"),
    ("active number", _replace("active", 0), "no boolean"),
    ("externalId number", _replace("externalId", 1), "no text"),
    ("emails of numbers", _replace("emails", [1, 2]), "no list of objects"),
    ("address of two", _replace("emails", [{"value": "a@a.example, b@b.example"}]), "no mailbox"),
    ("active list", _replace("active", []), "no boolean"),
    ("active empty object", _replace("active", {}), "no boolean"),
    ("emails of nothing", _replace("emails", [{}]), "nothing can be read"),
    ("emails empty object", _replace("emails", {}), "nothing can be read"),
    ("name empty object", _replace("name", {}), "nothing can be read"),
    ("manager of another name", _replace("manager", {"id": "1"}), "nothing can be read"),
    ("nothing known", _replace("favouriteColour"), "no operation names anything known"),
    ("emails.work", _replace("emails.work", "x@asker.example"), "may mean several things"),
    (
        "remove beside unknown fields",
        [
            {"op": "remove", "path": "emails", "values": []},
            {"op": "remove", "path": "emails", "filter": "x"},
        ],
        "would remove all",
    ),
    ("good, then bad", [*_replace("title"), *_replace("active", "maybe")], "atomic"),
]

_LOOSE: Final[list[tuple[str, Any, str]]] = [
    ("__proto__", _replace("__proto__.active", False), _LAX),
    ("constructor", _replace("constructor.prototype.active", False), _LAX),
    ("toString", _replace("toString.call", "x"), _LAX),
    ("__class__", _replace("__class__.__init__.__globals__", "x"), _LAX),
    ("path-less __proto__", [{"op": "add", "value": {"__proto__": {"active": False}}}], _LAX),
    ("path-less list", [{"op": "add", "value": [1, 2]}], _LAX),
    ("path-less text", [{"op": "replace", "value": "<<mark>>"}], _LAX),
    ("path-less nothing", [{"op": "replace"}], _LAX),
    ("path-less id", [{"op": "replace", "value": {"id": "<<victim_member>>"}}], _LAX),
    ("path empty", _replace("", "x"), _LAX),
    ("path blank", _replace("   ", "x"), _LAX),
    ("path of another type", _replace("members", [{"value": "<<victim_member>>"}]), _LAX),
    ("path of a URN alone", _replace("urn:", "x"), _LAX),
    ("organisation_id", _replace("organisation_id", "<<victim_organisation>>"), _LAX),
    ("status", _replace("status", "confirmed"), _LAX),
    ("schemas", _replace("schemas", ["urn:evil:<<n>>"]), _LAX),
    ("name by a number", _replace("emails[0].value", "x@asker.example"), _LAX),
    ("emails by the wrong kind", _replace("emails[primary eq 1].value", "x@a.example"), _LAX),
    (
        "emails by a regular expression",
        _replace('emails[value eq "(a+)+$"].value', "<<mark>>@asker.example"),
        _LAX,
    ),
]

ENTRIES: Final[tuple[Entry, ...]] = (
    *(patch(name, operations, {400}, why) for name, operations, why in _BAD_OPERATIONS),
    *(
        patch(name, operations, {200, 204, 400}, why, never=("<<victim_organisation>>",))
        for name, operations, why in _LOOSE
    ),
    *(
        patch(f"{name}, interop", operations, {400}, "interop: 400", profile="interop")
        for name, operations, _ in _LOOSE[:10]
    ),
    _raw("no operations", {"schemas": [PATCH]}, _SHAPE),
    _raw("a user instead", {"schemas": [USER], "userName": "<<mark>>@asker.example"}, _SHAPE),
    _raw("a list", [{"op": "replace", "path": "/title", "value": "x"}], "JSON Patch is not SCIM"),
    _raw("schemas of numbers", {"schemas": [1], "Operations": _replace("title")}, _SHAPE),
    _raw("two Operations", b'{"Operations":[],"operations":[]}', "one name twice"),
    _raw(
        "NUL in a value",
        {"schemas": [PATCH], "Operations": _replace("title", "a\0b")},
        "U+0000 is refused",
    ),
    send(
        "nobody",
        "PATCH",
        "/Users/01900000-0000-7000-8000-00000000dead",
        {"schemas": [PATCH], "Operations": _replace("title")},
        {404},
        "nobody has this id",
    ),
)
