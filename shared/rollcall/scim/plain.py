"""Recognise values that are canonical already, so that most of a body is read only once.

The full conversion is in `values.py`; it gives the same result for each of these values (a property
test compares both).
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from rollcall.scim.limits import MAX_ADDRESS
from rollcall.scim.schema import Attribute
from rollcall.scim.username import MAX_KEY_BYTES

# One mailbox as in RFC 5321, without quoted names and address literals, with the characters beyond
# ASCII that RFC 6531 adds. The value becomes the recipient of a mail.
_BEYOND_ASCII = "\u00a1-\U0010ffff"
_ATOM = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~{_BEYOND_ASCII}-]+"
_ALNUM = rf"[A-Za-z0-9_{_BEYOND_ASCII}]"
_LABEL = rf"{_ALNUM}(?:[A-Za-z0-9_{_BEYOND_ASCII}-]*{_ALNUM})?"
_MAILBOX = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")

_ALWAYS_SHORT_ENOUGH: Final = MAX_KEY_BYTES // 4
"""Characters that fit into an index in any encoding."""
_BOOLEAN: Final = -1
_MAILBOX_TEXT: Final = -2
_USER_NAME: Final = -3


def plain_kinds(attributes: Mapping[str, Attribute]) -> dict[str, int]:
    """What `is_plain` can judge in a table: canonical name → longest text, or a kind below 0."""
    return {
        attribute.name: _plain_kind(attribute)
        for attribute in attributes.values()
        if _plain_kind(attribute)
    }


def _plain_kind(attribute: Attribute) -> int:
    if attribute.is_read_only or attribute.multi_valued:
        return 0
    if attribute.kind == "boolean":
        return _BOOLEAN
    if attribute.check == "mailbox":
        return _MAILBOX_TEXT
    if attribute.check == "user_name":
        return _USER_NAME
    if attribute.kind == "string" and attribute.check is None:
        return min(attribute.max_length, _ALWAYS_SHORT_ENOUGH)
    return 0


def is_plain(value: Any, longest: int) -> bool:
    """Whether the value is recognised as canonical. False does not mean that it is not.

    Most values are recognised: booleans, addresses, and texts that are not blank, short and
    printable. Where each call counts, the test for texts is repeated before the call.
    """
    if longest == _BOOLEAN:
        return type(value) is bool
    if type(value) is not str:
        return False
    if longest == _MAILBOX_TEXT:
        return is_mailbox(value)
    if longest == _USER_NAME:
        longest = MAX_ADDRESS if value.isascii() else 0
    return 0 < len(value) <= longest and value.isprintable() and not value.isspace()


def is_mailbox(value: str) -> bool:
    """Whether the text is the address of exactly one mailbox, at most 320 characters."""
    return (
        len(value) <= MAX_ADDRESS
        and _MAILBOX.fullmatch(value) is not None
        and (value.isascii() or value.isprintable())
    )
