"""Headers and framing: what a proxy and a server may read differently."""

from typing import Final

from tests.hostile.entry import JSON, KEY, USER, Entry, Headers

_NEW: Final = f'{{"schemas":["{USER}"],"userName":"framed<<n>>@asker.example"}}'.encode()
_LINK = "links are made from the configured address, never from a header"
_FRAMING = "two readings of where the body ends: 400, or the connection closed"
_REQUEST: Final = b"POST <<base>>/Users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer <<key>>\r\n"
_TYPE: Final = b"Content-Type: application/scim+json\r\n"


def _list(name: str, headers: Headers, expected: set[int], why: str) -> Entry:
    return Entry(
        name,
        why,
        frozenset(expected),
        target="<<base>>/Users/<<member>>?attributes=userName",
        headers=KEY + headers,
        never=("evil.example", "<<victim_name>>", "<<mark>>"),
    )


def _create(name: str, headers: Headers, expected: set[int], why: str) -> Entry:
    return Entry(
        name,
        why,
        frozenset(expected),
        method="POST",
        headers=KEY + headers,
        body=_NEW,
        never=("evil.example",),
    )


def _framed(name: str, headers: bytes, body: bytes, expected: set[int], why: str) -> Entry:
    raw = _REQUEST + _TYPE + headers + b"\r\n" + body
    return Entry(name, why, frozenset(expected), method="POST", raw=raw, may_close=True)


_FORWARDED: Final[list[tuple[str, Headers]]] = [
    ("X-Forwarded-Host", (("X-Forwarded-Host", "evil.example"),)),
    ("X-Forwarded-Proto", (("X-Forwarded-Proto", "gopher"), ("X-Forwarded-Port", "1"))),
    ("X-Forwarded-Prefix", (("X-Forwarded-Prefix", "/evil.example"),)),
    ("Forwarded", (("Forwarded", "host=evil.example;proto=http"),)),
    ("X-Original-URL", (("X-Original-URL", "/v2/<<victim_organisation>>/Users"),)),
    ("X-Rewrite-URL", (("X-Rewrite-URL", "/v2/<<victim_organisation>>/Users"),)),
    ("X-Host", (("X-Host", "evil.example"), ("X-Forwarded-Server", "evil.example"))),
    ("Origin", (("Origin", "https://evil.example"),)),
    ("Referer", (("Referer", "https://evil.example/"),)),
    ("X-Forwarded-For", (("X-Forwarded-For", "127.0.0.1"), ("X-Real-IP", "127.0.0.1"))),
]

ENTRIES: Final[tuple[Entry, ...]] = (
    *(_list(name, headers, {200}, _LINK) for name, headers in _FORWARDED),
    *(_create(f"POST {name}", headers + JSON, {201}, _LINK) for name, headers in _FORWARDED),
    *(
        _list(name, ((name, "DELETE"),), {200}, "no method override")
        for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
    ),
    *(
        _list(
            f"Accept {value[:12]}", (("Accept", value),), {200, 406}, "JSON whatever is asked for"
        )
        for value in ("text/html", "application/xml", "*/*;q=nonsense", "\xff\xfe", "," * 2000)
    ),
    *(
        _list(f"Prefer {value[:12]}", (("Prefer", value),), {200, 400}, "unknown ones are ignored")
        for value in (
            "handling=<<mark>>",
            "return=" + "x" * 4000,
            'a="unclosed',
            "=,;=,;",
            "wait=99999999999999999999",
            "wait=-1",
            "wait=\xb2",
            "respond-async, wait=nan",
        )
    ),
    *(
        _list(f"If-None-Match {value[:12]}", (("If-None-Match", value),), {200, 304, 400}, "a list")
        for value in ("*", '"', "W/", ",,,", '"a' * 1000, "\xff")
    ),
    _list("Range", (("Range", "bytes=0-18446744073709551615"),), {200}, "no ranges"),
    _list(
        "Accept-Encoding", (("Accept-Encoding", "gzip;q=nonsense, br"),), {200}, "not compressed"
    ),
    _list("Accept-Language", (("Accept-Language", "\xff" * 500),), {200}, "not used"),
    _list("traceparent", (("traceparent", "00-" + "0" * 32 + "-<<mark>>-01"),), {200}, "replaced"),
    _list("two traceparents", (("traceparent", "00"), ("traceparent", "01")), {200}, "replaced"),
    _list("correlation", (("X-Request-Id", "<<mark>>\t<script>"),), {200}, "never echoed"),
    _list("200 headers", tuple((f"X-{n}", "1") for n in range(200)), {200, 400, 431}, "bounded"),
    _list("a header of 8 KiB", (("X-Long", "a" * 8000),), {200, 400, 431}, "bounded"),
    _list("a header of 40 KiB", (("X-Long", "a" * 40_000),), {400, 431}, "bounded"),
    _list("an empty name", (("", "a"),), {400}, "no header"),
    _list("a name with a space", (("X Y", "a"),), {400}, "request smuggling"),
    _list("a space before the colon", (("Host ", "evil.example"),), {400}, "RFC 9112 §5.1"),
    _list("a folded line", (("X-A", "a\r\n b"),), {200, 400}, "obsolete folding"),
    _list("NUL in a header", (("X-A", "a\0b"),), {400}, "no header"),
    _list("a bare CR", (("X-A", "a\rX-B: c"),), {400}, "no header"),
    _list("two hosts", (("Host", "evil.example"),), {400}, "RFC 9112 §3.2: exactly one Host"),
    _list("Upgrade", (("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings")), {200}, "no"),
    _list("WebSocket", (("Upgrade", "websocket"), ("Connection", "Upgrade")), {200}, "no"),
    _list("TE", (("TE", "trailers, \x0bchunked"),), {200, 400}, "not used"),
    _create("no Content-Type", (), {201, 415}, "docs/idp/generic.md: read as JSON"),
    _create("text/plain", (("Content-Type", "text/plain"),), {415}, "a form of a browser"),
    _create("form", (("Content-Type", "application/x-www-form-urlencoded"),), {415}, "as text"),
    _create("XML", (("Content-Type", "application/xml"),), {415}, "no XML is ever parsed"),
    _create("a type of nonsense", (("Content-Type", ";;;<<mark>>"),), {415}, "no type"),
    _create("a type beyond ASCII", (("Content-Type", "application/j\xe9son"),), {415}, "no type"),
    _create("two types", (*JSON, ("Content-Type", "text/plain")), {400, 415}, "two readings"),
    _create(
        "another charset",
        (("Content-Type", "application/scim+json; charset=utf-7"),),
        {201, 400, 415},
        "read as UTF-8 or refused, never as UTF-7",
    ),
    *(
        _create(f"Content-Encoding {name}", (*JSON, ("Content-Encoding", name)), {415}, "bombs")
        for name in ("gzip", "deflate", "br", "zstd", "gzip, gzip", "<<mark>>")
    ),
    _create("identity", (*JSON, ("Content-Encoding", "identity")), {201}, "says nothing"),
    _create("Expect 100", (*JSON, ("Expect", "100-continue")), {201}, "100, then the answer"),
    _create("Expect more", (*JSON, ("Expect", "<<mark>>")), {201, 400, 417}, "RFC 9110 §10.1.1"),
    _framed(
        "length and chunks",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"0\r\n\r\nGET /v2 HTTP/1.1\r\n\r\n",
        {400},
        _FRAMING,
    ),
    _framed("two lengths", b"Content-Length: 2\r\nContent-Length: 3\r\n", b"{}}", {400}, _FRAMING),
    _framed("lengths in a list", b"Content-Length: 2, 3\r\n", b"{}}", {400}, _FRAMING),
    _framed("a length with a sign", b"Content-Length: +2\r\n", b"{}", {400}, _FRAMING),
    _framed("a negative length", b"Content-Length: -1\r\n", b"{}", {400}, _FRAMING),
    _framed("a length in hexadecimal", b"Content-Length: 0x2\r\n", b"{}", {400}, _FRAMING),
    _framed("a length with an underscore", b"Content-Length: 1_0\r\n", b"{}", {400}, _FRAMING),
    _framed("a length in other digits", "Content-Length: ٢\r\n".encode(), b"{}", {400}, _FRAMING),
    _framed(
        "a length of 5,000 digits",
        b"Content-Length: " + b"9" * 5000 + b"\r\n",
        b"",
        {400, 413},
        _FRAMING,
    ),
    _framed(
        "a length beyond 64 bits",
        b"Content-Length: 18446744073709551617\r\n",
        b"",
        {400, 413},
        _FRAMING,
    ),
    _framed("a length of 99 MB", b"Content-Length: 99999999\r\n", b"", {413}, "before it is read"),
    _framed("no length", b"", b"", {400, 411}, "no body"),
    _framed(
        "chunked twice", b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n", {400}, _FRAMING
    ),
    _framed(
        "identity, chunked",
        b"Transfer-Encoding: identity, chunked\r\n",
        b"0\r\n\r\n",
        {400},
        _FRAMING,
    ),
    _framed(
        "chunked with a tab", b"Transfer-Encoding:\x0bchunked\r\n", b"0\r\n\r\n", {400}, _FRAMING
    ),
    _framed("xchunked", b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n", {400}, _FRAMING),
    _framed(
        "gzip, chunked", b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n", {400, 415}, _FRAMING
    ),
    _framed("a chunk that is none", b"Transfer-Encoding: chunked\r\n", b"zz\r\n", {400}, _FRAMING),
    _framed("a negative chunk", b"Transfer-Encoding: chunked\r\n", b"-1\r\n", {400}, _FRAMING),
    _framed(
        "a chunk of 2 to the 64",
        b"Transfer-Encoding: chunked\r\n",
        b"f" * 17 + b"\r\n",
        {400, 413},
        _FRAMING,
    ),
    _framed(
        "a chunk extension of 100 KB",
        b"Transfer-Encoding: chunked\r\n",
        b"1;" + b"x" * 100_000 + b"\r\n{\r\n0\r\n\r\n",
        {400, 413},
        "bounded, or the body `{`",
    ),
    _framed(
        "a chunk with LF alone",
        b"Transfer-Encoding: chunked\r\n",
        b"2\n{}\n0\n\n",
        {400},
        _FRAMING,
    ),
    _framed(
        "a trailer with a key",
        b"Transfer-Encoding: chunked\r\nTrailer: Authorization\r\n",
        b"2\r\n{}\r\n0\r\nAuthorization: Bearer <<victim_key>>\r\n\r\n",
        {400},
        "userName is missing; a trailer authenticates nobody",
    ),
    *(
        Entry(
            f"bytes: {name}",
            "no HTTP/1.1: 400, or the connection closed",
            frozenset({400, 401, 404, 405, 408, 505}),
            raw=raw,
            may_close=True,
        )
        for name, raw in (
            (
                "TLS hello",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64 + b"\r\n\r\n",
            ),
            ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            ("HTTP/0.9", b"GET /\r\n\r\n"),
            ("HTTP/9.9", b"GET / HTTP/9.9\r\nHost: x\r\n\r\n"),
            ("a version of nonsense", b"GET / HTTP/x\r\nHost: x\r\n\r\n"),
            ("SMTP", b"EHLO x\r\nMAIL FROM:<a@b>\r\n\r\n"),
            ("Redis", b"*1\r\n$4\r\nPING\r\n\r\n"),
            ("line feeds alone", b"GET / HTTP/1.1\nHost: x\n\n\r\n\r\n"),
            ("NUL bytes", b"\0" * 1000 + b"\r\n\r\n"),
            ("no host", b"GET / HTTP/1.1\r\n\r\n"),
            ("a header without colon", b"GET / HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n"),
            ("a colon first", b"GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n"),
            ("two requests in one line", b"GET / HTTP/1.1 GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
            ("spaces first", b" GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        )
    ),
)
