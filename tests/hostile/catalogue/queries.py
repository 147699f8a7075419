"""The query part of an address, filters apart."""

from typing import Final

from tests.hostile.entry import JSON, USER, Entry, get, send

_TWICE = "a name that comes twice has two readings"
_IGNORED = "a parameter that nobody knows is ignored"

_LISTS: Final = [
    ("dangling question mark", "?", {200}, "docs/idp/generic.md: a dangling `?` is nothing"),
    ("dangling ampersands", "?&&&", {200}, "docs/idp/generic.md: a dangling `&` is nothing"),
    ("no name", "?=<<mark>>", {200, 400}, _IGNORED),
    ("unknown name", "?evil=<<mark>>", {200}, _IGNORED),
    ("__proto__", "?__proto__[admin]=1", {200}, _IGNORED),
    ("filter twice", "?filter=active%20eq%20true&filter=active%20eq%20false", {400}, _TWICE),
    ("count twice", "?count=1&count=2", {400}, _TWICE),
    ("startIndex twice", "?startIndex=1&startIndex=2", {400}, _TWICE),
    ("filter as a list", "?filter[]=a", {200, 400}, _IGNORED),
    ("attributes twice", "?attributes=id&attributes=userName", {400}, _TWICE),
    ("both projections", "?attributes=id&excludedAttributes=emails", {400}, "RFC 7644 §3.9: one"),
    ("attribute of no schema", "?attributes=nobody", {200}, "asks for what is not there"),
    ("attributes __proto__", "?attributes=__proto__,constructor", {200}, "as nobody"),
    ("attributes password", "?attributes=password", {200}, "returned: never"),
    ("attributes star", "?attributes=*", {200, 400}, "no wildcard in SCIM"),
    ("attributes of brackets", "?attributes=emails%5Btype%20eq%20%22a", {200, 400}, "no path"),
    ("attributes of commas", "?attributes=" + "," * 2000, {200, 400}, "nothing, often"),
    ("attributes of 9,000", "?attributes=" + "a" * 9000, {400}, "8 KiB at most"),
    ("attributes of 3,000 names", "?attributes=" + "a," * 3000, {200, 400}, "within 8 KiB"),
    ("excluded id", "?excludedAttributes=id,schemas,meta", {200}, "returned: always stays"),
    ("NUL in attributes", "?attributes=id%00", {400}, "U+0000 is refused"),
    ("NUL in what nobody knows", "?evil=%00", {400}, "U+0000 is refused anywhere"),
    ("NUL in a name", "?a%00b=1", {400}, "U+0000 is refused anywhere"),
    ("line break", "?evil=a%0d%0aSet-Cookie:%20<<mark>>", {400}, "no control characters"),
    ("no UTF-8", "?evil=%ff%fe", {400}, "no UTF-8"),
    ("cut-off escape", "?evil=%", {200, 400}, "a percent sign, or no valid address"),
    ("escape that is none", "?evil=%zz%u0041", {200, 400}, "a percent sign, or no valid address"),
    ("sortBy of nothing", "?sortBy=", {200, 400}, "nothing named"),
    ("sortBy unknown", "?sortBy=nobody", {200, 400}, "RFC 7644 §3.4.2.3 leaves it to us"),
    ("sortBy __proto__", "?sortBy=__proto__", {200, 400}, "an attribute that nobody knows"),
    ("sortBy injection", "?sortBy=id%3BDROP%20TABLE%20directory.member", {200, 400}, "no column"),
    ("sortBy a column", "?sortBy=organisation_id", {200, 400}, "no attribute of SCIM"),
    ("sortBy password", "?sortBy=password", {200, 400}, "no attribute of ours, so no oracle"),
    ("sortBy a filter", "?sortBy=emails%5Btype%20eq%20%22work%22%5D", {200, 400}, "no path"),
    ("sortBy everything", "?sortBy=" + "a.b" * 2000, {200, 400}, "no path"),
    ("sortOrder sideways", "?sortBy=userName&sortOrder=sideways", {200, 400}, "two words only"),
    ("sortOrder injection", "?sortBy=userName&sortOrder=asc%2C1", {200, 400}, "two words only"),
    ("cursor", "?cursor=AAAA<<mark>>", {200, 400}, "not offered: ignored, or 400 invalidCursor"),
    (
        "token in the query",
        "?access_token=<<key>>",
        {200},
        "the header counts; it is no secret here",
    ),
    ("callback", "?callback=alert", {200}, "no JSONP"),
    ("method in the query", "?_method=DELETE", {200}, "no method override"),
    ("format", "?format=xml&wt=xml", {200}, "JSON only"),
    ("3,000 parameters", "?" + "&".join(f"p{n}=1" for n in range(3000)), {200, 400}, "bounded"),
    ("semicolons", "?count=1;startIndex=2", {200, 400}, "`;` separates nothing"),
    (
        "plus signs",
        "?filter=userName+eq+%22nobody%22",
        {200},
        "docs/idp/generic.md: `+` is a space",
    ),
    ("fragment", "?count=1#<<mark>>", {200, 400}, "a fragment is never sent"),
]

ENTRIES: Final[tuple[Entry, ...]] = (
    *(
        get(name, f"/Users{query}", expected, why, never=("<<victim_member>>", "<<key>>"))
        for name, query, expected, why in _LISTS
    ),
    *(
        get(f"by id: {name}", f"/Users/<<member>>{query}", expected, why)
        for name, query, expected, why in _LISTS
        if "attributes" in query.lower() or "evil" in query
    ),
    *(
        get(f"Groups: {name}", f"/Groups{query}", expected, why)
        for name, query, expected, why in _LISTS[6:16]
    ),
    send(
        "POST both projections",
        "POST",
        "/Users?attributes=id&excludedAttributes=emails",
        {"schemas": [USER], "userName": "hostile<<n>>@asker.example"},
        {400},
        "refused before anything is written",
    ),
    send(
        "POST with a broken query",
        "POST",
        "/Users?x=%00",
        {"schemas": [USER], "userName": "hostile<<n>>@asker.example"},
        {400},
        "refused before anything is written",
    ),
    get("discovery with a filter", "/Schemas?filter=id%20pr", {200, 403}, "RFC 7644 §4: 403"),
    get("discovery with rubbish", "/ResourceTypes?x=%ff", {200, 400, 403}, "no UTF-8"),
    Entry(
        "HEAD with a filter",
        "HEAD is served without a body, or 405",
        frozenset({200, 400, 405}),
        method="HEAD",
        target="<<base>>/Users?filter=a",
        headers=(("Authorization", "Bearer <<key>>"), *JSON),
    ),
)
