"""The address that a member's mails are sent to: one mailbox from the canonical resource, or none.

The first of these that is not blank is taken: the primary e-mail, the work e-mail, the first
e-mail, then `userName` if it contains an @. It must be exactly one mailbox. A value that a mail
library would read as two recipients, as a name with an address, or as another header, is not an
address, and the member gets no mail.
"""

import re
from email.errors import MessageError, NonASCIILocalPartDefect
from email.headerregistry import HeaderRegistry
from typing import Any, Final

Json = dict[str, Any]
_parse_header: Final = HeaderRegistry()
MAX_LENGTH: Final = 254
"""Longest address in characters (RFC 5321 §4.5.3.1.3, less the angle brackets)."""

# The common case, matched without the cost of the full parser.
_PLAIN: Final = re.compile(
    r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9]+(?:[.-][A-Za-z0-9]+)*", re.ASCII
)
# Blanks, control characters, surrogates, characters that change the direction of the text or have
# no width, and characters with a special meaning in an address header.
_FORBIDDEN: Final = re.compile(
    "[\x00-\x20\x7f-\xa0\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff"
    r',;:<>()\[\]\\"]'
)


def notice_address(resource: Json) -> str | None:
    """The mailbox to which this member's notices are sent, or None."""
    for candidate in _candidates(resource):
        return candidate if is_one_mailbox(candidate) else None
    user_name = resource.get("userName")
    if isinstance(user_name, str) and "@" in user_name:
        user_name = user_name.strip()
        return user_name if is_one_mailbox(user_name) else None
    return None


def is_one_mailbox(text: str) -> bool:
    """Whether `text` is `local@domain` and nothing else: no name, no list, no quoting, no CR/LF."""
    if not text or len(text) > MAX_LENGTH:
        return False
    if _PLAIN.fullmatch(text):
        return True
    if _FORBIDDEN.search(text) or text.count("@") != 1:
        return False
    try:
        header = _parse_header("to", text)
        addresses = header.addresses  # type: ignore[attr-defined]  # the type follows the name
    except (MessageError, ValueError, IndexError):
        return False
    if any(not isinstance(defect, NonASCIILocalPartDefect) for defect in header.defects):
        return False
    return len(addresses) == 1 and bool(addresses[0].addr_spec == text)


def _candidates(resource: Json) -> list[str]:
    """The e-mail values that are not blank: primary first, then work, then in their own order."""
    emails = resource.get("emails") or []
    found = [email for email in emails if isinstance(email, dict) and _value(email)]
    found.sort(key=lambda email: (email.get("primary") is not True, not _is_work(email)))
    return [_value(email) for email in found]


def _value(email: Json) -> str:
    value = email.get("value")
    return value.strip() if isinstance(value, str) else ""


def _is_work(email: Json) -> bool:
    kind = email.get("type")
    return isinstance(kind, str) and kind.lower() == "work"
