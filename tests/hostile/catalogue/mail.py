"""Addresses that would start SMTP commands, add recipients, or be no mailbox (RFC 5321)."""

from typing import Any, Final

from tests.hostile.entry import Entry, patch, user

_ONE = "exactly one mailbox: the value becomes a mail's recipient"
_EVIL = "evil<<n>>@victim-of-mail.example"

_REFUSED: Final = [
    ("CR LF and a recipient", f"a@asker.example\r\nRCPT TO:<{_EVIL}>"),
    ("LF and a header", f"a@asker.example\nBcc: {_EVIL}"),
    ("CR and a header", f"a@asker.example\rBcc: {_EVIL}"),
    ("escaped into the domain", f"a@asker.example>\r\nDATA\r\n<{_EVIL}"),
    ("line separator", f"a@asker.example\u2028Bcc: {_EVIL}"),
    ("next line", f"a@asker.example\u0085Bcc: {_EVIL}"),
    ("NUL", f"a@asker.example\0{_EVIL}"),
    ("vertical tab", "a@asker.example\v"),
    ("two with a comma", f"a@asker.example, {_EVIL}"),
    ("two with a comma alone", f"a@asker.example,{_EVIL}"),
    ("two with a semicolon", f"a@asker.example;{_EVIL}"),
    ("two with a space", f"a@asker.example {_EVIL}"),
    ("group syntax", f"friends: a@asker.example, {_EVIL};"),
    ("display name", f"Ana <{_EVIL}>"),
    ("quoted display name", f'"ana@asker.example" <{_EVIL}>'),
    ("angle brackets", f"<{_EVIL}>"),
    ("comment before", f"(ana@asker.example){_EVIL}"),
    ("comment behind", "a@asker.example(comment)"),
    ("comment inside", "a(x)@asker.example"),
    ("quoted local part", '"a b"@asker.example'),
    ("quoted with a line break", '"a\r\nb"@asker.example'),
    ("quoted with at", f'"{_EVIL}"@asker.example'),
    ("source route", f"@asker.example:{_EVIL}"),
    ("percent hack with two", "a%b@c@asker.example"),
    ("two at signs", "a@b@asker.example"),
    ("no at sign", "asker.example"),
    ("no local part", "@asker.example"),
    ("no domain", "a@"),
    ("at alone", "@"),
    ("dot first", ".a@asker.example"),
    ("dot last", "a.@asker.example"),
    ("two dots", "a..b@asker.example"),
    ("domain with a dot first", "a@.asker.example"),
    ("domain with two dots", "a@asker..example"),
    ("domain with a hyphen last", "a@asker-.example"),
    ("address literal", "a@[127.0.0.1]"),
    ("address literal of v6", "a@[IPv6:::1]"),
    ("space inside", "a b@asker.example"),
    ("tab inside", "a\tb@asker.example"),
    ("mailto", f"mailto:{_EVIL}"),
    ("mailto with a header", f"mailto:a@asker.example?bcc={_EVIL}"),
    ("option", "-oQ/tmp -X/tmp/x @asker.example"),
    ("backquotes and spaces", "`id > /tmp/x`@asker.example x"),
    ("backslash", "a\\@asker.example"),
    ("full-width at sign", "a＠asker.example"),
    ("zero width space", "a\u200b@asker.example"),
    ("right-to-left override", "a\u202e@asker.example"),
    ("321 characters", "a" * 306 + "@asker.example2"),
    ("a million characters", "a" * 1_000_000 + "@asker.example"),
    ("encoded word", "=?utf-8?q?a=40asker.example=0d=0a?= <a@asker.example>"),
    ("URL", "https://evil.example/?a@asker.example x"),
]

_TAKEN: Final = [
    ("IDN", "a<<n>>@bücher.example", "RFC 6531, or refused"),
    ("beyond ASCII", "älva<<n>>@asker.example", "RFC 6531, or refused"),
    ("plus", "a<<n>>+tag@asker.example", "an ordinary address"),
    ("apostrophe", "o'hara<<n>>@asker.example", "an ordinary address"),
    ("option", "-f<<n>>@asker.example", "no shell and no sendmail sees it"),
    ("local host", "a<<n>>@localhost", "a domain of one label"),
    ("punycode", "a<<n>>@xn--bcher-kva.example", "an ordinary address"),
    ("encoded word", "=?utf-8?q?a<<n>>?=@asker.example", "an ordinary local part"),
    ("white space around", "  a<<n>>@asker.example ", "docs/idp/generic.md: cut off"),
]


def _emails(value: Any) -> list[dict[str, Any]]:
    return [{"value": value, "type": "work", "primary": True}]


ENTRIES: Final[tuple[Entry, ...]] = (
    *(user({400}, name, _ONE, emails=_emails(value)) for name, value in _REFUSED),
    *(
        user({201, 400}, f"taken: {name}", why, emails=_emails(value))
        for name, value, why in _TAKEN
    ),
    *(
        patch(
            f"PATCH {name}",
            [{"op": "replace", "path": 'emails[type eq "work"].value', "value": value}],
            {400},
            _ONE,
        )
        for name, value in _REFUSED[:30]
    ),
    user(
        {201, 400},
        "the userName is an address of two",
        "an invitation never goes to what is no mailbox",
        userName="a<<n>>@asker.example,evil<<n>>@victim-of-mail.example",
        emails=[],
    ),
    user(
        {400},
        "the userName starts a command",
        "no line breaks in a name",
        userName="a<<n>>@asker.example\r\nRCPT TO:<evil<<n>>@victim-of-mail.example>",
    ),
    user(
        {400},
        "a name with a header",
        "no line breaks in a name",
        name={"givenName": "Ana\r\nBcc: evil@victim-of-mail.example"},
    ),
    user(
        {201},
        "a name with markup",
        "data: the mail escapes it",
        name={"givenName": "<img src=http://evil.example/x>", "familyName": "{{ 7*7 }}"},
        emails=_emails("markup<<n>>@asker.example"),
    ),
    user(
        {201},
        "a name with an address",
        "data: it names no recipient",
        displayName="evil@victim-of-mail.example, x",
        name={"formatted": "<evil@victim-of-mail.example>"},
        emails=_emails("named<<n>>@asker.example"),
    ),
)
