"""Filters (RFC 7644 §3.4.2.2): broken, enormous, or meant for another language."""

from typing import Final

from tests.hostile.entry import Entry, get, search

_GRAMMAR = "not in the grammar: 400 invalidFilter"
_TYPE = "the operator does not fit the attribute's kind: 400 invalidFilter"
_LARGE = "over the filter's limits: 8 KiB, 200 nodes, 32 levels"
_DATA = "the value is data: a parameter, compared as it is"

_REFUSED: Final = [
    ("open quote", 'userName eq "<<mark>>', _GRAMMAR),
    ("no value", "userName eq", _GRAMMAR),
    ("no operator", "userName", _GRAMMAR),
    ("value first", '"a" eq userName', _GRAMMAR),
    ("two values", 'userName eq "a" "b"', _GRAMMAR),
    ("unknown operator", 'userName like "a"', _GRAMMAR),
    ("operator of another language", 'userName == "a"', _GRAMMAR),
    ("LDAP filter", "(&(objectClass=*)(uid=<<mark>>))", _GRAMMAR),
    ("LDAP wildcard", "*)(uid=*))(|(uid=*", _GRAMMAR),
    ("SQL", "1=1; DROP TABLE directory.member", _GRAMMAR),
    ("SQL behind", 'userName eq "a" OR 1=1 --', _GRAMMAR),
    ("SQL union", "userName eq 'a' UNION SELECT 1", _GRAMMAR),
    ("JSON operator", '{"userName":{"$ne":null}}', _GRAMMAR),
    ("single quotes", "userName eq 'a b'", _GRAMMAR),
    ("dangling and", 'userName eq "a" and', _GRAMMAR),
    ("leading or", 'or userName eq "a"', _GRAMMAR),
    ("not without parentheses", 'not userName eq "a"', _GRAMMAR),
    ("open parenthesis", '(userName eq "a"', _GRAMMAR),
    ("close parenthesis", 'userName eq "a")', _GRAMMAR),
    ("empty parentheses", "()", _GRAMMAR),
    ("open bracket", 'emails[type eq "work"', _GRAMMAR),
    ("close bracket", 'emails type eq "work"]', _GRAMMAR),
    ("empty brackets", "emails[]", _GRAMMAR),
    ("brackets in brackets", 'emails[type[x eq "a"]]', "a value filter does not nest"),
    ("pr with a value", 'userName pr "a"', _GRAMMAR),
    ("bad escape", r'userName eq "\x41"', "not a JSON string"),
    ("short escape", r'userName eq "\u12"', "not a JSON string"),
    ("lone surrogate escape", r'userName eq "\ud800"', "no character"),
    ("NUL escape", r'userName eq "a\u0000b"', "U+0000 is refused"),
    ("object as value", 'userName eq {"a":1}', _GRAMMAR),
    ("list as value", 'userName eq ["a"]', _GRAMMAR),
    ("NaN", "userName eq NaN)", _GRAMMAR),
    ("active gt", "active gt true", _TYPE),
    ("active lt", "active lt false", _TYPE),
    ("active co", 'active co "t"', _TYPE),
    ("active sw", 'active sw "t"', _TYPE),
    ("date that is none", 'meta.created gt "yesterday"', _TYPE),
    ("date that the calendar lacks", 'meta.created gt "2026-02-30T00:00:00Z"', _TYPE),
    ("month 13", 'meta.lastModified ge "2026-13-01T00:00:00Z"', _TYPE),
    ("date co", 'meta.created co "2026"', _TYPE),
    ("certificate gt", 'x509Certificates.value gt "MA=="', _TYPE),
    ("33 levels", "(" * 33 + 'userName eq "a"' + ")" * 33, _LARGE),
    ("3,000 levels", "(" * 3000 + 'userName eq "a"' + ")" * 3000, _LARGE),
    ("33 nots", "not (" * 33 + 'userName eq "a"' + ")" * 33, _LARGE),
    ("201 terms", " or ".join(["active eq true"] * 201), _LARGE),
    ("9,000 characters", f'userName eq "{"a" * 9000}"', _LARGE),
    ("NUL", 'userName eq "a\0"', "U+0000 is refused"),
    ("line separator", 'userName eq "a\u2028b"', "no line breaks in a filter"),
    ("no-break space", 'userName\u00a0eq\u00a0"a"', _GRAMMAR),
    ("full-width quotes", "userName eq ＂a＂ x", _GRAMMAR),
    ("operator in full width", 'userName ｅｑ "a"', _GRAMMAR),
    ("attribute with dotless i", "actıve eq true)", _GRAMMAR),
    ("attribute with quotes", '"userName" eq "a"', _GRAMMAR),
    ("attribute with a semicolon", 'userName; eq "a"', _GRAMMAR),
    ("attribute of three levels", 'name.givenName.x eq "a"', "sub-attributes never nest"),
    ("a URN alone", 'urn:ietf:params:scim: eq "a"', _GRAMMAR),
    ("only spaces between", "eq eq eq eq", _GRAMMAR),
]

_EMPTY: Final = [
    ("SQL in a value", "userName eq \"a' OR '1'='1\"", _DATA),
    ("percent", 'userName sw "%"', "LIKE's signs are data"),
    ("underscore", 'userName eq "_______@asker.example"', "LIKE's signs are data"),
    ("backslash", r'userName co "\\"', "LIKE's escape is data"),
    ("percent in the middle", 'userName co "%@asker"', "LIKE's signs are data"),
    ("regular expression", 'userName eq ".*"', _DATA),
    ("JSON path in a value", 'userName eq "$.userName"', _DATA),
    ("a NUL spelt", 'userName eq "%00"', _DATA),
    ("an id of nobody", 'id eq "01900000-0000-7000-8000-00000000dead"', _DATA),
    ("an id that is none", 'id eq "<<mark>>"', "what is no UUID is nobody's id"),
    ("a group that is none", 'groups.value eq "<<mark>>"', "nobody's id"),
    ("a far date", 'meta.created gt "9999-12-31T23:59:59Z"', "the calendar's end"),
    ("a display name", 'displayName eq "<<mark>>"', _DATA),
    ("a long value", f'userName eq "{"a" * 4000}"', _DATA),
    ("an address", 'emails.value eq "<<mark>>@x.example"', _DATA),
]

_EITHER: Final = [
    ("unknown attribute", 'shoeSize eq "44"', "interop 400; compatible: may match nothing"),
    ("__proto__", '__proto__.x eq "a"', "an attribute that nobody knows"),
    ("constructor", 'constructor.name eq "a"', "an attribute that nobody knows"),
    ("password", 'password eq "<<mark>>"', "no attribute of ours, so no oracle"),
    ("password sw", 'password sw "a"', "no attribute of ours, so no oracle"),
    ("status", 'status eq "invited"', "no attribute of SCIM"),
    ("organisation", 'organisation_id eq "<<victim_organisation>>"', "no attribute of SCIM"),
    ("document", 'document.userName eq "a"', "no column can be named"),
    ("number for a text", "userName eq 5", _TYPE),
    ("true for a text", "userName eq true", _TYPE),
    ("text for a boolean", 'active eq "maybe"', _TYPE),
    ("number for a boolean", "active eq 1", _TYPE),
    ("a date before the calendar", 'meta.created gt "0000-01-01T00:00:00Z"', _TYPE),
    ("a date with a far offset", 'meta.created gt "2026-01-01T00:00:00+99:99"', _TYPE),
    ("5,000 digits", f"userName eq {'9' * 5000}", "int() of more than 4,300 digits raises"),
    ("1e999", "userName eq 1e999", "it would be infinite"),
    ("null ordered", "userName gt null", "null has no order"),
    ("complex eq", 'name eq "a"', "a complex attribute without value"),
    ("complex pr", "name pr", "allowed"),
    ("addresses gt", 'addresses gt "a"', "a complex attribute without value"),
    ("backtracking", 'userName co "' + "(a+)+" * 50 + '"', "no regular expression is built"),
    ("200 value paths", " or ".join(['emails[type eq "w"]'] * 99), "within the limits"),
    ("not of everything", 'not (userName eq "<<mark>>")', "everybody else"),
    ("32 levels", "(" * 30 + 'userName eq "a"' + ")" * 30, "within the limits"),
    ("many spaces", "userName" + " " * 3000 + 'eq "a"', "white space"),
    ("RTL override", 'userName eq "a\u202eb"', _DATA),
    ("Kelvin sign", 'userName eq "\u212a"', _DATA),
    ("members of everybody", 'members eq "<<member>>"', "no attribute of a User"),
]

ENTRIES: Final[tuple[Entry, ...]] = (
    *(search(name, text, {400}, why) for name, text, why in _REFUSED),
    *(
        search(name, text, {200}, why, never=("target", "<<victim_member>>"))
        for name, text, why in _EMPTY
    ),
    *(
        search(name, text, {200, 400}, why, never=("<<victim_member>>", "<<victim_name>>"))
        for name, text, why in _EITHER
    ),
    search("unknown, interop", 'shoeSize eq "44"', {400}, "interop: 400", profile="interop"),
    search("unquoted, interop", "userName eq abc", {400}, "interop: 400", profile="interop"),
    get("byte FF", "/Users?filter=userName%20eq%20%22%FF%22", {400}, "no UTF-8"),
    get("overlong", "/Users?filter=userName%20eq%20%22%C0%80%22", {400}, "no UTF-8"),
    get("surrogate", "/Users?filter=userName%20eq%20%22%ED%A0%80%22", {400}, "no UTF-8"),
    get("encoded NUL", "/Users?filter=userName%20eq%20%22%00%22", {400}, "U+0000"),
    get("Groups, open quote", "/Groups?filter=displayName%20eq%20%22a", {400}, _GRAMMAR),
    get("Groups, members path", "/Groups?filter=members%5B%5D", {400}, _GRAMMAR),
)
