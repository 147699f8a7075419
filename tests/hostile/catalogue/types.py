"""Values of the wrong kind, size or number, in POST and PUT."""

from typing import Any, Final

from tests.hostile.entry import ENTERPRISE, GROUP, SEARCH, USER, Entry, send, user

_KIND = "RFC 7643 §2.3: a value of another kind is 400 invalidValue"
_REPAIRED = "docs/idp/generic.md: a repair of the compatible profile"
_LONG = "over the limit that the error names"

_WRONG: Final[list[tuple[str, dict[str, Any], str]]] = [
    ("userName number", {"userName": 1}, _KIND),
    ("userName float", {"userName": 1.5}, _KIND),
    ("userName true", {"userName": True}, _KIND),
    ("userName list", {"userName": ["<<mark>>"]}, _KIND),
    ("userName object", {"userName": {"$gt": ""}}, "an operator of another database is no name"),
    ("userName null", {"userName": None}, "required"),
    ("userName empty", {"userName": ""}, "required"),
    ("userName blank", {"userName": " \t "}, "required; a blank is nobody's name"),
    ("userName of 321", {"userName": "u" * 321}, _LONG),
    ("userName of a million", {"userName": "u" * 1_000_000}, _LONG),
    ("externalId number", {"externalId": 1}, "CVE-2025-41115: a number became the internal id"),
    ("externalId float", {"externalId": 1.0}, _KIND),
    ("externalId true", {"externalId": True}, _KIND),
    ("externalId object", {"externalId": {"$eq": "1"}}, _KIND),
    ("externalId wrapped number", {"externalId": {"value": 1}}, _KIND),
    ("externalId of 1,001", {"externalId": "e" * 1001}, _LONG),
    ("active maybe", {"active": "maybe"}, _KIND),
    ("active one", {"active": 1}, _KIND),
    ("active zero", {"active": 0}, "0 is no false; revoking by mistake is worse than 400"),
    ("active object", {"active": {"is": True}}, _KIND),
    ("active text of digits", {"active": "0"}, _KIND),
    ("active yes", {"active": "yes"}, _KIND),
    ("name text", {"name": "<<mark>>"}, _KIND),
    ("name number", {"name": 1}, _KIND),
    ("name list of two", {"name": [{"givenName": "a"}, {"givenName": "b"}]}, _KIND),
    ("givenName object", {"name": {"givenName": {"x": "<<mark>>"}}}, _KIND),
    ("givenName number", {"name": {"givenName": 5}}, _KIND),
    ("givenName of 1,001", {"name": {"givenName": "g" * 1001}}, _LONG),
    ("displayName list", {"displayName": ["<<mark>>"]}, _KIND),
    ("displayName of 1,001", {"displayName": "d" * 1001}, _LONG),
    ("title of 1,001", {"title": "t" * 1001}, _LONG),
    ("locale of 4,097", {"locale": "l" * 4097}, _LONG),
    ("emails number", {"emails": 5}, _KIND),
    ("emails list of numbers", {"emails": [5]}, _KIND),
    ("emails list of lists", {"emails": [[{"value": "a@asker.example"}]]}, _KIND),
    ("emails value number", {"emails": [{"value": 5}]}, _KIND),
    ("emails value object", {"emails": [{"value": {"address": "a@asker.example"}}]}, _KIND),
    ("emails value list", {"emails": [{"value": ["a@asker.example"]}]}, _KIND),
    ("emails primary perhaps", {"emails": [{"value": "a@a.example", "primary": "perhaps"}]}, _KIND),
    ("emails primary 1", {"emails": [{"value": "a@a.example", "primary": 1}]}, _KIND),
    ("emails type number", {"emails": [{"value": "a@a.example", "type": 1}]}, _KIND),
    ("101 emails", {"emails": [{"value": f"a{n}@a.example"} for n in range(101)]}, _LONG),
    ("10,000 phones", {"phoneNumbers": [{"value": f"{n}"} for n in range(10_000)]}, _LONG),
    ("phone object", {"phoneNumbers": [{"value": {"tel": 1}}]}, _KIND),
    ("addresses text", {"addresses": ["<<mark>>"]}, _KIND),
    ("address country object", {"addresses": [{"country": {}, "region": "x"}]}, _KIND),
    ("roles object value", {"roles": [{"value": {"admin": True}}]}, _KIND),
    ("certificate no base64", {"x509Certificates": [{"value": "***<<mark>>***"}]}, _KIND),
    ("certificate number", {"x509Certificates": [{"value": 7}]}, _KIND),
    ("photo number", {"photos": [{"value": 7}]}, _KIND),
    ("profileUrl object", {"profileUrl": {"href": "x"}}, _KIND),
    ("schemas text", {"schemas": "urn:evil"}, "schemas is a list (RFC 7643 §3)"),
    ("schemas of numbers", {"schemas": [1]}, "schemas holds URNs"),
    ("schemas object", {"schemas": {USER: True}}, "schemas is a list"),
    ("schemas of a group", {"schemas": [GROUP]}, "a Group is no User"),
    ("schemas nested", {"schemas": [[USER]]}, "schemas holds URNs"),
    ("extension text", {ENTERPRISE: "<<mark>>"}, _KIND),
    ("extension list of texts", {ENTERPRISE: ["<<mark>>"]}, _KIND),
    ("extension number", {ENTERPRISE: 1}, _KIND),
    ("department number", {ENTERPRISE: {"department": 1}}, _KIND),
    ("manager number", {ENTERPRISE: {"manager": 1}}, _KIND),
    ("manager value number", {ENTERPRISE: {"manager": {"value": 1}}}, _KIND),
    ("manager list of two", {ENTERPRISE: {"manager": ["a", "b"]}}, _KIND),
    (
        "everything large",
        {"entitlements": [{"value": f"{n}" * 1000} for n in range(100, 200)]},
        _LONG,
    ),
]

_TAKEN: Final[list[tuple[str, dict[str, Any], str]]] = [
    ("active as text", {"active": "False"}, _REPAIRED),
    ("active null", {"active": None}, "null is unassigned (RFC 7643 §2.5)"),
    ("emails null", {"emails": None}, "null is unassigned"),
    ("emails of null", {"emails": [None]}, "an element that is null is unassigned"),
    ("emails empty", {"emails": []}, "unassigned"),
    ("emails of nothing", {"emails": [{}]}, "unassigned"),
    ("emails object", {"emails": {"value": "a<<n>>@asker.example"}}, _REPAIRED),
    (
        "two primaries",
        {"emails": [{"value": f"{n}p<<n>>@asker.example", "primary": True} for n in ("a", "b")]},
        _REPAIRED,
    ),
    ("name empty", {"name": {}}, "unassigned"),
    ("manager text", {ENTERPRISE: {"manager": "<<mark>>"}}, _REPAIRED),
    ("unknown attribute", {"shoeSize": {"eu": [44]}}, _REPAIRED),
    ("photo script", {"photos": [{"value": "javascript:alert(1)"}]}, "kept, never fetched or run"),
    ("photo inside", {"photos": [{"value": "http://169.254.169.254/"}]}, "kept, never fetched"),
    ("photo file", {"photos": [{"value": "file:///etc/passwd"}]}, "kept, never fetched"),
    ("markup in a name", {"displayName": "<script><<mark>></script>"}, "data; mails escape it"),
    ("template in a name", {"displayName": "{{7*7}}${7*7}<%= 7*7 %>"}, "data, never a template"),
    ("SQL in a name", {"displayName": "'); DROP TABLE directory.member; --"}, "a parameter only"),
    ("format in a name", {"displayName": "%s%n{0.__class__}"}, "never a format"),
    ("log4j", {"displayName": "${jndi:ldap://127.0.0.1/<<mark>>}"}, "never looked up"),
]


def _either(name: str, attributes: dict[str, Any], why: str) -> Entry:
    """Kept or refused by the rules for its kind; what counts is that nothing else happens."""
    return user({201, 400}, name, why, **attributes)


ENTRIES: Final[tuple[Entry, ...]] = (
    *(user({400}, name, why, **attributes) for name, attributes, why in _WRONG),
    *(
        send(
            f"PUT {name}",
            "PUT",
            "/Users/<<member>>",
            {"schemas": [USER], "userName": "target<<n>>@asker.example", **attributes},
            {400},
            why,
        )
        for name, attributes, why in _WRONG
        if not name.startswith(("101", "10,000", "everything", "userName of a million"))
    ),
    *(_either(name, attributes, why) for name, attributes, why in _TAKEN),
    send("search body at Users", "POST", "/Users", {"schemas": [SEARCH]}, {400}, "no User"),
    send(
        "group at Users",
        "POST",
        "/Users",
        {"schemas": [GROUP], "displayName": "x"},
        {400},
        "no User",
    ),
    user(
        {400},
        "unknown attribute, interop",
        "interop profile: 400 invalidSyntax",
        shoeSize=44,
        profile_="interop",
    ),
    user(
        {400},
        "active as text, interop",
        "interop profile: no repairs",
        active="True",
        profile_="interop",
    ),
    user(
        {400},
        "password, interop",
        "an attribute that no schema here has",
        password="<<mark>>",
        profile_="interop",
    ),
    user({201}, "password", "dropped before the log", password="<<mark>>", never_=("<<mark>>",)),
)
