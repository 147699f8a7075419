"""Bodies that are no JSON, or JSON that a parser reads in more than one way."""

from typing import Final

from tests.hostile.entry import USER, Entry, send

_HEAD: Final = b'{"schemas":["' + USER.encode() + b'"],"userName":"hostile<<n>>@asker.example"'


def _with(rest: bytes) -> bytes:
    """A whole User with these bytes behind its userName."""
    return _HEAD + rest + b"}"


def _body(name: str, body: bytes, expected: set[int], why: str) -> Entry:
    return send(name, "POST", "/Users", body, expected, why)


_NO_JSON = "RFC 8259: this is no JSON text, so 400 invalidSyntax"
_NO_OBJECT = "a resource is a JSON object (RFC 7643 §3)"
_TWO_READINGS = "two parsers read this differently (RFC 8259 §4), so neither reading is taken"
_DEEP = "deeper than 32 levels; a recursive parser dies of it"
_IGNORED = "an unknown name is ignored in the compatible profile, and touches nothing of ours"

_REFUSED: Final = [
    ("empty", b"", _NO_JSON),
    ("white space", b" \r\n\t ", _NO_JSON),
    ("open brace", b"{", _NO_JSON),
    ("close brace", b"}", _NO_JSON),
    ("empty object", b"{}", "userName is required"),
    ("empty list", b"[]", _NO_OBJECT),
    ("list of a user", b"[" + _with(b"") + b"]", _NO_OBJECT),
    ("text", b'"<<mark>>"', _NO_OBJECT),
    ("number", b"1", _NO_OBJECT),
    ("true", b"true", _NO_OBJECT),
    ("null", b"null", _NO_OBJECT),
    ("trailing comma", _with(b","), _NO_JSON),
    ("two commas", _with(b',,"title":"x"'), _NO_JSON),
    ("single quotes", b"{'userName':'<<mark>>'}", _NO_JSON),
    ("bare names", b"{userName:1}", _NO_JSON),
    ("comment", _with(b"/* <<mark>> */"), _NO_JSON),
    ("NaN", _with(b',"x":NaN'), "NaN is no JSON; Python's own parser takes it"),
    ("Infinity", _with(b',"x":Infinity'), "Infinity is no JSON; Python's own parser takes it"),
    ("minus Infinity", _with(b',"x":-Infinity'), "as Infinity"),
    ("leading zero", _with(b',"x":01'), _NO_JSON),
    ("plus one", _with(b',"x":+1'), _NO_JSON),
    ("hexadecimal", _with(b',"x":0x1f'), _NO_JSON),
    ("bare decimal point", _with(b',"x":1.'), _NO_JSON),
    ("two documents", _with(b"") + _with(b""), _NO_JSON),
    ("rubbish behind", _with(b"") + b"<<mark>>", _NO_JSON),
    ("cut off", _with(b"")[:-4], _NO_JSON),
    ("UTF-16", _with(b"").decode().encode("utf-16"), "JSON between systems is UTF-8 (RFC 8259)"),
    ("UTF-16 big endian", _with(b"").decode().encode("utf-16-be"), "as UTF-16"),
    ("UTF-32", _with(b"").decode().encode("utf-32"), "as UTF-16"),
    ("byte FF", _with(b',"title":"\xff"'), "no UTF-8"),
    ("overlong NUL", _with(b',"title":"\xc0\x80"'), "an overlong form is no UTF-8 (RFC 3629)"),
    ("surrogate in UTF-8", _with(b',"title":"\xed\xa0\x80"'), "surrogates are no UTF-8"),
    ("beyond Unicode", _with(b',"title":"\xf5\x80\x80\x80"'), "above U+10FFFF"),
    ("cut-off character", _with(b',"title":"\xe2\x82"'), "no UTF-8"),
    ("lone high surrogate", _with(b',"title":"\\ud800"'), "it could never be written again"),
    ("lone low surrogate", _with(b',"title":"\\udfff"'), "it could never be written again"),
    ("surrogates swapped", _with(b',"title":"\\udc00\\ud800"'), "no pair"),
    ("surrogate as a name", _with(b',"\\ud800":1'), "it could never be written again"),
    ("NUL in a value", _with(b',"title":"a\\u0000b"'), "Postgres has no U+0000"),
    ("NUL in a name", _with(b',"a\\u0000b":1'), "Postgres has no U+0000"),
    ("NUL in what is ignored", _with(b',"x":{"y":["\\u0000"]}'), "refused anywhere"),
    ("NUL byte", _with(b',"title":"\0"'), _NO_JSON),
    ("NUL byte behind", _with(b"") + b"\0", _NO_JSON),
    ("raw line break", _with(b',"title":"a\nb"'), "a control character must be escaped"),
    ("escape that is none", _with(b',"title":"\\x41"'), _NO_JSON),
    ("short escape", _with(b',"title":"\\u12"'), _NO_JSON),
    ("equal names", _with(b',"userName":"<<mark>>@asker.example"'), _TWO_READINGS),
    ("equal names but for case", _with(b',"USERNAME":"<<mark>>@asker.example"'), _TWO_READINGS),
    ("equal names, one escaped", _with(b',"user\\u004eame":"<<mark>>@a.example"'), _TWO_READINGS),
    ("equal names with a colon", _with(b',"x\\u003a":1,"x:":"2"'), _TWO_READINGS),
    ("equal names deep down", _with(b',"name":{"givenName":"a","givenName":"b"}'), _TWO_READINGS),
    ("equal schemas", _with(b',"schemas":[]'), _TWO_READINGS),
    ("33 levels of lists", _with(b',"x":' + b"[" * 33 + b"]" * 33), _DEEP),
    ("33 levels of objects", _with(b',"x":' + b'{"a":' * 33 + b"1" + b"}" * 33), _DEEP),
    ("255 levels", _with(b',"x":' + b"[" * 255 + b"]" * 255), "more than our writer can write"),
    ("2,000 levels", _with(b',"x":' + b"[" * 2000 + b"]" * 2000), _DEEP),
    ("100,000 open lists", b"[" * 100_000, _DEEP),
    ("100,000 open objects", b'{"a":' * 100_000, _DEEP),
    ("2 to the 64", _with(b',"x":18446744073709551616'), "integers beyond 64 bits become floats"),
    ("70 bits", _with(b',"x":1180591620717411303424'), "integers beyond 64 bits become floats"),
    ("minus 2 to the 63, less one", _with(b',"x":-9223372036854775809'), "as 70 bits"),
    ("5,000 digits", _with(b',"x":' + b"9" * 5000), "int() of more than 4,300 digits raises"),
    ("1e400", _with(b',"x":1e400'), "it would be infinite"),
    ("form", b"userName=<<mark>>&active=true", _NO_JSON),
    (
        "XML",
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
        _NO_JSON,
    ),
    ("multipart", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--', _NO_JSON),
    ("gzip bytes", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", _NO_JSON),
    ("pickle", b"\x80\x04cos\nsystem\n(S'id'\ntR.", "nothing but JSON is ever read"),
]

ENTRIES: Final[tuple[Entry, ...]] = (
    *(_body(name, body, {400}, why) for name, body, why in _REFUSED),
    _body(
        "200,000 lists",
        _with(b',"x":[' + b",".join([b"[]"] * 200_000) + b"]"),
        {413},
        "a byte of text would be thirty of memory",
    ),
    _body(
        "a million numbers",
        _with(b',"x":[' + b",".join([b"1"] * 1_000_000) + b"]"),
        {413},
        "a byte of text would be thirty of memory",
    ),
    _body(
        "100,000 names",
        _with(b"".join(b',"n%d":%d' % (number, number) for number in range(100_000))),
        {201, 400, 413},
        "many names are slow to compare, and no more than that",
    ),
    _body(
        "beyond 8 MiB",
        _with(b',"title":"' + b"a" * (8 * 1024 * 1024) + b'"'),
        {413},
        "the body's limit",
    ),
    _body("byte order mark", b"\xef\xbb\xbf" + _with(b""), {201, 400}, "RFC 8259 §8.1: may be"),
    _body("32 levels", _with(b',"x":' + b"[" * 31 + b"]" * 31), {201}, "the deepest allowed"),
    _body("__proto__", _with(b',"__proto__":{"active":false}'), {201}, _IGNORED),
    _body("constructor", _with(b',"constructor":{"prototype":{"active":false}}'), {201}, _IGNORED),
    _body("__class__", _with(b',"__class__":{"__init__":{"__globals__":1}}'), {201}, _IGNORED),
    _body("empty name", _with(b',"":1'), {201}, _IGNORED),
    _body("dollar where", _with(b',"$where":"1==1","$ref":"file:///etc/passwd"'), {201}, _IGNORED),
    _body(
        "a name of 100,000 letters", _with(b',"' + b"n" * 100_000 + b'":1'), {201, 400}, _IGNORED
    ),
    _body("minus zero", _with(b',"x":-0'), {201}, "valid JSON in what is ignored"),
    _body("1e308", _with(b',"x":1e18'), {201}, "valid JSON in what is ignored"),
)
