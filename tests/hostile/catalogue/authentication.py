"""Keys: none, wrong, somebody else's, twice, or in the wrong place."""

from typing import Final

from tests.hostile.entry import JSON, USER, Entry, Headers

_SAME = "401, the same to the byte whatever is wrong"
_VICTIM = "/v2/<<victim_organisation>>/Users"

_HEADERS: Final[list[tuple[str, Headers]]] = [
    ("none", ()),
    ("empty", (("Authorization", ""),)),
    ("scheme alone", (("Authorization", "Bearer"),)),
    ("scheme and space", (("Authorization", "Bearer "),)),
    ("key alone", (("Authorization", "<<key>>"),)),
    ("Basic", (("Authorization", "Basic YWRtaW46YWRtaW4="),)),
    ("Basic with the key", (("Authorization", "Basic <<key>>"),)),
    ("Digest", (("Authorization", 'Digest username="x"'),)),
    ("Token", (("Authorization", "Token <<key>>"),)),
    ("null", (("Authorization", "Bearer null"),)),
    ("undefined", (("Authorization", "Bearer undefined"),)),
    ("two words", (("Authorization", "Bearer <<key>> x"),)),
    ("two keys", (("Authorization", "Bearer <<key>>,<<key>>"),)),
    ("two headers", (("Authorization", "Bearer <<key>>"), ("Authorization", "Bearer <<key>>"))),
    ("good, then bad", (("Authorization", "Bearer <<key>>"), ("Authorization", "Bearer x"))),
    ("bad, then good", (("Authorization", "Bearer x"), ("Authorization", "Bearer <<key>>"))),
    (
        "own and the victim's",
        (("Authorization", "Bearer <<key>>"), ("authorization", "Bearer <<victim_key>>")),
    ),
    ("quoted", (("Authorization", 'Bearer "<<key>>"'),)),
    ("a letter more", (("Authorization", "Bearer <<key>>A"),)),
    ("a prefix of it", (("Authorization", "Bearer rc"),)),
    ("a dot behind", (("Authorization", "Bearer <<key>>."),)),
    ("padding behind", (("Authorization", "Bearer <<key>>="),)),
    ("NUL encoded behind", (("Authorization", "Bearer <<key>>%00"),)),
    ("tab between", (("Authorization", "Bearer\t<<key>>"),)),
    ("no-break space", (("Authorization", "Bearer\xa0<<key>>"),)),
    ("beyond ASCII", (("Authorization", "Bearer \xff\xfe<<key>>"),)),
    ("beyond ASCII scheme", (("Authorization", "B\xe9arer <<key>>"),)),
    ("300 bytes", (("Authorization", "Bearer " + "k" * 300),)),
    ("9,000 bytes", (("Authorization", "Bearer " + "k" * 9000),)),
    ("JWT without signature", (("Authorization", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."),)),
    ("SQL", (("Authorization", "Bearer ' OR '1'='1"),)),
    ("percent", (("Authorization", "Bearer %"),)),
    ("star", (("Authorization", "Bearer *"),)),
    ("cookie", (("Cookie", "access_token=<<key>>; Authorization=<<key>>"),)),
    ("API key header", (("X-API-Key", "<<key>>"),)),
    ("proxy header", (("Proxy-Authorization", "Bearer <<key>>"),)),
    ("forwarded header", (("X-Forwarded-Authorization", "Bearer <<key>>"),)),
    ("underscored", (("X_Authorization", "Bearer <<key>>"),)),
    ("user header", (("X-Forwarded-User", "admin"), ("X-Remote-User", "admin"))),
    ("client certificate", (("X-Client-Cert", "MIIB"), ("X-SSL-Client-Verify", "SUCCESS"))),
    ("the victim's key here", (("Authorization", "Bearer <<victim_key>>"),)),
]

ENTRIES: Final[tuple[Entry, ...]] = (
    *(
        Entry(name, _SAME, frozenset({401}), headers=headers, never=("<<key>>", "target"))
        for name, headers in _HEADERS
    ),
    *(
        Entry(
            f"POST: {name}",
            f"{_SAME}, before the body is read",
            frozenset({401}),
            method="POST",
            headers=headers + JSON,
            body=f'{{"schemas":["{USER}"],"userName":"intruder<<n>>@asker.example"}}'.encode(),
        )
        for name, headers in _HEADERS[:20]
    ),
    Entry(
        "own key at the victim's",
        "401, as for an organisation that does not exist",
        frozenset({401}),
        target=_VICTIM,
    ),
    Entry(
        "own key, victim named in a header",
        "nothing but key and address says who asks",
        frozenset({200}),
        headers=(
            ("Authorization", "Bearer <<key>>"),
            ("X-Tenant", "<<victim_organisation>>"),
            ("X-Organization-Id", "<<victim_organisation>>"),
        ),
        never=("<<victim_name>>", "<<victim_member>>"),
    ),
    Entry(
        "scheme in lower case",
        "RFC 9110 §11.1: a scheme has no letter case",
        frozenset({200}),
        headers=(("Authorization", "bearer <<key>>"),),
    ),
    Entry(
        "key in the query",
        "RFC 6750 §2.3 advises against it, so it opens nothing",
        frozenset({401}),
        target="<<base>>/Users?access_token=<<key>>&key=<<key>>",
        headers=(),
    ),
    Entry(
        "key as a user in the address",
        "credentials in an address open nothing",
        frozenset({400, 401}),
        target="http://x:<<key>>@y<<base>>/Users",
        headers=(),
    ),
    *(
        Entry(
            f"no key at {target}",
            "every address below the base asks for the key first",
            frozenset({401}),
            target=f"<<base>>{target}",
            headers=(),
        )
        for target in (
            "",
            "/Users",
            "/Users/1",
            "/Groups",
            "/Groups/1",
            "/Me",
            "/Bulk",
            "/Schemas",
            "/ResourceTypes",
            "/ServiceProviderConfig",
            "/nothing",
            "/Users/1/2/3",
        )
    ),
)
