"""Addresses: what leads out of the organisation, out of the base, or nowhere."""

from typing import Final

from tests.hostile.entry import JSON, KEY, PATCH, USER, Entry

_NOWHERE = "nothing is there, and nothing is decoded or normalised on the way"
_OTHER = "the organisation in the address is not the key's: 401, whether it exists or not"
_NO_ID = "what is no UUID is nobody's id"

_TARGETS: Final = [
    ("root", "/", {404}, _NOWHERE),
    ("nothing", "", {400, 404}, "no request target"),
    ("base alone", "/v2", {401, 404}, "no organisation"),
    ("base and slash", "/v2/", {401, 404}, "no organisation"),
    ("another version", "/v1/<<organisation>>/Users", {400}, "invalidVers (RFC 7644 §3.13)"),
    ("version 3", "/v3/<<organisation>>/Users", {400}, "invalidVers (RFC 7644 §3.13)"),
    ("version zero", "/v2.0/<<organisation>>/Users", {400, 404}, "another version"),
    ("base in capitals", "/V2/<<organisation>>/Users", {400, 404}, _NOWHERE),
    ("encoded base", "/%762/<<organisation>>/Users", {404}, _NOWHERE),
    ("two slashes", "//v2/<<organisation>>/Users", {404}, _NOWHERE),
    ("two slashes inside", "/v2//<<organisation>>/Users", {401, 404}, _NOWHERE),
    ("dots first", "/v2/../v2/<<organisation>>/Users", {401, 404}, _NOWHERE),
    ("dots to Groups", "<<base>>/Users/../Groups", {404}, _NOWHERE),
    ("encoded dots", "<<base>>/Users/%2e%2e/Groups", {404}, _NOWHERE),
    ("encoded slash", "<<base>>/Users%2f<<member>>", {404}, _NOWHERE),
    ("dots to the victim", "<<base>>/../<<victim_organisation>>/Users", {404}, _NOWHERE),
    ("encoded to the victim", "<<base>>%2f..%2f<<victim_organisation>>/Users", {401}, _OTHER),
    ("backslash", "<<base>>\\Users", {400, 401, 404}, _OTHER),
    ("dots into the file system", "<<base>>/../../../../etc/passwd", {404}, _NOWHERE),
    ("encoded into the file system", "<<base>>/%2e%2e%2f%2e%2e%2fetc%2fpasswd", {404}, _NOWHERE),
    ("NUL behind", "<<base>>/Users%00", {404}, _NOWHERE),
    ("NUL as an id", "<<base>>/Users/%00", {404}, _NO_ID),
    ("NUL behind an id", "<<base>>/Users/<<member>>%00", {404}, _NO_ID),
    ("NUL in the organisation", "/v2/<<organisation>>%00/Users", {401}, _OTHER),
    ("line break in an id", "<<base>>/Users/%0d%0aX:%20<<mark>>", {404}, _NO_ID),
    ("a semicolon", "<<base>>/Users;jsessionid=1", {404}, _NOWHERE),
    ("a semicolon in an id", "<<base>>/Users/<<member>>;x=1", {404}, _NO_ID),
    ("an extension", "<<base>>/Users.json", {404}, _NOWHERE),
    ("an extension at an id", "<<base>>/Users/<<member>>.json", {404}, _NO_ID),
    ("users in lower case", "<<base>>/users", {200, 404}, "endpoints are as ResourceTypes say"),
    ("one level too deep", "<<base>>/Users/<<member>>/groups", {404}, _NOWHERE),
    ("two levels too deep", "<<base>>/Users/<<member>>/groups/x", {404}, _NOWHERE),
    ("200 levels", "<<base>>" + "/x" * 200, {404}, _NOWHERE),
    ("many slashes", "<<base>>/Users" + "/" * 2000, {404}, _NOWHERE),
    ("a long id", "<<base>>/Users/" + "a" * 20_000, {404}, _NO_ID),
    (
        "a longer address",
        "<<base>>/Users/" + "a" * 60_000,
        {400, 414, 431},
        "over the line's limit",
    ),
    ("a text as id", "<<base>>/Users/<<mark>>", {404}, _NO_ID),
    ("number as id", "<<base>>/Users/1", {404}, "CVE-2025-41115: ids are no row numbers"),
    ("minus one as id", "<<base>>/Users/-1", {404}, _NO_ID),
    ("nil as id", "<<base>>/Users/00000000-0000-0000-0000-000000000000", {404}, "nobody's id"),
    ("ones as id", "<<base>>/Users/ffffffff-ffff-ffff-ffff-ffffffffffff", {404}, "nobody's id"),
    ("an id in braces", "<<base>>/Users/{<<member>>}", {400, 404}, _NO_ID),
    ("an id as URN", "<<base>>/Users/urn:uuid:<<member>>", {404}, _NO_ID),
    ("an id in full width", "<<base>>/Users/%EF%BC%91", {404}, _NO_ID),
    ("an id with a space", "<<base>>/Users/<<member>>%20", {404}, _NO_ID),
    ("star as id", "<<base>>/Users/*", {404}, _NO_ID),
    ("SQL as id", "<<base>>/Users/1'%20OR%20'1'='1", {404}, _NO_ID),
    ("me as id", "<<base>>/Users/me", {404}, _NO_ID),
    ("Me", "<<base>>/Me", {501, 404}, "RFC 7644 §3.11: 501 where it is not offered"),
    ("a group's id at Users", "<<base>>/Users/<<group>>", {404}, "another type"),
    ("a member's id at Groups", "<<base>>/Groups/<<member>>", {404}, "another type"),
    ("the victim's member", "<<base>>/Users/<<victim_member>>", {404}, "as if it were absent"),
    ("the victim's group", "<<base>>/Groups/<<victim_group>>", {404}, "as if it were absent"),
    ("the victim's address", "/v2/<<victim_organisation>>/Users", {401}, _OTHER),
    (
        "the victim's member there",
        "/v2/<<victim_organisation>>/Users/<<victim_member>>",
        {401},
        _OTHER,
    ),
    ("no organisation like that", "/v2/<<mark>>/Users", {401}, _OTHER),
    ("star as organisation", "/v2/*/Users", {401}, _OTHER),
    ("nil as organisation", "/v2/00000000-0000-0000-0000-000000000000/Users", {401}, _OTHER),
    ("both organisations", "/v2/<<organisation>>,<<victim_organisation>>/Users", {401}, _OTHER),
    ("a schema with dots", "<<base>>/Schemas/../../../etc/passwd", {404}, _NOWHERE),
    ("a schema of nobody", "<<base>>/Schemas/urn:evil:<<mark>>", {404}, _NOWHERE),
    ("a type of nobody", "<<base>>/ResourceTypes/<<mark>>", {404}, _NOWHERE),
    ("a type by NUL", "<<base>>/ResourceTypes/User%00", {404}, _NOWHERE),
    ("metrics", "/metrics", {404}, "probes and metrics have a port of their own"),
    ("health", "/livez", {404}, "probes and metrics have a port of their own"),
    ("debug", "/debug/pprof", {404}, _NOWHERE),
    ("environment", "/.env", {404}, _NOWHERE),
    ("well known", "/.well-known/openid-configuration", {404}, _NOWHERE),
    ("absolute form", "http://evil.example<<base>>/Users/1", {404}, "only its path counts"),
    ("absolute form of the victim", "http://x/v2/<<victim_organisation>>/Users", {401}, _OTHER),
    ("absolute form, no path", "http://evil.example", {400, 404}, _NOWHERE),
    ("absolute form, ftp", "ftp://x<<base>>/Users", {400, 404}, _NOWHERE),
    ("absolute form, user", "http://a:b@evil.example<<base>>/Users/1", {400, 404}, "as without"),
    ("authority form", "evil.example:443", {400, 404}, _NOWHERE),
    ("star form", "*", {400, 404}, _NOWHERE),
    ("a space", "<<base>>/Users x", {400}, "no request line"),
    ("a tab", "<<base>>/Users\tx", {400, 404}, "no request line"),
]

_METHODS: Final = [
    ("TRACE", {405, 400}, "echoes headers, so it is never served"),
    ("CONNECT", {400, 404, 405}, "no proxy"),
    ("PROPFIND", {400, 405}, "no WebDAV"),
    ("PURGE", {400, 405}, "no cache"),
    ("get", {400, 405}, "methods have letter case"),
    ("GETT", {400, 405}, "no method"),
    ("A" * 5000, {400, 405}, "no method"),
    ("OPTIONS", {200, 204, 405}, "no CORS for an API that is called by servers"),
    ("PATCH", {405}, "not of the collection"),
    ("DELETE", {405}, "never of the whole collection"),
    ("PUT", {405}, "not of the collection"),
]

ENTRIES: Final[tuple[Entry, ...]] = (
    *(
        Entry(
            name,
            why,
            frozenset(expected),
            target=target,
            never=("<<victim_name>>", "root:"),
        )
        for name, target, expected, why in _TARGETS
    ),
    *(
        Entry(f"method {method[:9]}", why, frozenset(expected), method=method)
        for method, expected, why in _METHODS
    ),
    *(
        Entry(
            f"{method} the victim's {kind}",
            "as if it were absent, and nothing is changed",
            frozenset({404}),
            method=method,
            target=f"<<base>>/{kind}/{resource}",
            headers=KEY + JSON,
            body=body,
        )
        for kind, resource in (("Users", "<<victim_member>>"), ("Groups", "<<victim_group>>"))
        for method, body in (
            ("DELETE", None),
            (
                "PUT",
                f'{{"schemas":["{USER}"],"userName":"x<<n>>","displayName":"x<<n>>"}}'.encode(),
            ),
            (
                "PATCH",
                f'{{"schemas":["{PATCH}"],"Operations":[{{"op":"replace","path":"displayName",'
                f'"value":"<<mark>>"}}]}}'.encode(),
            ),
        )
        if not (kind == "Groups" and method == "PUT")
    ),
    Entry(
        "POST to an id",
        "not of a resource",
        frozenset({405}),
        method="POST",
        target="<<base>>/Users/<<member>>",
        headers=KEY + JSON,
        body=b"{}",
    ),
    Entry(
        "Bulk",
        "offered later: 501, or 404 where it is not known at all",
        frozenset({501, 404}),
        method="POST",
        target="<<base>>/Bulk",
        headers=KEY + JSON,
        body=b'{"Operations":[{"method":"DELETE","path":"/Users/<<victim_member>>"}]}',
    ),
    *(
        Entry(
            f"{method} {endpoint}",
            "RFC 7644 §4: discovery is read only",
            frozenset({405}),
            method=method,
            target=f"<<base>>/{endpoint}",
            headers=KEY + JSON,
            body=b"{}",
        )
        for method in ("POST", "PUT", "PATCH", "DELETE")
        for endpoint in ("ServiceProviderConfig", "Schemas", "ResourceTypes")
    ),
)
