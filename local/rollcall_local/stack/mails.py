"""The mails of a Maildir, readable: decoded, with their links whole (RFC 5322, RFC 2045).

A mail on the wire is quoted-printable: no line is longer than 76 characters, so a link is broken
over several, with `=` at their ends and `=3D` for each of its own.
"""

import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import DateHeader
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from pathlib import Path
from typing import Final

from rollcall_local.stack import owned

_LINK: Final = re.compile(r"https?://[^\s<>\"]+")
_AFTER_A_LINK: Final = ".,;:!?)]}'"


@dataclass(frozen=True, slots=True)
class Mail:
    """One delivery: `to` are the recipients of the envelope, `date` is the sender's, in UTC."""

    to: tuple[str, ...]
    sender: str
    subject: str
    date: datetime | None
    text: str
    links: tuple[str, ...]
    file: Path


def read(maildir: Path) -> list[Mail]:
    """Every mail, in the order in which they came. Raises NotOurs where one is another user's."""
    return [
        _parsed(path, content)
        for path, content in sorted(_files(maildir), key=lambda each: each[0].name)
    ]


def _files(maildir: Path) -> Iterator[tuple[Path, bytes]]:
    for name in ("new", "cur"):
        for path in owned.listed(maildir / name):
            with suppress(FileNotFoundError):  # a mail program moved it
                yield path, owned.read_bytes(path)


def _parsed(path: Path, content: bytes) -> Mail:
    message = BytesParser(policy=default).parsebytes(content)
    text = _text(message)
    recipients = message.get_all("X-RcptTo") or message.get_all("To") or []
    return Mail(
        to=tuple(_one_line(str(each)) for each in recipients),
        sender=_one_line(str(message["From"] or "")),
        subject=_one_line(str(message["Subject"] or "")),
        date=_date(message),
        text=text,
        links=tuple(dict.fromkeys(links(text))),
        file=path,
    )


def links(text: str) -> list[str]:
    """The web addresses in a text, without the punctuation that follows them."""
    return [found.rstrip(_AFTER_A_LINK) for found in _LINK.findall(text)]


def _text(message: EmailMessage) -> str:
    """The plain part, or the HTML as it is where there is no other; empty for neither."""
    part = message.get_body(("plain", "html"))
    if part is None:
        return ""
    try:
        content = str(part.get_content())
    except LookupError:  # an unknown charset
        payload = part.get_payload(decode=True)
        content = payload.decode(errors="replace") if isinstance(payload, bytes) else ""
    return _without_control("\n".join(content.splitlines()).strip())


def _date(message: EmailMessage) -> datetime | None:
    header = message["Date"]
    found = header.datetime if isinstance(header, DateHeader) else None
    if found is None:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)


def _one_line(text: str) -> str:
    return _without_control(" ".join(text.split()))


def _without_control(text: str) -> str:
    """A terminal obeys control characters, and names in mails come from strangers."""
    return "".join(
        each if each in "\n\t" or unicodedata.category(each) not in ("Cc", "Cf", "Cs") else "\ufffd"
        for each in text
    )
