"""Names that look alike, cannot be seen, or fold to one another (RFC 8265)."""

from typing import Final

from tests.hostile.entry import GROUP, Entry, send, user

_UNSEEN = "what nobody can see is refused in a name"
_SAME = "the same name as one that is there (UsernameCaseMapped): 409 uniqueness"
_OTHER = "another name, kept as it is"
_LINE = "no control characters or line breaks in one line of text"

_INVISIBLE: Final = [
    ("NUL", "a\0b"),
    ("escape", "a\x1bb"),
    ("bell", "a\ab"),
    ("delete", "a\x7fb"),
    ("next line", "a\u0085b"),
    ("line separator", "a\u2028b"),
    ("paragraph separator", "a\u2029b"),
    ("line feed", "a\nb"),
    ("carriage return", "a\rb"),
    ("tab", "a\tb"),
    ("zero width space", "a\u200bb"),
    ("word joiner", "a\u2060b"),
    ("byte order mark", "a\ufeffb"),
    ("soft hyphen", "a\u00adb"),
    ("right-to-left override", "a\u202eb"),
    ("right-to-left mark", "a\u200fb"),
    ("direction isolate", "a\u2066b\u2069"),
    ("tag character", "a\U000e0041b"),
    ("private use", "a\ue000b"),
    ("no character", "a\uffffb"),
    ("unassigned", "a\u0378b"),
]

_COLLIDING: Final = [
    ("capitals", "KARİN".replace("İ", "I") + "<<u>>@asker.example"),
    ("Kelvin sign", "\u212aarin<<u>>@asker.example"),
    ("full-width letters", "ｋａｒｉｎ<<u>>@asker.example"),
    ("full-width at sign", "karin<<u>>＠asker.example"),
    ("white space around", "  karin<<u>>@asker.example  "),
    ("decomposed", "rene\u0301<<u>>@asker.example"),
    ("decomposed capital", "RENE\u0301<<u>>@asker.example"),
    ("ideographic space around", "\u3000karin<<u>>@asker.example"),
]

_DIFFERENT: Final = [
    ("Cyrillic a", "k\u0430rin<<u>>@asker.example"),
    ("dotless i", "kar\u0131n<<u>>@asker.example"),
    ("Greek", "καριν<<u>>@asker.example"),
    ("Hebrew", "קרין<<u>>@asker.example"),
    ("Arabic digits", "karin\u0661<<u>>@asker.example"),
    ("Chinese", "林<<u>>@asker.example"),
    ("emoji", "\U0001f600<<u>>@asker.example"),
    ("long s", "ka\u017frin<<u>>@asker.example"),
    ("ligature", "\ufb01n<<u>>@asker.example"),
    ("sharp s", "straße<<u>>@asker.example"),
    ("combining marks", "e" + "\u0301" * 50 + "<<u>>@asker.example"),
    ("dotted capital I", "kar\u0130n<<u>>@asker.example"),
    ("superscript", "karin\u00b2<<u>>@asker.example"),
    ("zero width joiner", "a\u200db<<u>>@asker.example"),
]


def _name(name: str, user_name: str, expected: set[int], why: str) -> Entry:
    return user(expected, name, why, userName=user_name)


ENTRIES: Final[tuple[Entry, ...]] = (
    _name("plain", "karin<<u>>@asker.example", {201}, "the name that the next ones collide with"),
    _name("composed", "ren\u00e9<<u>>@asker.example", {201}, "as plain"),
    *(_name(f"same: {name}", text, {409}, _SAME) for name, text in _COLLIDING),
    *(_name(f"other: {name}", text, {201, 400}, _OTHER) for name, text in _DIFFERENT),
    *(
        _name(f"userName: {name}", f"{text}<<n>>@asker.example", {400}, _UNSEEN)
        for name, text in _INVISIBLE
    ),
    *(
        user({400}, f"displayName: {name}", _LINE, displayName=text)
        for name, text in _INVISIBLE[:10]
    ),
    *(
        user(
            {201, 400},
            f"title: {name}",
            "shown as data; refused where it cannot be kept",
            title=text,
        )
        for name, text in _INVISIBLE[10:]
    ),
    *(user({400}, f"externalId: {name}", _LINE, externalId=text) for name, text in _INVISIBLE[:9]),
    *(
        send(
            f"group: {name}",
            "POST",
            "/Groups",
            {"schemas": [GROUP], "displayName": f"{text}<<n>>"},
            {400},
            _LINE,
        )
        for name, text in _INVISIBLE[:9]
    ),
    send(
        "group, plain",
        "POST",
        "/Groups",
        {"schemas": [GROUP], "displayName": "Kern<<u>>"},
        {201},
        "the name that the next ones collide with",
    ),
    *(
        send(
            f"group same: {name}",
            "POST",
            "/Groups",
            {"schemas": [GROUP], "displayName": text},
            {409},
            "displayName of a group has no letter case and no width: 409 uniqueness",
        )
        for name, text in (
            ("capitals", "KERN<<u>>"),
            ("Kelvin sign", "\u212aern<<u>>"),
            ("full width", "Ｋｅｒｎ<<u>>"),
            ("white space", " Kern<<u>> "),
        )
    ),
    user({201}, "externalId is exact", "caseExact: another value", externalId="Exact<<u>>"),
    user({201}, "externalId in other case", "caseExact: another value", externalId="EXACT<<u>>"),
    user({201}, "externalId again", "several may have it", externalId="Exact<<u>>"),
    user(
        {201, 400},
        "title of astral characters",
        "length is in characters",
        title="\U0001f600" * 900,
    ),
)
