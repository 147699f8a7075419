"""What a mail says: text and HTML, in the organisation's language, to exactly one mailbox.

The first line of a text template is the subject. Names come from strangers: they lose control and
direction characters, who is greeted by name is decided in greeting.py, and the HTML templates
escape. Nothing remote is loaded and nothing is tracked. Dates stand in UTC, in words.
"""

import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTPUTF8
from pathlib import Path
from typing import Final, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError, select_autoescape

from rollcall.directory.address import is_one_mailbox
from rollcall_notifier.judge import Kind

Language = Literal["en", "nl"]
MAX_NAME: Final = 80
_MONTHS: Final[dict[Language, tuple[str, ...]]] = {
    "en": (
        *("January", "February", "March", "April", "May", "June", "July"),
        *("August", "September", "October", "November", "December"),
    ),
    "nl": (
        *("januari", "februari", "maart", "april", "mei", "juni", "juli"),
        *("augustus", "september", "oktober", "november", "december"),
    ),
}


class CannotBuild(ValueError):
    """No mail can be made of these parts; it fails alone, visibly. The message is the reason."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Whom mails come from: one mailbox, and a name that may be empty."""

    address: str
    name: str = ""

    @property
    def domain(self) -> str:
        """The part after the @; Message-IDs are made with it."""
        return self.address.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Letter:
    """All that goes into one mail. `link` and `expires` come together, or not at all."""

    kind: Kind
    address: str
    name: str
    organisation: str
    language: Language
    message_id: str
    written: datetime
    link: str | None = None
    expires: datetime | None = None
    is_invited: bool = False


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(enabled_extensions=("html",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


_TEMPLATES: Final = _environment()


def compose(letter: Letter, sender: Sender) -> EmailMessage:
    """The mail, with one recipient. Raises CannotBuild."""
    if not is_one_mailbox(letter.address):
        raise CannotBuild("recipient_is_not_one_mailbox")
    try:
        subject, text, html = _render(letter)
        message = EmailMessage(policy=SMTPUTF8)
        message["From"] = Address(display_name=sender.name, addr_spec=sender.address)
        message["To"] = letter.address
        message["Subject"] = subject
        message["Date"] = letter.written
        message["Message-ID"] = letter.message_id
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text, cte="quoted-printable")
        message.add_alternative(html, subtype="html", cte="quoted-printable")
        message["Content-Language"] = letter.language
        recipients = [address.addr_spec for address in message["To"].addresses]
        if recipients != [letter.address]:
            raise CannotBuild("recipient_reads_differently_in_header")
    except (MessageError, TemplateError, ValueError, IndexError) as error:
        if isinstance(error, CannotBuild):
            raise
        raise CannotBuild(type(error).__name__) from error
    return message


def clean(text: str) -> str:
    """One line without control, direction, format and unassigned characters, of bounded length."""
    kept = "".join(
        " " if unicodedata.category(character)[0] in "ZC" else character for character in text
    )
    line = " ".join(kept.split())
    return line if len(line) <= MAX_NAME else line[: MAX_NAME - 1].rstrip() + "…"


def _render(letter: Letter) -> tuple[str, str, str]:
    values = {
        "language": letter.language,
        "name": letter.name,
        "organisation": clean(letter.organisation),
        "link": letter.link,
        "expires": _in_words(letter.expires, letter.language),
        "is_invited": letter.is_invited,
    }
    folder = f"{letter.language}/{letter.kind}"
    subject, _, text = _TEMPLATES.get_template(f"{folder}.txt").render(values).partition("\n")
    html = _TEMPLATES.get_template(f"{folder}.html").render(values, subject=subject)
    return subject, text.strip() + "\n", html


def _in_words(moment: datetime | None, language: Language) -> str:
    if moment is None:
        return ""
    utc = moment.astimezone(UTC)
    return f"{utc.day} {_MONTHS[language][utc.month - 1]} {utc.year}, {utc:%H:%M} UTC"
